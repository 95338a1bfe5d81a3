// Watches every access of a kernel: compiled with -fsanitize=thread, which calls a function for each
// access, and without the library that those functions are in: here are others. The bodies of
// wrappers tell of theirs.
//
// Two threads that touch one byte of which one writes it race, unless they met at a barrier between.
// A copy on its way races with all who touch where it goes. Shared memory is written before it is
// read, and nothing is touched just outside a buffer.
#pragma once

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#define UNWATCHED __attribute__((no_sanitize("thread")))

enum { CHECK_GUARD = 128 };  // bytes around a buffer that nothing else lies in

struct check_touch { int block, thread, block_epoch, warp_epoch; };
struct check_byte {
    check_touch written, read;
    bool is_written, is_read;
    bool many_threads, many_warps;  // have read it since they last met
    int copier;  // the thread whose copy is on its way here, and one
};
struct check_range { char *first, *last; std::vector<check_byte> bytes; bool is_shared; };

static std::vector<check_range> check_ranges;
static int check_running, check_busy, check_thread, check_block, check_epoch, check_warp_epochs[32];
static char check_message[200];

#include "requests.h"

// Only what went wrong first is told.
UNWATCHED __attribute__((format(printf, 1, 2))) static void check_say(const char* words, ...)
{
    if (check_message[0]) return;
    va_list values;
    va_start(values, words);
    vsnprintf(check_message, sizeof check_message, words, values);
    va_end(values);
}

UNWATCHED static const char* check_space(const check_range& range)
{
    return range.is_shared ? "shared" : "global";
}

UNWATCHED static void check_race(const check_range& range, long at, const check_touch& before)
{
    check_say("a race: threads %d and %d of blocks %d and %d touch byte %ld of %s memory",
              before.thread, check_thread, before.block, check_block, at, check_space(range));
}

UNWATCHED static check_touch check_now()
{
    return {check_block, check_thread, check_epoch, check_warp_epochs[check_thread / 32]};
}

// Whether an earlier touch and one now may come in any order.
UNWATCHED static bool check_unordered(const check_touch& before)
{
    if (before.block != check_block) return true;
    if (before.thread == check_thread || before.block_epoch != check_epoch) return false;
    int warp = check_thread / 32;
    return before.thread / 32 != warp || before.warp_epoch == check_warp_epochs[warp];
}

// Whether a write now and the earlier reads may come in any order.
UNWATCHED static bool check_read_by_others(const check_byte& byte)
{
    if (!byte.is_read) return false;
    if (check_unordered(byte.read)) return true;
    if (byte.read.block_epoch != check_epoch) return false;
    bool same_epoch = byte.read.warp_epoch == check_warp_epochs[check_thread / 32];
    return byte.many_warps || (byte.many_threads && same_epoch);
}

UNWATCHED static void check_note_read(check_byte& byte, const check_touch& now)
{
    const check_touch& last = byte.read;
    bool epoch = byte.is_read && last.block == now.block && last.block_epoch == now.block_epoch;
    bool warp = last.thread / 32 == now.thread / 32 && last.warp_epoch == now.warp_epoch;
    byte.many_warps = epoch && (byte.many_warps || last.thread / 32 != now.thread / 32);
    byte.many_threads = epoch && warp && (byte.many_threads || last.thread != now.thread);
    byte.read = now;
    byte.is_read = true;
}

UNWATCHED static void check_byte_access(check_range& range, long at, bool writes)
{
    check_byte& byte = range.bytes[(size_t)at];
    if (byte.copier)
        check_say("a race: thread %d touches byte %ld of shared memory, to which a copy of thread "
                  "%d is on its way", check_thread, at, byte.copier - 1);
    else if (!writes && range.is_shared && !byte.is_written)
        check_say("thread %d reads byte %ld of shared memory, which none has written",
                  check_thread, at);
    if (byte.is_written && check_unordered(byte.written)) check_race(range, at, byte.written);
    if (!writes) return check_note_read(byte, check_now());
    if (check_read_by_others(byte)) check_race(range, at, byte.read);
    byte.written = check_now();
    byte.is_written = true;
}

// The buffer that an access is in, or null where it is in none that is known.
UNWATCHED static check_range* check_range_of(char* at, int size)
{
    for (check_range& range : check_ranges) {
        bool begins = at >= range.first && at < range.last;
        if (begins && at + size <= range.last) return &range;
        bool near = !range.is_shared && at >= range.first - CHECK_GUARD
                 && at < range.last + CHECK_GUARD;
        if (!begins && !near) continue;
        check_say("thread %d touches bytes %ld to %ld of a %s buffer of %ld", check_thread,
                  (long)(at - range.first), (long)(at - range.first) + size, check_space(range),
                  (long)(range.last - range.first));
        return 0;
    }
    return 0;
}

UNWATCHED static void check_bytes(check_range& range, char* at, int size, bool writes)
{
    if (range.last - range.first <= 8) return;  // a flag of one element: all write the same
    for (int i = 0; i < size; ++i) check_byte_access(range, (long)(at - range.first) + i, writes);
}

// An access at a place in the code.
UNWATCHED static void check_access(char* at, int size, bool writes, void* place)
{
    if (!check_running || check_busy) return;
    check_busy = 1;
    check_range* range = check_range_of(at, size);
    if (range) {
        check_bytes(*range, at, size, writes);
        check_request_of(at, size, place, range->is_shared);
    }
    check_busy = 0;
}

// A place in the code, of wrappers that know their line.
UNWATCHED static void* check_line(int line) { return (void*)(uintptr_t)line; }

// Asynchronous copies: from now on nothing may touch where they go, until whoever asked for them has
// waited for them.
UNWATCHED static void check_copy_begins(char* to, char* from, int size, int bytes, int line)
{
    if (bytes) check_access(from, bytes, false, check_line(line));
    check_access(to, size, true, check_line(-line));
    check_range* range = check_range_of(to, size);
    for (int i = 0; range && i < size; ++i)
        range->bytes[(size_t)(to - range->first) + (size_t)i].copier = check_thread + 1;
}
UNWATCHED static void check_copy_ends(char* to, int size)
{
    check_range* range = check_range_of(to, size);
    for (int i = 0; range && i < size; ++i) {
        check_byte& byte = range->bytes[(size_t)(to - range->first) + (size_t)i];
        byte.copier = 0;
        byte.written = check_now();
    }
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

// Memory that was given back may be part of another buffer now.
extern "C" UNWATCHED void check_forget_buffers()
{
    auto lasts = [](const check_range& range) UNWATCHED { return !range.is_shared; };
    check_ranges.erase(std::remove_if(check_ranges.begin(), check_ranges.end(), lasts),
                       check_ranges.end());
}

extern "C" UNWATCHED void check_buffer(char* first, long long size)
{
    check_ranges.push_back({first, first + size, std::vector<check_byte>((size_t)size), false});
}

#include "hooks.h"
