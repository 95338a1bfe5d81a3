// @halved for cuda:sm_90: needs no header.

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

template <class T>
__device__ inline T larger(T a, T b)
{
    return a > b || a != a ? a : b;
}

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

// copy (8,)
// x f32[8], result f32[8]
// 1 block of 32 threads
extern "C" __global__ void __launch_bounds__(32)
copy_kernel(const float* __restrict__ x, float* __restrict__ result)
{
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int i = block * 32 + thread;
    if (i < 2) {
        float x_[4];
        load_neighbours<4>(&x_[0], &x[i * 4]);
        store_neighbours<4>(&result[i * 4], &x_[0]);
    }
}

// max greater: examples.py:60
// x0 f32[8], result bool[]
// 1 block of 32 threads
extern "C" __global__ void __launch_bounds__(32)
max_greater_kernel(const float* __restrict__ x0, unsigned char* __restrict__ result)
{
    const int lane = threadIdx.x % 32;
    float acc = -infinity();
    float part = -infinity();
    if (lane / 2 < 1) {
        float x0_[4];
        load_neighbours<4>(&x0_[0], &x0[lane % 2 * 4]);
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            part = larger(part, x0_[e]);
        }
    }
    float other = __shfl_xor_sync(0xffffffffu, part, 1);
    part = larger(part, other);
    acc = larger(acc, part);
    if (lane / 2 < 1 && lane % 2 == 0) {
        result[0] = acc > 1.0f;
    }
}

// broadcast multiply: examples.py:64
// x0 f32[8], result f32[8]
// 1 block of 32 threads
extern "C" __global__ void __launch_bounds__(32)
broadcast_multiply_kernel(const float* x0, float* result)
{
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int i0 = block * 32 + thread;
    if (i0 < 2) {
        float x0_[4];
        load_neighbours<4>(&x0_[0], &x0[i0 * 4]);
        float result_[4];
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            result_[e] = x0_[e] * 0.5f;
        }
        store_neighbours<4>(&result[i0 * 4], &result_[0]);
    }
}

// The host: 64 B of memory for what lies between kernels, then
//   copy_kernel<<<1, 32>>>(x, result)
//   before each turn:
//     max_greater_kernel<<<1, 32>>>(result, group@0)
//   while group@0, 20 times at most:
//     broadcast_multiply_kernel<<<1, 32>>>(result, result)
