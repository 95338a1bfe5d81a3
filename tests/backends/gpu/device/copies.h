// Asynchronous copies: they happen at once where threads run in descending order; elsewhere as late
// as their wait allows.
#pragma once

enum { SHIM_COPIES = 512, SHIM_GROUPS = 16 };
struct shim_copy { void* to; const void* from; int size, bytes; };
struct shim_queue { shim_copy copies[SHIM_COPIES]; int count, ends[SHIM_GROUPS], groups; };
static shim_queue* shim_queues;
static int shim_order;

SHIM_WRAPPER void shim_move(const shim_copy& copy)
{
    if (copy.bytes) memcpy(copy.to, copy.from, (size_t)copy.bytes);
    memset((char*)copy.to + copy.bytes, 0, (size_t)(copy.size - copy.bytes));
}
SHIM_WRAPPER void shim_copy_async(void* to, const void* from, int size, int bytes, int line)
{
    shim_queue& queue = shim_queues[shim_current];
    shim_copy copy = {to, from, size, bytes};
    if ((uintptr_t)to % size || (bytes && (uintptr_t)from % size))
        shim_fail("thread %d copies %d bytes where it may not begin", shim_current, size);
    if (queue.count == SHIM_COPIES) shim_fail("more than %d copies are on their way", SHIM_COPIES);
    CHECKS(check_copy_begins((char*)to, (char*)from, size, bytes, line);)
    if (shim_order == SHIM_DESCENDING) shim_move(copy);
    queue.copies[queue.count++] = copy;
}
#define SHIM_COPY(size)                                                                            \
    static void cp_async_##size(                                                                   \
        void* to, const void* from, int bytes, int line = __builtin_LINE())                        \
    {                                                                                              \
        shim_copy_async(to, from, size, bytes, line);                                              \
    }
SHIM_COPY(4)
SHIM_COPY(8)
SHIM_COPY(16)
SHIM_WRAPPER void cp_async_commit()
{
    shim_queue& queue = shim_queues[shim_current];
    if (queue.groups == SHIM_GROUPS) shim_fail("more than %d groups of copies", SHIM_GROUPS);
    queue.ends[queue.groups++] = queue.count;
}
template <int pending> SHIM_WRAPPER void cp_async_wait(int line = __builtin_LINE())
{
    shim_queue& queue = shim_queues[shim_current];
    int finished = queue.groups - pending;
    if (line == shim_without || finished <= 0) return;
    int end = queue.ends[finished - 1];
    for (int i = 0; i < end; ++i) {
        if (shim_order != SHIM_DESCENDING) shim_move(queue.copies[i]);
        CHECKS(check_copy_ends((char*)queue.copies[i].to, queue.copies[i].size);)
    }
    queue.count -= end;
    memmove(queue.copies, queue.copies + end, sizeof(shim_copy) * (size_t)queue.count);
    for (int g = finished; g < queue.groups; ++g) queue.ends[g - finished] = queue.ends[g] - end;
    queue.groups = pending;
}
