// Elements that lie side by side, read or written at once.
#pragma once

template <class T>
SHIM_WRAPPER void shim_move_wide(T* to, const T* from, int count, bool writes, int line)
{
    int size = (int)sizeof(T) * count;
    const void* memory = writes ? to : from;
    if ((uintptr_t)memory % (unsigned)size)
        shim_fail("thread %d moves %d bytes where it may not begin", shim_current, size);
    memcpy(to, from, (size_t)size);
    CHECKS(check_access((char*)memory, size, writes, check_line(line));)
}
#define SHIM_NEIGHBOURS(kind, read, written)                                                       \
    template <int count, class V, class T>                                                         \
    SHIM_WRAPPER void load_##kind(V* to, const T* from, int line = __builtin_LINE())               \
    {                                                                                              \
        T all[count];                                                                              \
        shim_move_wide(all, from, count, false, line);                                             \
        for (int e = 0; e < count; ++e) to[e] = read(all[e]);                                      \
    }                                                                                              \
    template <int count, class V, class T>                                                         \
    SHIM_WRAPPER void store_##kind(T* to, const V* from, int line = __builtin_LINE())              \
    {                                                                                              \
        T all[count];                                                                              \
        for (int e = 0; e < count; ++e) all[e] = written(from[e]);                                 \
        shim_move_wide(to, all, count, true, line);                                                \
    }
SHIM_NEIGHBOURS(neighbours, , )
SHIM_NEIGHBOURS(bf16, bf16_value, bf16_bits)
SHIM_NEIGHBOURS(f16, f16_value, f16_bits)
