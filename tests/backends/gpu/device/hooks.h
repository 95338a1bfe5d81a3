// The functions that the compiler calls at each access.
#pragma once

#define CHECK_HOOK(name, size, writes)                                                             \
    extern "C" UNWATCHED void __tsan_##name##size(void* at)                                        \
    {                                                                                              \
        check_access((char*)at, size, writes, __builtin_return_address(0));                        \
    }
#define CHECK_SIZE(size)                                                                           \
    CHECK_HOOK(read, size, false)                                                                  \
    CHECK_HOOK(write, size, true)                                                                  \
    CHECK_HOOK(unaligned_read, size, false)                                                        \
    CHECK_HOOK(unaligned_write, size, true)
CHECK_SIZE(1)
CHECK_SIZE(2)
CHECK_SIZE(4)
CHECK_SIZE(8)
CHECK_SIZE(16)
extern "C" UNWATCHED void __tsan_func_entry(void*) {}
extern "C" UNWATCHED void __tsan_func_exit(void*) {}
extern "C" UNWATCHED void __tsan_init() {}
extern "C" UNWATCHED void __tsan_vptr_update(void**, void*) {}
extern "C" UNWATCHED void __tsan_vptr_read(void**) {}
extern "C" UNWATCHED void __tsan_read_range(void*, unsigned long) {}
extern "C" UNWATCHED void __tsan_write_range(void*, unsigned long) {}
