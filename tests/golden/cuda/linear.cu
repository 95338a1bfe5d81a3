// @linear for cuda:sm_90: needs no header.

template <class T>
__device__ inline T larger(T a, T b)
{
    return a > b || a != a ? a : b;
}

// matmul broadcast add relu: examples.py:16
// x0 f32[33, 70], x1 f32[70, 10], x2 f32[10], result f32[33, 10]
// 2 blocks of 256 threads
extern "C" __global__ void __launch_bounds__(256)
matmul_broadcast_add_relu_kernel(const float* x0, const float* x1, const float* x2, float* result)
{
    float acc;
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int place = block * 256 + thread;
    if (place < 330) {
        const int i0 = place / 10;
        const int i1 = place % 10;
        acc = 0.0f;
        for (int k = 0; k < 70; ++k) {
            acc += x0[i0 * 70 + k] * x1[k * 10 + i1];
        }
        result[i0 * 10 + i1] = larger(acc + x2[i1], 0.0f);
    }
}

// The host: 0 B of memory for what lies between kernels, then
//   matmul_broadcast_add_relu_kernel<<<2, 256>>>(x, w, b, result)
