// Whether numbers in memory are still what they were: cheaper than copying them, and surer than counting writes.
#pragma once

#include <cstdint>
#include <cstring>

namespace seqloom {

// A hash of `bytes` bytes. Any one changed word changes it; two changed memories agree by chance in 1 of 2^64.
inline std::uint64_t fingerprint(const void* from, std::int64_t bytes) {
    constexpr int chains = 8;  // side by side, for each waits for its own product
    constexpr std::uint64_t odd = 0x9e3779b97f4a7c15u;
    std::uint64_t hash[chains];
    for (int i = 0; i < chains; ++i) hash[i] = odd * static_cast<std::uint64_t>(i + 1);
    const char* at = static_cast<const char*>(from);
    const auto mix = [](std::uint64_t hash, std::uint64_t word) { return ((hash ^ word) * odd) ^ (hash >> 29); };
    for (; bytes >= chains * 8; bytes -= chains * 8, at += chains * 8) {
        std::uint64_t words[chains];
        std::memcpy(words, at, sizeof words);
        for (int i = 0; i < chains; ++i) hash[i] = mix(hash[i], words[i]);
    }
    std::uint64_t tail[chains] = {};
    std::memcpy(tail, at, static_cast<std::size_t>(bytes));
    std::uint64_t all = static_cast<std::uint64_t>(bytes);
    for (int i = 0; i < chains; ++i) all = mix(all, mix(hash[i], tail[i]));
    return all;
}

}  // namespace seqloom
