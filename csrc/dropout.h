// Dropout: which numbers stay is told by a hash of their places, so that no random number is kept for the way back.
#pragma once

#include "kernels.h"
#include "pooling.h"

namespace seqloom::SEQLOOM_LEVEL {

// The last steps of MurmurHash3 (Appleby): every bit of what goes in moves every bit of what comes out.
inline std::uint32_t scattered(std::uint32_t bits) {
    bits = (bits ^ bits >> 16) * 0x85ebca6bu;
    bits = (bits ^ bits >> 13) * 0xc2b2ae35u;
    return bits ^ bits >> 16;
}

// 16 bits decide of a number: those of 32 numbers come from 16 words, the lower halves first.
constexpr i64 decided_together = 32;

// A word is its number and one half of the seed, scattered, and the other half, scattered again. Seeds are to be random: those
// with equal upper halves have the same words in other places.
inline void drop_some(i64 from, std::uint64_t seed, std::uint32_t dropped, float scale, const float* x, float* y) {
    constexpr int words = decided_together / 2;
    const auto word = static_cast<std::uint64_t>(from / 2);
    const auto low = static_cast<std::uint32_t>(seed + word), high = static_cast<std::uint32_t>(seed >> 32 ^ word >> 32);
    std::uint32_t bits[words];
    for (int i = 0; i < words; ++i) bits[i] = scattered(scattered(low + static_cast<std::uint32_t>(i)) ^ high);
    // By masks: a branch for each number would be guessed wrong as often as not.
    std::uint32_t kept[decided_together];
    std::memcpy(kept, x, sizeof kept);
    for (int i = 0; i < words; ++i) kept[i] &= 0u - static_cast<std::uint32_t>((bits[i] & 0xffffu) >= dropped);
    for (int i = 0; i < words; ++i) kept[words + i] &= 0u - static_cast<std::uint32_t>((bits[i] >> 16) >= dropped);
    float numbers[decided_together];
    std::memcpy(numbers, kept, sizeof kept);
    for (int i = 0; i < decided_together; ++i) y[i] = numbers[i] * scale;
}

inline void drop(i64 count, std::uint64_t seed, std::uint32_t dropped, float scale, const float* x, float* y, int threads) {
    const i64 parts = (count + decided_together - 1) / decided_together;
    parallel(sharing(parts, 4 * count, threads), [&](int member, int members) {
        const i64 begin = parts * member / members * decided_together;
        const i64 end = std::min(count, parts * (member + 1) / members * decided_together);
        i64 at = begin;
        for (; at + decided_together <= end; at += decided_together) drop_some(at, seed, dropped, scale, x + at, y + at);
        if (at == end) return;
        float last[decided_together] = {};
        std::copy_n(x + at, end - at, last);
        drop_some(at, seed, dropped, scale, last, last);
        std::copy_n(last, end - at, y + at);
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
