// Several vectors as one: each operation is done to all of them before the next, so that none of them waits for its own last
// result. A gate's function is a long chain; of two chains one after the other the processor sees too little of the second to
// begin it in time.
#pragma once

#include "simd.h"

// Always in line: a call would pass these vectors through memory.
#define SEQLOOM_INLINE __attribute__((always_inline)) inline
#define SEQLOOM_EACH(expression)                                                       \
    several all;                                                                       \
    _Pragma("GCC unroll 8") for (int i = 0; i < count; ++i) all.at[i] = expression;    \
    return all

namespace seqloom::SEQLOOM_LEVEL {

template <int count>
struct several {
    vec at[count];

    several() = default;
    SEQLOOM_INLINE several(vec a) {
        for (vec& one : at) one = a;
    }

    // The words of simd.h.
    friend SEQLOOM_INLINE several operator+(several a, several b) { SEQLOOM_EACH(a.at[i] + b.at[i]); }
    friend SEQLOOM_INLINE several operator-(several a, several b) { SEQLOOM_EACH(a.at[i] - b.at[i]); }
    friend SEQLOOM_INLINE several operator*(several a, several b) { SEQLOOM_EACH(a.at[i] * b.at[i]); }
    friend SEQLOOM_INLINE several operator/(several a, several b) { SEQLOOM_EACH(a.at[i] / b.at[i]); }
    friend SEQLOOM_INLINE several fma(several a, several b, several c) { SEQLOOM_EACH(fma(a.at[i], b.at[i], c.at[i])); }
    friend SEQLOOM_INLINE several fnma(several a, several b, several c) { SEQLOOM_EACH(fnma(a.at[i], b.at[i], c.at[i])); }
    friend SEQLOOM_INLINE several max(several a, several b) { SEQLOOM_EACH(max(a.at[i], b.at[i])); }
    friend SEQLOOM_INLINE several where_positive(several s, several a, several b) {
        SEQLOOM_EACH(where_positive(s.at[i], a.at[i], b.at[i]));
    }
#ifndef SEQLOOM_DOUBLE
    friend SEQLOOM_INLINE several minus_magnitude(several a) { SEQLOOM_EACH(minus_magnitude(a.at[i])); }
    friend SEQLOOM_INLINE several with_sign(several m, several s) { SEQLOOM_EACH(with_sign(m.at[i], s.at[i])); }
    friend SEQLOOM_INLINE several where_negative(several s, several a, several b) {
        SEQLOOM_EACH(where_negative(s.at[i], a.at[i], b.at[i]));
    }
    friend SEQLOOM_INLINE several scale(several a, several n) { SEQLOOM_EACH(scale(a.at[i], n.at[i])); }
    friend SEQLOOM_INLINE several power_of_two(several n) { SEQLOOM_EACH(power_of_two(n.at[i])); }
#endif
};

template <int count>
SEQLOOM_INLINE several<count> load_several(const real* from) {
    several<count> all;
    for (int i = 0; i < count; ++i) all.at[i] = load(from + i * lanes);
    return all;
}

template <int count>
SEQLOOM_INLINE void store(real* to, several<count> all) {
    for (int i = 0; i < count; ++i) store(to + i * lanes, all.at[i]);
}

}  // namespace seqloom::SEQLOOM_LEVEL

#undef SEQLOOM_EACH
