// One vector type `vec` for every instruction set: the kernels above are written once and compiled once a level.
//
// A translation unit says which level it is by its compiler flags (-mavx512f, -mavx2 -mfma, -DSEQLOOM_NEON, or none). All lives
// in a namespace named after the level, so that the linker never mixes code of one level into another.
//
// Levels agree to the bit, but for the sign of NaN, where `fma` rounds once: avx2, avx512, neon and plain code on a machine whose
// baseline has FMA (such as AArch64). On baseline x86-64, plain `fma` rounds twice and may differ by an ulp. Contraction by the
// compiler is off.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#if defined(__AVX512VNNI__)
#define SEQLOOM_LEVEL avx512_vnni
#else
#define SEQLOOM_LEVEL avx512
#endif
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SEQLOOM_LEVEL avx2
#elif defined(SEQLOOM_NEON)
#include <arm_neon.h>
#define SEQLOOM_LEVEL neon
#elif defined(SEQLOOM_DOUBLE)
#define SEQLOOM_LEVEL plain_double
#else
#define SEQLOOM_LEVEL plain
#endif

namespace seqloom::SEQLOOM_LEVEL {

// Every level has the same words:
//   set(a)           all lanes a                load(p), store(p, v)   `lanes` floats, any alignment
//   load_first(p, n), store_first(p, v, n)      the first n < lanes of them; the other lanes are zero, and what lies after the n is
//                    not written: tails go through the same arithmetic as whole vectors
//   fma(a, b, c)     a * b + c                  max(a, b)              b where either is NaN
//   fnma(a, b, c)    c - a * b                  power_of_two(n)        2^n, for whole n in -126..127; anything for other n
//   store_past(p, v) as store, where `stores_past`: past the caches, which need not fetch what is overwritten; p at a multiple of
//                    `lanes` floats. `settle()`, before another thread reads it
//   minus_magnitude(v)   -|v|                   with_sign(m, s)        m >= 0 with the sign of s; NaN where m is
//   where_negative(s, a, b)   a where the sign bit of s is set, else b
//   where_positive(s, a, b)   a where s > 0, else b; b where s is NaN
//   where_above(x, y, a, b)   a where x > y or x alone is NaN, else b: what max over time takes, the first of equals and of NaNs
//   scale(a, n)      a 2^n, rounded once, for a in 0.5..2 and whole n in -188..62; anything for other n

// Added to a whole number, this leaves it in the low bits, as the exponent of a float: 127, and 1.5 2^23. Defined for NaN too, where
// a conversion to int is not.
constexpr float to_exponent = 127.0f + 12582912.0f;

#if defined(__AVX512F__)

constexpr std::int64_t lanes = 16;
using real = float;
struct vec { __m512 v; };

inline vec set(float a) { return {_mm512_set1_ps(a)}; }
inline vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, vec a) { _mm512_storeu_ps(p, a.v); }
inline void store_past(float* p, vec a) { _mm512_stream_ps(p, a.v); }
inline __mmask16 first_lanes(std::int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }
inline vec load_first(const float* p, std::int64_t count) { return {_mm512_maskz_loadu_ps(first_lanes(count), p)}; }
inline void store_first(float* p, vec a, std::int64_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), a.v); }
inline vec operator+(vec a, vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline vec operator-(vec a, vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline vec operator*(vec a, vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline vec operator/(vec a, vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline vec fma(vec a, vec b, vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline vec fnma(vec a, vec b, vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline vec max(vec a, vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline vec minus_magnitude(vec a) {
    return {_mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(INT32_MIN)))};
}
inline vec with_sign(vec m, vec s) {
    constexpr int choose = 0xd8;  // the third bit ? second : first
    return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(m.v), _mm512_castps_si512(s.v),
                                                          _mm512_set1_epi32(INT32_MIN), choose))};
}
inline vec where_negative(vec s, vec a, vec b) {
    const __mmask16 negative = _mm512_cmplt_epi32_mask(_mm512_castps_si512(s.v), _mm512_setzero_si512());
    return {_mm512_mask_blend_ps(negative, b.v, a.v)};
}
inline vec where_positive(vec s, vec a, vec b) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(s.v, _mm512_setzero_ps(), _CMP_GT_OQ), b.v, a.v)};
}
inline vec where_above(vec x, vec y, vec a, vec b) {
    const __mmask16 above = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(y.v, y.v, _CMP_ORD_Q), x.v, y.v, _CMP_NLE_UQ);
    return {_mm512_mask_blend_ps(above, b.v, a.v)};
}
inline vec scale(vec a, vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline vec power_of_two(vec n) { return scale(set(1), n); }

#elif defined(__AVX2__) && defined(__FMA__)

constexpr std::int64_t lanes = 8;
using real = float;
struct vec { __m256 v; };

inline vec set(float a) { return {_mm256_set1_ps(a)}; }
inline vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, vec a) { _mm256_storeu_ps(p, a.v); }
inline void store_past(float* p, vec a) { _mm256_stream_ps(p, a.v); }
inline vec load_first(const float* p, std::int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane))};
}
inline void store_first(float* p, vec a, std::int64_t count) {  // piece by piece: a store by a mask is slow on Zen
    __m128 left = _mm256_castps256_ps128(a.v);
    if (count & 4) _mm_storeu_ps(p, left), p += 4, left = _mm256_extractf128_ps(a.v, 1);
    if (count & 2) _mm_storel_pi(reinterpret_cast<__m64*>(p), left), p += 2, left = _mm_movehl_ps(left, left);
    if (count & 1) _mm_store_ss(p, left);
}
inline vec operator+(vec a, vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline vec operator-(vec a, vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline vec operator*(vec a, vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline vec operator/(vec a, vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline vec fma(vec a, vec b, vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline vec fnma(vec a, vec b, vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
inline vec max(vec a, vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline vec minus_magnitude(vec a) { return {_mm256_or_ps(a.v, _mm256_set1_ps(-0.0f))}; }
inline vec with_sign(vec m, vec s) { return {_mm256_or_ps(m.v, _mm256_and_ps(s.v, _mm256_set1_ps(-0.0f)))}; }
inline vec where_negative(vec s, vec a, vec b) { return {_mm256_blendv_ps(b.v, a.v, s.v)}; }
inline vec where_positive(vec s, vec a, vec b) {
    return {_mm256_blendv_ps(b.v, a.v, _mm256_cmp_ps(s.v, _mm256_setzero_ps(), _CMP_GT_OQ))};
}
inline vec where_above(vec x, vec y, vec a, vec b) {
    return {_mm256_blendv_ps(b.v, a.v, _mm256_and_ps(_mm256_cmp_ps(x.v, y.v, _CMP_NLE_UQ), _mm256_cmp_ps(y.v, y.v, _CMP_ORD_Q)))};
}
inline vec power_of_two(vec n) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256((n + set(to_exponent)).v), 23))}; }

#elif defined(SEQLOOM_NEON)

constexpr std::int64_t lanes = 4;
using real = float;
struct vec { float32x4_t v; };

inline vec set(float a) { return {vdupq_n_f32(a)}; }
inline vec load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, vec a) { vst1q_f32(p, a.v); }
inline vec operator+(vec a, vec b) { return {vaddq_f32(a.v, b.v)}; }
inline vec operator-(vec a, vec b) { return {vsubq_f32(a.v, b.v)}; }
inline vec operator*(vec a, vec b) { return {vmulq_f32(a.v, b.v)}; }
inline vec operator/(vec a, vec b) { return {vdivq_f32(a.v, b.v)}; }
inline vec fma(vec a, vec b, vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline vec fnma(vec a, vec b, vec c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
inline vec max(vec a, vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline vec minus_magnitude(vec a) { return {vnegq_f32(vabsq_f32(a.v))}; }
inline vec with_sign(vec m, vec s) { return {vbslq_f32(vdupq_n_u32(0x80000000u), s.v, m.v)}; }
inline vec where_negative(vec s, vec a, vec b) { return {vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(s.v)), a.v, b.v)}; }
inline vec where_positive(vec s, vec a, vec b) { return {vbslq_f32(vcgtzq_f32(s.v), a.v, b.v)}; }
inline vec where_above(vec x, vec y, vec a, vec b) {
    return {vbslq_f32(vbicq_u32(vceqq_f32(y.v, y.v), vcleq_f32(x.v, y.v)), a.v, b.v)};
}
inline vec power_of_two(vec n) { return {vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32((n + set(to_exponent)).v), 23))}; }

#elif defined(SEQLOOM_DOUBLE)

// For checks of the arithmetic against finite differences: every kernel above, in 64 bits.
constexpr std::int64_t lanes = 1;
using real = double;
struct vec { double v; };

inline vec set(double a) { return {a}; }
inline vec load(const double* p) { return {*p}; }
inline void store(double* p, vec a) { *p = a.v; }
inline vec operator+(vec a, vec b) { return {a.v + b.v}; }
inline vec operator-(vec a, vec b) { return {a.v - b.v}; }
inline vec operator*(vec a, vec b) { return {a.v * b.v}; }
inline vec operator/(vec a, vec b) { return {a.v / b.v}; }
inline vec fma(vec a, vec b, vec c) { return {a.v * b.v + c.v}; }
inline vec fnma(vec a, vec b, vec c) { return {c.v - a.v * b.v}; }
inline vec max(vec a, vec b) { return {a.v > b.v ? a.v : b.v}; }
inline vec where_positive(vec s, vec a, vec b) { return s.v > 0 ? a : b; }

#else

constexpr std::int64_t lanes = 1;
using real = float;
struct vec { float v; };

inline std::uint32_t bits(float a) { std::uint32_t b; std::memcpy(&b, &a, sizeof b); return b; }
inline float from_bits(std::uint32_t b) { float a; std::memcpy(&a, &b, sizeof a); return a; }

inline vec set(float a) { return {a}; }
inline vec load(const float* p) { return {*p}; }
inline void store(float* p, vec a) { *p = a.v; }
inline vec operator+(vec a, vec b) { return {a.v + b.v}; }
inline vec operator-(vec a, vec b) { return {a.v - b.v}; }
inline vec operator*(vec a, vec b) { return {a.v * b.v}; }
inline vec operator/(vec a, vec b) { return {a.v / b.v}; }
inline vec fma(vec a, vec b, vec c) {
#ifdef __FP_FAST_FMAF
    return {__builtin_fmaf(a.v, b.v, c.v)};
#else
    return {a.v * b.v + c.v};
#endif
}
inline vec fnma(vec a, vec b, vec c) { return fma({-a.v}, b, c); }
inline vec max(vec a, vec b) { return {a.v > b.v ? a.v : b.v}; }
inline vec minus_magnitude(vec a) { return {from_bits(bits(a.v) | 0x80000000u)}; }
inline vec with_sign(vec m, vec s) { return {from_bits(bits(m.v) | (bits(s.v) & 0x80000000u))}; }
inline vec where_negative(vec s, vec a, vec b) { return bits(s.v) >> 31 ? a : b; }
inline vec where_positive(vec s, vec a, vec b) { return s.v > 0 ? a : b; }
inline vec where_above(vec x, vec y, vec a, vec b) { return !(x.v <= y.v) && y.v == y.v ? a : b; }
inline vec power_of_two(vec n) { return {from_bits(bits(n.v + to_exponent) << 23)}; }

#endif

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
constexpr bool stores_past = true;
inline void settle() { _mm_sfence(); }
#else
constexpr bool stores_past = false;
inline void store_past(real* p, vec a) { store(p, a); }
inline void settle() {}

// Without masks, by way of memory.
inline vec load_first(const real* p, std::int64_t count) {
    real padded[lanes] = {};
    std::memcpy(padded, p, static_cast<std::size_t>(count) * sizeof(real));
    return load(padded);
}

inline void store_first(real* p, vec a, std::int64_t count) {
    real padded[lanes];
    store(padded, a);
    std::memcpy(p, padded, static_cast<std::size_t>(count) * sizeof(real));
}
#endif

#if !defined(__AVX512F__) && !defined(SEQLOOM_DOUBLE)
// In two factors, of which the second alone rounds: 2^n may be below the smallest normal float.
inline vec scale(vec a, vec n) { return a * power_of_two(n + set(64.0f)) * set(0x1p-64f); }
#endif

}  // namespace seqloom::SEQLOOM_LEVEL
