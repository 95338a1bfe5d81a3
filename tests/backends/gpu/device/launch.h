// Launches: blocks one after the other, and the threads of each until all are done.
#pragma once

extern char __start_cuda_shared[] __attribute__((weak)), __stop_cuda_shared[] __attribute__((weak));

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
    shim_inside = 1;
    shim_switch(&shim_scheduler, shim_fibers[thread].stack_pointer);
    shim_inside = 0;
    CHECKS(check_running = 0;)
}

static void shim_prepare(int thread, const int* block)
{
    shim_fiber& fiber = shim_fibers[thread];
    fiber.waits_at = fiber.done = 0;
    shim_queues[thread].count = shim_queues[thread].groups = 0;
    shim_forget(shim_stacks + (size_t)thread * SHIM_STACK, SHIM_STACK);
    fiber.at = {thread % block[0], thread / block[0] % block[1], thread / block[0] / block[1]};
    void** top = (void**)(shim_stacks + (size_t)(thread + 1) * SHIM_STACK - 56);
    top[0] = 0;  // the return address of a caller: where calls find it, 8 past a multiple of 16
    top[-1] = (void*)shim_start;
    fiber.stack_pointer = top - 7;
}

// Whether all of these threads wait at one place, for those of their warp or for the whole block.
static int shim_all_wait(int from, int end, bool for_block)
{
    const shim_fiber& first = shim_fibers[from];
    for (int t = from; t < end; ++t) {
        const shim_fiber& fiber = shim_fibers[t];
        if (fiber.done || !fiber.waits_at || fiber.waits_for == SHIM_ARRIVALS) return 0;
        if ((fiber.waits_for == SHIM_BLOCK) != for_block) return 0;
        if (fiber.waits_at != first.waits_at) return 0;
    }
    return 1;
}

// Lets a warp go on whose threads all wait for each other at one place. 0 where it may not.
static int shim_release_warp(int warp, int threads)
{
    int from = warp * 32, end = from + 32 < threads ? from + 32 : threads;
    if (!shim_all_wait(from, end, false)) return 0;
    CHECKS(check_warp_epochs[warp] += shim_fibers[from].waits_for == SHIM_WARP;)
    for (int t = from; t < end; ++t) shim_fibers[t].waits_at = 0;
    return 1;
}

// Lets those go on whose whole block, or whole warp, waits at one place. 0 where none may.
static int shim_release(int threads)
{
    if (shim_all_wait(0, threads, true)) {
        CHECKS(++check_epoch;)
        for (int t = 0; t < threads; ++t) shim_fibers[t].waits_at = 0;
        return 1;
    }
    int released = shim_release_arrived(threads);
    for (int warp = 0; warp * 32 < threads; ++warp) released |= shim_release_warp(warp, threads);
    return released;
}

// Lets threads go on up to where they wait.
static void shim_go_on(const int* threads, int count)
{
    for (int i = 0; i < count && !shim_failed; ++i) {
        const shim_fiber& fiber = shim_fibers[threads[i]];
        if (!fiber.done && !fiber.waits_at) shim_resume(threads[i]);
    }
}

// Lets all threads go on: warp after warp as far as each comes without the others, or shuffled ones
// side by side.
static void shim_advance(const int* order, int threads, int how)
{
    for (int from = 0, end = 0; from < threads && !shim_failed; from = end) {
        int warp = order[from] / 32;
        while (end < threads && (how == SHIM_SHUFFLED || order[end] / 32 == warp)) ++end;
        do shim_go_on(order + from, end - from);
        while (how != SHIM_SHUFFLED && !shim_failed && shim_release_warp(warp, threads));
    }
}

static const char* shim_block(const shim_config& config)
{
    int threads = config.block[0] * config.block[1] * config.block[2];
    static int order[SHIM_THREADS];
    shim_permute(order, threads, config.order, config.seed);
    if (__start_cuda_shared)
        memset(__start_cuda_shared, 0xff, (size_t)(__stop_cuda_shared - __start_cuda_shared));
    for (int t = 0; t < threads; ++t) shim_prepare(t, config.block);
    shim_groups_begin(threads);
    for (;;) {
        shim_advance(order, threads, config.order);
        if (shim_failed) return shim_message;
        int running = 0;
        for (int t = 0; t < threads; ++t) running += !shim_fibers[t].done;
        if (!running) {
            CHECKS(check_end_block();)
            shim_groups_end(threads, config.asked);
            return shim_failed ? shim_message : 0;
        }
        if (!shim_release(threads) && !shim_bring_one()) {
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
    shim_failed = 0;
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
