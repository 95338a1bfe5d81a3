// Barriers that count arrivals, copies of boxes by the card's engine and products of warpgroups.
//
// Copies of boxes and products happen at once where threads run in descending order. Elsewhere boxes
// come when no thread can go on without them, the oldest first (the newest where threads run in no
// order), and products when they are waited for.

#pragma once

#define __grid_constant__
#define SHIM_PLACED(n) static __attribute__((section("cuda_shared"), aligned(n)))

enum { SHIM_ASKED = 227 << 10, SHIM_BARRIERS = 64, SHIM_BOXES = 256, SHIM_PRODUCTS = 64 };
SHIM_PLACED(1024) unsigned char shim_asked[SHIM_ASKED];
SHIM_WRAPPER unsigned char* asked_shared_memory() { return shim_asked; }

// Barriers: known by their places, anew for each block.

struct shim_count { const long long* at; int arrivals, left, phase, maker, is_seen; long long bytes; };
static shim_count shim_counts[SHIM_BARRIERS];
static int shim_count_number;

SHIM_WRAPPER shim_count* shim_find(const long long* barrier)
{
    for (int i = 0; i < shim_count_number; ++i)
        if (shim_counts[i].at == barrier) return shim_counts + i;
    shim_fail("a barrier that was not made is used");
    return 0;
}
SHIM_WRAPPER void shim_update(shim_count* count)
{
    if (count->left < 0) shim_fail("more arrive at a barrier than it was made for");
    if (count->left || count->bytes) return;
    count->phase++;
    count->left = count->arrivals;
}
SHIM_WRAPPER int shim_is_over(const long long* barrier, int parity)
{
    return shim_find(barrier)->phase % 2 != parity;
}
// Lets those go on for whom a phase is over. 0 where there are none.
SHIM_WRAPPER int shim_release_arrived(int threads)
{
    int released = 0;
    for (int t = 0; t < threads; ++t) {
        shim_fiber& fiber = shim_fibers[t];
        if (fiber.done || !fiber.waits_at || fiber.waits_for != SHIM_ARRIVALS) continue;
        if (!shim_is_over(fiber.awaits, fiber.parity)) continue;
        fiber.waits_at = 0;
        released = 1;
    }
    return released;
}
SHIM_WRAPPER void barrier_init(long long* barrier, int arrivals, int line = __builtin_LINE())
{
    if (line == shim_without) return;
    if (shim_count_number == SHIM_BARRIERS) abort();
    shim_counts[shim_count_number++] = {barrier, arrivals, arrivals, 0, shim_current, 0, 0};
}
SHIM_WRAPPER void fence_async(int line = __builtin_LINE())
{
    if (line == shim_without) return;
    for (int i = 0; i < shim_count_number; ++i)
        if (shim_counts[i].maker == shim_current) shim_counts[i].is_seen = 1;
}
SHIM_WRAPPER void barrier_expect(long long* barrier, int bytes, int line = __builtin_LINE())
{
    if (line == shim_without) return;
    shim_count* count = shim_find(barrier);
    count->bytes += bytes;
    count->left--;
    shim_update(count);
}
SHIM_WRAPPER void arrive_warps(long long* barrier, int line = __builtin_LINE())
{
    if (line == shim_without || shim_current % 32) return;
    shim_count* count = shim_find(barrier);
    count->left--;
    shim_update(count);
}
SHIM_WRAPPER void barrier_wait(long long* barrier, int parity, int line = __builtin_LINE())
{
    if (line == shim_without) return;
    shim_fiber& fiber = shim_fibers[shim_current];
    while (!shim_is_over(barrier, parity)) {
        fiber.awaits = barrier;
        fiber.parity = parity;
        shim_wait(line, SHIM_ARRIVALS);
    }
}

// Boxes.

struct alignas(64) TensorMap { unsigned long long words[16]; };  // as `shim_encode` packs them
struct shim_box { char* to; TensorMap map; int at[5]; long long* barrier; };
static shim_box shim_boxes[SHIM_BOXES];
static int shim_box_number;

// What cuTensorMapEncodeTiled takes, and what it refuses; of a map nobody but it knows the form.
extern "C" int shim_encode(
    TensorMap* map, int type, unsigned rank, void* address, const unsigned long long* sizes,
    const unsigned long long* strides, const unsigned* box, const unsigned* steps, int interleave,
    int swizzle, int promotion, int fill)
{
    int element = type == 6 || type == 9 ? 2 : type == 11 ? 4 : 0;
    if (!element || rank < 1 || rank > 5 || (uintptr_t)map % 64 || (uintptr_t)address % 16) return 1;
    if (interleave || swizzle != 3 || fill || box[0] * element > 128) return 1;
    memset(map, 0, sizeof *map);
    map->words[0] = (unsigned long long)address;
    map->words[1] = (unsigned long long)element | rank << 8 | (type == 11) << 16;
    for (unsigned axis = 0; axis < rank; ++axis) {
        if (!sizes[axis] || !box[axis] || box[axis] > 256) return 1;
        if (!steps[axis] || steps[axis] > 8 || (!axis && steps[axis] != 1)) return 1;
        if (axis && (strides[axis - 1] % 16 || strides[axis - 1] >> 40)) return 1;
        map->words[2 + axis] = sizes[axis];
        map->words[7 + axis] = axis ? strides[axis - 1] : (unsigned long long)element;
        map->words[12] |= (unsigned long long)(box[axis] - 1) << 8 * axis;
        map->words[13] |= (unsigned long long)steps[axis] << 8 * axis;
    }
    (void)promotion;
    return 0;
}

SHIM_WRAPPER uintptr_t shim_swizzled(uintptr_t place) { return place ^ (place >> 7 & 7) << 4; }

// The nearest number of ten bits after the first, the even one of two; not infinities and NaN.
SHIM_WRAPPER void shim_round(unsigned* element)
{
    unsigned below = *element & 0x1fff, is_odd = *element >> 13 & 1;
    if ((*element >> 23 & 0xff) == 0xff) return;
    *element -= below;
    if (below > 0x1000 || (below == 0x1000 && is_odd)) *element += 0x2000;
}
SHIM_WRAPPER void shim_bring(const shim_box& job)
{
    const unsigned long long* words = job.map.words;
    int element = (int)(words[1] & 0xff), rank = (int)(words[1] >> 8 & 0xff), total = 1;
    int sizes[5], steps[5];
    int is_rounded = (int)(words[1] >> 16);
    for (int axis = 0; axis < 5; ++axis) {
        steps[axis] = axis < rank ? (int)(words[13] >> 8 * axis & 0xff) : 1;
        sizes[axis] = axis < rank ? (int)(words[12] >> 8 * axis & 0xff) + 1 : 1;
        sizes[axis] = (sizes[axis] + steps[axis] - 1) / steps[axis];
        total *= sizes[axis];
    }
    for (int i = 0; i < total; ++i) {
        const char* from = (const char*)words[0];
        int inside = 1, rest = i;
        for (int axis = 0; axis < rank; ++axis) {
            int at = job.at[axis] + rest % sizes[axis] * steps[axis];
            rest /= sizes[axis];
            inside &= at >= 0 && (unsigned long long)at < words[2 + axis];
            from += (long long)at * (long long)words[7 + axis];
        }
        int row = i / sizes[0], column = i % sizes[0];
        char* to = (char*)shim_swizzled((uintptr_t)(job.to + row * 128 + column * element));
        if (inside) memcpy(to, from, (size_t)element);
        else memset(to, 0, (size_t)element);
        if (is_rounded) shim_round((unsigned*)to);
    }
    shim_count* count = shim_find(job.barrier);
    count->bytes -= (long long)total * element;
    shim_update(count);
}
SHIM_WRAPPER void shim_bulk(void* to, const TensorMap* map, const int* at, long long* barrier)
{
    if ((uintptr_t)to % 1024) shim_fail("a box is copied to no multiple of 1024 bytes");
    if (!shim_find(barrier)->is_seen) shim_fail("no fence after a barrier was made");
    shim_box job = {(char*)to, *map, {at[0], at[1], at[2], at[3], at[4]}, barrier};
    if (shim_order == SHIM_DESCENDING) return shim_bring(job);
    if (shim_box_number == SHIM_BOXES) abort();
    shim_boxes[shim_box_number++] = job;
}
SHIM_WRAPPER void bulk_2d(void* to, const TensorMap* map, int at0, int at1, long long* barrier)
{
    int at[5] = {at0, at1};
    shim_bulk(to, map, at, barrier);
}
SHIM_WRAPPER void bulk_3d(void* to, const TensorMap* map, int at0, int at1, int at2, long long* barrier)
{
    int at[5] = {at0, at1, at2};
    shim_bulk(to, map, at, barrier);
}
SHIM_WRAPPER void bulk_4d(
    void* to, const TensorMap* map, int at0, int at1, int at2, int at3, long long* barrier)
{
    int at[5] = {at0, at1, at2, at3};
    shim_bulk(to, map, at, barrier);
}
SHIM_WRAPPER void bulk_5d(
    void* to, const TensorMap* map, int at0, int at1, int at2, int at3, int at4, long long* barrier)
{
    int at[5] = {at0, at1, at2, at3, at4};
    shim_bulk(to, map, at, barrier);
}
SHIM_WRAPPER int shim_bring_one()
{
    if (!shim_box_number) return 0;
    int which = shim_order == SHIM_ASCENDING ? 0 : shim_box_number - 1;
    shim_box *at = shim_boxes + which, job = *at;
    memmove(at, at + 1, sizeof(shim_box) * (size_t)(--shim_box_number - which));
    shim_bring(job);
    return 1;
}

// Products: each thread does its own part of them, which is what it has the sums of.

// A matrix is what its descriptor says (PTX ISA, "Matrix descriptor", "Strides", "Canonical layouts"
// of wgmma): bits 0-13 where it begins, 16-29 the leading and 32-45 the stride dimension's offset, in
// units of 16 bytes; 49-51 the base offset; 62-63 the swizzle, of which 1 is that of 128 bytes.
// A left operand may be `held` in registers, which are read when the product happens.
struct shim_product { float* sums; unsigned long long a, b; int columns, bytes, turned_a, turned_b;
                      float (*value)(unsigned); const unsigned* held; int begins; };
struct shim_work { shim_product products[SHIM_PRODUCTS]; int count, ends[SHIM_GROUPS], groups, fenced; };
static shim_work* shim_works;

enum { SHIM_WINDOW = 1024 };  // where the shared memory that a launch asks for begins
SHIM_WRAPPER unsigned shared_place(const void* element)
{
    long long place = (const unsigned char*)element - shim_asked;
    if (place < 0 || place >= SHIM_ASKED) shim_fail("an address is not of shared memory");
    return (unsigned)place + SHIM_WINDOW;
}
// The bits of an element: of sixteen bytes of neighbouring terms, or of neighbouring rows.
SHIM_WRAPPER unsigned shim_element(
    unsigned long long matrix, int bytes, int is_turned, int row, int term)
{
    int first = (int)(matrix & 0x3fff) << 4, leading = (int)(matrix >> 16 & 0x3fff) << 4;
    int stride = (int)(matrix >> 32 & 0x3fff) << 4, base = (int)(matrix >> 49 & 7);
    if (matrix >> 62 != 1 || base) shim_fail("a matrix is not swizzled by 128 bytes from their start");
    int at = first, each = 128 / bytes;
    if (is_turned) at += row / each * leading + term / 8 * stride + term % 8 * 128 + row % each * bytes;
    else at += row / 8 * stride + row % 8 * 128 + term * bytes;
    at ^= (at >> 7 & 7) << 4;
    unsigned bits = 0;
    memcpy(&bits, shim_asked + at - SHIM_WINDOW, (size_t)bytes);
    return bits;
}
// Sixteen terms of a row whose fragments the lanes of a warp hold.
SHIM_WRAPPER void shim_held(float* terms, const shim_product& job, const shim_given* all, int row)
{
    for (int k = 0; k < 16; ++k) {
        unsigned pair = all[row % 8 * 4 + k % 8 / 2].a[k / 8 * 2 + row / 8];
        terms[k] = job.value(pair >> k % 2 * 16 & 0xffff);
    }
}
SHIM_WRAPPER void shim_multiply(const shim_product& job, int line)
{
    int lane = shim_current % 32, warp = shim_current / 32 % 4, terms = 32 / job.bytes;
    const unsigned* held = job.held;
    const shim_given* all = held ? shim_meet({0, {held[0], held[1], held[2], held[3]}}, line) : 0;
    for (int half = 0; half < 2; ++half) {
        float left[16];
        int row = half * 8 + lane / 4;
        if (all) shim_held(left, job, all, row);
        for (int k = 0; k < terms && !all; ++k)
            left[k] = job.value(
                shim_element(job.a, job.bytes, job.turned_a, warp * 16 + row, k));
        for (int e = 0; e < job.columns / 4; ++e) {
            float* sum = job.sums + e / 2 * 4 + half * 2 + e % 2;
            int column = e / 2 * 8 + lane % 4 * 2 + e % 2;
            if (job.begins) *sum = 0;
            for (int k = 0; k < terms; ++k)
                *sum += left[k] * job.value(shim_element(job.b, job.bytes, job.turned_b, column, k));
        }
    }
}
SHIM_WRAPPER void shim_wgmma(const shim_product& job, int line)
{
    shim_work& work = shim_works[shim_current];
    if (!work.fenced) shim_fail("no fence before products of a warpgroup");
    if (shim_order == SHIM_DESCENDING) return shim_multiply(job, line);
    if (work.count == SHIM_PRODUCTS) abort();
    work.products[work.count++] = job;
}
SHIM_WRAPPER void wgmma_fence(int line = __builtin_LINE())
{
    if (line != shim_without) shim_works[shim_current].fenced = 1;
}
SHIM_WRAPPER void wgmma_commit(int line = __builtin_LINE())
{
    shim_work& work = shim_works[shim_current];
    work.fenced = 0;
    if (line == shim_without) return;
    if (work.groups == SHIM_GROUPS) abort();
    work.ends[work.groups++] = work.count;
}
template <int pending> SHIM_WRAPPER void wgmma_wait(int line = __builtin_LINE())
{
    shim_work& work = shim_works[shim_current];
    int finished = work.groups - pending;
    if (line == shim_without || finished <= 0) return;
    int end = work.ends[finished - 1];
    for (int i = 0; i < end; ++i) shim_multiply(work.products[i], line);
    work.count -= end;
    memmove(work.products, work.products + end, sizeof(shim_product) * (size_t)work.count);
    for (int g = finished; g < work.groups; ++g) work.ends[g - finished] = work.ends[g] - end;
    work.groups = pending;
}
template <int count> SHIM_WRAPPER void wgmma_result(float (&sums)[count])
{
    const shim_work& work = shim_works[shim_current];
    for (int i = 0; i < work.count; ++i)
        if (work.products[i].sums >= sums && work.products[i].sums < sums + count)
            shim_fail("sums are read while products are added");
}
SHIM_WRAPPER void settled(const float* total)
{
    if (total[0] + total[1] + total[2] + total[3] < 0) shim_fail("a total is below 0");
}
static float shim_bf16(unsigned bits) { return bf16_value((unsigned short)bits); }
static float shim_f16(unsigned bits) { return f16_value((unsigned short)bits); }
static float shim_cut(unsigned bits) { return shim_tf32(__int_as_float((int)bits)); }

#define SHIM_WGMMA(columns, end, bytes, value, left, right)                                        \
    SHIM_WRAPPER void wgmma_m64n##columns##end(                                                    \
        float* acc, unsigned long long a, unsigned long long b, int line = __builtin_LINE())       \
    {                                                                                              \
        shim_wgmma({acc, a, b, columns, bytes, left, right, value, 0, 0}, line);                   \
    }
#define SHIM_WGMMAS(end, bytes, value, left, right)                                                \
    SHIM_WGMMA(64, end, bytes, value, left, right)                                                 \
    SHIM_WGMMA(128, end, bytes, value, left, right)                                                \
    SHIM_WGMMA(256, end, bytes, value, left, right)
SHIM_WGMMAS(k16_bf16, 2, shim_bf16, 0, 0)
SHIM_WGMMAS(k16_bf16_left_turned, 2, shim_bf16, 1, 0)
SHIM_WGMMAS(k16_bf16_right_turned, 2, shim_bf16, 0, 1)
SHIM_WGMMAS(k16_bf16_left_turned_right_turned, 2, shim_bf16, 1, 1)
SHIM_WGMMAS(k16_f16, 2, shim_f16, 0, 0)
SHIM_WGMMAS(k16_f16_left_turned, 2, shim_f16, 1, 0)
SHIM_WGMMAS(k16_f16_right_turned, 2, shim_f16, 0, 1)
SHIM_WGMMAS(k16_f16_left_turned_right_turned, 2, shim_f16, 1, 1)
SHIM_WGMMAS(k8_tf32, 4, shim_cut, 0, 0)

#define SHIM_BEGUN(columns, kind)                                                                  \
    SHIM_WRAPPER void wgmma_m64n##columns##k16_##kind##_begun(                                     \
        float* acc, unsigned long long a, unsigned long long b, int line = __builtin_LINE())       \
    {                                                                                              \
        shim_wgmma({acc, a, b, columns, 2, 0, 0, shim_##kind, 0, 1}, line);                        \
    }
#define SHIM_HELD(columns, kind)                                                                   \
    SHIM_WRAPPER void wgmma_m64n##columns##k16_##kind##_held_right_turned(                         \
        float* acc, const unsigned* a, unsigned long long b, int line = __builtin_LINE())          \
    {                                                                                              \
        shim_wgmma({acc, 0, b, columns, 2, 0, 1, shim_##kind, a, 0}, line);                        \
    }
SHIM_BEGUN(128, bf16)
SHIM_BEGUN(128, f16)
SHIM_HELD(64, bf16)
SHIM_HELD(128, bf16)
SHIM_HELD(64, f16)
SHIM_HELD(128, f16)

static void fewer_registers_24() {}
static void fewer_registers_40() {}
static void more_registers_160() {}
static void more_registers_232() {}
static void more_registers_240() {}

SHIM_WRAPPER void shim_groups_begin(int threads)
{
    if (!shim_works) shim_works = (shim_work*)calloc(SHIM_THREADS, sizeof(shim_work));
    shim_count_number = shim_box_number = 0;
    for (int t = 0; t < threads; ++t)
        shim_works[t].count = shim_works[t].groups = shim_works[t].fenced = 0;
}
// Nothing may be on its way when a block ends, and nothing be written past what it asked for.
SHIM_WRAPPER void shim_groups_end(int threads, int asked)
{
    if (shim_box_number) shim_fail("a block ends while boxes are on their way");
    for (int t = 0; t < threads; ++t)
        if (shim_works[t].count) shim_fail("a thread ends without its products");
    if (!shim_count_number) return;
    for (int i = asked; i < SHIM_ASKED; ++i)
        if (shim_asked[i] != 0xff) shim_fail("a block writes past the shared memory it asked for");
}
