// The two gate functions, on a vector or several (V) in registers. Both rest on one reduced exponential:
//
//     exp(y) - 1 = 2^n * (exp(r) - 1) + (2^n - 1),   y = n ln 2 + r,   |r| <= ln 2 / 2
//
//     sigmoid(x) = (x < 0 ? z : 1) / (1 + z),        z = exp(-|x|)
//     tanh(x)    = sign(x) * v / (1 - v),            v = (1 - exp(-2|x|)) / 2
//
// Largest error over all 2^32 floats, denormal results included (tests/csrc/test_activations.cpp measures it):
//     sigmoid  2.41 ulp (promised: 3)      tanh  2.50 ulp (promised: 5)
// sigmoid lies in [0, 1] and keeps its relative accuracy down to the smallest float: a closed gate has correct digits.
// tanh is odd to the bit and lies in [-1, 1]. Both reach their limits without a step back, and NaN in gives NaN out.
#pragma once

#include <cmath>

#include "several.h"

namespace seqloom::SEQLOOM_LEVEL {

#ifdef SEQLOOM_DOUBLE

inline vec sigmoid(vec x) { return {1 / (1 + std::exp(-x.v))}; }
inline vec tanh(vec x) { return {std::tanh(x.v)}; }

template <int count>
several<count> sigmoid(several<count> x) {
    for (vec& one : x.at) one = sigmoid(one);
    return x;
}

template <int count>
several<count> tanh(several<count> x) {
    for (vec& one : x.at) one = tanh(one);
    return x;
}

#else

// f y in [-104, 43], with f a power of two, as n ln 2 + f r; `expm1_r` is (exp(f r) - 1) / f. All f give the same digits.
template <class V>
struct reduced_exponential {
    V n;
    V expm1_r;
};

template <int f = 1, class V>
SEQLOOM_INLINE reduced_exponential<V> reduce(V y) {
    const vec rounder = set(12582912.0f);  // 1.5 * 2^23: adding it drops the fraction
    const V n = fma(y, set(f * 1.44269504f), rounder) - rounder;
    V r = fma(n, set(-0.693359375f / f), y);  // ln 2 in two parts, the first short enough for an exact product
    r = fma(n, set(2.12194440e-4f / f), r);
    // Minimax fit of (exp(r) - 1 - r) / r^2, relative to exp(r) - 1: 1.5e-8
    V q = set(f * f * f * f * f * 0.0013898231554776430f);
    q = fma(q, r, set(f * f * f * f * 0.0083660669624805450f));
    q = fma(q, r, set(f * f * f * 0.0416668541729450230f));
    q = fma(q, r, set(f * f * 0.1666654795408249000f));
    q = fma(q, r, set(f * 0.5f));
    return {n, fma(r * r, q, r)};
}

template <class V>
SEQLOOM_INLINE V sigmoid(V x) {
    const V y = max(set(-104.0f), minus_magnitude(x));  // exp(-104) rounds to zero
    const reduced_exponential<V> e = reduce(y);
    const V z = scale(e.expm1_r + set(1.0f), e.n);
    return where_negative(x, z, set(1.0f)) / (set(1.0f) + z);
}

template <class V>
SEQLOOM_INLINE V tanh(V x) {
    const V y = max(set(-20.0f), minus_magnitude(x));  // tanh(20) rounds to one
    const reduced_exponential<V> e = reduce<2>(y);
    const V power = power_of_two(e.n);
    const V v = fnma(power, e.expm1_r, fnma(power, set(0.5f), set(0.5f)));
    return with_sign(v / (set(1.0f) - v), x);
}

#endif

}  // namespace seqloom::SEQLOOM_LEVEL
