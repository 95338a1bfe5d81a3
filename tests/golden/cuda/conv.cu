// @conv for cuda:sm_90: needs no header.

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

template <class T>
__device__ inline T smaller(T a, T b)
{
    return a < b || a != a ? a : b;
}

// pack_filters: examples.py:41
// x f32[4, 3, 9], result f32[1, 9, 3, 4]
// 1 block of 128 threads
extern "C" __global__ void __launch_bounds__(128)
pack_filters_kernel(const float* __restrict__ x, float* __restrict__ result)
{
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int place = block * 128 + thread;
    if (place < 108) {
        const int i1 = place / 4 / 3;
        const int i3 = place / 4 % 3;
        const int i4 = place % 4;
        result[i1 * 12 + i3 * 4 + i4] = x[i4 * 27 + i3 * 9 + i1];
    }
}

// panel_conv: examples.py:41
// x0 f32[1, 3, 9, 9], x1 f32[1, 3, 3, 3, 4], result f32[1, 9, 9, 4]
// 2 blocks of 128 threads
extern "C" __global__ void __launch_bounds__(128)
panel_conv_kernel(const float* __restrict__ x0, const float* __restrict__ x1, float* __restrict__ result)
{
    __shared__ __align__(16) float left[1152];
    __shared__ __align__(16) float right[2176];
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int right_first = smaller<int>(block * 64, 17);
    const int left_own = thread / 32 / 2 * 16 + thread % 32 / 8 * 4;
    const int right_own = thread / 32 % 2 * 32 + thread % 32 % 8 * 4;
    float sums[16];
    #pragma unroll
    for (int i = 0; i < 4; ++i) {
        #pragma unroll
        for (int j = 0; j < 4; ++j) {
            sums[i * 4 + j] = 0.0f;
        }
    }
    #pragma unroll
    for (int stage = 0; stage < 3; ++stage) {
        if (thread < 64) {
            const int left_term = stage * 8 + thread / 8;
            const int c = left_term / 3 / 3;
            const int k0 = left_term / 3 % 3;
            const int k1 = left_term % 3;
            cp_async_16(&left[stage * 288 + thread / 8 * 36 + thread % 8 * 4], &x1[k0 * 36 + k1 * 12 + c * 4 + thread % 8 * 4], thread % 8 * 4 < 4 && left_term < 27 ? 16 : 0);
        }
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int right_row = right_first + e % 2 * 32 + thread % 32;
            const int i1 = right_row / 9;
            const int i2 = right_row % 9;
            const int right_term = stage * 8 + e / 2 * 4 + thread / 32;
            const int c = right_term / 3 / 3;
            const int k0 = right_term / 3 % 3;
            const int k1 = right_term % 3;
            cp_async_4(&right[stage * 544 + e / 2 * 272 + thread / 32 * 68 + e % 2 * 32 + thread % 32], &x0[c * 81 + i1 * 9 + k0 * 9 + i2 + k1 - 10], right_term < 27 && (i1 + k0 - 1 >= 0 && i1 + k0 - 1 < 9 && (i2 + k1 - 1 >= 0 && i2 + k1 - 1 < 9)) ? 4 : 0);
        }
        cp_async_commit();
    }
    float a[4];
    float b[4];
    #pragma unroll 1
    for (int step = 0; step < 4; ++step) {
        cp_async_wait<2>();
        __syncthreads();
        if (step + 3 < 4) {
            if (thread < 64) {
                const int left_term = step * 8 + thread / 8 + 24;
                const int c = left_term / 3 / 3;
                const int k0 = left_term / 3 % 3;
                const int k1 = left_term % 3;
                cp_async_16(&left[(step + 3) % 4 * 288 + thread / 8 * 36 + thread % 8 * 4], &(&x1[thread % 8 * 4])[k0 * 36 + k1 * 12 + c * 4], thread % 8 * 4 < 4 && left_term < 27 ? 16 : 0);
            }
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int right_row = right_first + e % 2 * 32 + thread % 32;
                const int i1 = right_row / 9;
                const int i2 = right_row % 9;
                const int right_term = step * 8 + e / 2 * 4 + thread / 32 + 24;
                const int c = right_term / 3 / 3;
                const int k0 = right_term / 3 % 3;
                const int k1 = right_term % 3;
                cp_async_4(&right[(step + 3) % 4 * 544 + e / 2 * 272 + thread / 32 * 68 + e % 2 * 32 + thread % 32], &x0[c * 81 + i1 * 9 + k0 * 9 + i2 + k1 - 10], right_term < 27 && (i1 + k0 - 1 >= 0 && i1 + k0 - 1 < 9 && (i2 + k1 - 1 >= 0 && i2 + k1 - 1 < 9)) ? 4 : 0);
            }
        }
        cp_async_commit();
        #pragma unroll
        for (int term = 0; term < 8; ++term) {
            #pragma unroll
            for (int v = 0; v < 4; ++v) {
                a[v] = left[step * 288 + term * 36 + left_own + v];
            }
            #pragma unroll
            for (int v = 0; v < 4; ++v) {
                b[v] = right[step * 544 + term * 68 + right_own + v];
            }
            #pragma unroll
            for (int i = 0; i < 4; ++i) {
                #pragma unroll
                for (int j = 0; j < 4; ++j) {
                    sums[i * 4 + j] += a[i] * b[j];
                }
            }
        }
    }
    #pragma unroll
    for (int v = 0; v < 4; ++v) {
        #pragma unroll
        for (int v_1 = 0; v_1 < 4; ++v_1) {
            const int column = right_first + right_own + v_1;
            const int i1 = column / 9;
            const int i2 = column % 9;
            if (left_own + v < 4 && column >= block * 64) {
                (&result[i1 * 36 + i2 * 4 + left_own])[v] = sums[v * 4 + v_1];
            }
        }
    }
}

// transpose
// x f32[1, 81, 4], result f32[1, 4, 81]
// 2 blocks of 256 threads
extern "C" __global__ void __launch_bounds__(256)
transpose_kernel(const float* __restrict__ x, float* __restrict__ result)
{
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int place = block * 256 + thread;
    if (place < 324) {
        const int i1 = place / 81;
        const int i2 = place % 81;
        result[i1 * 81 + i2] = x[i2 * 4 + i1];
    }
}

// The host: 1.75 KiB of memory for what lies between kernels, then
//   pack_filters_kernel<<<1, 128>>>(w, pack_filters_1@1344)
//   panel_conv_kernel<<<2, 128>>>(x, pack_filters_1@1344, panel_conv_1@0)
//   transpose_kernel<<<2, 256>>>(panel_conv_1@0, result)
