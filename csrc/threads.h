// Work on several threads: those that the process already has for OpenMP (torch's), else our own. No second pool that would
// fight the first for the processors.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>

namespace seqloom {

// Below this many multiplications a second thread costs more than it saves.
constexpr std::int64_t worth_a_thread = 200'000;

// Calls work(context, member, members) once for each member 0..members-1, at the same time, and returns when all are done.
// members is `threads` or less. In a child process after fork, members is 1: the parent's threads do not exist there.
// `work` must not throw.
void run_parallel(int threads, void (*work)(void* context, int member, int members), void* context);

template <class F>
void parallel(int threads, F&& f) {
    run_parallel(threads, [](void* context, int member, int members) { (*static_cast<F*>(context))(member, members); }, &f);
}

// Whether other threads are worth asking for so many multiplications: not for few where the last question is so long ago that
// they sleep, and waking them takes longer than the work.
bool worth_waking(std::int64_t multiplications);

// Calls work(0) and work(1), which need nothing of each other: side by side where so many multiplications pay for it, else one after
// the other. What one of them throws is thrown when both are done.
template <class F>
void side_by_side(std::int64_t multiplications, F&& work) {
    std::exception_ptr failed[2];
    parallel(multiplications > worth_a_thread && worth_waking(multiplications) ? 2 : 1, [&](int member, int members) {
        for (int i = member; i < 2; i += members) {
            try {
                work(i);
            } catch (...) {  // memory ran out
                failed[i] = std::current_exception();
            }
        }
    });
    for (const std::exception_ptr& one : failed)
        if (one) std::rethrow_exception(one);
}

// What several threads do a piece at a time, each piece by whoever is free first.
class shared_work {
public:
    // Where the next `count` begin, which are the caller's. From any thread.
    std::int64_t take(std::int64_t count);

private:
    alignas(128) std::atomic<std::int64_t> taken_{0};
};

// A point that each member of a call passes once, in its own time.
class milestone {
public:
    // One more member is there: what it wrote until now (past the caches: and settled) may be read by whoever has waited.
    void reach();
    // Returns when so many members are there. Does not sleep meanwhile, but gives its processor up to others.
    void wait(std::int64_t members) const;

private:
    alignas(128) std::atomic<std::int64_t> reached_{0};
};

// Where members wait for each other, thousands of times a call. On a busy machine a member may lose its processor for
// longer than all of the work takes: then the team breaks up, and member 0 goes on alone.
//
// Each member counts its turns in memory that no other writes: to say that it is done costs it nothing, and only who looks pays
// for the way between two processors. Between `arrive` and `wait` it may do what needs no other.
class barrier {
public:
    explicit barrier(int members);
    ~barrier();

    // Says that `member` has done what the others wait for.
    void arrive(int member);
    // Returns when all members have arrived as often as this one: whether they go on together. All get the same answer.
    bool wait(int member);

    // For all members, before the first step: finds out, now and then, how long a wait takes. Processors that share a cache hear
    // of each other five times as fast as others, and a virtual machine is moved from the ones to the others as it runs.
    void measure(int member);

    static constexpr std::uint32_t never = ~std::uint32_t{0};
    // For tests: from now on a wait takes so many nanoseconds, and is not measured; teams part at a certain turn, and are tried
    // again at once.
    static void assume(std::int64_t waiting, std::uint32_t parting = never);

    // Whether a team is worth a try for steps of so many rows and so many multiplications a row: not where waiting takes as long as
    // what is saved, nor for a while after a team broke up.
    static bool promising(std::int64_t rows, std::int64_t multiplications);

private:
    struct counter;
    std::uint32_t turns(int member) const;

    const int members_;
    const bool measures_;
    const std::unique_ptr<counter[]> counters_;
    std::atomic<bool> late_{false};
    // The turn at which the team parts. Member 0 alone decides, with its arrival.
    std::atomic<std::uint32_t> parts_{never};
};

// Denormal numbers count as zero while this lives: they are up to a hundred times slower, and arise in every idle memory.
class flush_denormals {
public:
    flush_denormals();
    ~flush_denormals();
    flush_denormals(const flush_denormals&) = delete;
    flush_denormals& operator=(const flush_denormals&) = delete;

private:
    std::uint64_t before_;
};

}  // namespace seqloom
