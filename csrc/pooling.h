// The largest of each unit over the steps of a row, and the way back of its gradient.
//
// Numbers are compared and moved, and none is computed: no bit depends on the batch or on the thread. Denormal numbers are
// compared as what they are, as torch does it.
#pragma once

#include "attend.h"
#include "kernels.h"

namespace seqloom::SEQLOOM_LEVEL {

// How many members `parts` of so many numbers in all are shared out to: one where the others sleep and would be woken for little.
inline int sharing(i64 parts, i64 numbers, int threads) {
    constexpr i64 number_costs = 4;  // multiplications: it is read, or written
    const i64 work = numbers * number_costs, useful = std::min<i64>({threads, parts, 1 + work / worth_a_thread});
    return useful > 1 && worth_waking(work) ? static_cast<int>(useful) : 1;
}

inline i64 numbers_of(whole_vector, i64 vectors) { return vectors * lanes; }
inline i64 numbers_of(first_numbers at, i64) { return at.count; }

// The largest of one or more vectors of units over `length` > 0 steps, which lie `apart`; and their places, where `placed`.
// Steps that are compared wait for the one before: several vectors do so side by side.
template <int vectors, bool placed, class At>
inline void find_largest(At at, i64 length, const real* x, i64 apart, real* largest, std::int32_t* places) {
    vec most[vectors], place[vectors];
    for (int p = 0; p < vectors; ++p) most[p] = at.get(x + p * lanes), place[p] = set(0);
    for (i64 t = 1; t < length; ++t) {
        const real* step = x + t * apart;
        const vec now = set(static_cast<real>(t));
        for (int p = 0; p < vectors; ++p) {
            const vec y = at.get(step + p * lanes);
            if (placed) place[p] = where_above(y, most[p], now, place[p]);
            most[p] = where_above(y, most[p], y, most[p]);
        }
    }
    for (int p = 0; p < vectors; ++p) at.put(largest + p * lanes, most[p]);
    if (!placed) return;
    real whole[vectors * lanes];
    for (int p = 0; p < vectors; ++p) store(whole + p * lanes, place[p]);
    for (i64 i = 0; i < numbers_of(at, vectors); ++i) places[i] = static_cast<std::int32_t>(whole[i]);
}

// The same of `units` units. A vector that is not full starts earlier, where it can: what it has in common with the one before
// comes out as before.
template <bool placed>
inline void find_largest_of(i64 units, i64 length, const real* x, i64 apart, real* largest, std::int32_t* places) {
    const auto find = [=](auto vectors, auto at, i64 i) {
        find_largest<decltype(vectors)::value, placed>(at, length, x + i, apart, largest + i, placed ? places + i : nullptr);
    };
    constexpr std::integral_constant<int, 8> eight;
    constexpr std::integral_constant<int, 4> four;
    constexpr std::integral_constant<int, 1> one;
    i64 i = 0;
    for (; i + eight * lanes <= units; i += eight * lanes) find(eight, whole_vector{}, i);
    for (; i + four * lanes <= units; i += four * lanes) find(four, whole_vector{}, i);
    for (; i + lanes <= units; i += lanes) find(one, whole_vector{}, i);
    if (i == units) return;
    if (units >= lanes) find(one, whole_vector{}, units - lanes);
    else find(one, first_numbers{units}, 0);
}

// csrc/kernels.h says what every argument is. Shared out are rows, and of a row its units: one row may be long.
inline void max_pool(i64 batch, i64 time, i64 units, const i64* lengths, const steps_of<const real>& x, real* largest, std::int32_t* places,
                     int threads) {
    constexpr i64 least = 8 * lanes;  // units of a part
    const i64 parts_of_row = std::max<i64>(1, units / least), parts = batch * parts_of_row;
    parallel(sharing(parts, batch * time * units, threads), [&](i64 member, i64 members) {
        for (i64 part = parts * member / members; part < parts * (member + 1) / members; ++part) {
            const i64 b = part / parts_of_row, first = part % parts_of_row * least;
            const i64 count = part % parts_of_row + 1 == parts_of_row ? units - first : least, at = b * units + first;
            const i64 length = std::min(std::max(lengths[b], i64{0}), time);
            if (length == 0) {
                std::fill_n(largest + at, count, real(0));
                if (places != nullptr) std::fill_n(places + at, count, -1);
            } else if (places != nullptr) {
                find_largest_of<true>(count, length, x.at(b, 0) + first, x.time, largest + at, places + at);
            } else {
                find_largest_of<false>(count, length, x.at(b, 0) + first, x.time, largest + at, nullptr);
            }
        }
    });
}

// Zeros, and what is not zero put among them: that takes half of the time, or less, of asking at each number whether it is.
inline void max_pool_backward(i64 batch, i64 time, i64 units, const std::int32_t* places, const real* gradient, real* of_x, int threads) {
    parallel(sharing(batch, batch * time * units, threads), [&](i64 member, i64 members) {
        for (i64 b = batch * member / members; b < batch * (member + 1) / members; ++b) {
            const std::int32_t* at = places + b * units;
            real* to = of_x + b * time * units;
            std::fill_n(to, time * units, real(0));
            for (i64 i = 0; i < units; ++i)
                if (at[i] >= 0 && at[i] < time) to[at[i] * units + i] = gradient[b * units + i];
        }
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
