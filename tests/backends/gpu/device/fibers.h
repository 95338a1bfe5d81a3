// Threads: a fiber each, that goes on until it waits for others, or fails.
#pragma once

// What a launch asks for; `without` is the line of a barrier to leave out, to see whether anyone
// notices.
enum { SHIM_ASCENDING, SHIM_DESCENDING, SHIM_SHUFFLED };
struct shim_config { int grid[3], block[3], order; unsigned seed; int without, asked; };

// A fiber has a stack. A switch saves the registers that a call keeps, and the stack pointer.
enum { SHIM_THREADS = 1024, SHIM_STACK = 128 << 10 };

// Who must have come before a fiber that waits goes on: all threads of its block, or those of its
// warp, who meet at a barrier or only do an instruction together, which orders no memory; or whoever
// arrives at a barrier that counts arrivals.
enum { SHIM_BLOCK, SHIM_WARP, SHIM_TOGETHER, SHIM_ARRIVALS };
struct shim_fiber {
    void* stack_pointer;
    int waits_at, waits_for, done;
    shim_index at;
    const long long* awaits;
    int parity;
};
static shim_fiber shim_fibers[SHIM_THREADS];
static char* shim_stacks;
static void *shim_scheduler, **shim_arguments;
static int shim_current, shim_without, shim_failed, shim_inside;
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

// A sanitizer still watches the frames of a fiber that has ended before.
#ifdef __SANITIZE_ADDRESS__
extern "C" void __asan_unpoison_memory_region(const volatile void*, size_t);
static void shim_forget(char* stack, size_t size) { __asan_unpoison_memory_region(stack, size); }
#else
static void shim_forget(char*, size_t) {}
#endif

static void shim_yield() { shim_switch(&shim_fibers[shim_current].stack_pointer, shim_scheduler); }

// Ends the launch: the thread does what a card would trap at.
__attribute__((format(printf, 1, 2))) static void shim_fail(const char* words, ...)
{
    va_list values;
    va_start(values, words);
    vsnprintf(shim_message, sizeof shim_message, words, values);
    va_end(values);
    shim_failed = 1;
    if (shim_inside) shim_yield();
}

static void shim_wait(int line, int whom)
{
    shim_fibers[shim_current].waits_at = line;
    shim_fibers[shim_current].waits_for = whom;
    shim_yield();
}
static void shim_barrier(int line)
{
    if (line != shim_without) shim_wait(line, SHIM_BLOCK);
}
static void shim_warp_barrier(int line)
{
    if (line != shim_without) shim_wait(line, SHIM_WARP);
}

static void shim_start()
{
    shim_body(shim_arguments);
    shim_fibers[shim_current].done = 1;
    shim_yield();
    abort();
}
