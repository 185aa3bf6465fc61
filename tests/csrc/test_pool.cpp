// Threads take blocks of the pool and give them back, thousands of times: no block has two owners, none is smaller than asked.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "pool.h"

using namespace seqloom;

static std::atomic<int> failures{0};

static void check(bool right, const char* what) {
    if (!right && failures++ == 0) std::printf("wrong: %s\n", what);
}

// Holds a few blocks at a time, each marked with a number of its own from end to end.
static void take_and_give(int thread) {
    std::vector<std::pair<block*, int>> held;
    for (int round = 0; round < 2000; ++round) {
        const std::int64_t count = 1 + (round * 7919 + thread * 104729) % 60'000;
        block* taken = take_block(count * 4);
        const int mark = thread * 1'000'000 + round;
        check(taken->bytes >= count * 4, "a block is smaller than asked");
        check(reinterpret_cast<std::uintptr_t>(taken->data) % 128 == 0, "a block begins anywhere");
        std::fill_n(static_cast<int*>(taken->data), taken->bytes / 4, mark);
        held.emplace_back(taken, mark);
        if (held.size() < 5) continue;
        const auto [done, own] = held[static_cast<std::size_t>(round) % held.size()];
        const int* numbers = static_cast<const int*>(done->data);
        check(std::all_of(numbers, numbers + done->bytes / 4, [own = own](int number) { return number == own; }), "a block has two owners");
        held.erase(held.begin() + round % static_cast<int>(held.size()));
        give_block(done);
    }
    for (const auto& [left, mark] : held) give_block(left);
}

int main() {
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) threads.emplace_back(take_and_give, thread);
    for (std::thread& thread : threads) thread.join();
    block* first = take_block(1 << 20);
    void* const place = first->data;
    give_block(first);
    block* again = take_block(1 << 20);
    check(again->data == place, "memory given back is not used again");
    block* large = take_block(std::int64_t{300} << 20);
    give_block(large);  // more than is kept
    give_block(again);
    std::printf("pool: %s\n", failures == 0 ? "right" : "wrong");
    return failures == 0 ? 0 : 1;
}
