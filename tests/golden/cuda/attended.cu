// @attended for cuda:sm_90: needs no header.

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

// blocked_attention: examples.py:74
// queries bf16[2, 37, 24], keys bf16[2, 90, 24], values bf16[2, 90, 16], out bf16[2, 37, 16]
// 2 blocks of 128 threads
extern "C" __global__ void __launch_bounds__(128)
blocked_attention_kernel(const unsigned short* __restrict__ queries, const unsigned short* __restrict__ keys, const unsigned short* __restrict__ values, unsigned short* __restrict__ out)
{
    __shared__ __align__(16) unsigned short queries_1[2048];
    __shared__ __align__(16) unsigned short keys_1[4096];
    __shared__ __align__(16) unsigned short values_1[2048];
    const int block = blockIdx.x;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    float top[2];
    #pragma unroll
    for (int i = 0; i < 2; ++i) {
        top[i] = 0.0f;
    }
    float total[4];
    #pragma unroll
    for (int i = 0; i < 4; ++i) {
        total[i] = 0.0f;
    }
    float sums[8];
    #pragma unroll
    for (int i = 0; i < 2; ++i) {
        #pragma unroll
        for (int j = 0; j < 4; ++j) {
            sums[i * 4 + j] = 0.0f;
        }
    }
    #pragma unroll
    for (int e = 0; e < 2; ++e) {
        cp_async_16(&queries_1[e * 1024 + warp * 256 + lane / 4 * 32 + (lane % 4 ^ lane / 4 / 2) * 8], &(&queries[block * 888 + warp * 192 + lane / 4 * 24 + lane % 4 * 8])[e * 768], e * 32 + warp * 8 + lane / 4 < 37 && lane % 4 * 8 < 24 ? 16 : 0);
    }
    cp_async_commit();
    #pragma unroll
    for (int e = 0; e < 2; ++e) {
        cp_async_16(&keys_1[e * 1024 + warp * 256 + lane / 4 * 32 + (lane % 4 ^ lane / 4 / 2) * 8], &(&keys[block * 2160 + warp * 192 + lane / 4 * 24 + lane % 4 * 8])[e * 768], e * 32 + warp * 8 + lane / 4 < 90 && lane % 4 * 8 < 24 ? 16 : 0);
    }
    cp_async_16(&values_1[warp * 256 + lane / 2 * 16 + (lane % 2 ^ lane / 2 / 4 % 2) * 8], &values[block * 1440 + warp * 256 + lane * 8], warp * 16 + lane / 2 < 90 ? 16 : 0);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    unsigned a[8];
    #pragma unroll
    for (int i = 0; i < 2; ++i) {
        load_matrices(&a[i * 4], &queries_1[warp * 512 + lane % 16 * 32 + (lane / 8 / 2 ^ lane % 8 / 2) * 8 ^ i * 16]);
    }
    unsigned b[4];
    float scores[32];
    unsigned weights[16];
    float own[2];
    float rises;
    for (int step = 0; step < 1; ++step) {
        cp_async_wait<0>();
        __syncthreads();
        const int first_key = step * 64 + 64;
        if (step + 1 < 1) {
            #pragma unroll
            for (int e = 0; e < 2; ++e) {
                cp_async_16(&keys_1[step * 2048 + e * 1024 + warp * 256 + lane / 4 * 32 + (lane % 4 ^ lane / 4 / 2) * 8 + 2048], &(&keys[block * 2160 + warp * 192 + first_key * 24 + lane / 4 * 24 + lane % 4 * 8])[e * 768], first_key + e * 32 + warp * 8 + lane / 4 < 90 && lane % 4 * 8 < 24 ? 16 : 0);
            }
            cp_async_16(&values_1[step * 1024 + warp * 256 + lane / 2 * 16 + (lane % 2 ^ lane / 2 / 4 % 2) * 8 + 1024], &values[block * 1440 + warp * 256 + first_key * 16 + lane * 8], first_key + warp * 16 + lane / 2 < 90 ? 16 : 0);
        }
        cp_async_commit();
        const int key = step * 64;
        #pragma unroll
        for (int j = 0; j < 8; ++j) {
            #pragma unroll
            for (int k = 0; k < 4; ++k) {
                scores[j * 4 + k] = 0.0f;
            }
        }
        #pragma unroll
        for (int i = 0; i < 2; ++i) {
            #pragma unroll
            for (int i_1 = 0; i_1 < 4; ++i_1) {
                load_matrices(&b[0], &keys_1[i_1 * 512 + (step * 2048 + lane / 16 * 256 + lane % 8 * 32 + (lane / 8 % 2 ^ lane % 8 / 2) * 8 ^ i * 16)]);
                #pragma unroll
                for (int j = 0; j < 2; ++j) {
                    mma_bf16(&scores[i_1 * 8 + j * 4], &a[i * 4], &b[j * 2]);
                }
            }
        }
        #pragma unroll
        for (int j = 0; j < 2; ++j) {
            const int row = warp * 16 + j * 8 + lane / 4;
            #pragma unroll
            for (int i = 0; i < 8; ++i) {
                #pragma unroll
                for (int j_1 = 0; j_1 < 2; ++j_1) {
                    const int key_1 = key + i * 8 + lane % 4 * 2 + j_1;
                    scores[i * 4 + j * 2 + j_1] = key_1 < 90 && key_1 <= row ? scores[i * 4 + j * 2 + j_1] : -infinity();
                }
            }
        }
        #pragma unroll
        for (int j = 0; j < 8; ++j) {
            #pragma unroll
            for (int k = 0; k < 4; ++k) {
                scores[j * 4 + k] = scores[j * 4 + k] * 0.2944889f - top[k / 2];
            }
        }
        any_rises<1, 8>(&rises, &scores[0], &total[0]);
        if (rises > 0.0f) {
            #pragma unroll
            for (int j = 0; j < 2; ++j) {
                own[j] = -infinity();
            }
            #pragma unroll
            for (int j = 0; j < 8; ++j) {
                maxima_f32(&own[0], &scores[j * 4]);
            }
            quad_maxima_f32(&own[0]);
            #pragma unroll
            for (int j = 0; j < 2; ++j) {
                const float top_1 = (own[j] >= 0.0f || total[j * 2] == 0.0f) && own[j] > -infinity() ? top[j] + (own[j] + 8.0f) : top[j];
                const float moved = top_1 - top[j];
                const float rate = exp2f(smaller(-moved, 0.0f));
                top[j] = top_1;
                #pragma unroll
                for (int i = 0; i < 8; ++i) {
                    #pragma unroll
                    for (int j_1 = 0; j_1 < 2; ++j_1) {
                        scores[i * 4 + j * 2 + j_1] = scores[i * 4 + j * 2 + j_1] - moved;
                    }
                }
                #pragma unroll
                for (int i = 0; i < 2; ++i) {
                    total[j * 2 + i] = total[j * 2 + i] * rate;
                }
                #pragma unroll
                for (int i = 0; i < 2; ++i) {
                    #pragma unroll
                    for (int j_1 = 0; j_1 < 2; ++j_1) {
                        sums[i * 4 + j * 2 + j_1] = sums[i * 4 + j * 2 + j_1] * rate;
                    }
                }
            }
        }
        #pragma unroll
        for (int j = 0; j < 8; ++j) {
            powers_f32(&scores[j * 4], &scores[j * 4]);
        }
        #pragma unroll
        for (int i = 0; i < 4; ++i) {
            narrow_bf16(&weights[i * 4], &scores[i * 8]);
        }
        #pragma unroll
        for (int i = 0; i < 4; ++i) {
            row_sums_bf16(&total[0], &weights[i * 4]);
        }
        #pragma unroll
        for (int i = 0; i < 4; ++i) {
            load_matrices_turned(&b[0], &values_1[step * 1024 + i * 256 + lane % 16 * 16 + (lane / 8 / 2 ^ lane % 8 / 4) * 8]);
            #pragma unroll
            for (int j = 0; j < 2; ++j) {
                mma_bf16(&sums[j * 4], &weights[i * 4], &b[j * 2]);
            }
        }
    }
    float runs[8];
    quad_runs<2>(&runs[0], &sums[0]);
    float out_[4];
    #pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int row = warp * 16 + lane / 4 + half * 8;
        const float inverse = 1.0f / total[half * 2];
        if (row < 37) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                out_[e] = runs[half * 4 + e] * inverse;
            }
            store_bf16<4>(&out[block * 592 + row * 16 + lane % 2 * 8 + lane / 2 % 2 * 4], &out_[0]);
        }
    }
}

// The host: 0 B of memory for what lies between kernels, then
//   blocked_attention_kernel<<<2, 128>>>(q, k, v, result)
