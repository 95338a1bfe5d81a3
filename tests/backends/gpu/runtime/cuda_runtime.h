// The calls of the CUDA runtime that a host part makes, on the CPU.
#pragma once
#include "../shim.h"

typedef void* cudaStream_t;
enum cudaError_t {
    cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2,
    cudaErrorMisalignedAddress = 716,
    cudaErrorLaunchFailure = 719, cudaErrorNotSupported = 801
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };

struct dim3 {
    int x, y, z;
    dim3(int x, int y = 1, int z = 1) : x(x), y(y), z(z) {}
};

// Kernels by their addresses, with what starts each.
struct shim_known { const void* kernel; void (*start)(void**); int most_shared; };
static shim_known shim_kernels[256];
static int shim_count;
struct shim_register {
    shim_register(const void* kernel, void (*start)(void**))
    {
        shim_kernels[shim_count++] = {kernel, start, 48 << 10};
    }
};

extern "C" { int shim_allocated; }  // of arrays that are not free again
static cudaError_t cudaMalloc(void** address, size_t count)
{
    ++shim_allocated;
    *address = aligned_alloc(256, (count + 255) / 256 * 256);
    memset(*address, 0xff, count);
    return cudaSuccess;
}
static cudaError_t cudaFree(void* address)
{
    shim_allocated -= address != 0;
    free(address);
    return cudaSuccess;
}
static cudaError_t cudaMemcpy(void* to, const void* from, size_t count, cudaMemcpyKind)
{
    memcpy(to, from, count);
    return cudaSuccess;
}
static cudaError_t cudaMemcpyAsync(
    void* to, const void* from, size_t count, cudaMemcpyKind kind, cudaStream_t)
{
    return cudaMemcpy(to, from, count, kind);
}
static cudaError_t cudaMemsetAsync(void* to, int byte, size_t count, cudaStream_t)
{
    memset(to, byte, count);
    return cudaSuccess;
}
static cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
static cudaError_t cudaGetLastError() { return cudaSuccess; }
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
static cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value)
{
    for (int i = 0; i < shim_count; ++i)
        if (shim_kernels[i].kernel == kernel) shim_kernels[i].most_shared = value;
    return value <= SHIM_ASKED ? cudaSuccess : cudaErrorInvalidValue;
}
enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess = 0 };
enum { cudaEnableDefault = 0 };
static cudaError_t cudaGetDriverEntryPointByVersion(
    const char* name, void** found, unsigned, unsigned long long,
    cudaDriverEntryPointQueryResult* how)
{
    *found = strcmp(name, "cuTensorMapEncodeTiled") ? 0 : (void*)shim_encode;
    *how = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}
static cudaError_t cudaLaunchKernel(
    const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t)
{
    shim_config config = {
        {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, 0, 0, 0, (int)shared};
    for (int i = 0; i < shim_count; ++i) {
        if (shim_kernels[i].kernel != kernel) continue;
        if ((int)shared > shim_kernels[i].most_shared) return cudaErrorInvalidValue;
        return shim_launch(shim_kernels[i].start, &config, arguments)
            ? cudaErrorLaunchFailure : cudaSuccess;
    }
    return cudaErrorInvalidValue;
}
