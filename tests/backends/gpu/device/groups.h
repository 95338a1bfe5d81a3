// Barriers that count arrivals, copies of boxes by the card's engine and products of warpgroups.
//
// Copies of boxes and products happen at once where threads run in descending order. Elsewhere boxes
// come when no thread can go on without them, the oldest first, and products when they are waited for.

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
    int element = type == 6 || type == 9 ? 2 : type == 7 ? 4 : type == 8 ? 8 : 0;
    if (!element || rank < 1 || rank > 5 || (uintptr_t)map % 64 || (uintptr_t)address % 16) return 1;
    if (interleave || swizzle != 3 || fill || box[0] * element > 128) return 1;
    memset(map, 0, sizeof *map);
    map->words[0] = (unsigned long long)address;
    map->words[1] = (unsigned long long)element | rank << 8;
    for (unsigned axis = 0; axis < rank; ++axis) {
        if (!sizes[axis] || !box[axis] || box[axis] > 256 || steps[axis] != 1) return 1;
        if (axis && (strides[axis - 1] % 16 || strides[axis - 1] >> 40)) return 1;
        map->words[2 + axis] = sizes[axis];
        map->words[7 + axis] = axis ? strides[axis - 1] : (unsigned long long)element;
        map->words[12] |= (unsigned long long)(box[axis] - 1) << 8 * axis;
    }
    (void)promotion;
    return 0;
}

SHIM_WRAPPER uintptr_t shim_swizzled(uintptr_t place) { return place ^ (place >> 7 & 7) << 4; }

SHIM_WRAPPER void shim_bring(const shim_box& job)
{
    const unsigned long long* words = job.map.words;
    int element = (int)(words[1] & 0xff), rank = (int)(words[1] >> 8), sizes[5], total = 1;
    for (int axis = 0; axis < 5; ++axis) {
        sizes[axis] = axis < rank ? (int)(words[12] >> 8 * axis & 0xff) + 1 : 1;
        total *= sizes[axis];
    }
    for (int i = 0; i < total; ++i) {
        const char* from = (const char*)words[0];
        int inside = 1, rest = i;
        for (int axis = 0; axis < rank; ++axis) {
            int at = job.at[axis] + rest % sizes[axis];
            rest /= sizes[axis];
            inside &= at >= 0 && (unsigned long long)at < words[2 + axis];
            from += (long long)at * (long long)words[7 + axis];
        }
        int row = i / sizes[0], column = i % sizes[0];
        char* to = (char*)shim_swizzled((uintptr_t)(job.to + row * 128 + column * element));
        if (inside) memcpy(to, from, (size_t)element);
        else memset(to, 0, (size_t)element);
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
SHIM_WRAPPER int shim_bring_oldest()
{
    if (!shim_box_number) return 0;
    shim_box job = shim_boxes[0];
    memmove(shim_boxes, shim_boxes + 1, sizeof(shim_box) * (size_t)--shim_box_number);
    shim_bring(job);
    return 1;
}

// Products: each thread does its own part of them, which is what it has the sums of.

struct shim_matrix { const char* first; int step, is_turned; };
struct shim_product { float* sums; shim_matrix a, b; int columns; float (*value)(unsigned short); };
struct shim_work { shim_product products[SHIM_PRODUCTS]; int count, ends[SHIM_GROUPS], groups, fenced; };
static shim_work* shim_works;

SHIM_WRAPPER unsigned short shim_element(const shim_matrix& matrix, int row, int term)
{
    int line = matrix.is_turned ? term : row, place = matrix.is_turned ? row : term;
    const char* at = matrix.first + line / 8 * 1024 + line % 8 * 128 + place / 64 * matrix.step
        + place % 64 * 2;
    unsigned short bits;
    memcpy(&bits, (const char*)shim_swizzled((uintptr_t)at), 2);
    return bits;
}
SHIM_WRAPPER void shim_multiply(const shim_product& job)
{
    int lane = shim_current % 32, warp = shim_current / 32 % 4;
    for (int half = 0; half < 2; ++half) {
        float left[16];
        for (int k = 0; k < 16; ++k)
            left[k] = job.value(shim_element(job.a, warp * 16 + half * 8 + lane / 4, k));
        for (int e = 0; e < job.columns / 4; ++e) {
            float* sum = job.sums + e / 2 * 4 + half * 2 + e % 2;
            int column = e / 2 * 8 + lane % 4 * 2 + e % 2;
            for (int k = 0; k < 16; ++k) *sum += left[k] * job.value(shim_element(job.b, column, k));
        }
    }
}
SHIM_WRAPPER void shim_wgmma(const shim_product& job)
{
    shim_work& work = shim_works[shim_current];
    if (!work.fenced) shim_fail("no fence before products of a warpgroup");
    if (shim_order == SHIM_DESCENDING) return shim_multiply(job);
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
    for (int i = 0; i < end; ++i) shim_multiply(work.products[i]);
    work.count -= end;
    memmove(work.products, work.products + end, sizeof(shim_product) * (size_t)work.count);
    for (int g = finished; g < work.groups; ++g) work.ends[g - finished] = work.ends[g] - end;
    work.groups = pending;
}
template <int count> SHIM_WRAPPER void wgmma_result(float (&)[count])
{
    if (shim_works[shim_current].groups) shim_fail("sums are read while products are added");
}
#define SHIM_WGMMA(columns, type, value, name, left, right)                                        \
    SHIM_WRAPPER void wgmma_m64n##columns##k16_##type##name(                                             \
        float* acc, const void* a, int a_step, const void* b, int b_step)                          \
    {                                                                                              \
        shim_wgmma({acc, {(const char*)a, a_step, left}, {(const char*)b, b_step, right},          \
                    columns, value});                                                              \
    }
#define SHIM_WGMMAS(columns, type, value)                                                          \
    SHIM_WGMMA(columns, type, value, , 0, 0)                                                       \
    SHIM_WGMMA(columns, type, value, _left_turned, 1, 0)                                           \
    SHIM_WGMMA(columns, type, value, _right_turned, 0, 1)                                          \
    SHIM_WGMMA(columns, type, value, _left_turned_right_turned, 1, 1)
SHIM_WGMMAS(64, bf16, bf16_value)
SHIM_WGMMAS(128, bf16, bf16_value)
SHIM_WGMMAS(256, bf16, bf16_value)
SHIM_WGMMAS(64, f16, f16_value)
SHIM_WGMMAS(128, f16, f16_value)
SHIM_WGMMAS(256, f16, f16_value)

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
