// The cross entropy of a softmax over a vocabulary, and its gradient in the place of the logits.
//
//     loss = log sum exp(z) - (1 - s) z[target] - s mean(z)
//     dz   = w (softmax(z) - s / V - (1 - s) [target])           s: label smoothing, w: the weight of each loss
//
// The logits of a token are a column: a vector holds as many tokens as it has lanes, and no sum over the vocabulary crosses
// them. Such a sum is one chain of sums over `block` words, the same for every width, thread and number of tokens.
#pragma once

#include <cmath>

#include "attend.h"
#include "kernels.h"
#include "panels.h"

namespace seqloom::SEQLOOM_LEVEL {

// What the columns of one or more vectors come to.
template <int vectors>
struct column_sums {
    vec most[vectors], exponentials[vectors], below[vectors];  // max z; sum of exp(z - max z); sum of z - max z
};

// Of V rows, `row` apart; z becomes exp(z - max z).
template <int vectors, class At>
inline column_sums<vectors> exponentials(At at, i64 words, i64 row, real* z) {
    constexpr i64 block = 128;  // a chain over all words would lose digits
    column_sums<vectors> found;
    for (int p = 0; p < vectors; ++p) {
        found.most[p] = at.get(z + p * lanes);
        found.exponentials[p] = found.below[p] = set(0);
    }
    for (i64 v = 1; v < words; ++v)
        for (int p = 0; p < vectors; ++p) found.most[p] = max(found.most[p], at.get(z + v * row + p * lanes));
    for (i64 v = 0; v < words;) {
        vec exponentials[vectors], below[vectors];
        for (int p = 0; p < vectors; ++p) exponentials[p] = below[p] = set(0);
        for (const i64 end = std::min(words, v + block); v < end; ++v)
            for (int p = 0; p < vectors; ++p) {
                real* to = z + v * row + p * lanes;
                const vec y = at.get(to) - found.most[p], e = falling_exponential(y);
                at.put(to, e);
                exponentials[p] = exponentials[p] + e;
                below[p] = below[p] + y;
            }
        for (int p = 0; p < vectors; ++p) {
            found.exponentials[p] = found.exponentials[p] + exponentials[p];
            found.below[p] = found.below[p] + below[p];
        }
    }
    return found;
}

// The losses of `count` tokens from `first` on, those of one or more vectors. z becomes a multiple of the gradient, but for the
// smoothing; `scales` says of each token by how much it is to be multiplied.
template <int vectors, class At>
inline void lose(At at, const softmax_loss& s, i64 first, i64 count, real* scales) {
    real *z = s.logits + first, chosen[vectors * lanes];
    for (i64 j = 0; j < count; ++j) chosen[j] = z[s.targets[first + j] * s.tokens + j];
    const column_sums<vectors> found = exponentials<vectors>(at, s.words, s.tokens, z);
    real most[vectors * lanes], sums[vectors * lanes], below[vectors * lanes];
    for (int p = 0; p < vectors; ++p) {
        store(most + p * lanes, found.most[p]);
        store(sums + p * lanes, found.exponentials[p]);
        store(below + p * lanes, found.below[p]);
    }
    for (i64 j = 0; j < count; ++j) {
        double loss = std::log(static_cast<double>(sums[j])) - (1.0 - s.smoothing) * (static_cast<double>(chosen[j]) - most[j]);
        if (s.smoothing > 0) loss -= s.smoothing * static_cast<double>(below[j]) / static_cast<double>(s.words);
        s.losses[first + j] = static_cast<real>(loss);
        z[s.targets[first + j] * s.tokens + j] -= (1 - s.smoothing) * sums[j];
        scales[first + j] = s.weight / sums[j];
    }
}

inline void cross_entropy(const softmax_loss& s) {
    constexpr i64 together = 4 * lanes;
    const i64 work = s.words * s.tokens * exponential_costs;
    const auto members_for = [&](i64 parts) {
        return static_cast<int>(std::max<i64>(1, std::min<i64>({s.threads, parts, 1 + work / worth_a_thread})));
    };
    workspace space(s.tokens);
    real* scales = space.take(s.tokens);
    const i64 strips = (s.tokens + together - 1) / together;
    parallel(members_for(strips), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        const i64 end = std::min(s.tokens, strips * (member + 1) / members * together);
        i64 first = strips * member / members * together;
        for (; first + together <= end; first += together) lose<4>(whole_vector{}, s, first, together, scales);
        for (; first + lanes <= end; first += lanes) lose<1>(whole_vector{}, s, first, lanes, scales);
        if (first < end) lose<1>(first_numbers{end - first}, s, first, end - first, scales);
    });
    if (s.weight == 0) return;
    const vec spread = set(s.weight * s.smoothing / static_cast<real>(s.words));
    parallel(members_for(s.words), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        for (i64 v = s.words * member / members; v < s.words * (member + 1) / members; ++v) {
            real* z = s.logits + v * s.tokens;
            in_vectors(s.tokens, [=](auto at, i64 j) { at.put(z + j, at.get(z + j) * at.get(scales + j) - spread); });
            if (s.sums != nullptr) s.sums[v] += in_chains(s.tokens, [=](auto at, i64 j, vec sum) { return sum + at.get(z + j); });
        }
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
