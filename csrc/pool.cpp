#include "pool.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace seqloom {

namespace {

constexpr std::int64_t most_kept = std::int64_t{256} << 20;  // bytes

std::atomic<std::int64_t> kept{0};
std::atomic<unsigned> next_to_go{0};

// Exchanged whole, so that no lock can be left behind by a thread that a fork did not take along.
std::array<std::atomic<block*>, 16>& places() {
    static std::array<std::atomic<block*>, 16> all{};
    return all;
}

void release(block* done) {
    std::free(done->from);
    delete done;
}

// The block at a place, if any, which is the caller's then.
block* lift(std::atomic<block*>& place) {
    block* found = place.exchange(nullptr, std::memory_order_acq_rel);
    if (found != nullptr) kept.fetch_sub(found->bytes, std::memory_order_relaxed);
    return found;
}

// Advises huge pages for memory that is about to be written for the first time, where the system offers them.
void prefer_huge_pages(void* from, std::int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr std::uintptr_t huge = std::uintptr_t{2} << 20;
    const auto begin = (reinterpret_cast<std::uintptr_t>(from) + huge - 1) / huge * huge;
    const auto end = (reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(bytes)) / huge * huge;
    if (from != nullptr && begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
    (void)from, (void)bytes;
#endif
}

}  // namespace

block* take_block(std::int64_t bytes) {
    for (std::atomic<block*>& place : places()) {
        block* found = lift(place);
        if (found == nullptr) continue;
        if (found->bytes >= bytes && found->bytes / 2 <= bytes) return found;
        give_block(found);
    }
    // Each at another place within its page: rows of several blocks read side by side would else fight for the same lines of the
    // first-level cache.
    constexpr std::int64_t page = 4096;
    static std::atomic<std::int64_t> made_so_far{0};
    const std::int64_t shift = made_so_far.fetch_add(1, std::memory_order_relaxed) * 11 * lines % page;
    auto made = std::make_unique<block>();
    made->bytes = bytes;
    made->from = std::aligned_alloc(page, static_cast<std::size_t>((bytes + 2 * page) / page * page));
    if (made->from == nullptr) throw std::bad_alloc();
    made->data = static_cast<char*>(made->from) + shift;
    prefer_huge_pages(made->from, bytes + page);
    return made.release();
}

void give_block(block* done) noexcept {
    if (kept.fetch_add(done->bytes, std::memory_order_relaxed) + done->bytes > most_kept) {
        kept.fetch_sub(done->bytes, std::memory_order_relaxed);
        return release(done);
    }
    for (std::atomic<block*>& place : places()) {
        block* empty = nullptr;
        if (place.compare_exchange_strong(empty, done, std::memory_order_acq_rel)) return;
    }
    auto& all = places();
    std::atomic<block*>& place = all[next_to_go.fetch_add(1, std::memory_order_relaxed) % all.size()];
    if (block* old = place.exchange(done, std::memory_order_acq_rel)) {
        kept.fetch_sub(old->bytes, std::memory_order_relaxed);
        release(old);
    }
}

}  // namespace seqloom
