// Runs CUDA C++ on the CPU: one block at a time, one fiber per thread, in an order of choice.
//
// Shared memory lies in a section of its own, filled with NaN before each block. Threads run one
// after the other up to their next barrier. `run_<kernel>` takes what cuLaunchKernel takes.

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef SHIM_CHECKS
#include "checker.h"
#define CHECKS(statement) statement
#else
#define CHECKS(statement)
#endif

#define __global__
#define __device__
#define __launch_bounds__(n)
#define __shared__ static __attribute__((section("cuda_shared"), aligned(16)))
#define __align__(n)
#define __syncthreads() shim_barrier(__LINE__)
#define __syncwarp() shim_warp_barrier(__LINE__)

struct shim_index { int x, y, z; };
static shim_index blockIdx, threadIdx, blockDim, gridDim;

extern char __start_cuda_shared[] __attribute__((weak)), __stop_cuda_shared[] __attribute__((weak));

static inline float __int_as_float(int bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline int __float_as_int(float x) { int bits; memcpy(&bits, &x, 4); return bits; }

static inline float f16_value(unsigned short bits)
{
    _Float16 half;
    memcpy(&half, &bits, 2);
    return (float)half;
}
template <class T> static inline unsigned short f16_bits(T x)
{
    _Float16 half = (_Float16)x;
    unsigned short bits;
    memcpy(&bits, &half, 2);
    return bits;
}

static inline unsigned short bf16_bits(float x)
{
    unsigned bits = (unsigned)__float_as_int(x);
    if (x != x) return (unsigned short)((bits >> 16) | 0x40);
    return (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
static inline unsigned short bf16_bits(double x)
{
    float near = (float)x;
    if (near == x || near != near) return bf16_bits(near);
    // Rounded to odd first, so that rounding again gives what rounding once would.
    int bits = __float_as_int(near);
    if (fabs((double)near) > fabs(x)) bits = (bits - 1) | 1;
    return bf16_bits(__int_as_float(bits | 1));
}

// What a launch asks for; `without` is the line of a barrier to leave out, to see whether anyone
// notices.
enum { SHIM_ASCENDING, SHIM_DESCENDING, SHIM_SHUFFLED };
struct shim_config { int grid[3], block[3], order; unsigned seed; int without; };

// Fibers: a stack each. A switch saves the registers that a call keeps, and the stack pointer.
enum { SHIM_THREADS = 1024, SHIM_STACK = 128 << 10 };
struct shim_fiber { void* stack_pointer; int waits_at, is_warp, done; shim_index at; };
static shim_fiber shim_fibers[SHIM_THREADS];
static char* shim_stacks;
static void *shim_scheduler, **shim_arguments;
static int shim_current, shim_without;
static void (*shim_body)(void**);
static char shim_message[256];

extern "C" void shim_switch(void** from, void* to);
asm(R"(
.text
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

static void shim_yield() { shim_switch(&shim_fibers[shim_current].stack_pointer, shim_scheduler); }

static void shim_wait(int line, int is_warp)
{
    if (line == shim_without) return;
    shim_fibers[shim_current].waits_at = line;
    shim_fibers[shim_current].is_warp = is_warp;
    shim_yield();
}
static void shim_barrier(int line) { shim_wait(line, 0); }
static void shim_warp_barrier(int line) { shim_wait(line, 1); }

// Asynchronous copies happen at once where threads run in descending order; elsewhere as late as
// their wait allows.
enum { SHIM_COPIES = 512, SHIM_GROUPS = 16 };
struct shim_copy { void* to; const void* from; int size, bytes; };
struct shim_queue { shim_copy copies[SHIM_COPIES]; int count, ends[SHIM_GROUPS], groups; };
static shim_queue* shim_queues;
static int shim_order;

static void shim_complete(const shim_copy& copy)
{
    if (copy.bytes) memcpy(copy.to, copy.from, (size_t)copy.bytes);
    memset((char*)copy.to + copy.bytes, 0, (size_t)(copy.size - copy.bytes));
}
static void shim_copy_async(void* to, const void* from, int size, int bytes)
{
    shim_queue& queue = shim_queues[shim_current];
    shim_copy copy = {to, from, size, bytes};
    if ((uintptr_t)to % size || (bytes && (uintptr_t)from % size)) abort();
    if (shim_order == SHIM_DESCENDING) return shim_complete(copy);
    if (queue.count == SHIM_COPIES) abort();
    queue.copies[queue.count++] = copy;
}
static void cp_async_4(void* to, const void* from, int n) { shim_copy_async(to, from, 4, n); }
static void cp_async_8(void* to, const void* from, int n) { shim_copy_async(to, from, 8, n); }
static void cp_async_16(void* to, const void* from, int n) { shim_copy_async(to, from, 16, n); }
static void cp_async_commit()
{
    shim_queue& queue = shim_queues[shim_current];
    if (queue.groups == SHIM_GROUPS) abort();
    queue.ends[queue.groups++] = queue.count;
}
template <int pending> static void cp_async_wait(int line = __builtin_LINE())
{
    shim_queue& queue = shim_queues[shim_current];
    int finished = queue.groups - pending;
    if (line == shim_without || finished <= 0) return;
    int end = queue.ends[finished - 1];
    for (int i = 0; i < end; ++i) shim_complete(queue.copies[i]);
    queue.count -= end;
    memmove(queue.copies, queue.copies + end, sizeof(shim_copy) * (size_t)queue.count);
    for (int g = finished; g < queue.groups; ++g) queue.ends[g - finished] = queue.ends[g] - end;
    queue.groups = pending;
}

// What the threads of a warp do together: each leaves what it gives, waits for the others, and
// then takes of theirs. A thread is one such meeting ahead at most, so that two places suffice.
struct shim_given { const void* row; unsigned a[4], b[2]; };
static shim_given shim_gifts[2][SHIM_THREADS];
static unsigned char shim_turns[SHIM_THREADS];

static const shim_given* shim_meet(const shim_given& own, int line)
{
    int turn = shim_turns[shim_current] ^= 1;
    shim_gifts[turn][shim_current] = own;
    int kept = shim_without;
    shim_without = 0;
    shim_wait(line, 1);
    shim_without = kept;
    return shim_gifts[turn] + shim_current / 32 * 32;
}
static unsigned shim_pair(const void* row, int place)
{
    unsigned pair;
    memcpy(&pair, (const char*)row + 4 * place, 4);
    return pair;
}
static void load_matrices(unsigned* to, const void* row, int line = __builtin_LINE())
{
    if ((uintptr_t)row % 16) abort();
    const shim_given* all = shim_meet({row, {}, {}}, line);
    int lane = shim_current % 32;
    for (int m = 0; m < 4; ++m) to[m] = shim_pair(all[8 * m + lane / 4].row, lane % 4);
}
static void load_matrices_turned(unsigned* to, const void* row, int line = __builtin_LINE())
{
    if ((uintptr_t)row % 16) abort();
    const shim_given* all = shim_meet({row, {}, {}}, line);
    int lane = shim_current % 32;
    for (int m = 0; m < 4; ++m) {
        unsigned short pair[2];
        for (int e = 0; e < 2; ++e)
            memcpy(pair + e, (const char*)all[8 * m + lane % 4 * 2 + e].row + lane / 4 * 2, 2);
        memcpy(to + m, pair, 4);
    }
}
static float shim_bf16(unsigned short bits) { return __int_as_float((int)((unsigned)bits << 16)); }
template <class F>
static void shim_mma(float* acc, const unsigned* a, const unsigned* b, F value, int line)
{
    shim_given own = {0, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const shim_given* all = shim_meet(own, line);
    int lane = shim_current % 32;
    for (int e = 0; e < 4; ++e) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        for (int k = 0; k < 16; ++k) {
            unsigned left = all[row % 8 * 4 + k % 8 / 2].a[k / 8 * 2 + row / 8];
            unsigned right = all[column * 4 + k % 8 / 2].b[k / 8];
            int shift = k % 2 * 16;
            acc[e] += value((unsigned short)(left >> shift)) * value((unsigned short)(right >> shift));
        }
    }
}
static void mma_bf16(float* c, const unsigned* a, const unsigned* b, int line = __builtin_LINE())
{
    shim_mma(c, a, b, shim_bf16, line);
}
static void mma_f16(float* c, const unsigned* a, const unsigned* b, int line = __builtin_LINE())
{
    shim_mma(c, a, b, f16_value, line);
}

static void shim_start()
{
    shim_body(shim_arguments);
    shim_fibers[shim_current].done = 1;
    shim_yield();
    abort();
}

static void shim_permute(int* order, int count, int how, unsigned seed)
{
    for (int i = 0; i < count; ++i) order[i] = how == SHIM_DESCENDING ? count - 1 - i : i;
    if (how != SHIM_SHUFFLED) return;
    for (int i = count - 1; i > 0; --i) {
        seed = seed * 1664525u + 1013904223u;
        int j = (int)((seed >> 8) % (unsigned)(i + 1)), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

static void shim_resume(int thread)
{
    shim_current = thread;
    threadIdx = shim_fibers[thread].at;
    CHECKS(check_thread = thread; check_running = 1;)
    shim_switch(&shim_scheduler, shim_fibers[thread].stack_pointer);
    CHECKS(check_running = 0;)
}

static void shim_prepare(int thread, const int* block)
{
    shim_fiber& fiber = shim_fibers[thread];
    fiber.waits_at = fiber.is_warp = fiber.done = 0;
    shim_queues[thread].count = shim_queues[thread].groups = 0;
    fiber.at = {thread % block[0], thread / block[0] % block[1], thread / block[0] / block[1]};
    void** top = (void**)(shim_stacks + (size_t)(thread + 1) * SHIM_STACK - 56);
    top[0] = 0;  // the return address of a caller: where calls find it, 8 past a multiple of 16
    top[-1] = (void*)shim_start;
    fiber.stack_pointer = top - 7;
}

// Lets those go on whose whole block, or whole warp, waits at one place. 0 where none may.
static int shim_release(int threads)
{
    int first = -1, block_waits = 1, released = 0;
    for (int t = 0; t < threads; ++t) {
        const shim_fiber& fiber = shim_fibers[t];
        if (fiber.done || fiber.is_warp) block_waits = 0;
        if (first < 0) first = fiber.waits_at;
        else if (fiber.waits_at != first) block_waits = 0;
    }
    for (int warp = 0; warp < threads; warp += 32) {
        int end = warp + 32 < threads ? warp + 32 : threads, waits = 1;
        for (int t = warp; t < end; ++t)
            waits &= !shim_fibers[t].done && shim_fibers[t].is_warp
                && shim_fibers[t].waits_at == shim_fibers[warp].waits_at;
        if (!block_waits && !waits) continue;
        for (int t = warp; t < end; ++t) shim_fibers[t].waits_at = 0;
        CHECKS(++check_warp_epochs[warp / 32];)
        released = 1;
    }
    CHECKS(check_epoch += block_waits;)
    return released;
}

static const char* shim_block(const shim_config& config)
{
    int threads = config.block[0] * config.block[1] * config.block[2];
    static int order[SHIM_THREADS];
    shim_permute(order, threads, config.order, config.seed);
    if (__start_cuda_shared)
        memset(__start_cuda_shared, 0xff, (size_t)(__stop_cuda_shared - __start_cuda_shared));
    for (int t = 0; t < threads; ++t) shim_prepare(t, config.block);
    for (;;) {
        int running = 0;
        for (int i = 0; i < threads; ++i) {
            shim_fiber& fiber = shim_fibers[order[i]];
            if (!fiber.done && !fiber.waits_at) shim_resume(order[i]);
            running += !fiber.done;
        }
        if (!running) {
            CHECKS(check_end_block();)
            return 0;
        }
        if (!shim_release(threads)) {
            snprintf(shim_message, sizeof shim_message,
                     "%d of %d threads wait at a barrier that the others do not come to",
                     running, threads);
            return shim_message;
        }
    }
}

// Runs a kernel; gives null, or what went wrong.
static const char* shim_launch(void (*body)(void**), const shim_config* config, void** arguments)
{
    if (!shim_queues) shim_queues = (shim_queue*)calloc(SHIM_THREADS, sizeof(shim_queue));
    if (!shim_stacks)
        shim_stacks = (char*)mmap(0, (size_t)SHIM_THREADS * SHIM_STACK, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int blocks = config->grid[0] * config->grid[1] * config->grid[2];
    int* order = (int*)malloc(sizeof(int) * (size_t)(blocks + 1));
    shim_permute(order, blocks, config->order, config->seed + 1);
    shim_body = body;
    shim_without = config->without;
    shim_order = config->order;
    shim_arguments = arguments;
    blockDim = {config->block[0], config->block[1], config->block[2]};
    gridDim = {config->grid[0], config->grid[1], config->grid[2]};
    const char* wrong = 0;
    CHECKS(check_message[0] = 0;)
    for (int i = 0; i < blocks && !wrong; ++i) {
        int b = order[i];
        blockIdx = {b % config->grid[0], b / config->grid[0] % config->grid[1],
                    b / config->grid[0] / config->grid[1]};
        CHECKS(check_start_block(b, __start_cuda_shared, __stop_cuda_shared);)
        wrong = shim_block(*config);
        CHECKS(if (!wrong && check_message[0]) wrong = check_message;)
    }
    free(order);
    return wrong;
}
