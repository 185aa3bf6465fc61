// Where the others hold up the caller, it works alone for a while, and is helped again after that. Each share is done once,
// however many threads there are.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "threads.h"

using namespace seqloom;
using namespace std::chrono_literals;

// How many threads did the work, the others of which come this late; 0 where a share was done twice or never.
static int members_of(std::chrono::milliseconds late) {
    std::atomic<int> together{0}, done{0};
    parallel(2, [&](int member, int members) {
        if (member > 0) std::this_thread::sleep_for(late);
        together = members;
        done += 1 << member;
    });
    return done == (1 << together) - 1 ? together.load() : 0;
}

int main() {
    bool right = members_of(0ms) != 0, alone = false;
    // On a busy machine the pause may be over before the next call: then it is longer the next time.
    for (int round = 0; round < 20 && !alone; ++round) {
        right = right && members_of(5ms) != 0;
        alone = members_of(0ms) == 1;
    }
    bool helped = false;
    for (int round = 0; round < 20 && !helped; ++round) {
        std::this_thread::sleep_for(350ms);  // the longest pause is over
        helped = members_of(0ms) == 2;
    }
    std::printf("threads: %s\n", right && alone && helped ? "right" : "wrong");
    return right && alone && helped ? 0 : 1;
}
