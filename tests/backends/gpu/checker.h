// Watches every access of a kernel: compiled with -fsanitize=thread, which calls a function for each
// access, and without the library that those functions are in: here are others.
//
// Two threads that touch one byte of which one writes it race, unless they met at a barrier between.
// The accesses of a warp at one place in the code, its n-th time there, are one request: counted are
// the passes that the banks of shared memory need for it, and the sectors of global memory it covers.

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#define UNWATCHED __attribute__((no_sanitize("thread")))

struct check_counts { long long shared_requests, passes, least_passes, requests, sectors, least_sectors; };
struct check_touch { int thread, block_epoch, warp_epoch; };
struct check_byte { check_touch written, read; bool many_read, is_written, is_read; };
struct check_range { char *first, *last; std::vector<check_byte> bytes; bool is_shared; };
struct check_request { std::vector<std::pair<uintptr_t, int>> places; bool is_shared; };

static std::vector<check_range> check_ranges;
static std::map<std::tuple<void*, int, int>, check_request> check_requests;
static std::unordered_map<uintptr_t, int> check_times;  // of a thread at a place in the code
static check_counts check_total;
static int check_running, check_busy, check_thread, check_block, check_epoch, check_warp_epochs[32];
static char check_message[200];

// Whether an earlier touch and one now may come in any order.
UNWATCHED static bool check_unordered(const check_touch& before)
{
    int thread = before.thread % 1024;
    if (before.thread / 1024 != check_block) return true;
    if (thread == check_thread || before.block_epoch != check_epoch) return false;
    int warp = check_thread / 32;
    return thread / 32 != warp || before.warp_epoch == check_warp_epochs[warp];
}

UNWATCHED static void check_race(const check_range& range, char* at, const check_touch& before)
{
    if (check_message[0]) return;
    snprintf(check_message, sizeof check_message,
             "a race: threads %d and %d of blocks %d and %d touch byte %ld of %s memory",
             before.thread % 1024, check_thread, before.thread / 1024, check_block,
             (long)(at - range.first), range.is_shared ? "shared" : "global");
}

UNWATCHED static void check_access(char* at, int size, bool writes, void* place)
{
    if (!check_running || check_busy) return;
    check_busy = 1;
    for (check_range& range : check_ranges) {
        if (at < range.first || at >= range.last) continue;
        check_touch now = {check_block * 1024 + check_thread, check_epoch,
                           check_warp_epochs[check_thread / 32]};
        bool is_flag = range.last - range.first <= 8;  // of one element: all write the same
        for (int i = 0; i < size && !is_flag; ++i) {
            check_byte& byte = range.bytes[(size_t)(at - range.first) + (size_t)i];
            if (byte.is_written && check_unordered(byte.written)) check_race(range, at, byte.written);
            bool others_read = byte.is_read && (byte.many_read || check_unordered(byte.read));
            bool met = byte.read.thread / 1024 == check_block && byte.read.block_epoch != check_epoch;
            if (writes && others_read && !met) check_race(range, at, byte.read);
            if (writes) {
                byte.written = now;
                byte.is_written = true;
            } else {
                bool again = byte.is_read && byte.read.block_epoch == check_epoch;
                byte.many_read = again && (byte.many_read || byte.read.thread != now.thread);
                byte.read = now;
                byte.is_read = true;
            }
        }
        int time = check_times[(uintptr_t)place * 1024 + (uintptr_t)check_thread]++;
        check_request& request = check_requests[{place, check_thread / 32, time}];
        request.is_shared = range.is_shared;
        request.places.push_back({(uintptr_t)at, size});
        break;
    }
    check_busy = 0;
}

// Counts what the block's requests cost, and forgets them.
UNWATCHED static void check_end_block()
{
    check_busy = 1;
    for (auto& entry : check_requests) {
        std::vector<uintptr_t> words, sectors;
        for (auto& place : entry.second.places)
            for (int i = 0; i < place.second; i += 4) words.push_back((place.first + (uintptr_t)i) / 4);
        std::sort(words.begin(), words.end());
        words.erase(std::unique(words.begin(), words.end()), words.end());
        long long least = ((long long)words.size() + 31) / 32;
        if (entry.second.is_shared) {
            int banks[32] = {0}, most = 0;
            for (uintptr_t word : words) most = std::max(most, ++banks[word % 32]);
            check_total.shared_requests++;
            check_total.passes += most;
            check_total.least_passes += least;
        } else {
            for (uintptr_t word : words) sectors.push_back(word / 8);
            sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
            check_total.requests++;
            check_total.sectors += (long long)sectors.size();
            check_total.least_sectors += ((long long)words.size() + 7) / 8;
        }
    }
    check_requests.clear();
    check_times.clear();
    check_busy = 0;
}

// Called by the shim.
UNWATCHED static void check_start_block(int block, char* first, char* last)
{
    check_block = block;
    ++check_epoch;
    for (check_range& range : check_ranges)
        if (range.is_shared) std::fill(range.bytes.begin(), range.bytes.end(), check_byte());
    if (first && (check_ranges.empty() || !check_ranges[0].is_shared)) {
        check_range shared = {first, last, std::vector<check_byte>((size_t)(last - first)), true};
        check_ranges.insert(check_ranges.begin(), shared);
    }
}

extern "C" UNWATCHED void check_buffer(char* first, long long size)
{
    // Memory that was given back may be part of it now.
    auto overlaps = [&](const check_range& range) UNWATCHED {
        return !range.is_shared && range.first < first + size && first < range.last;
    };
    check_ranges.erase(std::remove_if(check_ranges.begin(), check_ranges.end(), overlaps),
                       check_ranges.end());
    check_ranges.push_back({first, first + size, std::vector<check_byte>((size_t)size), false});
}

extern "C" UNWATCHED void check_report(check_counts* counts)
{
    *counts = check_total;
    check_total = check_counts();
}

#define CHECK_SIZE(n)                                                                              \
    extern "C" UNWATCHED void __tsan_read##n(void* at)                                             \
    {                                                                                              \
        check_access((char*)at, n, false, __builtin_return_address(0));                            \
    }                                                                                              \
    extern "C" UNWATCHED void __tsan_write##n(void* at)                                            \
    {                                                                                              \
        check_access((char*)at, n, true, __builtin_return_address(0));                             \
    }                                                                                              \
    extern "C" UNWATCHED void __tsan_unaligned_read##n(void* at)                                   \
    {                                                                                              \
        check_access((char*)at, n, false, __builtin_return_address(0));                            \
    }                                                                                              \
    extern "C" UNWATCHED void __tsan_unaligned_write##n(void* at)                                  \
    {                                                                                              \
        check_access((char*)at, n, true, __builtin_return_address(0));                             \
    }
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
