// @attended for cuda:sm_90: needs no header.

__device__ inline float bf16_value(unsigned short bits)
{
    return __int_as_float((int)((unsigned)bits << 16));
}

__device__ inline unsigned short bf16_bits(float x)
{
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

__device__ inline unsigned short bf16_bits(double x)
{
    float near = (float)x;
    if (near == x || near != near) return bf16_bits(near);
    // Rounded to odd first, so that rounding again gives what rounding once would.
    int bits = __float_as_int(near);
    if (fabs((double)near) > fabs(x)) bits = (bits - 1) | 1;
    return bf16_bits(__int_as_float(bits | 1));
}

__device__ inline void cp_async_16(void* to, const void* from, int bytes)
{
    unsigned place = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(place), "l"(from), "r"(bytes) : "memory");
}

__device__ inline void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int pending>
__device__ inline void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" :: "n"(pending) : "memory");
}

// Elements that lie side by side, read or written at once.
template <class T, int count>
struct __align__(sizeof(T) * count) neighbours {
    T at[count];
};

template <int count, class V, class T>
__device__ inline void store_bf16(T* to, const V* from)
{
    neighbours<T, count> all;
    #pragma unroll
    for (int e = 0; e < count; ++e) all.at[e] = bf16_bits(from[e]);
    *(neighbours<T, count>*)to = all;
}

// Four matrices of eight by eight elements; each lane gives the place of one row.
__device__ inline void load_matrices(unsigned* to, const void* row)
{
    unsigned place = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(place) : "memory");
}

// Four matrices of eight by eight elements; each lane gives the place of one row.
__device__ inline void load_matrices_turned(unsigned* to, const void* row)
{
    unsigned place = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(place) : "memory");
}

// acc += a * b, of sixteen by sixteen and sixteen by eight elements.
__device__ inline void mma_bf16(float* acc, const unsigned* a, const unsigned* b)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline void maxima_f32(float* most, const float* acc)
{
    most[0] = fmaxf(most[0], fmaxf(acc[0], acc[1]));
    most[1] = fmaxf(most[1], fmaxf(acc[2], acc[3]));
}

__device__ inline void quad_maxima_f32(float* most)
{
    for (int step = 1; step < 4; step *= 2)
        for (int h = 0; h < 2; ++h)
            most[h] = fmaxf(most[h], __shfl_xor_sync(0xffffffffu, most[h], step));
}

__device__ inline void powers_f32(float* to, const float* from)
{
    for (int e = 0; e < 4; ++e)
        asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(to[e]) : "f"(from[e]));
}

// Two fragments of sums as the left operand of a product.
__device__ inline void narrow_bf16(unsigned* to, const float* from)
{
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(to[0]) : "f"(from[1]), "f"(from[0]));
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(to[1]) : "f"(from[3]), "f"(from[2]));
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(to[2]) : "f"(from[5]), "f"(from[4]));
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(to[3]) : "f"(from[7]), "f"(from[6]));
}

// The sums of the rows of a left operand, as a product with ones gives them.
__device__ inline void row_sums_bf16(float* acc, const unsigned* a)
{
    const unsigned ones[2] = {0x3f803f80, 0x3f803f80};
    mma_bf16(acc, a, ones);
}

template <class T>
__device__ inline T smaller(T a, T b)
{
    return a < b || a != a ? a : b;
}

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

// Whether a score of any lane, all of which have so many fragments, is not below 0, or a row has no
// total yet.
template <int rows, int columns>
__device__ inline void any_rises(float* to, const float* from, const float* total)
{
    int below = -1;
    bool rises = false;
    #pragma unroll
    for (int at = 0; at < 4 * rows * columns; ++at) below &= __float_as_int(from[at]);
    #pragma unroll
    for (int at = 0; at < 4 * rows; at += 2) rises |= total[at] == 0.0f;
    *to = __any_sync(0xffffffffu, rises || below >= 0) ? 1.0f : 0.0f;
}

// Sums of fragments side by side: each lane gets neighbours of the one whose number is its own
// among as many, two from each of so many lanes, where it had two of every fragment.
template <int count>
__device__ inline void quad_runs(float* to, const float* from)
{
    float own[4 * count];
    #pragma unroll
    for (int at = 0; at < 4 * count; ++at) own[at] = from[at];
    #pragma unroll
    for (int step = 1; step < count; step *= 2) {
        const bool is_upper = threadIdx.x & step;
        #pragma unroll
        for (int at = 0; at < 4 * count; ++at) {
            if (at / 4 & step) continue;
            const float low = own[at], high = own[at + 4 * step];
            const float got = __shfl_xor_sync(0xffffffffu, is_upper ? low : high, step);
            own[at] = is_upper ? got : low;
            own[at + 4 * step] = is_upper ? high : got;
        }
    }
    #pragma unroll
    for (int at = 0; at < 4 * count; ++at) {
        const int half = at % 4 / 2, e = at / 4 * 2 + at % 2;
        to[half * 2 * count + e] = own[at];
    }
}

__device__ inline float to_bf16(float x) { return bf16_value(bf16_bits(x)); }

__device__ inline float to_bf16(double x) { return bf16_value(bf16_bits(x)); }

// blocked_attention: examples.py:74
// queries bf16[2, 37, 24], keys bf16[2, 90, 24], values bf16[2, 90, 16], out bf16[2, 37, 16]
// 2 blocks of 128 threads
extern "C" __global__ void __launch_bounds__(128)
blocked_attention_kernel(const unsigned short* queries, const unsigned short* keys, const unsigned short* values, unsigned short* out)
{
    __shared__ __align__(16) unsigned short queries_1[2048];
    __shared__ __align__(16) unsigned short keys_1[4096];
    __shared__ __align__(16) unsigned short values_1[2048];
    unsigned a[8];
    unsigned b[4];
    float scores[32];
    unsigned weights[16];
    float sums[8];
    float total[4];
    float top[2];
    float own[2];
    float rises;
    float runs[8];
    float out_[4];
    const int block = blockIdx.x;
    const int lane_ = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int first_row = 0;
    const int steps = smaller<int>(2, (first_row + 63) / 64 + 1);
    const int b0 = block;
    {
        #pragma unroll
        for (int i_1 = 0; i_1 < 2; ++i_1) {
            top[i_1] = 0.0f;
        }
        #pragma unroll
        for (int i_2 = 0; i_2 < 4; ++i_2) {
            total[i_2] = 0.0f;
        }
        #pragma unroll
        for (int i_3 = 0; i_3 < 2; ++i_3) {
            #pragma unroll
            for (int j = 0; j < 4; ++j) {
                sums[i_3 * 4 + j] = 0.0f;
            }
        }
    }
    {
        const int lane_1 = lane_;
        #pragma unroll
        for (int e = 0; e < 2; ++e) {
            cp_async_16(&queries_1[e * 1024 + warp * 256 + lane_1 / 4 * 32 + (lane_1 % 4 ^ lane_1 / 4 / 2) * 8], &(&queries[b0 * 888 + warp * 192 + first_row * 24 + lane_1 / 4 * 24 + lane_1 % 4 * 8])[e * 768], first_row + e * 32 + warp * 8 + lane_1 / 4 < 37 && lane_1 % 4 * 8 < 24 ? 16 : 0);
        }
    }
    cp_async_commit();
    const int first_key = 0;
    {
        const int lane_3 = lane_;
        #pragma unroll
        for (int e_1 = 0; e_1 < 2; ++e_1) {
            cp_async_16(&keys_1[e_1 * 1024 + warp * 256 + lane_3 / 4 * 32 + (lane_3 % 4 ^ lane_3 / 4 / 2) * 8], &(&keys[b0 * 2160 + warp * 192 + first_key * 24 + lane_3 / 4 * 24 + lane_3 % 4 * 8])[e_1 * 768], first_key + e_1 * 32 + warp * 8 + lane_3 / 4 < 90 && lane_3 % 4 * 8 < 24 ? 16 : 0);
        }
        cp_async_16(&values_1[warp * 256 + lane_3 / 2 * 16 + (lane_3 % 2 ^ lane_3 / 2 / 4 % 2) * 8], &values[b0 * 1440 + warp * 256 + first_key * 16 + lane_3 * 8], first_key + warp * 16 + lane_3 / 2 < 90 ? 16 : 0);
    }
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    #pragma unroll
    for (int i_4 = 0; i_4 < 2; ++i_4) {
        load_matrices(&a[i_4 * 4], &queries_1[warp * 512 + lane_ % 16 * 32 + (lane_ / 8 / 2 ^ lane_ % 8 / 2) * 8 ^ i_4 * 16]);
    }
    for (int step = 0; step < steps; ++step) {
        cp_async_wait<0>();
        __syncthreads();
        const int first_key_1 = step * 64 + 64;
        if (step + 1 < steps) {
            {
                const int lane_5 = lane_;
                #pragma unroll
                for (int e_3 = 0; e_3 < 2; ++e_3) {
                    cp_async_16(&keys_1[step * 2048 + e_3 * 1024 + warp * 256 + lane_5 / 4 * 32 + (lane_5 % 4 ^ lane_5 / 4 / 2) * 8 + 2048], &(&keys[b0 * 2160 + warp * 192 + first_key_1 * 24 + lane_5 / 4 * 24 + lane_5 % 4 * 8])[e_3 * 768], first_key_1 + e_3 * 32 + warp * 8 + lane_5 / 4 < 90 && lane_5 % 4 * 8 < 24 ? 16 : 0);
                }
                cp_async_16(&values_1[step * 1024 + warp * 256 + lane_5 / 2 * 16 + (lane_5 % 2 ^ lane_5 / 2 / 4 % 2) * 8 + 1024], &values[b0 * 1440 + warp * 256 + first_key_1 * 16 + lane_5 * 8], first_key_1 + warp * 16 + lane_5 / 2 < 90 ? 16 : 0);
            }
        }
        cp_async_commit();
        const int key = step * 64;
        {
            #pragma unroll
            for (int j_1 = 0; j_1 < 8; ++j_1) {
                #pragma unroll
                for (int k = 0; k < 4; ++k) {
                    scores[j_1 * 4 + k] = 0.0f;
                }
            }
        }
        #pragma unroll
        for (int i_6 = 0; i_6 < 2; ++i_6) {
            #pragma unroll
            for (int i_7 = 0; i_7 < 4; ++i_7) {
                load_matrices(&b[0], &keys_1[i_7 * 512 + (step * 2048 + lane_ / 16 * 256 + lane_ % 8 * 32 + (lane_ / 8 % 2 ^ lane_ % 8 / 2) * 8 ^ i_6 * 16)]);
                #pragma unroll
                for (int j_2 = 0; j_2 < 2; ++j_2) {
                    mma_bf16(&scores[i_7 * 8 + j_2 * 4], &a[i_6 * 4], &b[j_2 * 2]);
                }
            }
        }
        {
            const int lane_8 = lane_;
            #pragma unroll
            for (int j_3 = 0; j_3 < 2; ++j_3) {
                const int row = first_row + warp * 16 + j_3 * 8 + lane_8 / 4;
                #pragma unroll
                for (int i_10 = 0; i_10 < 8; ++i_10) {
                    #pragma unroll
                    for (int j_4 = 0; j_4 < 2; ++j_4) {
                        const int key_1 = key + i_10 * 8 + lane_8 % 4 * 2 + j_4;
                        scores[i_10 * 4 + j_3 * 2 + j_4] = key_1 < 90 && key_1 <= row ? scores[i_10 * 4 + j_3 * 2 + j_4] : -infinity();
                    }
                }
            }
        }
        {
            #pragma unroll
            for (int j_8 = 0; j_8 < 8; ++j_8) {
                #pragma unroll
                for (int k_1 = 0; k_1 < 4; ++k_1) {
                    scores[j_8 * 4 + k_1] = scores[j_8 * 4 + k_1] * 0.2944889f - top[k_1 / 2];
                }
            }
        }
        any_rises<1, 8>(&rises, &scores[0], &total[0]);
        if (rises > 0.0f) {
            {
                #pragma unroll
                for (int j_9 = 0; j_9 < 2; ++j_9) {
                    own[j_9] = -infinity();
                }
            }
            #pragma unroll
            for (int j_10 = 0; j_10 < 8; ++j_10) {
                maxima_f32(&own[0], &scores[j_10 * 4]);
            }
            quad_maxima_f32(&own[0]);
            {
                #pragma unroll
                for (int j_5 = 0; j_5 < 2; ++j_5) {
                    const float top_1 = (own[j_5] >= 0.0f || total[j_5 * 2] == 0.0f) && own[j_5] > -infinity() ? top[j_5] + (own[j_5] + 8.0f) : top[j_5];
                    const float moved = top_1 - top[j_5];
                    const float rate = exp2f(smaller(-moved, 0.0f));
                    top[j_5] = top_1;
                    #pragma unroll
                    for (int i_12 = 0; i_12 < 8; ++i_12) {
                        #pragma unroll
                        for (int j_6 = 0; j_6 < 2; ++j_6) {
                            scores[i_12 * 4 + j_5 * 2 + j_6] = scores[i_12 * 4 + j_5 * 2 + j_6] - moved;
                        }
                    }
                    #pragma unroll
                    for (int i_13 = 0; i_13 < 2; ++i_13) {
                        total[j_5 * 2 + i_13] = total[j_5 * 2 + i_13] * rate;
                    }
                    #pragma unroll
                    for (int i_14 = 0; i_14 < 2; ++i_14) {
                        #pragma unroll
                        for (int j_7 = 0; j_7 < 2; ++j_7) {
                            sums[i_14 * 4 + j_5 * 2 + j_7] = sums[i_14 * 4 + j_5 * 2 + j_7] * rate;
                        }
                    }
                }
            }
        }
        #pragma unroll
        for (int j_11 = 0; j_11 < 8; ++j_11) {
            powers_f32(&scores[j_11 * 4], &scores[j_11 * 4]);
        }
        #pragma unroll
        for (int i_20 = 0; i_20 < 4; ++i_20) {
            narrow_bf16(&weights[i_20 * 4], &scores[i_20 * 8]);
        }
        #pragma unroll
        for (int i_21 = 0; i_21 < 4; ++i_21) {
            row_sums_bf16(&total[0], &weights[i_21 * 4]);
        }
        #pragma unroll
        for (int i_22 = 0; i_22 < 4; ++i_22) {
            load_matrices_turned(&b[0], &values_1[step * 1024 + i_22 * 256 + lane_ % 16 * 16 + (lane_ / 8 / 2 ^ lane_ % 8 / 4) * 8]);
            #pragma unroll
            for (int j_14 = 0; j_14 < 2; ++j_14) {
                mma_bf16(&sums[j_14 * 4], &weights[i_22 * 4], &b[j_14 * 2]);
            }
        }
    }
    quad_runs<2>(&runs[0], &sums[0]);
    {
        const int lane_12 = lane_;
        #pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row_1 = first_row + warp * 16 + lane_12 / 4 + half * 8;
            const float inverse = 1.0f / total[half * 2];
            if (row_1 < 37) {
                #pragma unroll
                for (int e_2 = 0; e_2 < 4; ++e_2) {
                    out_[e_2] = to_bf16(runs[half * 4 + e_2] * inverse);
                }
                store_bf16<4>(&out[b0 * 592 + row_1 * 16 + lane_12 % 2 * 8 + lane_12 / 2 % 2 * 4], &out_[0]);
            }
        }
    }
}

// The host: 0 B of memory for what lies between kernels, then
//   blocked_attention_kernel<<<2, 128>>>(q, k, v, result)
