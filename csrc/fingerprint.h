// Whether numbers in memory are still what they were: cheaper than copying them, and surer than counting writes.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.h"

namespace seqloom::SEQLOOM_LEVEL {

// A hash of `bytes` bytes, read as fast as the caches give them; every level makes the same one. Any one changed word of 32
// bits changes it; words changed together go unseen by chance, in 1 of 2^32 cases where all stand a multiple of 128 words
// apart and more rarely elsewhere.
inline std::uint64_t fingerprint(const void* from, std::int64_t bytes) {
    // As wide as the level's registers: wider ones the compiler keeps in memory, which takes four times as long.
    constexpr std::int64_t width = lanes < 4 ? 16 : 4 * lanes;
    using words = std::uint32_t __attribute__((vector_size(width)));
    constexpr std::int64_t line = 512;            // in chains side by side, for each waits for its own product
    constexpr int count = line / 4, chains = line / width;
    std::uint32_t start[count];
    for (std::uint32_t i = 0; i < count; ++i) start[i] = 0x9e3779b1u * (i + 1);
    words hash[chains];
    std::memcpy(hash, start, sizeof hash);
    const auto mix = [&](const char* at) {
#pragma GCC unroll 32
        for (int c = 0; c < chains; ++c) {
            words next;
            std::memcpy(&next, at + c * width, sizeof next);
            hash[c] = (hash[c] ^ next) * 0x85ebca77u;
            hash[c] ^= hash[c] >> 15;  // or a changed sign would stay in the highest bit, where a second one takes it back
        }
    };
    const char* at = static_cast<const char*>(from);
    std::int64_t left = bytes;
    for (; left >= line; left -= line, at += line) mix(at);
    char tail[line] = {};
    if (left > 0) std::memcpy(tail, at, static_cast<std::size_t>(left));
    mix(tail);
    std::uint32_t found[count];
    std::memcpy(found, hash, sizeof hash);
    const auto join = [](std::uint64_t& to, std::uint64_t next) {
        to = (to ^ next) * 0x9e3779b97f4a7c15u;
        to ^= to >> 29;
    };
    std::uint64_t each[8] = {}, all = static_cast<std::uint64_t>(bytes);
    for (int i = 0; i < count; ++i) join(each[i % 8], found[i]);
    for (std::uint64_t one : each) join(all, one);
    return all;
}

}  // namespace seqloom::SEQLOOM_LEVEL
