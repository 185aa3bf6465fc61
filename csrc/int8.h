// Layers with weights of 8 bits, for answers alone: a quarter of the memory to read, and four products in one instruction.
//
//     x W  is nearly  sx sW (qx qW),   qW = round(W / sW), sW = max |W| / 127 of each column, once
//                                      qx = round(x / sx), sx = max |x| / 127 of each row, at each step
//
// The state is rounded as x is, where a product reads it; it is kept and moved as float, by the same cells. The sums of whole
// numbers are exact whatever the order, so no result depends on the batch or the threads, nor a sum on the level. Numbers
// that are not finite make the scale NaN, and with it all that the row or the column reaches.
//
// A panel is as in csrc/gemm.h, its depth in groups of four: panel scales, panel first sums, then for each group of four rows
// of the weights and each column four numbers of 8 bits. A group is as large as one float a column.
#pragma once

#include <cmath>
#include <limits>

#include "time_loop.h"

namespace seqloom::SEQLOOM_LEVEL {

constexpr i64 group = 4;

constexpr i64 groups_of(i64 depth) { return (depth + group - 1) / group; }

// A rounded number of the left operand is a `small`; a row of them is filled up with zeros, so that whole vectors of floats
// and whole groups fit. `chain` holds the sums of one row on one panel; each level has the same words:
//   begin(first)         the sums at the panel's first sums
//   add(sum, a, b)       the products of one group: four numbers at a, panel x 4 at b
//   floats(sum, half)    those of the first or second vector of the panel, as floats
//   narrow(v, to)        whole numbers -127..127, as small
// and `int8_gain`: so many of these products cost what one of floats does.
#if defined(__AVX512VNNI__)

// The processor multiplies unsigned by signed: numbers are kept with 128 added, and the first sums take that away again.
using small = std::uint8_t;
constexpr std::int32_t added = 128;
constexpr i64 int8_tallest = 6, int8_gain = 4;
constexpr i64 int8_panels(i64 rows) { return rows <= 3 ? 4 : 2; }

struct chain { __m512i at[2]; };

inline chain begin(const real* first) { return {{_mm512_loadu_si512(first), _mm512_loadu_si512(first + lanes)}}; }
template <int M>
inline void add(chain (&sum)[M], const small* a, i64 row, const std::int8_t* b) {
    const __m512i low = _mm512_loadu_si512(b), high = _mm512_loadu_si512(b + 64);
    for (int m = 0; m < M; ++m) {
        std::int32_t four;
        std::memcpy(&four, a + m * row, group);
        const __m512i left = _mm512_set1_epi32(four);
        sum[m].at[0] = _mm512_dpbusd_epi32(sum[m].at[0], left, low);
        sum[m].at[1] = _mm512_dpbusd_epi32(sum[m].at[1], left, high);
    }
}
inline vec floats(const chain& sum, int half) { return {_mm512_cvtepi32_ps(sum.at[half])}; }
inline void narrow(vec v, small* to) {
    const __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(v.v), _mm512_set1_epi32(added));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(whole));
}

#elif defined(__AVX2__)

// The processor multiplies unsigned by signed, and adds pairs of products in 16 bits: |a| by b with the sign of a. Neither is beyond 127,
// but what stands for NaN, 128, and so no sum of two beyond 32512.
using small = std::int8_t;
constexpr std::int32_t added = 0;
constexpr i64 int8_tallest = 2, int8_gain = 2;
constexpr i64 int8_panels(i64 rows) { return rows == 1 ? 4 : 2; }

struct chain { __m256i at[2]; };

inline chain begin(const real*) { return {{_mm256_setzero_si256(), _mm256_setzero_si256()}}; }
template <int M>
inline void add(chain (&sum)[M], const small* a, i64 row, const std::int8_t* b) {
    for (int m = 0; m < M; ++m) {
        std::int32_t four;
        std::memcpy(&four, a + m * row, group);
        const __m256i left = _mm256_set1_epi32(four), magnitude = _mm256_abs_epi8(left);
        for (int i = 0; i < 2; ++i) {
            const __m256i right = _mm256_sign_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32 * i)), left);
            const __m256i pairs = _mm256_maddubs_epi16(magnitude, right);
            sum[m].at[i] = _mm256_add_epi32(sum[m].at[i], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
    }
}
inline vec floats(const chain& sum, int half) { return {_mm256_cvtepi32_ps(sum.at[half])}; }
inline void narrow(vec v, small* to) {
    const __m256i whole = _mm256_cvtps_epi32(v.v);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(words, words));
}

#else

using small = std::int16_t;
constexpr std::int32_t added = 0;
constexpr i64 int8_tallest = 2, int8_gain = 1;
constexpr i64 int8_panels(i64) { return 2; }

struct chain { std::int32_t at[panel]; };

inline chain begin(const real*) { return {}; }
template <int M>
inline void add(chain (&sum)[M], const small* a, i64 row, const std::int8_t* b) {
    for (int m = 0; m < M; ++m)
        for (i64 unit = 0; unit < panel; ++unit)
            for (i64 k = 0; k < group; ++k) sum[m].at[unit] += a[m * row + k] * b[unit * group + k];
}
inline vec floats(const chain& sum, int half) { return {static_cast<real>(sum.at[half])}; }
inline void narrow(vec v, small* to) { *to = static_cast<small>(std::lrint(v.v)); }

#endif

// What rounds the numbers with this largest magnitude. `wrong` is NaN where one is not finite, else zero.
struct rounding {
    real scale, inverse;
    rounding(real largest, real wrong)
        : scale(largest / 127 + wrong), inverse(wrong == 0 && largest > real(1e-30) ? 127 / largest : 0) {}
};

constexpr i64 padded(i64 count) { return (count + 15) / 16 * 16; }

// Rounds `count` numbers to `to`, which has room for padded(count). read(i): the vector at i, zeros beyond the end.
template <class Read>
inline real round_row(i64 count, small* to, Read read) {
    vec largest = set(0), wrong = set(0);
    for (i64 i = 0; i < count; i += lanes) {
        const vec v = read(i);
        largest = max(max(v, set(0) - v), largest);
        wrong = fma(v, set(0), wrong);
    }
    real of_lane[lanes], wrong_lane[lanes], most = 0, any_wrong = 0;
    store(of_lane, largest);
    store(wrong_lane, wrong);
    for (i64 lane = 0; lane < lanes; ++lane) most = std::max(most, of_lane[lane]), any_wrong += wrong_lane[lane];
    const rounding r(most, any_wrong);
    i64 i = 0;
    for (; i < count; i += lanes) narrow(read(i) * set(r.inverse), to + i);
    for (; i < groups_of(count) * group; i += lanes) narrow(set(0), to + i);
    return r.scale;
}

// Rounded rows: `row` apart, each with its scale.
struct rounded_rows {
    small* data;
    i64 row;
    real* scale;
    rounded_rows from(i64 m) const { return {data + m * row, row, scale + m}; }
};

// c = start + the scaled sums, for one tile. Rows of start and c are start_row and c_row apart; c may be start.
template <int M, int P>
void int8_tile(rounded_rows a, const real* const* b, i64 depth, const real* const* start, i64 start_row, real* const* c, i64 c_row) {
    chain sum[P][M];
    const std::int8_t* right[P];
    for (int p = 0; p < P; ++p) {
        right[p] = reinterpret_cast<const std::int8_t*>(b[p] + 2 * panel);
        for (int m = 0; m < M; ++m) sum[p][m] = begin(b[p] + panel);
    }
    for (i64 k = 0, groups = groups_of(depth); k < groups; ++k)
        for (int p = 0; p < P; ++p) add<M>(sum[p], a.data + k * group, a.row, right[p] + k * group * panel);
    for (int p = 0; p < P; ++p)
        for (int m = 0; m < M; ++m)
            for (int half = 0; half < 2; ++half) {
                const vec scale = set(a.scale[m]) * load(b[p] + half * lanes);
                const vec from = load(start[p] + m * start_row + half * lanes);
                store(c[p] + m * c_row + half * lanes, fma(floats(sum[p][m], half), scale, from));
            }
}

using int8_tile_function = void (*)(rounded_rows, const real* const*, i64, const real* const*, i64, real* const*, i64);

template <int M, int P>
constexpr int8_tile_function int8_tile_of() {
    if constexpr (M <= int8_tallest && P <= int8_panels(M)) return int8_tile<M, P>;
    else return nullptr;
}

template <int M>
constexpr int8_tile_function int8_tile_of(i64 panels) {
    constexpr int8_tile_function table[] = {int8_tile_of<M, 1>(), int8_tile_of<M, 2>(), int8_tile_of<M, 3>(), int8_tile_of<M, 4>()};
    return table[panels - 1];
}

constexpr int8_tile_function int8_tile_of(i64 rows, i64 panels) {
    constexpr int8_tile_function (*table[])(i64) = {int8_tile_of<1>, int8_tile_of<2>, int8_tile_of<3>,
                                                    int8_tile_of<4>, int8_tile_of<5>, int8_tile_of<6>};
    return table[rows - 1](panels);
}

// The same for any number of rows on up to int8_panels(rows) panels.
inline void int8_multiply(i64 rows, rounded_rows a, i64 panels, const real* const* b, i64 depth, const real* const* start,
                          i64 start_row, real* const* c, i64 c_row) {
    const i64 tiles = (rows + int8_tallest - 1) / int8_tallest;
    for (i64 i = 0; i < tiles; ++i) {
        const i64 from = rows * i / tiles, to = rows * (i + 1) / tiles;
        const real* start_at[widest];
        real* c_at[widest];
        for (i64 p = 0; p < panels; ++p) start_at[p] = start[p] + from * start_row, c_at[p] = c[p] + from * c_row;
        int8_tile_of(to - from, panels)(a.from(from), b, depth, start_at, start_row, c_at, c_row);
    }
}

// Numbers of a panel.
constexpr i64 int8_size(i64 depth) { return (2 + groups_of(depth)) * panel; }

// Rounds the column `from`, its numbers `row` apart, into column `i` of the panel `to`, which was zero.
inline void pack_int8_column(const real* from, i64 row, i64 depth, real* to, i64 i) {
    real largest = 0, wrong = 0;
    for (i64 k = 0; k < depth; ++k) largest = std::max(largest, std::fabs(from[k * row])), wrong += from[k * row] * 0;
    const rounding r(largest, wrong);
    auto* numbers_of_8_bits = reinterpret_cast<std::int8_t*>(to + 2 * panel);
    std::int32_t sum = 0;
    for (i64 k = 0; k < depth; ++k) {
        const long q = wrong == 0 ? std::lrint(from[k * row] * r.inverse) : 0;
        numbers_of_8_bits[(k / group * panel + i) * group + k % group] = static_cast<std::int8_t>(q);
        sum += static_cast<std::int32_t>(q);
    }
    const std::int32_t first = -added * sum;
    to[i] = r.scale;
    std::memcpy(to + panel + i, &first, sizeof first);
}

// The weights of one layer. Columns beyond the hidden size are zeros.
template <class Cell>
struct int8_panels_of_layer : packed<real> {
    const i64 input_size, hidden_size, blocks;

    explicit int8_panels_of_layer(const weights<real>& w)
        : input_size(w.input_size), hidden_size(w.hidden_size), blocks(panels_of(w.hidden_size)),
          input_(blocks * Cell::input_gates * int8_size(input_size)), hidden_(blocks * Cell::hidden_gates * int8_size(hidden_size)),
          start_(blocks * Cell::slots * panel) {
        pack(w.input, w.input_row, w.input_column, input_size, Cell::input_gates, input_.data());
        pack(w.hidden, w.hidden_row, w.hidden_column, hidden_size, Cell::hidden_gates, hidden_.data());
        for (i64 i = 0; i < blocks * Cell::slots * panel; ++i) {
            const i64 slot = i / panel % Cell::slots, unit = i / panel / Cell::slots * panel + i % panel;
            const real* bias = slot < Cell::input_gates ? w.bias : w.bias_candidate;
            start_.data()[i] = bias == nullptr || unit >= hidden_size ? 0 : bias[slot % Cell::input_gates * hidden_size + unit];
        }
    }

    const real* input(i64 u, i64 gate) const { return input_.data() + (u * Cell::input_gates + gate) * int8_size(input_size); }
    const real* hidden(i64 u, i64 gate) const { return hidden_.data() + (u * Cell::hidden_gates + gate) * int8_size(hidden_size); }
    const real* start(i64 u, i64 slot) const { return start_.data() + (u * Cell::slots + slot) * panel; }

private:
    void pack(const real* from, i64 row, i64 column, i64 depth, i64 gates, real* to) const {
        std::fill_n(to, blocks * gates * int8_size(depth), real(0));
        for (i64 u = 0; u < blocks; ++u)
            for (i64 gate = 0; gate < gates; ++gate, to += int8_size(depth))
                for (i64 i = 0; i < std::min(panel, hidden_size - u * panel); ++i)
                    pack_int8_column(from + (gate * hidden_size + u * panel + i) * column, row, depth, to, i);
    }

    numbers input_, hidden_, start_;
};

// The time loop of csrc/time_loop.h, on rounded numbers: the same slices, blocks of units, and memory but for what the
// products read. That each member rounds for itself, which costs less than waiting for another's share.
//     z[step][block][slot]      pre-activations of one chunk of steps
//     fed[2][block]             the hidden state, before and after the step
//     reset_memory[block]       r h, where the cell resets
//     cell[block]
//     then for each member: rows of x, of what the hidden weights read, and their scales
template <class Cell>
class int8_pass {
public:
    int8_pass(const int8_panels_of_layer<Cell>& w, const sequence<real>& s, const readings<real>& r, const plan& p)
        : w_(w), s_(s), r_(r), members_(p.members), chunk_(chunk(p)) {}

    i64 memory(i64 rows) const {
        return workspace::rounded((chunk_ * Cell::slots + 4) * w_.blocks * rows * panel + members_ * own(rows));
    }

    void read(const slice& part, real* memory, i64 number, i64 first, i64 last, barrier* team) const {
        member me{part, part.count(), first, last, team, static_cast<int>(number)};
        lay_out(me, memory, number);
        begin_rows(me);
        if (!meet(me, w_.blocks)) return;
        i64 active = me.rows;
        for (i64 step = 0; step < part.steps; ++step) {
            while (length(me, active - 1) <= step) --active;
            if (step % chunk_ == 0) project(me, step, active);
            if (!advance(me, step, active)) return;
            std::swap(me.fed, me.next);
            finish(me, step + 1, active);
        }
        clear_padding(me);
    }

private:
    struct member {
        const slice& part;
        i64 rows, first, last;
        barrier* team;  // null: alone
        int number;     // among the team
        bool waits = false;
        real *z = nullptr, *fed = nullptr, *next = nullptr, *reset_memory = nullptr, *cell = nullptr;
        rounded_rows x{}, state{};
        i64 block = 0;
    };

    // Steps whose inputs are multiplied at once: as many as a tile has rows, where the batch has fewer.
    static i64 chunk(const plan& p) {
        i64 rows = 0, steps = 1;
        for (i64 i = 0; i < p.slices(); ++i) {
            rows = std::max(rows, p.at(i).count());
            steps = std::max(steps, p.at(i).steps);
        }
        return rows < int8_tallest ? std::min(steps, int8_tallest) : 1;
    }

    // Numbers of memory of one member's own, for a slice of `rows` rows.
    i64 own(i64 rows) const {
        const i64 smalls = chunk_ * padded(w_.input_size) + padded(w_.hidden_size);
        return workspace::rounded(rows * (chunk_ + 1) + rows * smalls * static_cast<i64>(sizeof(small)) / static_cast<i64>(sizeof(real)));
    }

    void lay_out(member& me, real* memory, i64 number) const {
        me.block = me.rows * panel;
        const i64 state = w_.blocks * me.block;
        me.fed = memory, me.next = memory + state, me.reset_memory = memory + 2 * state, me.cell = memory + 3 * state;
        me.z = memory + 4 * state;
        real* mine = me.z + chunk_ * Cell::slots * state + number * own(me.rows);
        me.x = {reinterpret_cast<small*>(mine + me.rows * (chunk_ + 1)), padded(w_.input_size), mine};
        me.state = {me.x.data + me.rows * chunk_ * me.x.row, padded(w_.hidden_size), mine + me.rows * chunk_};
    }

    i64 row_of(const member& me, i64 row) const { return me.part.rows.data()[row]; }
    i64 length(const member& me, i64 row) const { return s_.lengths[row_of(me, row)]; }
    i64 units(i64 u) const { return std::min(panel, w_.hidden_size - u * panel); }
    i64 z_step(const member& me) const { return w_.blocks * Cell::slots * me.block; }
    real* z_at(const member& me, i64 step, i64 u, i64 slot) const {
        return me.z + step % chunk_ * z_step(me) + (u * Cell::slots + slot) * me.block;
    }

    void begin_rows(const member& me) const {
        for (i64 u = me.first; u < me.last; ++u)
            for (i64 row = 0; row < me.rows; ++row) {
                const i64 at = u * me.block + row * panel, b = row_of(me, row);
                store(me.fed + at, state_of(s_.first_hidden, b, u * panel, units(u)));
                if constexpr (Cell::has_cell) store(me.cell + at, state_of(s_.first_cell, b, u * panel, units(u)));
            }
        finish(me, 0, me.rows);
    }

    // z = x W + b for the steps of the chunk that begins at `step`.
    void project(const member& me, i64 step, i64 active) const {
        for (i64 row = 0; row < active; ++row) {
            const i64 b = row_of(me, row), steps = std::min(chunk_, s_.lengths[b] - step);
            for (i64 t = 0; t < steps; ++t) {
                const real* x = s_.x.at(b, position(s_, s_.lengths[b], step + t));
                const rounded_rows to = me.x.from(row * chunk_ + t);
                *to.scale = round_row(w_.input_size, to.data, [&](i64 i) { return load_units(x + i, w_.input_size - i); });
                for (i64 slot = Cell::input_gates; slot < Cell::slots; ++slot)
                    for (i64 u = me.first; u < me.last; ++u)
                        copy<panel>(w_.start(u, slot), z_at(me, step, u, slot) + t * z_step(me) + row * panel);
            }
            if (chunk_ > 1) multiply_input(me, steps, step, row, z_step(me));
        }
        if (chunk_ == 1) multiply_input(me, active, step, 0, panel);
    }

    // `count` rows of rounded inputs from those of `row` on, whose z are z_row apart.
    void multiply_input(const member& me, i64 count, i64 step, i64 row, i64 z_row) const {
        constexpr i64 gates = Cell::input_gates;
        const i64 at_once = int8_panels(std::min(count, int8_tallest));
        for (i64 from = me.first * gates; from < me.last * gates; from += at_once) {
            const i64 panels = std::min(at_once, me.last * gates - from);
            const real *b[widest], *start[widest];
            real* c[widest];
            for (i64 p = 0; p < panels; ++p) {
                const i64 u = (from + p) / gates, gate = (from + p) % gates;
                b[p] = w_.input(u, gate), start[p] = w_.start(u, gate), c[p] = z_at(me, step, u, gate) + row * panel;
            }
            int8_multiply(count, me.x.from(row * chunk_), panels, b, w_.input_size, start, 0, c, z_row);
        }
    }

    bool advance(member& me, i64 step, i64 active) const {
        constexpr i64 together = Cell::resets ? Cell::hidden_gates - 1 : Cell::hidden_gates;
        round_state(me, active, me.fed);
        if constexpr (Cell::resets) {
            multiply_state(me, step, active, 0, together, [&](i64 u) { open(me, step, active, u); });
            if (!meet(me, w_.blocks)) return false;
            round_state(me, active, me.reset_memory);
            multiply_state(me, step, active, together, 1, [&](i64 u) { move(me, step, active, u); });
        } else {
            multiply_state(me, step, active, 0, together, [&](i64 u) { move(me, step, active, u); });
        }
        return meet(me, w_.blocks);
    }

    void round_state(const member& me, i64 active, const real* state) const {
        for (i64 row = 0; row < active; ++row) {
            const rounded_rows to = me.state.from(row);
            *to.scale = round_row(w_.hidden_size, to.data,
                                  [&](i64 i) { return load(state + i / panel * me.block + row * panel + i % panel); });
        }
    }

    // z += (the rounded state) U for the hidden gates from `gate` on, and then the units, block after block.
    template <class Units>
    void multiply_state(const member& me, i64 step, i64 active, i64 gate, i64 gates, Units units_of) const {
        const i64 at_once = int8_panels(std::min(active, int8_tallest));
        i64 finished = me.first;
        for (i64 from = me.first * gates; from < me.last * gates; from += at_once) {
            const i64 panels = std::min(at_once, me.last * gates - from);
            const real *b[widest], *start[widest];
            real* c[widest];
            for (i64 p = 0; p < panels; ++p) {
                const i64 u = (from + p) / gates, g = gate + (from + p) % gates;
                b[p] = w_.hidden(u, g), start[p] = c[p] = z_at(me, step, u, Cell::hidden_slot(g));
            }
            int8_multiply(active, me.state, panels, b, w_.hidden_size, start, panel, c, panel);
            for (; (finished + 1) * gates <= from + panels; ++finished) units_of(finished);
        }
    }

    void open(const member& me, i64 step, i64 active, i64 u) const {
        for (i64 at = 0; at < active * panel; at += panel) {
            unit x = gather(me, step, u, at);
            store(me.reset_memory + u * me.block + at, Cell::open(x));
            store(z_at(me, step, u, 0) + at, x.z[0]);
            store(z_at(me, step, u, 1) + at, x.z[1]);
        }
    }

    void move(const member& me, i64 step, i64 active, i64 u) const {
        for (i64 row = 0; row < active; ++row) {
            const i64 b = row_of(me, row), at = row * panel;
            unit x = gather(me, step, u, at);
            Cell::move(x);
            store(me.next + u * me.block + at, x.hidden);
            store_units<false>(r_.outputs.at(b, position(s_, s_.lengths[b], step)) + u * panel, x.hidden, units(u));
            if constexpr (Cell::has_cell) store(me.cell + u * me.block + at, x.cell);
        }
    }

    unit gather(const member& me, i64 step, i64 u, i64 at) const {
        unit x;
        for (i64 slot = 0; slot < Cell::slots; ++slot) x.z[slot] = load_row(z_at(me, step, u, slot) + at);
        x.hidden = load_row(me.fed + u * me.block + at);
        if constexpr (Cell::has_cell) x.cell = load_row(me.cell + u * me.block + at);
        return x;
    }

    // Hands out the state of the rows, among the first `active`, that end after `steps` steps.
    void finish(const member& me, i64 steps, i64 active) const {
        for (i64 row = active - 1; row >= 0 && length(me, row) == steps; --row) {
            const i64 b = row_of(me, row);
            for (i64 u = me.first; u < me.last; ++u) {
                std::copy_n(me.fed + u * me.block + row * panel, units(u), r_.last_hidden[b] + u * panel);
                if constexpr (Cell::has_cell)
                    std::copy_n(me.cell + u * me.block + row * panel, units(u), r_.last_cell[b] + u * panel);
            }
        }
    }

    void clear_padding(const member& me) const {
        const i64 from = me.first * panel, to = std::min(me.last * panel, w_.hidden_size);
        for (i64 row = 0; row < me.rows; ++row)
            for (i64 b = row_of(me, row), t = s_.lengths[b]; t < s_.time; ++t) std::fill(r_.outputs.at(b, t) + from, r_.outputs.at(b, t) + to, real(0));
    }

    const int8_panels_of_layer<Cell>& w_;
    const sequence<real>& s_;
    const readings<real>& r_;
    const i64 members_, chunk_;
};

template <class Cell>
void int8_forward(const packed<real>& weights, const sequence<real>& s, const readings<real>& r) {
    const auto& w = static_cast<const int8_panels_of_layer<Cell>&>(weights);
    const i64 multiplications = w.hidden_size * Cell::hidden_gates * (w.input_size + w.hidden_size) / int8_gain;
    const plan p(s.batch, s.lengths, s.threads, multiplications, w.blocks);
    const int8_pass<Cell> pass(w, s, r, p);
    over_slices(pass, p, w.blocks, members_memory(p.slices(), memory_of(pass, p)));
}

}  // namespace seqloom::SEQLOOM_LEVEL
