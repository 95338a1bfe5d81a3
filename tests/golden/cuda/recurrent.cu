// @recurrent for cuda:sm_90: needs no header.

__device__ inline void cp_async_4(void* to, const void* from, int bytes)
{
    unsigned place = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :: "r"(place), "l"(from), "r"(bytes) : "memory");
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
__device__ inline void load_neighbours(V* to, const T* from)
{
    const neighbours<T, count> all = *(const neighbours<T, count>*)from;
    #pragma unroll
    for (int e = 0; e < count; ++e) to[e] = all.at[e];
}

template <int count, class V, class T>
__device__ inline void store_neighbours(T* to, const V* from)
{
    neighbours<T, count> all;
    #pragma unroll
    for (int e = 0; e < count; ++e) all.at[e] = from[e];
    *(neighbours<T, count>*)to = all;
}

// copy (8,)
// x f32[8], result f32[8]
// 1 blocks of 32 threads
extern "C" __global__ void __launch_bounds__(32)
copy_kernel(const float* x, float* result)
{
    float x_[4];
    float result_[4];
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int i = block * 32 + thread;
    if (i < 2) {
        load_neighbours<4>(&x_[0], &x[i * 4]);
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            result_[e] = x_[e];
        }
        store_neighbours<4>(&result[i * 4], &result_[0]);
    }
}

// matmul: examples.py:52
// x0 f32[1, 8], x1 f32[8, 8], result f32[1, 8]
// 1 blocks of 128 threads
extern "C" __global__ void __launch_bounds__(128)
matmul_kernel(const float* x0, const float* x1, float* result)
{
    __shared__ __align__(16) float left[576];
    __shared__ __align__(16) float right[1088];
    float sums[16];
    float a[4];
    float b[4];
    float result_[4];
    const int thread = threadIdx.x;
    const int right_first = 0;
    const int left_first = 0;
    const int left_own = thread / 32 / 2 * 16 + thread % 32 / 8 * 4;
    const int right_own = thread / 32 % 2 * 32 + thread % 32 % 8 * 4;
    #pragma unroll
    for (int i = 0; i < 4; ++i) {
        #pragma unroll
        for (int j = 0; j < 4; ++j) {
            sums[i * 4 + j] = 0.0f;
        }
    }
    #pragma unroll
    for (int e_1 = 0; e_1 < 2; ++e_1) {
        const int left_row = left_first + e_1 * 16 + thread / 8;
        cp_async_4(&left[thread % 8 * 36 + e_1 * 16 + thread / 8], &x0[thread % 8], left_row < 1 ? 4 : 0);
    }
    cp_async_16(&right[thread / 16 * 68 + thread % 16 * 4], &x1[thread / 16 * 8 + thread % 16 * 4 + right_first], right_first + thread % 16 * 4 < 8 ? 16 : 0);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    cp_async_commit();
    #pragma unroll
    for (int term = 0; term < 8; ++term) {
        #pragma unroll
        for (int v_2 = 0; v_2 < 4; ++v_2) {
            a[v_2] = left[term * 36 + left_own + v_2];
        }
        #pragma unroll
        for (int v_3 = 0; v_3 < 4; ++v_3) {
            b[v_3] = right[term * 68 + right_own + v_3];
        }
        #pragma unroll
        for (int i_1 = 0; i_1 < 4; ++i_1) {
            #pragma unroll
            for (int j_1 = 0; j_1 < 4; ++j_1) {
                sums[i_1 * 4 + j_1] += a[i_1] * b[j_1];
            }
        }
    }
    #pragma unroll
    for (int v = 0; v < 4; ++v) {
        const int row = left_first + left_own + v;
        if (row < 1 && right_first + right_own < 8) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                result_[e] = sums[v * 4 + e];
            }
            store_neighbours<4>(&result[right_first + right_own], &result_[0]);
        }
    }
}

// add tanh: examples.py:52
// x0 f32[8], x1 f32[8], result f32[8]
// 1 blocks of 32 threads
extern "C" __global__ void __launch_bounds__(32)
add_tanh_kernel(const float* x0, const float* x1, float* result)
{
    float x0_[4];
    float x1_[4];
    float result_[4];
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int i0 = block * 32 + thread;
    if (i0 < 2) {
        load_neighbours<4>(&x0_[0], &x0[i0 * 4]);
        load_neighbours<4>(&x1_[0], &x1[i0 * 4]);
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            result_[e] = tanhf(x0_[e] + x1_[e]);
        }
        store_neighbours<4>(&result[i0 * 4], &result_[0]);
    }
}

// The host: 64 B of memory for what lies between kernels, then
//   copy_kernel<<<1, 32>>>(start, result0)
//   for turn in 0..20:
//     matmul_kernel<<<1, 128>>>(result0, w, matmul_1@0)
//     add_tanh_kernel<<<1, 32>>>(matmul_1@0, x + turn * 8, result1 + turn * 8)
//     copy_kernel<<<1, 32>>>(result1 + turn * 8, result0)
