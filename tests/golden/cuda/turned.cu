// @turned for cuda:sm_90: needs no header.

// transpose broadcast multiply add: examples.py:31
// x0 f32[7, 5, 3], x1 f32[3, 5, 7], result f32[3, 5, 7]
// 1 block of 128 threads
extern "C" __global__ void __launch_bounds__(128)
transpose_broadcast_multiply_add_kernel(const float* __restrict__ x0, const float* __restrict__ x1, float* __restrict__ result)
{
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int place = block * 128 + thread;
    if (place < 105) {
        const int i0 = place / 7 / 5;
        const int i1 = place / 7 % 5;
        const int i2 = place % 7;
        result[i0 * 35 + i1 * 7 + i2] = x0[i2 * 15 + i1 * 3 + i0] * 2.0f + x1[i0 * 35 + i1 * 7 + i2];
    }
}

// The host: 0 B of memory for what lies between kernels, then
//   transpose_broadcast_multiply_add_kernel<<<1, 128>>>(x, y, result)
