// What the threads of a warp do together: each leaves what it gives, waits for the others, and then
// takes of theirs. A thread is one such meeting ahead at most, so that two places suffice.
#pragma once

struct shim_given { const void* row; unsigned a[4], b[2], mask; };
static shim_given shim_gifts[2][SHIM_THREADS];
static unsigned char shim_turns[SHIM_THREADS];

// What the lanes of the warp have given.
SHIM_WRAPPER const shim_given* shim_meet(const shim_given& own, int line)
{
    int turn = shim_turns[shim_current] ^= 1;
    shim_gifts[turn][shim_current] = own;
    shim_wait(line, SHIM_TOGETHER);
    return shim_gifts[turn] + shim_current / 32 * 32;
}

// What another lane has.
template <class T>
SHIM_WRAPPER T __shfl_sync(unsigned mask, T own, int other, int line = __builtin_LINE())
{
    shim_given given = {0, {}, {}, mask};
    memcpy(given.a, &own, sizeof own);
    const shim_given* all = shim_meet(given, line);
    int lane = shim_current % 32;
    other &= 31;
    if (!(mask >> lane & 1) || !(mask >> other & 1) || all[other].mask != mask)
        shim_fail("thread %d shuffles with a lane outside of its mask", shim_current);
    T found;
    memcpy(&found, all[other].a, sizeof found);
    return found;
}

// What the lane has whose number differs in the bits of `step`.
template <class T>
SHIM_WRAPPER T __shfl_xor_sync(unsigned mask, T own, int step, int line = __builtin_LINE())
{
    return __shfl_sync(mask, own, shim_current % 32 ^ step, line);
}

// Whether any lane of those in the mask says so.
SHIM_WRAPPER int __any_sync(unsigned mask, int own, int line = __builtin_LINE())
{
    shim_given given = {0, {(unsigned)(own != 0)}, {}, mask};
    const shim_given* all = shim_meet(given, line);
    int found = 0;
    for (int lane = 0; lane < 32; ++lane) {
        if (!(mask >> lane & 1)) continue;
        if (all[lane].mask != mask) shim_fail("thread %d votes outside of a mask", shim_current);
        found |= (int)all[lane].a[0];
    }
    return found;
}

// Matrices of eight by eight elements from shared memory; each lane gives the place of one row.
static const shim_given* shim_rows(const void* row, int line)
{
    if ((uintptr_t)row % 16) shim_fail("thread %d loads a row not at 16 bytes", shim_current);
    const shim_given* all = shim_meet({row, {}, {}}, line);
    CHECKS(check_access((char*)row, 16, false, check_line(line));)
    return all;
}
SHIM_WRAPPER void load_matrices(unsigned* to, const void* row, int line = __builtin_LINE())
{
    const shim_given* all = shim_rows(row, line);
    int lane = shim_current % 32;
    for (int m = 0; m < 4; ++m)
        memcpy(to + m, (const char*)all[8 * m + lane / 4].row + lane % 4 * 4, 4);
}
static void load_matrices_f32(float* to, const void* row, int line = __builtin_LINE())
{
    load_matrices((unsigned*)to, row, line);
}
SHIM_WRAPPER void load_matrices_turned(unsigned* to, const void* row, int line = __builtin_LINE())
{
    const shim_given* all = shim_rows(row, line);
    int lane = shim_current % 32;
    for (int m = 0; m < 4; ++m) {
        unsigned short pair[2];
        for (int e = 0; e < 2; ++e)
            memcpy(pair + e, (const char*)all[8 * m + lane % 4 * 2 + e].row + lane / 4 * 2, 2);
        memcpy(to + m, pair, 4);
    }
}
