// What accesses cost: those of a warp at one place in the code, its n-th time there, are one request.
// Counted are the passes that the banks of shared memory need for it, and the sectors of global
// memory that it covers.
#pragma once

struct check_counts { long long shared_requests, passes, least_passes, requests, sectors, least_sectors; };
struct check_part { uintptr_t at; int size, lane; };
struct check_request { std::vector<check_part> parts; bool is_shared; };

static std::map<std::tuple<void*, int, int>, check_request> check_requests;
static std::unordered_map<uintptr_t, int> check_times;  // of a thread at a place in the code
static check_counts check_total;

UNWATCHED static void check_request_of(char* at, int size, void* place, bool is_shared)
{
    int time = check_times[(uintptr_t)place * 1024 + (uintptr_t)check_thread]++;
    check_request& request = check_requests[{place, check_thread / 32, time}];
    request.is_shared = is_shared;
    request.parts.push_back({(uintptr_t)at, size, check_thread % 32});
}

UNWATCHED static void check_sort(std::vector<uintptr_t>& places)
{
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
}

// The lanes that shared memory serves together: as many as 128 bytes have room for.
UNWATCHED static int check_phase(const check_part& part)
{
    return part.size > 4 ? part.lane * part.size / 128 : 0;
}

UNWATCHED static void check_count_shared(const check_request& request)
{
    std::vector<uintptr_t> words[4];
    for (const check_part& part : request.parts)
        for (int i = 0; i < part.size; i += 4)
            words[check_phase(part)].push_back((part.at + (uintptr_t)i) / 4);
    for (auto& phase : words) {
        check_sort(phase);
        int banks[32] = {0}, most = 0;
        for (uintptr_t word : phase) most = std::max(most, ++banks[word % 32]);
        check_total.passes += most;
        check_total.least_passes += ((long long)phase.size() + 31) / 32;
    }
    check_total.shared_requests++;
}

UNWATCHED static void check_count_global(const check_request& request)
{
    std::vector<uintptr_t> words, sectors;
    for (const check_part& part : request.parts)
        for (int i = 0; i < part.size; i += 4) words.push_back((part.at + (uintptr_t)i) / 4);
    check_sort(words);
    for (uintptr_t word : words) sectors.push_back(word / 8);
    check_sort(sectors);
    check_total.requests++;
    check_total.sectors += (long long)sectors.size();
    check_total.least_sectors += ((long long)words.size() + 7) / 8;
}

// Counts what the block's requests cost, and forgets them.
UNWATCHED static void check_end_block()
{
    check_busy = 1;
    for (auto& entry : check_requests)
        (entry.second.is_shared ? check_count_shared : check_count_global)(entry.second);
    check_requests.clear();
    check_times.clear();
    check_busy = 0;
}

extern "C" UNWATCHED void check_report(check_counts* counts)
{
    *counts = check_total;
    check_total = check_counts();
}
