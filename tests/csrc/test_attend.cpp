// Runs attention, the dense product, the loss of a softmax and the largest over time of every level that runs here on buffers that
// have exactly their size, under the sanitisers: a number read or written beyond any of them ends the program. What must not be read is NaN; what
// must be written is NaN before. The number of threads and a row alone are compared to the bit.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "kernels.h"
#include "threads.h"

using i64 = std::int64_t;
using namespace seqloom;

static int failures = 0;

static void check(bool holds, const char* isa, const char* truth) {
    if (!holds && ++failures < 20) std::printf("FAILED %s: %s\n", isa, truth);
}

// `size` numbers, each NaN until written, and not one more.
class buffer {
public:
    explicit buffer(i64 size = 0) : at_(size > 0 ? new float[static_cast<std::size_t>(size)] : nullptr), size_(size) {
        for (i64 i = 0; i < size; ++i) at_[static_cast<std::size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
    }
    float* data() const { return at_.get(); }
    float& operator[](i64 i) const { return at_[static_cast<std::size_t>(i)]; }
    i64 size() const { return size_; }
    bool finite() const {
        for (i64 i = 0; i < size_; ++i)
            if (!std::isfinite((*this)[i])) return false;
        return true;
    }
    bool same(const buffer& other, i64 from = 0) const {
        return size_ == 0 || std::memcmp(data(), other.data() + from, static_cast<std::size_t>(size_) * sizeof(float)) == 0;
    }

private:
    std::unique_ptr<float[]> at_;
    i64 size_;
};

static float number(i64 place) {
    const std::uint64_t z = (static_cast<std::uint64_t>(place) + 1) * 0x9e3779b97f4a7c15u;
    return static_cast<float>(static_cast<double>((z ^ (z >> 29)) >> 40) / (1 << 23) - 1);
}

static buffer filled(i64 size, i64 seed) {
    buffer made(size);
    for (i64 i = 0; i < size; ++i) made[i] = number(seed * 1'000'003 + i);
    return made;
}

struct sizes {
    i64 steps, memory, compared;
    bool score, prepared;
};

struct answer {
    buffer weights, context, scores, query, keys, score, sums;
};

// (B, S, size) with NaN at padding.
static buffer source_of(const std::vector<i64>& lengths, i64 first, i64 steps, i64 size, i64 seed) {
    const i64 rows = static_cast<i64>(lengths.size());
    buffer made(rows * steps * size);
    for (i64 b = 0; b < rows; ++b)
        for (i64 i = 0; i < lengths[static_cast<std::size_t>(b)] * size; ++i) made[b * steps * size + i] = number(seed * 7'919 + (first + b) * steps * size + i);
    return made;
}

static answer solve(const kernels& level, const sizes& n, const std::vector<i64>& lengths, i64 first, int threads) {
    const i64 B = static_cast<i64>(lengths.size());
    const buffer memory = source_of(lengths, first, n.steps, n.memory, 1), keys = source_of(lengths, first, n.steps, n.compared, 2);
    const buffer score = filled(n.score ? n.compared : 0, 3);
    const auto rows = [&](i64 size, i64 seed) {
        buffer made(B * size);
        for (i64 i = 0; i < made.size(); ++i) made[i] = number(seed * 104'729 + first * size + i);
        return made;
    };
    const buffer query = rows(n.compared, 4), d_context = rows(n.memory, 5), d_weights = rows(n.steps, 6);
    std::vector<i64> places, counts(static_cast<std::size_t>(B), 1), begins = {0};
    for (i64 b = 0; b < B; ++b) places.push_back(b);
    attention_source s{n.steps, n.memory, n.compared, lengths.data(), {memory.data(), n.steps * n.memory, n.memory},
                       {keys.data(), n.steps * n.compared, n.compared}, score.data(), nullptr, nullptr};
    const buffer powers(B * n.steps * n.compared);
    const std::unique_ptr<bool[]> mild(new bool[static_cast<std::size_t>(B)]);
    if (n.prepared) {
        level.attention.prepare(s, B, powers.data(), mild.get(), threads);
        s.powers = powers.data(), s.mild = mild.get();
    }
    const attention_step step{B, places.data(), query.data(), threads};
    answer a{buffer(B * n.steps), buffer(B * n.memory), buffer(B * n.steps), buffer(B * n.compared), buffer(n.score ? B * n.steps * n.compared : 0),
             buffer(n.score ? B * n.compared : 0), buffer(B * n.steps * n.memory)};
    for (buffer* added : {&a.keys, &a.score})
        for (i64 i = 0; i < added->size(); ++i) (*added)[i] = 0;
    level.attention.forward(s, step, a.weights.data(), a.context.data());
    level.attention.backward(s, step, {a.weights.data(), d_context.data(), d_weights.data(), a.scores.data(), a.query.data(), a.keys.data(), a.score.data()});
    level.attention.sum(s, {B, n.memory, places.data(), counts.data(), begins.data(), a.weights.data(), d_context.data(), a.sums.data(), threads});
    return a;
}

static void hold(const answer& one, const answer& whole, i64 row, const char* isa, const char* truth) {
    const buffer answer::*parts[] = {&answer::weights, &answer::context, &answer::scores, &answer::query, &answer::keys, &answer::score, &answer::sums};
    for (const buffer answer::*part : parts) check((one.*part).same(whole.*part, row * (one.*part).size()), isa, truth);
}

static void try_attention(const kernels& level, const sizes& n, const std::vector<i64>& lengths) {
    const answer whole = solve(level, n, lengths, 0, 1);
    for (const buffer* part : {&whole.weights, &whole.context, &whole.scores, &whole.query, &whole.keys, &whole.score, &whole.sums})
        check(part->finite(), level.isa, "padding reaches nothing, and all is written");
    for (std::size_t b = 0; b < lengths.size(); ++b) {
        double sum = 0;
        for (i64 t = 0; t < n.steps; ++t) sum += static_cast<double>(whole.weights[static_cast<i64>(b) * n.steps + t]);
        check(std::fabs(sum - (lengths[b] > 0 ? 1 : 0)) < 1e-5, level.isa, "weights sum to one");
        hold(solve(level, n, {lengths[b]}, static_cast<i64>(b), 1), whole, static_cast<i64>(b), level.isa, "a row alone differs from the row in its batch");
    }
    for (int threads = 2; threads <= 4; ++threads) hold(solve(level, n, lengths, 0, threads), whole, 0, level.isa, "the number of threads changes a result");
    if (!n.prepared) return;
    const answer unprepared = solve(level, {n.steps, n.memory, n.compared, true, false}, lengths, 0, 1);
    for (i64 i = 0; i < whole.weights.size(); ++i) check(std::fabs(whole.weights[i] - unprepared.weights[i]) < 1e-6, level.isa, "powers give the same weights");
    for (i64 i = 0; i < whole.keys.size(); ++i) check(std::fabs(whole.keys[i] - unprepared.keys[i]) < 1e-5, level.isa, "powers give the same gradients");
}

// c = start + a b and a' d, each against sums in double, for row starts, one start for all, one number a row, and none.
static void try_dense(const kernels& level, i64 rows, i64 depth, i64 columns, int threads) {
    const buffer a = filled(rows * depth, 1), b = filled(depth * columns, 2), each = filled(rows * columns, 3), shared = filled(columns, 4);
    const auto packed = level.linear.pack(b.data(), columns, 1, depth, columns, threads);
    const buffer by_row = filled(rows, 7);
    for (int starts = 0; starts < 4; ++starts) {
        const float* start = starts == 0 ? nullptr : starts == 1 ? shared.data() : starts == 2 ? each.data() : by_row.data();
        buffer c(rows * columns);
        level.linear.apply(*packed, rows, a.data(), depth, start, starts == 2 ? columns : starts == 3 ? one_a_row : 0, c.data(), threads);
        for (i64 i = 0; i < rows * columns; ++i) {
            double sum = starts == 0 ? 0 : static_cast<double>(start[starts == 1 ? i % columns : starts == 2 ? i : i / columns]);
            for (i64 k = 0; k < depth; ++k) sum += static_cast<double>(a[i / columns * depth + k]) * static_cast<double>(b[k * columns + i % columns]);
            check(std::fabs(sum - static_cast<double>(c[i])) < 1e-4 * (1 + std::sqrt(static_cast<double>(depth))), level.isa, "c is start + a b");
        }
        if (starts != 2) continue;
        buffer in_place = filled(rows * columns, 3);
        level.linear.apply(*packed, rows, a.data(), depth, in_place.data(), columns, in_place.data(), threads);
        check(in_place.same(c), level.isa, "in place is the same");
    }
    buffer product(depth * columns), sums(columns);
    level.linear.outer(rows, a.data(), depth, depth, each.data(), columns, columns, product.data(), sums.data(), threads);
    for (i64 i = 0; i < (depth + 1) * columns; ++i) {
        double sum = 0;
        for (i64 k = 0; k < rows; ++k)
            sum += (i / columns < depth ? static_cast<double>(a[k * depth + i / columns]) : 1.0) * static_cast<double>(each[k * columns + i % columns]);
        const float got = i / columns < depth ? product[i] : sums[i % columns];
        check(std::fabs(sum - static_cast<double>(got)) < 1e-4 * (1 + std::sqrt(static_cast<double>(rows))), level.isa, "outer is a' d");
    }
}

// The loss of a softmax and its gradient, each against double; with and without gradient, and on several threads.
static void try_loss(const kernels& level, i64 words, i64 tokens, float smoothing) {
    const buffer logits = filled(words * tokens, 5);
    std::vector<i64> targets;
    for (i64 j = 0; j < tokens; ++j) targets.push_back((j * 7 + 3) % words);
    const auto solve = [&](float weight, int threads, buffer& z, buffer& losses, buffer& sums) {
        for (i64 i = 0; i < z.size(); ++i) z[i] = 8 * logits[i];
        for (i64 v = 0; v < sums.size(); ++v) sums[v] = 1;  // added to
        level.cross_entropy({words, tokens, smoothing, weight, z.data(), targets.data(), losses.data(), sums.size() > 0 ? sums.data() : nullptr, threads});
    };
    buffer z(words * tokens), losses(tokens), sums(words), unchanged(words), alone(tokens), nothing;
    solve(0.5f, 1, z, losses, sums);
    std::vector<double> rows(static_cast<std::size_t>(words), 1);
    for (i64 j = 0; j < tokens; ++j) {
        double all = 0, mean = 0;
        for (i64 v = 0; v < words; ++v) all += std::exp(8.0 * logits[v * tokens + j]), mean += 8.0 * logits[v * tokens + j] / static_cast<double>(words);
        const i64 target = targets[static_cast<std::size_t>(j)];
        check(std::fabs(std::log(all) - (1.0 - smoothing) * 8 * logits[target * tokens + j] - smoothing * mean - losses[j]) < 1e-5, level.isa, "a loss is right");
        for (i64 v = 0; v < words; ++v) {
            const double d = 0.5 * (std::exp(8.0 * logits[v * tokens + j]) / all - smoothing / static_cast<double>(words) - (v == target ? 1.0 - smoothing : 0));
            check(std::fabs(d - z[v * tokens + j]) < 1e-6, level.isa, "the gradient of a logit is right");
            rows[static_cast<std::size_t>(v)] += d;
        }
    }
    for (i64 v = 0; v < words; ++v) check(std::fabs(rows[static_cast<std::size_t>(v)] - sums[v]) < 1e-5, level.isa, "sums are added to");
    for (int threads = 2; threads <= 4; ++threads) {
        buffer other(words * tokens), losses_of(tokens), sums_of(words);
        solve(0.5f, threads, other, losses_of, sums_of);
        check(other.same(z) && losses_of.same(losses) && sums_of.same(sums), level.isa, "the number of threads changes a loss");
    }
    solve(0, 1, z, alone, unchanged);
    check(alone.same(losses), level.isa, "losses need no gradient");
    for (i64 v = 0; v < words; ++v) check(unchanged[v] == 1, level.isa, "no gradient, no sums");
    solve(0.5f, 2, z, alone, nothing);
}

// The likeliest of each row is the first of the highest of its log-probabilities, to the bit.
static void try_likeliest(const kernels& level, i64 rows, i64 words, const buffer& log_probabilities, int threads) {
    const buffer logits = filled(rows * words, 6);
    buffer z(rows * words), scores(rows);
    for (i64 i = 0; i < z.size(); ++i) z[i] = 9 * logits[i];
    std::vector<i64> tokens(static_cast<std::size_t>(rows), -1);
    level.likeliest(rows, words, z.data(), tokens.data(), scores.data(), threads);
    for (i64 row = 0; row < rows; ++row) {
        const float* of_row = log_probabilities.data() + row * words;
        const float* best = std::max_element(of_row, of_row + words);
        check(tokens[static_cast<std::size_t>(row)] == best - of_row && scores[row] == *best, level.isa, "the likeliest has the highest log-probability");
    }
}

// Log-probabilities of rows of logits: right, alone or with others, on any number of threads; not a number where a logit is none.
static void try_log_softmax(const kernels& level, i64 rows, i64 words) {
    const buffer logits = filled(rows * words, 6);
    const auto solve = [&](i64 first, i64 count, int threads) {
        buffer z(count * words);
        for (i64 i = 0; i < z.size(); ++i) z[i] = 9 * logits[first * words + i];
        level.log_softmax(count, words, z.data(), threads);
        return z;
    };
    const buffer together = solve(0, rows, 1);
    for (i64 row = 0; row < rows; ++row) {
        double all = 0;
        for (i64 v = 0; v < words; ++v) all += std::exp(9.0 * logits[row * words + v]);
        for (i64 v = 0; v < words; ++v)
            check(std::fabs(9.0 * logits[row * words + v] - std::log(all) - together[row * words + v]) < 1e-5, level.isa, "a log-probability is right");
        check(solve(row, 1, 1).same(together, row * words), level.isa, "other rows change a log-probability");
    }
    for (int threads = 2; threads <= 4; ++threads) check(solve(0, rows, threads).same(together), level.isa, "the number of threads changes a log-probability");
    for (int threads = 1; threads <= 3; ++threads) try_likeliest(level, rows, words, together, threads);
    buffer broken(words);
    for (i64 v = 0; v < words; ++v) broken[v] = v == words / 2 ? std::numeric_limits<float>::quiet_NaN() : 1;
    i64 token = -1;
    float score = 0;
    level.likeliest(1, words, broken.data(), &token, &score, 1);
    check(token == 0 && std::isnan(score), level.isa, "of what is no number nothing is likeliest");
    level.log_softmax(1, words, broken.data(), 1);
    for (i64 v = 0; v < words; ++v) check(std::isnan(broken[v]), level.isa, "what is no number shows in all of its row");
}

// The largest over time and its gradient: the first of equals and of NaNs, nothing beyond a length, gaps between steps; with and
// without places, and on several threads. Lengths that are none count as the nearest that is one.
static void try_max_pool(const kernels& level, i64 rows, i64 steps, i64 units, i64 gap) {
    const i64 apart = units + gap;
    buffer x(rows * steps * apart - (rows * steps > 0 ? gap : 0)), gradient = filled(rows * units, 9);
    std::vector<i64> lengths;
    for (i64 b = 0; b < rows; ++b) {
        lengths.push_back(b == 0 ? steps + 9 : b == 1 ? -3 : (b * 5) % (steps + 1));
        const i64 real_steps = std::min(std::max(lengths.back(), i64{0}), steps);
        for (i64 t = 0; t < real_steps; ++t)
            for (i64 i = 0; i < units; ++i) {
                const i64 place = (b * steps + t) * apart + i;
                x[place] = place % 61 == 7 ? std::numeric_limits<float>::quiet_NaN() : std::round(2 * number(place));
            }
    }
    using step_numbers = std::vector<std::int32_t>;
    const auto solve = [&](int threads, buffer& largest, step_numbers* places) {
        worth_waking(0);
        level.max_pool(rows, steps, units, lengths.data(), {x.data(), steps * apart, apart}, largest.data(), places != nullptr ? places->data() : nullptr, threads);
    };
    const auto go_back = [&](int threads, const step_numbers& places) {
        buffer of_x(rows * steps * units);
        worth_waking(0);
        level.max_pool_backward(rows, steps, units, places.data(), gradient.data(), of_x.data(), threads);
        return of_x;
    };
    buffer largest(rows * units);
    step_numbers places(static_cast<std::size_t>(rows * units), -7);
    solve(1, largest, &places);
    const buffer of_x = go_back(1, places);
    for (i64 b = 0; b < rows; ++b)
        for (i64 i = 0; i < units; ++i) {
            const auto at = [&](i64 t) { return x[(b * steps + t) * apart + i]; };
            i64 place = -1;
            for (i64 t = 0; t < std::min(lengths[static_cast<std::size_t>(b)], steps); ++t)
                if (place < 0 || at(t) > at(place) || (std::isnan(at(t)) && !std::isnan(at(place)))) place = t;
            const float got = largest[b * units + i], wanted = place < 0 ? 0 : at(place);
            check(places[static_cast<std::size_t>(b * units + i)] == place, level.isa, "the place of the largest");
            check(std::isnan(wanted) ? std::isnan(got) : got == wanted, level.isa, "the largest");
            for (i64 t = 0; t < steps; ++t)
                check(of_x[(b * steps + t) * units + i] == (t == place ? gradient[b * units + i] : 0), level.isa, "the gradient is at the place of the largest");
        }
    for (int threads = 1; threads <= 4; ++threads) {
        buffer other(rows * units), alone(rows * units);
        step_numbers places_of(places.size(), -7);
        solve(threads, other, &places_of);
        solve(threads, alone, nullptr);
        check(other.same(largest) && places_of == places, level.isa, "the number of threads changes the largest");
        check(alone.same(largest), level.isa, "the largest needs no places");
        check(go_back(threads, places).same(of_x), level.isa, "the number of threads changes a gradient of the largest");
    }
    for (std::int32_t& place : places) place = static_cast<std::int32_t>(steps);
    const buffer none = go_back(2, places);
    for (i64 i = 0; i < none.size(); ++i) check(none[i] == 0, level.isa, "a step that is none has no gradient");
}

// Dropout: nothing but zeros and what is kept, scaled; as many as asked for; the same for any number of threads and in its place.
static void try_drop(const kernels& level, i64 count) {
    const buffer x = filled(count, 3);
    const auto solve = [&](int threads, std::uint64_t seed) {
        buffer y(count);
        worth_waking(0);
        level.drop(count, seed, 16384, 2.0f, x.data(), y.data(), threads);
        return y;
    };
    constexpr std::uint64_t seed = 0x9e3779b97f4a7c15u;
    const buffer once = solve(1, seed);
    i64 dropped = 0;
    for (i64 i = 0; i < count; ++i) {
        check(once[i] == 0 || once[i] == 2 * x[i], level.isa, "dropout makes another number");
        dropped += once[i] == 0 && x[i] != 0;
    }
    const double far = std::fabs(static_cast<double>(dropped) - 0.25 * static_cast<double>(count));
    check(far <= 5 * std::sqrt(0.1875 * static_cast<double>(count)) + 1, level.isa, "dropout takes another share");
    for (int threads = 2; threads <= 3; ++threads) check(solve(threads, seed).same(once), level.isa, "the number of threads changes what is dropped");
    if (count >= 100) check(!solve(1, seed + (std::uint64_t{1} << 40)).same(once), level.isa, "another seed drops the same");
    buffer moved = filled(count, 3);
    level.drop(count, seed, 16384, 2.0f, moved.data(), moved.data(), 1);
    check(moved.same(once), level.isa, "dropout in place differs");
}

int main() {
    for (const kernels* level : runnable()) {
        for (const auto& [score, prepared] : {std::array<bool, 2>{true, true}, {true, false}, {false, false}})
            for (const auto& [steps, memory, compared] : {std::array<i64, 3>{1, 1, 1}, {7, 33, 17}, {5, 64, 32}, {0, 3, 3}, {40, 100, 130}}) {
                const sizes n{steps, memory, compared, score, prepared};
                std::vector<i64> lengths;
                for (i64 b = 0; b < 9; ++b) lengths.push_back(b == 0 ? n.steps : (b * 5) % (n.steps + 1));
                try_attention(*level, n, lengths);
            }
        for (int threads = 1; threads <= 3; ++threads)
            for (const auto& [rows, depth, columns] : {std::array<i64, 3>{0, 3, 4}, {1, 1, 1}, {3, 70, 200}, {13, 33, 64}, {64, 40, 1000}, {300, 35, 65}, {520, 17, 130}})
                try_dense(*level, rows, depth, columns, threads);
        for (const auto& [rows, words] : {std::array<i64, 2>{1, 1}, {3, 7}, {0, 5}, {2, 64}, {40, 1003}, {5, 8000}}) try_log_softmax(*level, rows, words);
        for (const float smoothing : {0.0f, 0.1f})
            for (const auto& [words, tokens] : {std::array<i64, 2>{1, 1}, {2, 3}, {5, 0}, {300, 1}, {129, 70}, {2000, 37}}) try_loss(*level, words, tokens, smoothing);
        for (const i64 gap : {0, 3})
            for (const auto& [rows, steps, units] : {std::array<i64, 3>{1, 1, 1}, {0, 4, 5}, {4, 0, 5}, {5, 7, 3}, {9, 11, 17}, {3, 20, 33}, {4, 9, 64}, {4, 9, 200}, {20, 40, 300}, {1, 150, 1030}})
                try_max_pool(*level, rows, steps, units, gap);
        for (const i64 count : {0, 1, 31, 32, 33, 100, 70'001}) try_drop(*level, count);
        std::printf("%-7s attention, dense products, losses, dropout and the largest over time: %d failed so far\n", level->isa, failures);
    }
    return failures == 0 ? 0 : 1;
}
