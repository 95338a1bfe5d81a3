// @total for cuda:sm_90: needs no header.

// exp sum: examples.py:36
// x0 f32[1000], result f32[]
// 1 blocks of 256 threads
extern "C" __global__ void __launch_bounds__(256)
exp_sum_kernel(const float* x0, float* result)
{
    float acc;
    float part;
    __shared__ __align__(16) float parts[256];
    const int thread = threadIdx.x;
    acc = 0.0f;
    part = 0.0f;
    for (int turn = 0; turn < 4; ++turn) {
        const int r0 = turn * 256 + thread;
        if (r0 < 1000) {
            part += expf(x0[r0]);
        }
    }
    parts[thread] = part;
    __syncthreads();
    if (thread < 128) {
        parts[thread] += parts[thread + 128];
    }
    __syncthreads();
    if (thread < 64) {
        parts[thread] += parts[thread + 64];
    }
    __syncthreads();
    if (thread < 32) {
        parts[thread] += parts[thread + 32];
    }
    __syncthreads();
    if (thread < 16) {
        parts[thread] += parts[thread + 16];
    }
    __syncthreads();
    if (thread < 8) {
        parts[thread] += parts[thread + 8];
    }
    __syncthreads();
    if (thread < 4) {
        parts[thread] += parts[thread + 4];
    }
    __syncthreads();
    if (thread < 2) {
        parts[thread] += parts[thread + 2];
    }
    __syncthreads();
    if (thread < 1) {
        parts[thread] += parts[thread + 1];
    }
    __syncthreads();
    acc += parts[0];
    if (thread == 0) {
        result[0] = acc;
    }
}

// The host: 0 B of memory for what lies between kernels, then
//   exp_sum_kernel<<<1, 256>>>(x, result)
