// Runs the time loop of every level that runs here, forward and backward, on batches whose every buffer has exactly its size,
// under the sanitisers: a number read or written beyond any of them ends the program.
//
//     test_recurrent [cases]     random batches for each cell and level (default 14), after the edges
//
// Held against the same loop in double, to 1e-4 of the largest number of a tensor. What no choice may change is compared to
// the bit: the number of threads, a row alone or in its batch, inference or training, which gradients are wanted. Whatever
// must not be read (padding, the gaps of strided tensors) is NaN; whatever must be written is NaN before.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "kernels.h"
#include "plan.h"
#include "threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
static unsigned float_control() { return _mm_getcsr() & ~0x3fu; }  // but for the flags that any sum may raise
#else
static unsigned float_control() { return 0; }
#endif

using i64 = std::int64_t;
using namespace seqloom;

static int failures = 0;

// A number in -1..1 for each place of each tensor, the same in every run.
static float number(unsigned tensor, i64 place) {
    std::uint64_t z = (static_cast<std::uint64_t>(place) + 1) * 0x9e3779b97f4a7c15u + (std::uint64_t{tensor} << 40);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<float>(static_cast<double>((z ^ (z >> 31)) >> 40) / (1 << 23) - 1);
}

// Draws choices; `seed` grows with each.
static i64 draw(unsigned& seed, i64 count) {
    return static_cast<i64>((static_cast<double>(number(99, seed++)) + 1) / 2 * static_cast<double>(count)) % count;
}

// `size` numbers, each NaN until written, and not one more. They begin a cache line, and empty ones have no address, as torch's.
template <class real>
class buffer {
public:
    buffer() = default;
    explicit buffer(i64 size) : at_(size > 0 ? new (line) real[static_cast<std::size_t>(size)] : nullptr), size_(size) {
        for (i64 i = 0; i < size; ++i) at_[i] = std::numeric_limits<real>::quiet_NaN();
    }
    real* data() const { return at_.get(); }
    i64 size() const { return size_; }
    real& operator[](i64 i) const { return at_[i]; }

private:
    static constexpr std::align_val_t line{64};
    struct give_back {
        void operator()(real* numbers) const { ::operator delete[](numbers, line); }
    };
    std::unique_ptr<real[], give_back> at_;
    i64 size_ = 0;
};

struct problem {
    cell_kind cell;
    i64 input, hidden, time;
    std::vector<i64> lengths;
    bool reverse = false, bias = true, mask = false, first = true, shared_first = false, strided = false, transposed = false;
    bool from_outputs = true, from_last = true;  // where gradients come from
    bool lookup = false;                         // each x is one-hot, and given as the id of a row of a table
    i64 first_row = 0;                           // of the batch that these rows were taken from

    i64 batch() const { return static_cast<i64>(lengths.size()); }
    bool has_cell() const { return cell == cell_kind::lstm; }
    i64 gates() const { return has_cell() ? 4 : cell == cell_kind::gru || cell == cell_kind::gru_reset_after ? 3 : 1; }
    i64 saved() const { return cell == cell_kind::gru_reset_after ? 4 : gates() == 1 ? 0 : gates(); }
    i64 row(i64 b) const { return first_row + b; }
    i64 id(i64 b, i64 t) const { return static_cast<i64>(std::fabs(number(9, row(b) * time + t)) * 0.999f * static_cast<float>(input)); }
    i64 gap() const { return strided ? 3 : 0; }
};

enum part { outputs, last_hidden, last_cell, gates, cells, d_x, d_input, d_hidden, d_bias, d_bias_candidate, d_first_hidden, d_first_cell, parts };
static const char* const names[parts] = {"outputs", "last hidden", "last cell", "gates", "cells", "gradient of x", "of W", "of U", "of the bias",
                                         "of the second bias", "of the first hidden", "of the first cell"};
constexpr unsigned all_wanted = (1u << parts) - 1;

template <class real>
using answer = std::array<buffer<real>, parts>;

// (B, T, size) with gaps of NaN between the steps of a strided problem, and NaN at padding.
template <class real>
static buffer<real> steps(const problem& p, i64 size, unsigned tensor, steps_of<const real>& view) {
    const i64 apart = size + p.gap(), all = p.batch() * p.time * apart;
    buffer<real> made(all == 0 ? 0 : all - p.gap());
    for (i64 b = 0; b < p.batch(); ++b)
        for (i64 t = 0; t < p.lengths[static_cast<std::size_t>(b)]; ++t)
            for (i64 i = 0; i < size; ++i) {
                const bool one_hot = tensor == 1 && p.lookup;
                const float value = number(tensor, (p.row(b) * p.time + t) * size + i);
                made[(b * p.time + t) * apart + i] = one_hot ? (i == p.id(b, t) ? 1.0f : 0.0f) : value;
            }
    view = {made.data(), p.time * apart, apart};
    return made;
}

// (B, H), or one row for all.
template <class real>
static buffer<real> rows(const problem& p, unsigned tensor, bool shared, rows_of<const real>& view) {
    buffer<real> made(shared ? p.hidden : p.batch() * p.hidden);
    for (i64 i = 0; i < made.size(); ++i) made[i] = number(tensor, i + (shared ? 0 : p.first_row * p.hidden));
    if (tensor == 6)  // a mask
        for (i64 i = 0; i < made.size(); ++i) made[i] = made[i] > 0 ? real(1.5) : real(0);
    view = {made.data(), shared ? 0 : p.hidden};
    return made;
}

// (depth, G), its columns or its rows contiguous.
template <class real>
static buffer<real> matrix(const problem& p, i64 depth, unsigned tensor) {
    const i64 columns = p.gates() * p.hidden;
    buffer<real> made(depth * columns);
    const float scale = 1 / std::sqrt(static_cast<float>(depth));
    for (i64 r = 0; r < depth; ++r)
        for (i64 c = 0; c < columns; ++c) made[p.transposed ? c * depth + r : r * columns + c] = number(tensor, r * columns + c) * scale;
    return made;
}

template <class real>
static buffer<real> vector(i64 size, unsigned tensor) {
    buffer<real> made(size);
    for (i64 i = 0; i < size; ++i) made[i] = number(tensor, i) * 0.5f;
    return made;
}

static void check(bool holds, const problem& p, const char* isa, const char* truth, const char* where = "") {
    if (holds || ++failures > 20) return;
    std::printf("FAILED %s cell %d: %s %s\n       I %ld H %ld T %ld%s%s%s%s%s%s%s%s, lengths", isa, static_cast<int>(p.cell), truth, where,
                static_cast<long>(p.input), static_cast<long>(p.hidden), static_cast<long>(p.time), p.reverse ? ", reverse" : "",
                p.bias ? ", bias" : "", p.mask ? ", mask" : "", p.first ? ", first" : "", p.shared_first ? " shared" : "",
                p.strided ? ", strided" : "", p.transposed ? ", transposed" : "", p.lookup ? ", lookup" : "");
    for (i64 length : p.lengths) std::printf(" %ld", static_cast<long>(length));
    std::printf("\n");
}

// Reads the batch and goes back. wanted: which gradients, a bit each. Without `training` nothing is saved, and there is no way back.
template <class real>
static answer<real> solve(const recurrent<real>& level, const problem& p, bool lookup, int threads, bool training = true, unsigned wanted = all_wanted) {
    const i64 B = p.batch(), T = p.time, I = p.input, H = p.hidden, G = p.gates() * H;
    const bool second = p.bias && p.cell == cell_kind::gru_reset_after;
    const buffer<real> W = matrix<real>(p, I, 2), U = matrix<real>(p, H, 3), b = vector<real>(p.bias && !p.lookup ? G : 0, 4), d = vector<real>(second ? H : 0, 5);
    const i64 input_row = p.transposed ? 1 : G, hidden_row = p.transposed ? 1 : G;
    const auto w = level.pack({p.cell, lookup ? 0 : I, H, lookup ? nullptr : W.data(), input_row, p.transposed ? I : 1, U.data(), hidden_row,
                               p.transposed ? H : 1, b.data(), d.data(), threads});
    sequence<real> s{};
    buffer<i64> lengths(B), ids(lookup ? B * T : 0);
    std::copy(p.lengths.begin(), p.lengths.end(), lengths.data());
    s.batch = B, s.time = T, s.lengths = lengths.data(), s.reverse = p.reverse, s.threads = threads;
    buffer<real> x, table, first_hidden, first_cell, mask;
    if (lookup) {
        for (i64 row = 0; row < B; ++row)
            for (i64 t = 0; t < T; ++t) ids[row * T + t] = t < p.lengths[static_cast<std::size_t>(row)] ? p.id(row, t) : std::numeric_limits<i64>::max() / 2;
        table = buffer<real>(I * G);
        for (i64 r = 0; r < I; ++r)
            for (i64 c = 0; c < G; ++c) table[r * G + c] = W[p.transposed ? c * I + r : r * G + c];
        s.ids = {ids.data(), T, 1}, s.table = {table.data(), G};
    } else {
        x = steps(p, I, 1, s.x);
    }
    if (p.first) first_hidden = rows(p, 7, p.shared_first, s.first_hidden);
    if (p.first && p.has_cell()) first_cell = rows(p, 8, p.shared_first, s.first_cell);
    if (p.mask) mask = rows(p, 6, false, s.mask);

    answer<real> a;
    const i64 apart = H + p.gap(), size = B * T * apart;
    a[outputs] = buffer<real>(size == 0 ? 0 : size - p.gap());
    a[last_hidden] = buffer<real>(B * H);
    if (p.has_cell()) a[last_cell] = buffer<real>(B * H);
    if (training) a[gates] = buffer<real>(B * T * p.saved() * H);
    if (training && p.has_cell()) a[cells] = buffer<real>(B * T * H);
    const readings<real> r = {{a[outputs].data(), T * apart, apart}, {a[last_hidden].data(), H}, {a[last_cell].data(), H}, a[gates].data(), a[cells].data()};
    const unsigned before = float_control();
    worth_waking(0);  // or a short call, long after the last one, asks no other thread
    level.forward(*w, s, r);
    check(float_control() == before, p, "", "the processor's modes are as before");
    if (!training) return a;

    gradients<real> g{};
    buffer<real> of_outputs, of_hidden, of_cell;
    if (p.from_outputs) of_outputs = steps(p, H, 10, g.outputs);
    if (p.from_last) of_hidden = rows(p, 11, false, g.last_hidden);
    if (p.from_last && p.has_cell()) of_cell = rows(p, 12, false, g.last_cell);
    const auto want = [&](part name, i64 count) {
        if (wanted >> name & 1) a[static_cast<std::size_t>(name)] = buffer<real>(count);
        return a[static_cast<std::size_t>(name)].data();
    };
    if (!lookup) g.x = want(d_x, B * T * I);
    real* of_input = want(d_input, I * G);
    if (lookup) g.table = of_input, g.table_rows = I;
    else g.input = of_input;
    g.hidden = want(d_hidden, H * G);
    g.bias = want(d_bias, p.bias && !p.lookup ? G : 0);
    g.bias_candidate = want(d_bias_candidate, second ? H : 0);
    g.first_hidden = {want(d_first_hidden, B * H), H};
    g.first_cell = {want(d_first_cell, p.has_cell() ? B * H : 0), H};
    worth_waking(0);
    level.backward(*w, s, r, g);
    check(float_control() == before, p, "", "the processor's modes are as before");
    return a;
}

// Whether place `i` of a part is one that must never be written: padding of what is saved, gaps between outputs.
static bool untouched(const problem& p, part name, i64 i) {
    if (name == outputs) return i % (p.hidden + p.gap()) >= p.hidden;
    if (name != gates && name != cells) return false;
    const i64 token = i / (p.hidden * (name == gates ? p.saved() : 1));
    return token % p.time >= p.lengths[static_cast<std::size_t>(token / p.time)];
}

static bool is_padding(const problem& p, i64 i, i64 size) {
    const i64 token = i / size;
    return token % p.time >= p.lengths[static_cast<std::size_t>(token / p.time)];
}

static void hold_against(const answer<double>& truth, const answer<float>& got, const problem& p, const char* isa) {
    for (std::size_t name = 0; name < parts; ++name) {
        if (got[name].data() == nullptr) continue;
        double largest = 0, error = 0;
        bool clean = true;
        for (i64 i = 0; i < got[name].size(); ++i) {
            const double value = static_cast<double>(got[name][i]);
            if (untouched(p, static_cast<part>(name), i)) {
                clean = clean && std::isnan(value);
                continue;
            }
            clean = clean && std::isfinite(value);
            if ((name == outputs && is_padding(p, i, p.hidden + p.gap())) || (name == d_x && is_padding(p, i, p.input))) clean = clean && value == 0;
            largest = std::max(largest, std::fabs(truth[name][i]));
            error = std::max(error, std::fabs(value - truth[name][i]));
        }
        check(clean, p, isa, "padding reaches nothing, gaps stay, the rest is written:", names[name]);
        check(error <= 1e-4 * largest + 1e-7, p, isa, "differs from the double loop:", names[name]);
    }
}

// The same bits wherever both have a part; `from` rows into `whole`, which has as many more rows.
static void hold_bits(const answer<float>& one, const answer<float>& whole, const problem& p, const char* isa, const char* truth, i64 from = 0, bool by_row = false) {
    for (part name : {outputs, last_hidden, last_cell, gates, cells, d_x, d_input, d_hidden, d_bias, d_bias_candidate, d_first_hidden, d_first_cell}) {
        const auto &a = one[static_cast<std::size_t>(name)], &b = whole[static_cast<std::size_t>(name)];
        if (a.data() == nullptr || b.data() == nullptr || (by_row && name >= d_input && name <= d_bias_candidate)) continue;
        const i64 gap = name == outputs ? p.gap() : 0;  // missing after the last step
        const i64 start = from * (a.size() + gap);
        check(start + a.size() <= b.size() && std::memcmp(a.data(), b.data() + start, static_cast<std::size_t>(a.size()) * sizeof(float)) == 0, p, isa,
              truth, names[name]);
    }
}

static void try_all(const kernels& level, const problem& p, unsigned seed) {
    const recurrent<float>& loops = level.cells[static_cast<int>(p.cell)];
    const auto truth = solve<double>(in_double()[static_cast<int>(p.cell)], p, false, 1);
    const auto got = solve<float>(loops, p, p.lookup, 1);
    hold_against(truth, got, p, level.isa);
    if (p.lookup) hold_against(truth, solve<float>(loops, p, false, 1), p, level.isa);
    hold_bits(solve<float>(loops, p, p.lookup, 1, false), got, p, level.isa, "inference differs from training:");
    for (int threads = 2; threads <= 4; ++threads) hold_bits(solve<float>(loops, p, p.lookup, threads), got, p, level.isa, "the number of threads changes");
    const unsigned wanted = static_cast<unsigned>(draw(seed, i64{1} << parts));
    hold_bits(solve<float>(loops, p, p.lookup, 1, true, wanted), got, p, level.isa, "what else is wanted changes");
    for (i64 b = 0; b < p.batch(); b += std::max<i64>(1, p.batch() / 2)) {
        problem alone = p;
        alone.lengths = {p.lengths[static_cast<std::size_t>(b)]}, alone.first_row = b;
        hold_bits(solve<float>(loops, alone, p.lookup, 1), got, p, level.isa, "a row alone differs from the row in its batch:", b, true);
    }
}

// Each gradient by itself has the bits that it has among all.
static void try_each_alone(const kernels& level, const problem& p) {
    const recurrent<float>& loops = level.cells[static_cast<int>(p.cell)];
    const auto all = solve<float>(loops, p, p.lookup, 1);
    for (int name = d_x; name < parts; ++name)
        for (int threads = 1; threads <= 3; ++threads)
            hold_bits(solve<float>(loops, p, p.lookup, threads, true, 1u << name), all, p, level.isa, "what else is wanted changes");
}

// A team that parts at its turns first .. last, one after the other: member 0 goes on alone, and nothing of it can be seen.
static void try_parting(const kernels& level, const problem& p, int threads, std::uint32_t first, std::uint32_t last) {
    const recurrent<float>& loops = level.cells[static_cast<int>(p.cell)];
    const i64 blocks = (p.hidden + 2 * level.lanes - 1) / (2 * level.lanes);
    worth_waking(0);
    const plan shared(p.batch(), p.lengths.data(), threads, p.hidden * p.gates() * (p.input + p.hidden), blocks);
    check(shared.members == threads, p, level.isa, "no team as large as the test wants");
    const auto whole = solve<float>(loops, p, p.lookup, 1);
    for (std::uint32_t turn = first; turn <= last; ++turn) {
        barrier::assume(0, turn);
        hold_bits(solve<float>(loops, p, p.lookup, threads), whole, p, level.isa, "where a team parts changes");
    }
    barrier::assume(0);
}

// More than the caches hold: what is saved and what the way back leaves for its second phase is stored past them.
static void try_past_the_caches(const kernels& level) {
    const problem p{cell_kind::lstm, 2, 64, 100, std::vector<i64>(83, 100)};
    const recurrent<float>& loops = level.cells[static_cast<int>(p.cell)];
    const auto whole = solve<float>(loops, p, false, 2);
    hold_bits(solve<float>(loops, p, false, 1), whole, p, level.isa, "the number of threads changes");
    problem alone = p;
    alone.lengths = {100}, alone.first_row = 82;
    hold_bits(solve<float>(loops, alone, false, 1), whole, p, level.isa, "a row alone differs from the row in its batch:", 82, true);
}

// Two readings of one sequence, forward and back, each on a thread of its own.
static void try_side_by_side(const kernels& level, problem p) {
    const recurrent<float>& loops = level.cells[static_cast<int>(p.cell)];
    answer<float> alone[2], together[2];
    for (int i = 0; i < 2; ++i) p.reverse = i == 1, alone[i] = solve<float>(loops, p, p.lookup, 1);
    side_by_side(i64{1} << 40, [&](int number) {
        problem mine = p;
        mine.reverse = number == 1;
        together[number] = solve<float>(loops, mine, mine.lookup, 1);
    });
    for (int i = 0; i < 2; ++i) p.reverse = i == 1, hold_bits(together[i], alone[i], p, level.isa, "another reading beside it changes");
}

static problem random_problem(cell_kind cell, i64 panel, unsigned& seed) {
    const i64 sizes[] = {1, 3, panel - 1, panel, panel + 1, 2 * panel + 3};
    problem p{cell, sizes[draw(seed, 6)], sizes[draw(seed, 6)], draw(seed, 12), {}};
    for (i64 rows = draw(seed, 10); rows > 0; --rows) p.lengths.push_back(draw(seed, 3) == 0 ? p.time : draw(seed, p.time + 1));
    for (bool problem::*option : {&problem::reverse, &problem::bias, &problem::first, &problem::strided, &problem::transposed, &problem::mask})
        p.*option = draw(seed, 2) == 1;
    p.shared_first = draw(seed, 3) == 0, p.lookup = draw(seed, 4) == 0;
    p.from_outputs = draw(seed, 4) > 0, p.from_last = draw(seed, 4) > 0;
    return p;
}

static void try_cell(const kernels& level, cell_kind cell, i64 random_cases) {
    const i64 panel = 2 * level.lanes;
    unsigned seed = 1000 * static_cast<unsigned>(cell);
    std::vector<problem> edges = {
        {cell, 1, 1, 1, {1}},
        {cell, 3, 5, 0, {0, 0}},
        {cell, 3, 5, 4, {}},
        {cell, 3, 5, 4, {0, 0, 0}},
        {cell, 2, panel + 1, 5, {0, 5, 1, 0, 4}},
        {cell, 9, 2 * panel + 1, 1, {1, 1}},
        {cell, 3, 5, 41, std::vector<i64>(26, 41)},  // more tokens than two rounds of the weights' gradients
        // Two parts of the tokens: unlike ones, and one that has one row of all.
        {cell, 3, 5, 20, std::vector<i64>(9, 20)},
        {cell, 3, 5, 60, {60, 1, 1, 0, 1, 1, 1, 1, 1}},
    };
    for (std::size_t i = edges.size() - 2, end = edges.size(); i < end; ++i) {
        edges[i].first = false;
        for (bool problem::*option : {&problem::reverse, &problem::mask, &problem::lookup}) {
            problem other = edges[i];
            other.*option = true;
            edges.push_back(other);
        }
    }
    // Enough work for four threads: many rows, which are dealt out, and few with many weights, which a team shares.
    const i64 wide = std::max<i64>(2 * panel + 1, 33), heavy = 4 * 400'000 / (wide * (wide + 7));
    problem dealt{cell, 7, wide, std::max<i64>(2, heavy / 17), std::vector<i64>(17)}, shared{cell, 101, 200, 5, {5, 0, 4}};
    const problem parted{cell, 101, 200, 35, {35, 35, 34, 33, 35, 30, 35, 35, 35}};  // a team of three or four, and two parts
    for (std::size_t b = 0; b < 17; ++b) dealt.lengths[b] = b % 5 == 0 ? dealt.time : dealt.time - static_cast<i64>(b) % dealt.time;
    const problem alone{cell, 101, 200, 14, {14}};
    problem looked_up = dealt;  // two threads with parts of their own, one of which has a row without steps
    looked_up.lookup = true, looked_up.lengths[16] = 0;
    for (problem p : {dealt, shared, parted, alone, looked_up}) edges.push_back(p), p.reverse = p.mask = true, edges.push_back(p);
    for (problem& p : edges) try_all(level, p, seed);
    for (const problem& p : {dealt, parted}) try_each_alone(level, p);
    for (const problem& p : {dealt, shared}) try_side_by_side(level, p);
    for (problem p : {shared, alone})
        for (int threads = 2; threads <= 3; ++threads, p.reverse = p.mask = true)
            try_parting(level, p, threads, 1, static_cast<std::uint32_t>(2 * p.time + 3));
    // Around the end of the first chunk of steps, 96 of them: a meeting or two a step.
    const problem chunks{cell, 101, 200, 99, {99}};
    try_parting(level, chunks, 2, 96, 99);
    try_parting(level, chunks, 2, 192, 196);
    try_parting(level, {cell, 401, 400, 1, {1}}, 2, 1, 5);
    for (i64 i = 0; i < random_cases; ++i) {
        const problem p = random_problem(cell, panel, seed);
        try_all(level, p, seed);
    }
}

int main(int argc, char** argv) {
    const i64 cases = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 14;
    barrier::assume(0);  // under these checks a wait takes so long that no team would be tried
    for (const kernels* level : runnable()) {
        for (int cell = 0; cell < 6; ++cell) try_cell(*level, static_cast<cell_kind>(cell), cases);
        try_past_the_caches(*level);
        std::printf("%-7s every cell read and went back: %d failed so far\n", level->isa, failures);
    }
    return failures == 0 ? 0 : 1;
}
