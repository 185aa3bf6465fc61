// Attention, one row after the other, rows dealt to threads: scores, softmax over the row's own steps, and the sum of its memory.
//
//     e_s = v . tanh(k_s + q)   or   k_s . q;     a = softmax(e);     z = sum of a_s m_s
//
// A sum over the numbers of a step is made in `width` chains, folded in one order; a sum over steps is one chain in their
// order. Neither knows the batch, the padding, the thread or the width of a vector.
#pragma once

#include "activations.h"
#include "attention.h"
#include "panels.h"
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

// exp(y) for y in [-104, 43], which is as far as `scale` goes.
inline vec exponential(vec y) {
    const reduced_exponential<vec> e = reduce(y);
    return scale(e.expm1_r + set(1.0f), e.n);
}

// exp(y) for y <= 0, zero below -104. NaN in gives NaN out.
inline vec falling_exponential(vec y) { return exponential(max(set(-104.0f), y)); }

// The largest of `count` numbers, 0 of none. Whatever it is where one of them is NaN.
inline real largest(i64 count, const real* e) {
    if (count < lanes) return count > 0 ? *std::max_element(e, e + count) : 0;
    vec most = load(e);
    for (i64 s = lanes; s + lanes <= count; s += lanes) most = max(most, load(e + s));
    real all[lanes];
    store(all, max(most, load(e + count - lanes)));
    return *std::max_element(all, all + lanes);
}

// `count` scores, in place.
inline void softmax(i64 count, real* e) {
    const real most = largest(count, e);
    in_vectors(count, [=](auto at, i64 s) { at.put(e + s, falling_exponential(at.get(e + s) - set(most))); });
    const real all = in_chains(count, [=](auto at, i64 s, vec sum) { return sum + at.get(e + s); });
    in_vectors(count, [=](auto at, i64 s) { at.put(e + s, at.get(e + s) / set(all)); });
}

// log sum exp(e - most) of `count` logits. NaN where one of them is.
inline real log_sum(i64 count, const real* e, real most) {
    const real all = in_chains(count, [=](auto at, i64 s, vec sum) { return sum + at.only(falling_exponential(at.get(e + s) - set(most))); });
    return static_cast<real>(std::log(static_cast<double>(all)));
}

// `count` logits become log-probabilities, in place: e - max e - log sum exp(e - max e). NaN where one of them is.
inline void log_softmax(i64 count, real* e) {
    const real most = largest(count, e);
    const vec highest = set(most), rest = set(log_sum(count, e, most));
    in_vectors(count, [=](auto at, i64 s) { at.put(e + s, at.get(e + s) - highest - rest); });
}

// The likeliest of `count` tokens by their logits, of equal log-probabilities the first, and its own; 0 and NaN where a logit is.
inline void likeliest(i64 count, const real* e, i64& token, real& score) {
    constexpr i64 at_once = 64;  // looked through without a jump
    const real most = largest(count, e), rest = log_sum(count, e, most);
    token = 0, score = -rest;
    if (count == 0 || std::isnan(rest)) return;
    const auto is_best = [=](i64 s) { return e[s] - most - rest >= -rest; };  // as log_softmax rounds
    for (; token + at_once <= count; token += at_once) {
        bool any = false;
        for (i64 s = token; s < token + at_once; ++s) any |= is_best(s);
        if (any) break;
    }
    while (!is_best(token)) ++token;
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

// The likeliest token of each row of z, of `count` logits each, contiguous.
inline void likeliest_of_rows(i64 rows, i64 count, const real* z, i64* tokens, real* scores, int threads) {
    over_rows(rows, count * exponential_costs, threads, [=](i64 row) { likeliest(count, z + row * count, tokens[row], scores[row]); });
}

inline i64 work_of(const attention_source& s) { return s.steps * (s.memory_size + s.compared * (s.score != nullptr ? tanh_costs : 1)); }

inline i64 asked(const i64* places, i64 row) { return places == nullptr ? row : places[row]; }

// Whatever number was given, no step is read that is not there.
inline i64 length_of(const attention_source& s, i64 b) { return std::min(std::max(s.lengths[b], i64{0}), s.steps); }

// A sum of a key and a query is compared by its tanh = 1 - 2 / (1 + exp(2 key) exp(2 query)): an exponential for each of them
// instead of one for each of their pairs. Exact to 2e-7 where neither reaches this size, at which a product may overflow, and
// beyond which `exponential` does not go.
constexpr real largest_mild = 21;

inline bool are_mild(i64 count, const real* x) {
    bool all = true;
    for (i64 i = 0; i < count; ++i) all &= std::fabs(x[i]) <= largest_mild;  // NaN is not
    return all;
}

inline void powers_of(i64 count, const real* x, real* to) {
    in_vectors(count, [=](auto at, i64 i) { at.put(to + i, exponential(at.get(x + i) + at.get(x + i))); });
}

inline void prepare(const attention_source& s, i64 rows, real* powers, bool* mild, int threads) {
    over_rows(rows, s.steps * s.compared * exponential_costs, threads, [=](i64 b) {
        const i64 length = length_of(s, b);
        bool all = true;
        for (i64 t = 0; t < length; ++t) all &= are_mild(s.compared, s.keys.at(b, t));
        for (i64 t = 0; all && t < length; ++t) powers_of(s.compared, s.keys.at(b, t), powers + (b * s.steps + t) * s.compared);
        mild[b] = all;
    });
}

// tanh(key + query) of step t, the vector at i.
struct tanh_of_sum {
    const attention_source& s;
    const i64 b;
    const real* query;
    template <class At>
    vec operator()(At at, i64 t, i64 i) const {
        return tanh(at.get(s.keys.at(b, t) + i) + at.get(query + i));
    }
};
struct tanh_of_powers {
    const real *keys, *query;
    const i64 count;
    template <class At>
    vec operator()(At at, i64 t, i64 i) const {
        const vec rest = set(1) / fma(at.get(keys + t * count + i), at.get(query + i), set(1));
        return fma(set(-2), rest, set(1));
    }
};

// Calls f(shown) with what gives the tanh of each step of b, for a source with a score. Which way is a matter of row and query.
template <class F>
inline void with_tanh(const attention_source& s, i64 b, const real* query, F f) {
    const i64 count = s.compared;
    if (s.powers == nullptr || !s.mild[b] || !are_mild(count, query)) return f(tanh_of_sum{s, b, query});
    workspace space(workspace::rounded(count));
    real* powers = space.take(count);
    powers_of(count, query, powers);
    f(tanh_of_powers{s.powers + b * s.steps * count, powers, count});
}

inline void attend(const attention_source& s, const attention_step& step, real* weights, real* context) {
    over_rows(step.rows, work_of(s), step.threads, [&](i64 row) {
        const i64 b = asked(step.places, row), length = length_of(s, b), count = s.compared;
        const real *query = step.query + row * count, *score = s.score;
        real* e = weights + row * s.steps;
        if (score == nullptr)
            for (i64 t = 0; t < length; ++t) e[t] = dot(count, s.keys.at(b, t), query);
        else
            with_tanh(s, b, query, [=](auto shown) {
                for (i64 t = 0; t < length; ++t)
                    e[t] = in_chains(count, [=](auto at, i64 i, vec sum) { return fma(at.get(score + i), shown(at, t, i), sum); });
            });
        std::fill(e + length, e + s.steps, real(0));
        softmax(length, e);
        weighed_sum(length, s.memory_size, context + row * s.memory_size, [=](i64 t) { return e[t]; }, [&](i64 t) { return s.memory.at(b, t); });
    });
}

// From the gradients of the scores of row `row`, which asks b, to those of keys, query and score. `of_sum` gives the tanh, as
// `with_tanh` has it.
template <class Tanh>
inline void unscore(const attention_source& s, const attention_gradients& g, i64 row, i64 b, Tanh of_sum) {
    const i64 count = s.compared, length = length_of(s, b);
    const real* d_scores = g.scores + row * s.steps;
    real *d_query = g.query + row * count, *d_score = g.score + row * count, *d_key = g.keys + b * s.steps * count;
    std::fill_n(d_query, count, real(0));
    for (i64 t = 0; t < length; ++t, d_key += count) {
        const vec d = set(d_scores[t]);
        in_vectors(count, [&](auto at, i64 i) {
            const vec shown = of_sum(at, t, i), d_sum = d * at.get(s.score + i) * fnma(shown, shown, set(1));
            at.put(d_key + i, at.get(d_key + i) + d_sum);
            at.put(d_query + i, at.get(d_query + i) + d_sum);
            at.put(d_score + i, fma(d, shown, at.get(d_score + i)));
        });
    }
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
        if (s.score != nullptr) return with_tanh(s, b, step.query + row * s.compared, [&](auto of_sum) { unscore(s, g, row, b, of_sum); });
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
