// Large pieces of memory, used again: what a training step saves is as large as the last step's, and memory fresh from the
// system costs a page fault for every piece of it, up to a fifth of the step.
#pragma once

#include <cstdint>

namespace seqloom {

// Two cache lines, which processors fetch together: what two threads write must lie that far apart.
constexpr std::int64_t lines = 128;

// Bytes: from there on memory new from the system costs more than looking through the pool.
constexpr std::int64_t worth_pooling = std::int64_t{512} << 10;

// Memory of `bytes` or up to twice as many, not set, at a multiple of `lines` bytes.
struct block {
    void *data, *from;
    std::int64_t bytes;
};

// From the blocks kept, or from the system. The caller's until it is given back. Throws std::bad_alloc.
block* take_block(std::int64_t bytes);

// Keeps it for a later call, while all that are kept stay below a limit. From any thread; safe in a child after fork.
void give_block(block* done) noexcept;

}  // namespace seqloom
