// Attention, one row after the other, rows dealt to threads: scores, softmax over the row's own steps, and the sum of its memory.
//
//     e_s = v . tanh(k_s + q)   or   k_s . q;     a = softmax(e);     z = sum of a_s m_s
//
// A sum over the numbers of a step is made in `width` chains, folded in one order; a sum over steps is one chain in their
// order. Neither knows the batch, the padding, the thread or the width of a vector.
#pragma once

#include "activations.h"
#include "attention.h"
#include "gemm.h"
#include "threads.h"

namespace seqloom::SEQLOOM_LEVEL {

constexpr i64 width = 32, parts_of_width = width / lanes;

// A whole vector of memory, or the first numbers of one with zeros after them.
struct whole_vector {
    static vec get(const real* from) { return load(from); }
    static void put(real* to, vec a) { store(to, a); }
    static vec only(vec a) { return a; }
};
struct first_numbers {
    i64 count;
    vec only(vec a) const {
        real all[lanes];
        store(all, a);
        return load_first(all, count);
    }
    vec get(const real* from) const { return load_first(from, count); }
    void put(real* to, vec a) const { store_first(to, a, count); }
};

// f(at, i) for the vectors at i = 0, lanes, ... of `count` numbers.
template <class F>
inline void in_vectors(i64 count, F f) {
    i64 i = 0;
    for (; i + lanes <= count; i += lanes) f(whole_vector{}, i);
    if (i < count) f(first_numbers{count - i}, i);
}

// The sum that add(at, i, sum) makes of these vectors: it adds one to `sum`.
template <class Add>
inline real in_chains(i64 count, Add add) {
    vec sum[parts_of_width];
    for (vec& part : sum) part = set(0);
    i64 i = 0;
    for (; i + width <= count; i += width)
        for (i64 p = 0; p < parts_of_width; ++p) sum[p] = add(whole_vector{}, i + p * lanes, sum[p]);
    for (vec* part = sum; i < count; i += lanes, ++part)
        *part = i + lanes <= count ? add(whole_vector{}, i, *part) : add(first_numbers{count - i}, i, *part);
    real all[width];
    for (i64 p = 0; p < parts_of_width; ++p) store(all + p * lanes, sum[p]);
    for (i64 half = width / 2; half > 0; half /= 2)
        for (i64 at = 0; at < half; ++at) all[at] += all[at + half];
    return all[0];
}

inline real dot(i64 count, const real* a, const real* b) {
    return in_chains(count, [=](auto at, i64 i, vec sum) { return fma(at.get(a + i), at.get(b + i), sum); });
}

// exp(y) for y <= 0, zero below -104. NaN in gives NaN out.
inline vec falling_exponential(vec y) {
    const reduced_exponential e = reduce(max(set(-104.0f), y));
    return scale(e.expm1_r + set(1.0f), e.n);
}

// `count` scores, in place.
inline void softmax(i64 count, real* e) {
    real most = count > 0 ? e[0] : 0;
    for (i64 s = 1; s < count; ++s) most = e[s] > most ? e[s] : most;
    in_vectors(count, [=](auto at, i64 s) { at.put(e + s, falling_exponential(at.get(e + s) - set(most))); });
    const real all = in_chains(count, [=](auto at, i64 s, vec sum) { return sum + at.get(e + s); });
    in_vectors(count, [=](auto at, i64 s) { at.put(e + s, at.get(e + s) / set(all)); });
}

// `count` logits become log-probabilities, in place: e - max e - log sum exp(e - max e). NaN where one of them is.
inline void log_softmax(i64 count, real* e) {
    real most = count > 0 ? e[0] : 0;
    for (i64 s = 1; s < count; ++s) most = e[s] > most ? e[s] : most;
    const real all = in_chains(count, [=](auto at, i64 s, vec sum) { return sum + at.only(falling_exponential(at.get(e + s) - set(most))); });
    const vec highest = set(most), rest = set(static_cast<real>(std::log(static_cast<double>(all))));
    in_vectors(count, [=](auto at, i64 s) { at.put(e + s, at.get(e + s) - highest - rest); });
}

// to = the sum of weight(s) row(s) over s = 0 .. count - 1, each row `size` numbers. Four rows at a time: one chain still.
template <class Weight, class Row>
inline void weighed_sum(i64 count, i64 size, real* to, Weight weight, Row row) {
    std::fill_n(to, size, real(0));
    i64 s = 0;
    for (; s + 4 <= count; s += 4) {
        const real *a = row(s), *b = row(s + 1), *c = row(s + 2), *d = row(s + 3);
        const vec of_a = set(weight(s)), of_b = set(weight(s + 1)), of_c = set(weight(s + 2)), of_d = set(weight(s + 3));
        in_vectors(size, [=](auto at, i64 i) {
            const vec two = fma(of_b, at.get(b + i), fma(of_a, at.get(a + i), at.get(to + i)));
            at.put(to + i, fma(of_d, at.get(d + i), fma(of_c, at.get(c + i), two)));
        });
    }
    for (; s < count; ++s) {
        const real* a = row(s);
        const vec of_a = set(weight(s));
        in_vectors(size, [=](auto at, i64 i) { at.put(to + i, fma(of_a, at.get(a + i), at.get(to + i))); });
    }
}

// Calls f(row) for `rows` rows of so many multiplications each, on as many threads as they are worth.
template <class F>
inline void over_rows(i64 rows, i64 work, int threads, F f) {
    const i64 useful = std::max<i64>(1, std::min<i64>({threads, rows, 1 + rows * work / worth_a_thread}));
    parallel(static_cast<int>(useful), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        for (i64 row = rows * member / members; row < rows * (member + 1) / members; ++row) f(row);
    });
}

constexpr i64 tanh_costs = 12, exponential_costs = 16;  // multiplications

// The rows of z, of `count` logits each, contiguous.
inline void log_softmax_rows(i64 rows, i64 count, real* z, int threads) {
    over_rows(rows, count * exponential_costs, threads, [=](i64 row) { log_softmax(count, z + row * count); });
}

inline i64 work_of(const attention_source& s) { return s.steps * (s.memory_size + s.compared * (s.score != nullptr ? tanh_costs : 1)); }

inline i64 asked(const i64* places, i64 row) { return places == nullptr ? row : places[row]; }

// Whatever number was given, no step is read that is not there.
inline i64 length_of(const attention_source& s, i64 b) { return std::min(std::max(s.lengths[b], i64{0}), s.steps); }

inline real score_of(const attention_source& s, const real* key, const real* query) {
    const i64 count = s.compared;
    if (s.score == nullptr) return dot(count, key, query);
    const real* score = s.score;
    return in_chains(count, [=](auto at, i64 i, vec sum) { return fma(at.get(score + i), tanh(at.get(key + i) + at.get(query + i)), sum); });
}

inline void attend(const attention_source& s, const attention_step& step, real* weights, real* context) {
    over_rows(step.rows, work_of(s), step.threads, [&](i64 row) {
        const i64 b = asked(step.places, row), length = length_of(s, b);
        real* e = weights + row * s.steps;
        for (i64 t = 0; t < length; ++t) e[t] = score_of(s, s.keys.at(b, t), step.query + row * s.compared);
        std::fill(e + length, e + s.steps, real(0));
        softmax(length, e);
        weighed_sum(length, s.memory_size, context + row * s.memory_size, [=](i64 t) { return e[t]; }, [&](i64 t) { return s.memory.at(b, t); });
    });
}

// From the gradients of the scores of row `row`, which asks b, to those of keys, query and score, a vector at a time.
inline void unscore(const attention_source& s, const attention_step& step, const attention_gradients& g, i64 row, i64 b) {
    const i64 count = s.compared, length = length_of(s, b);
    const real *query = step.query + row * count, *d_scores = g.scores + row * s.steps;
    real *d_query = g.query + row * count, *d_score = g.score + row * count, *d_keys = g.keys + b * s.steps * count;
    in_vectors(count, [&](auto at, i64 i) {
        const vec q = at.get(query + i), v = at.get(s.score + i);
        vec to_query = set(0), to_score = at.get(d_score + i);
        real* d_key = d_keys + i;
        for (i64 t = 0; t < length; ++t, d_key += count) {
            const vec d = set(d_scores[t]), shown = tanh(at.get(s.keys.at(b, t) + i) + q);
            const vec d_sum = d * v * fma(set(0) - shown, shown, set(1));
            at.put(d_key, at.get(d_key) + d_sum);
            to_query = to_query + d_sum;
            to_score = fma(d, shown, to_score);
        }
        at.put(d_query + i, to_query);
        at.put(d_score + i, to_score);
    });
}

inline void unattend(const attention_source& s, const attention_step& step, const attention_gradients& g) {
    over_rows(step.rows, 2 * work_of(s), step.threads, [&](i64 row) {
        const i64 b = asked(step.places, row), length = length_of(s, b);
        const real *a = g.weights + row * s.steps, *d_context = g.context + row * s.memory_size;
        real* d = g.scores + row * s.steps;
        for (i64 t = 0; t < length; ++t)
            d[t] = dot(s.memory_size, d_context, s.memory.at(b, t)) + (g.of_weights != nullptr ? g.of_weights[row * s.steps + t] : 0);
        std::fill(d + length, d + s.steps, real(0));
        const vec mean = set(dot(length, a, d));
        in_vectors(length, [=](auto at, i64 t) { at.put(d + t, at.get(a + t) * (at.get(d + t) - mean)); });
        if (s.score != nullptr) return unscore(s, step, g, row, b);
        weighed_sum(length, s.compared, g.query + row * s.compared, [=](i64 t) { return d[t]; }, [&](i64 t) { return s.keys.at(b, t); });
    });
}

inline void sum_over_steps(const attention_source& s, const attention_sums& g) {
    i64 most = 0;
    for (i64 row = 0; row < g.rows; ++row) most = std::max(most, g.counts[row]);
    over_rows(g.rows, s.steps * g.size * most, g.threads, [&](i64 row) {
        const i64 b = asked(g.places, row), length = length_of(s, b);
        real* to = g.to + b * s.steps * g.size;
        for (i64 t = 0; t < length; ++t)
            weighed_sum(g.counts[row], g.size, to + t * g.size, [&](i64 n) { return g.weights[(g.begins[n] + row) * s.steps + t]; },
                        [&](i64 n) { return g.values + (g.begins[n] + row) * g.size; });
        std::fill(to + length * g.size, to + s.steps * g.size, real(0));
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
