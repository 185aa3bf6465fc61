#include "threads.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#endif

namespace seqloom {

namespace {

// OpenMP's own entry, found in the process at run time: whichever library torch brought serves us too.
using gomp_parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
using omp_number = int (*)();

struct openmp {
    gomp_parallel parallel = nullptr;
    omp_number thread = nullptr, threads = nullptr, nested = nullptr;
};

// Whether this is a child: its parent's threads do not exist here. Watched for from the moment the library is loaded, for the
// parent may have used its threads before it ever came here.
std::atomic<bool> forked{false};
#if defined(__unix__) || defined(__APPLE__)
[[maybe_unused]] const int watching = pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
#endif

openmp& pool() {
    static openmp found = [] {
        openmp it;
#if defined(__unix__) || defined(__APPLE__)
        void* library = RTLD_DEFAULT;
        for (const char* name : {"libgomp.so.1", "libomp.dylib", "libomp.so", "libiomp5.so"})
            if (void* loaded = dlopen(name, RTLD_LAZY | RTLD_NOLOAD)) {
                library = loaded;
                break;
            }
        it.parallel = reinterpret_cast<gomp_parallel>(dlsym(library, "GOMP_parallel"));
        it.thread = reinterpret_cast<omp_number>(dlsym(library, "omp_get_thread_num"));
        it.threads = reinterpret_cast<omp_number>(dlsym(library, "omp_get_num_threads"));
        it.nested = reinterpret_cast<omp_number>(dlsym(library, "omp_in_parallel"));
        if (!it.thread || !it.threads || !it.nested) it.parallel = nullptr;
#endif
        return it;
    }();
    return found;
}

struct job {
    void (*work)(void*, int, int);
    void* context;
};

void on_openmp(void* given) {
    const job& todo = *static_cast<job*>(given);
    todo.work(todo.context, pool().thread(), pool().threads());
}

}  // namespace

void run_parallel(int threads, void (*work)(void*, int, int), void* context) {
    if (threads <= 1 || forked.load(std::memory_order_relaxed)) return work(context, 0, 1);
    openmp& found = pool();
    if (found.parallel) {
        if (found.nested()) return work(context, 0, 1);
        job todo{work, context};
        return found.parallel(on_openmp, &todo, static_cast<unsigned>(threads), 0);
    }
    std::vector<std::thread> others;
    others.reserve(static_cast<std::size_t>(threads - 1));
    for (int member = 1; member < threads; ++member) others.emplace_back(work, context, member, threads);
    work(context, 0, threads);
    for (std::thread& other : others) other.join();
}

std::int64_t shared_work::take(std::int64_t count) {
    return taken_.fetch_add(count, std::memory_order_relaxed);
}

constexpr int patience = 8000;  // pauses, some 200 microseconds: the system itself takes tens

static void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // about as long as a pause of the others
#endif
}

void milestone::reach() { reached_.fetch_add(1, std::memory_order_release); }

void milestone::wait(std::int64_t members) const {
    for (int spins = 0; reached_.load(std::memory_order_acquire) < members;) {
        if (spins < patience) ++spins, relax();
        else std::this_thread::yield();  // a member that lost its processor comes back only when we give ours up
    }
}

// When others were last asked, before when no team is tried, when a wait was measured last, and what it took. Nanoseconds.
static std::atomic<std::int64_t> last_asked{0}, alone_until{0}, measured_at{0}, wait_takes{0};

constexpr std::int64_t millisecond = 1'000'000;

static std::int64_t nanoseconds() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool worth_waking(std::int64_t multiplications) {
    constexpr std::int64_t awake = 5 * millisecond, many = 20'000'000;
    const std::int64_t now = nanoseconds(), before = last_asked.exchange(now, std::memory_order_relaxed);
    return multiplications >= many || now - before < awake;
}

// Found for one to seven rows of SimpleRNN, LSTM and GRU, where a wait takes 70 ns and where it takes 300. More rows can be dealt
// out instead, each with all weights, and the more there are the less a team spares them.
bool barrier::promising(std::int64_t rows, std::int64_t multiplications) {
    constexpr std::int64_t known_for = 1'000 * millisecond, near = 50;
    const std::int64_t now = nanoseconds();
    const bool assumed = measured_at.load(std::memory_order_relaxed) == std::numeric_limits<std::int64_t>::max();
    if (!assumed && now < alone_until.load(std::memory_order_relaxed)) return false;
    const bool known = now - measured_at.load(std::memory_order_relaxed) < known_for;
    const std::int64_t waiting = known ? wait_takes.load(std::memory_order_relaxed) : near;
    return multiplications >= rows * std::max<std::int64_t>(20'000, 350 * waiting - 8'000);
}

static std::atomic<std::uint32_t> parts_at{barrier::never};  // see assume

// Two lines wide: processors fetch lines in pairs.
struct alignas(128) barrier::counter {
    std::atomic<std::uint32_t> turns{0};
};

barrier::barrier(int members)
    : members_(members), measures_(members > 1 && nanoseconds() - measured_at.load(std::memory_order_relaxed) > 50 * millisecond),
      counters_(members > 1 ? new counter[static_cast<std::size_t>(members)] : nullptr) {}

barrier::~barrier() = default;

void barrier::measure(int member) {
    constexpr int trials = 8, rounds = 4;
    if (!measures_) return;
    const auto meet = [&] {
        arrive(member);
        return wait(member);
    };
    bool together = meet();
    std::int64_t begin = nanoseconds(), least = std::numeric_limits<std::int64_t>::max();
    for (int trial = 0; trial < trials && together; ++trial) {
        for (int round = 0; round < rounds && together; ++round) together = meet();
        const std::int64_t end = nanoseconds();
        least = std::min(least, (end - std::exchange(begin, end)) / rounds);
    }
    if (member != 0 || !together) return;
    wait_takes.store(least, std::memory_order_relaxed);
    measured_at.store(begin, std::memory_order_relaxed);
}

void barrier::assume(std::int64_t waiting, std::uint32_t parting) {
    parts_at.store(parting, std::memory_order_relaxed);
    wait_takes.store(waiting, std::memory_order_relaxed);
    measured_at.store(std::numeric_limits<std::int64_t>::max(), std::memory_order_relaxed);
}

std::uint32_t barrier::turns(int member) const {
    return counters_[static_cast<std::size_t>(member)].turns.load(std::memory_order_acquire);
}

void barrier::arrive(int member) {
    if (members_ == 1) return;
    std::atomic<std::uint32_t>& mine = counters_[static_cast<std::size_t>(member)].turns;
    const std::uint32_t turn = mine.load(std::memory_order_relaxed) + 1;
    if (member == 0 && parts_.load(std::memory_order_relaxed) == never) {
        const bool now = late_.load(std::memory_order_relaxed) || turn == parts_at.load(std::memory_order_relaxed);
        if (now) parts_.store(turn, std::memory_order_relaxed);  // seen with the turn
    }
    mine.store(turn, std::memory_order_release);
}

bool barrier::wait(int member) {
    constexpr int first_patience = 50'000;  // the others may have to be woken; they are waited for in any case
    constexpr std::int64_t rest = 20 * millisecond;  // without teams
    if (members_ == 1) return true;
    const std::uint32_t turn = turns(member);
    const int enough = turn == 1 ? first_patience : patience;
    for (int other = 0; other < members_; ++other)
        for (int spins = 0; turns(other) < turn;) {
            if (spins < enough) {
                ++spins, relax();
            } else {
                if (!late_.exchange(true, std::memory_order_relaxed)) alone_until.store(nanoseconds() + rest, std::memory_order_relaxed);
                std::this_thread::yield();  // a partner that lost its processor comes back only when we give ours up
            }
        }
    return turn < parts_.load(std::memory_order_relaxed);  // that member 0, ahead, parts at a later turn is heard of then
}

#if defined(__x86_64__)
flush_denormals::flush_denormals() : before_(_mm_getcsr()) { _mm_setcsr(static_cast<unsigned>(before_) | 0x8040u); }
flush_denormals::~flush_denormals() { _mm_setcsr(static_cast<unsigned>(before_)); }
#elif defined(__aarch64__)
flush_denormals::flush_denormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" ::"r"(before_ | (1u << 24)));
}
flush_denormals::~flush_denormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }
#else
flush_denormals::flush_denormals() : before_(0) {}
flush_denormals::~flush_denormals() = default;
#endif

}  // namespace seqloom
