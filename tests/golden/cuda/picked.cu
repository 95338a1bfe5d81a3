// @picked for cuda:sm_90: needs no header.

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
__device__ inline T wrapping_add(T a, T b)
{
    return T((unsigned long long)a + (unsigned long long)b);
}

// gather: examples.py:46
// x0 f32[10, 4], x1 i64[6], result f32[6, 4]
// 1 block of 32 threads
extern "C" __global__ void __launch_bounds__(32)
gather_kernel(const float* __restrict__ x0, const long long* __restrict__ x1, float* __restrict__ result)
{
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int place = block * 32 + thread;
    if (place < 6) {
        long long x1_ = x1[place];
        float x0_[4];
        load_neighbours<4>(&x0_[0], &x0[((x1_ < 0 ? wrapping_add<long long>(x1_, 10) : x1_) < 0 ? 0 : ((x1_ < 0 ? wrapping_add<long long>(x1_, 10) : x1_) < 10 ? (x1_ < 0 ? wrapping_add<long long>(x1_, 10) : x1_) : 9)) * 4]);
        store_neighbours<4>(&result[place * 4], &x0_[0]);
    }
}

// check gather: examples.py:46
// x1 i64[6], status i64[1]
// 1 block of 32 threads
extern "C" __global__ void __launch_bounds__(32)
check_gather_kernel(const long long* __restrict__ x1, long long* __restrict__ status)
{
    const int block = blockIdx.x;
    const int thread = threadIdx.x;
    const int i0 = block * 32 + thread;
    if (i0 < 6) {
        if (x1[i0] < -10 || x1[i0] >= 10) {
            status[0] = 1;
        }
    }
}

// The host: 0 B of memory for what lies between kernels, then
//   check_gather_kernel<<<1, 32>>>(at, status)
//   gather_kernel<<<1, 32>>>(x, at, result)
