// Runs CUDA C++ on the CPU: one block at a time, one fiber per thread, in an order of choice.
//
// Shared memory lies in a section of its own, filled with NaN before each block. Threads run one
// after the other up to their next barrier. `run_<kernel>` takes what cuLaunchKernel takes. What a
// wrapper of the card's assembler does on a card its body here does on the CPU.

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef SHIM_CHECKS
#include "device/checker.h"
#define CHECKS(statement) statement
#else
#define CHECKS(statement)
#endif

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cuda_shared"), aligned(16)))
#define __align__(n)
#define __syncthreads() shim_barrier(__LINE__)
#define __syncwarp() shim_warp_barrier(__LINE__)

// The bodies of wrappers tell the checker themselves what they touch.
#define SHIM_WRAPPER static __attribute__((noinline, no_sanitize("thread")))

struct shim_index { int x, y, z; };
static shim_index blockIdx, threadIdx, blockDim, gridDim;

#include "device/numbers.h"
#include "device/fibers.h"
#include "device/copies.h"
#include "device/neighbours.h"
#include "device/warps.h"
#include "device/matrices.h"
#include "device/rows.h"
#include "device/groups.h"
#include "device/launch.h"
