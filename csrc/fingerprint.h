// Whether numbers in memory are still what they were: cheaper than copying them, and surer than counting writes.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.h"

namespace seqloom::SEQLOOM_LEVEL {

// A hash of `bytes` bytes, read as fast as the caches give them; every level makes the same one. Any one changed word of 32
// bits changes it; words changed together go unseen by chance, in 1 of 2^32 cases where all stand a multiple of 64 words
// apart and more rarely elsewhere.
inline std::uint64_t fingerprint(const void* from, std::int64_t bytes) {
    using words = std::uint32_t __attribute__((vector_size(64)));  // the compiler makes of it what the level has
    constexpr int chains = 4;                                      // side by side, for each waits for its own product
    constexpr std::int64_t line = chains * static_cast<std::int64_t>(sizeof(words));
    words hash[chains];
    for (std::uint32_t c = 0; c < chains; ++c)
        for (std::uint32_t lane = 0; lane < 16; ++lane) hash[c][lane] = 0x9e3779b1u * (16 * c + lane + 1);
    const auto mix = [&](const char* at) {
        for (int c = 0; c < chains; ++c) {
            words next;
            std::memcpy(&next, at + c * static_cast<int>(sizeof next), sizeof next);
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
    std::uint64_t all = static_cast<std::uint64_t>(bytes);
    for (int c = 0; c < chains; ++c)
        for (int lane = 0; lane < 16; ++lane) {
            all = (all ^ hash[c][lane]) * 0x9e3779b97f4a7c15u;
            all ^= all >> 29;
        }
    return all;
}

}  // namespace seqloom::SEQLOOM_LEVEL
