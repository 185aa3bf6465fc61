// The time loop, backward, and the gradients of the weights after it.
//
// Phase 1 goes back through the steps, slice by slice as forward went on, and leaves the gradient of every pre-activation of
// every real step in `d`: d[slot][block] is tokens x panel numbers, the tokens in the order of rows and positions. Phase 2
// makes of it the gradients of the weights, one chain over all tokens for each number, and of x. Both are shared out by what
// is written, never by what is summed: the thread count changes no bit.
#pragma once

#include "time_loop.h"

namespace seqloom::SEQLOOM_LEVEL {

// Where the tokens of each row begin in `d`.
inline std::vector<i64> token_offsets(const sequence<real>& s) {
    std::vector<i64> offsets(static_cast<std::size_t>(s.batch + 1), 0);
    for (i64 b = 0; b < s.batch; ++b)
        offsets[static_cast<std::size_t>(b + 1)] = offsets[static_cast<std::size_t>(b)] + s.lengths[b];
    return offsets;
}

template <class Cell>
class backward_pass {
public:
    backward_pass(const panels<Cell>& w, const sequence<real>& s, const readings<real>& r, const gradients<real>& g,
                  const std::vector<i64>& offsets, real* d)
        : w_(w), s_(s), r_(r), g_(g), offsets_(offsets), tokens_(offsets.back()), d_(d) {}

    i64 memory(i64 rows) const {
        return workspace::rounded((Cell::hidden_gates + 4) * w_.blocks * rows * panel);
    }

    void read(const slice& part, real* memory, i64 first, i64 last, barrier& team) const {
        member me{part, static_cast<i64>(part.rows.size()), first, last, team};
        me.block = me.rows * panel;
        const i64 state = w_.blocks * me.block;
        me.carried = memory, me.fed = memory + state, me.d_cell = memory + 2 * state;
        me.d_reset_memory = memory + 3 * state, me.d_hidden_gates = memory + 4 * state;
        begin(me);
        i64 active = 0;
        for (i64 step = part.steps - 1; step >= 0; --step) {
            while (active < me.rows && length(me, active) > step) ++active;
            retreat(me, step, active);
        }
        finish(me);
    }

private:
    struct member {
        const slice& part;
        i64 rows, first, last;
        barrier& team;
        // carried, fed: the two parts of the gradient of h, by the cell and by the product U. [block], as hidden in forward
        real *carried = nullptr, *fed = nullptr, *d_cell = nullptr, *d_reset_memory = nullptr;
        // [block][gate]: of the pre-activations of one step, in the order of the transposed products.
        real* d_hidden_gates = nullptr;
        i64 block = 0;
    };
    static constexpr i64 together = Cell::resets ? Cell::hidden_gates - 1 : Cell::hidden_gates;

    i64 row_of(const member& me, i64 row) const { return me.part.rows[static_cast<std::size_t>(row)]; }
    i64 length(const member& me, i64 row) const { return s_.lengths[row_of(me, row)]; }
    i64 units(i64 u) const { return std::min(panel, w_.hidden_size - u * panel); }

    void begin(const member& me) const {
        for (i64 u = me.first; u < me.last; ++u)
            for (i64 row = 0; row < me.rows; ++row)
                for (i64 lane = 0; lane < panel; lane += lanes) {
                    const i64 at = u * me.block + row * panel + lane, b = row_of(me, row), unit = u * panel + lane;
                    store(me.carried + at, g_.last_hidden ? load_units(g_.last_hidden[b] + unit, units(u) - lane) : set(0));
                    store(me.fed + at, set(0));
                    if constexpr (Cell::has_cell)
                        store(me.d_cell + at, g_.last_cell ? load_units(g_.last_cell[b] + unit, units(u) - lane) : set(0));
                }
    }

    void retreat(const member& me, i64 step, i64 active) const {
        for (i64 u = me.first; u < me.last; ++u) unmove(me, step, active, u);
        me.team.wait();
        if constexpr (Cell::resets) {
            product(me, active, me.d_hidden_gates + together * w_.blocks * me.block, together, 1, me.d_reset_memory);
            for (i64 u = me.first; u < me.last; ++u) unopen(me, step, active, u);
            me.team.wait();
        }
        product(me, active, me.d_hidden_gates, 0, together, me.fed);
        me.team.wait();
    }

    // c = d U' for the hidden gates `first` .. `first` + `gates` - 1.
    void product(const member& me, i64 active, const real* d, i64 first, i64 gates, real* c) const {
        static constexpr real zeros[panel] = {};
        const operand left{d, panel, me.block};
        const i64 depth = w_.blocks * gates * panel;
        const i64 at_once = panels_at_once(active);
        for (i64 from = me.first; from < me.last; from += at_once) {
            const i64 count = std::min(at_once, me.last - from);
            const real *b[widest], *start[widest];
            real* at[widest];
            for (i64 p = 0; p < count; ++p) {
                b[p] = w_.hidden_back(from + p, first, gates);
                start[p] = zeros, at[p] = c + (from + p) * me.block;
            }
            multiply(active, left, count, b, depth, start, 0, at, panel);
        }
    }

    void unmove(const member& me, i64 step, i64 active, i64 u) const {
        for (i64 row = 0; row < active; ++row) {
            const i64 b = row_of(me, row), t = position(s_, s_.lengths[b], step);
            for (i64 lane = 0; lane < panel; lane += lanes) {
                const i64 at = u * me.block + row * panel + lane, unit_at = u * panel + lane, count = units(u) - lane;
                unit_gradient x = gather(b, t, step, unit_at, count);
                const vec fed = load(me.fed + at);
                x.d_hidden = load(me.carried + at) + (s_.mask ? fed * load_units(s_.mask[b] + unit_at, count) : fed);
                if (g_.outputs) x.d_hidden = x.d_hidden + load_units(g_.outputs.at(b, t) + unit_at, count);
                if constexpr (Cell::has_cell) x.d_cell = load(me.d_cell + at);
                Cell::unmove(x);
                store(me.carried + at, x.d_carried);
                if constexpr (Cell::has_cell) store(me.d_cell + at, x.d_cell);
                for (i64 slot = Cell::resets ? 1 : 0; slot < Cell::slots; ++slot) keep(me, b, t, slot, u, row, lane, x.d_z[slot]);
            }
        }
    }

    void unopen(const member& me, i64 step, i64 active, i64 u) const {
        if constexpr (Cell::resets)
            for (i64 row = 0; row < active; ++row) {
                const i64 b = row_of(me, row), t = position(s_, s_.lengths[b], step);
                for (i64 lane = 0; lane < panel; lane += lanes) {
                    const i64 at = u * me.block + row * panel + lane, unit_at = u * panel + lane, count = units(u) - lane;
                    unit_gradient x = gather(b, t, step, unit_at, count);
                    x.d_carried = load(me.carried + at);
                    const vec d_memory = load(me.d_reset_memory + at);
                    Cell::unopen(x, s_.mask ? d_memory * load_units(s_.mask[b] + unit_at, count) : d_memory);
                    store(me.carried + at, x.d_carried);
                    keep(me, b, t, 0, u, row, lane, x.d_z[0]);
                }
            }
    }

    // What forward saved of one step.
    unit_gradient gather(i64 b, i64 t, i64 step, i64 unit_at, i64 count) const {
        unit_gradient x;
        const i64 token = b * s_.time + t, before = s_.reverse ? t + 1 : t - 1;
        for (i64 slot = 0; slot < Cell::saved; ++slot)
            x.z[slot] = load_units(r_.gates + (token * Cell::saved + slot) * w_.hidden_size + unit_at, count);
        if constexpr (Cell::saved == 0) x.hidden = load_units(r_.outputs.at(b, t) + unit_at, count);
        if constexpr (Cell::has_cell) {
            x.cell = load_units(r_.cells + token * w_.hidden_size + unit_at, count);
            const real* cells = step > 0 ? r_.cells + (b * s_.time + before) * w_.hidden_size
                                         : s_.first_cell ? s_.first_cell[b] : nullptr;
            x.cell_before = cells == nullptr ? set(0) : load_units(cells + unit_at, count);
        } else if constexpr (Cell::saved > 0) {
            const real* hidden = step > 0 ? r_.outputs.at(b, before) : s_.first_hidden ? s_.first_hidden[b] : nullptr;
            x.hidden_before = hidden == nullptr ? set(0) : load_units(hidden + unit_at, count);
        }
        return x;
    }

    // Puts the gradient of a pre-activation where the product of this step and where phase 2 read it.
    void keep(const member& me, i64 b, i64 t, i64 slot, i64 u, i64 row, i64 lane, vec a) const {
        const i64 token = offsets_[static_cast<std::size_t>(b)] + t;
        store(d_ + ((slot * w_.blocks + u) * tokens_ + token) * panel + lane, a);
        const i64 gate = Cell::slots == Cell::hidden_gates || slot < 2 ? slot : slot - 1;
        if (Cell::hidden_slot(gate) != slot) return;  // no way to h from here
        const i64 place = gate < together ? u * together + gate : together * w_.blocks + u;
        store(me.d_hidden_gates + place * me.block + row * panel + lane, a);
    }

    void finish(const member& me) const {
        for (i64 u = me.first; u < me.last; ++u)
            for (i64 row = 0; row < me.rows; ++row)
                for (i64 lane = 0; lane < units(u); lane += lanes) {
                    const i64 at = u * me.block + row * panel + lane, b = row_of(me, row), unit = u * panel + lane;
                    const vec fed = load(me.fed + at);
                    const vec through = s_.mask ? fed * load_units(s_.mask[b] + unit, units(u) - lane) : fed;
                    if (g_.first_hidden)
                        store_units(g_.first_hidden[b] + unit, load(me.carried + at) + through, units(u) - lane);
                    if (Cell::has_cell && g_.first_cell)
                        store_units(g_.first_cell[b] + unit, load(me.d_cell + at), units(u) - lane);
                }
    }

    const panels<Cell>& w_;
    const sequence<real>& s_;
    const readings<real>& r_;
    const gradients<real>& g_;
    const std::vector<i64>& offsets_;
    const i64 tokens_;
    real* const d_;
};

// Phase 2. The left operands, one row of numbers a token: x; h before the step (masked); r h (masked), where the cell resets.
// Each has a last number 1, whose product with d is the gradient of the bias.
template <class Cell>
class weight_gradients {
public:
    weight_gradients(const panels<Cell>& w, const sequence<real>& s, const readings<real>& r, const gradients<real>& g,
                     const std::vector<i64>& offsets, const real* d)
        : w_(w), s_(s), r_(r), g_(g), offsets_(offsets), tokens_(offsets.back()), d_(d) {}

    // Numbers of memory that a member works in.
    i64 memory() const { return workspace::rounded((most_tiles(1) + 1) * tallest * depth); }

    void make(real* memory, i64 member, i64 members) const {
        if (g_.x != nullptr) inputs(member, members);
        if (g_.table != nullptr) table(member, members);
        const i64 tiles = all_tiles();
        const i64 from = tiles * member / members, to = tiles * (member + 1) / members;
        if (from == to) return;
        if (tokens_ == 0) {
            for (i64 tile = from; tile < to; ++tile)
                for (i64 i = 0; i < Cell::slots * w_.blocks; ++i) accumulate(tile, i, 1, memory, 0, 0);
            return;
        }
        for (i64 token = 0; token < tokens_; token += depth) {
            const i64 count = std::min(depth, tokens_ - token);
            for (i64 tile = from; tile < to; ++tile) gather(tile, token, count, memory + (tile - from) * tallest * depth);
            // Panels of d one group after the other, each for all tiles: they stay in the first-level cache.
            const i64 all = Cell::slots * w_.blocks;
            for (i64 first = 0; first < all; first += at_once)
                for (i64 tile = from; tile < to; ++tile)
                    accumulate(tile, first, std::min(at_once, all - first), memory + (tile - from) * tallest * depth, token, count);
        }
    }

private:
    static constexpr i64 depth = 128;  // tokens of one round
    static constexpr i64 at_once = panels_at_once(tallest);
    enum source { from_x, from_hidden, from_reset_memory };

    i64 tiles_of(source a) const {
        if (a == from_x) return g_.input == nullptr && g_.bias == nullptr ? 0 : (w_.input_size + tallest) / tallest;
        if (g_.hidden == nullptr && (a != from_hidden || g_.bias_candidate == nullptr)) return 0;
        return a == from_reset_memory && !Cell::resets ? 0 : (w_.hidden_size + tallest) / tallest;
    }
    i64 all_tiles() const { return tiles_of(from_x) + tiles_of(from_hidden) + tiles_of(from_reset_memory); }
    i64 most_tiles(i64 members) const { return (all_tiles() + members - 1) / members; }

    // Which operand a tile reads, and its first row there.
    std::pair<source, i64> place(i64 tile) const {
        for (source a : {from_x, from_hidden}) {
            if (tile < tiles_of(a)) return {a, tile * tallest};
            tile -= tiles_of(a);
        }
        return {from_reset_memory, tile * tallest};
    }

    // `count` tokens of a tile's rows, token by token: tallest numbers each, 1 after the last row, then zeros.
    void gather(i64 tile, i64 token, i64 count, real* to) const {
        const auto [from, first] = place(tile);
        const i64 size = from == from_x ? w_.input_size : w_.hidden_size;
        i64 b = std::upper_bound(offsets_.begin(), offsets_.end(), token) - offsets_.begin() - 1;
        for (i64 i = 0; i < count; ++i, to += tallest) {
            while (token + i >= offsets_[static_cast<std::size_t>(b + 1)]) ++b;
            const i64 t = token + i - offsets_[static_cast<std::size_t>(b)], here = std::min(tallest, size - first);
            if (from == from_x) std::copy_n(s_.x.at(b, t) + first, here, to);
            else fed_back(from, b, t, first, here, to);
            for (i64 m = here; m < tallest; ++m) to[m] = m == here ? 1 : 0;
        }
    }

    void fed_back(source from, i64 b, i64 t, i64 first, i64 count, real* to) const {
        const bool begins = s_.reverse ? t == s_.lengths[b] - 1 : t == 0;
        const real* hidden = !begins ? r_.outputs.at(b, s_.reverse ? t + 1 : t - 1) : s_.first_hidden ? s_.first_hidden[b] : nullptr;
        if (hidden == nullptr) std::fill_n(to, count, real(0));
        else std::copy_n(hidden + first, count, to);
        if (from == from_reset_memory) {
            const real* reset = r_.gates + (b * s_.time + t) * Cell::saved * w_.hidden_size + first;
            for (i64 m = 0; m < count; ++m) to[m] *= reset[m];
        }
        if (s_.mask)
            for (i64 m = 0; m < count; ++m) to[m] *= s_.mask[b][first + m];
    }

    // Which gate of an operand's weights slot `slot` belongs to; -1 for none.
    static i64 gate_of(source from, i64 slot) {
        if (from == from_x) return slot < Cell::input_gates ? slot : -1;
        for (i64 gate = 0; gate < Cell::hidden_gates; ++gate)
            if (Cell::hidden_slot(gate) == slot) {
                const bool in_second = Cell::resets && gate == Cell::hidden_gates - 1;
                return in_second == (from == from_reset_memory) ? gate : -1;
            }
        return -1;
    }

    // Adds one round of tokens to a tile's rows and the panels `first` .. `first` + `panels` - 1 of d, slot after slot.
    void accumulate(i64 tile, i64 first, i64 panels, const real* left, i64 token, i64 count) const {
        static constexpr real zeros[panel] = {};
        const auto [from, row] = place(tile);
        // A round's sum by itself, then added: a chain of thousands would lose digits.
        real whole[widest][tallest * panel];
        const real *b[widest], *start[widest];
        real* c[widest];
        i64 taken = 0, which[widest];
        for (i64 i = first; i < first + panels; ++i)
            if (gate_of(from, i / w_.blocks) >= 0) {
                b[taken] = d_ + (i * tokens_ + token) * panel;
                start[taken] = zeros, c[taken] = whole[taken], which[taken++] = i;
            }
        if (taken == 0) return;
        multiply<tallest>(tallest, {left, 1, panel * tallest}, taken, b, count, start, 0, c, panel);
        for (i64 p = 0; p < taken; ++p) add(from, row, which[p] / w_.blocks, which[p] % w_.blocks, whole[p], token == 0);
    }

    // Adds a tile of sums to the gradients of the rows from `first` on and the units of block u; sets them where `fresh`.
    void add(source from, i64 first, i64 slot, i64 u, const real* sums, bool fresh) const {
        const i64 size = from == from_x ? w_.input_size : w_.hidden_size, gates = from == from_x ? Cell::input_gates : Cell::hidden_gates;
        const i64 rows = std::min(tallest, size - first), columns = std::min(panel, w_.hidden_size - u * panel);
        const i64 column = gate_of(from, slot) * w_.hidden_size + u * panel;
        real* weight = from == from_x ? g_.input : g_.hidden;
        real* bias = rows == tallest ? nullptr : from == from_x ? g_.bias : slot >= Cell::input_gates ? g_.bias_candidate : nullptr;
        const auto add_row = [&](const real* sum, real* to) {
            for (i64 lane = 0; lane < columns; lane += lanes) {
                const vec all = load(sum + lane);
                store_units(to + lane, fresh ? all : load_units(to + lane, columns - lane) + all, columns - lane);
            }
        };
        for (i64 m = 0; m < rows && weight != nullptr; ++m) add_row(sums + m * panel, weight + (first + m) * gates * w_.hidden_size + column);
        if (bias != nullptr) add_row(sums + rows * panel, bias + (from == from_x ? column : u * panel));
    }

    // Each row of the table has the sum of d over the tokens that looked it up, in their order. A member has its own columns.
    void table(i64 member, i64 members) const {
        const i64 all = Cell::input_gates * w_.blocks, columns = Cell::input_gates * w_.hidden_size;
        for (i64 i = all * member / members; i < all * (member + 1) / members; ++i) {
            const i64 slot = i / w_.blocks, u = i % w_.blocks, count = std::min(panel, w_.hidden_size - u * panel);
            real* to = g_.table + slot * w_.hidden_size + u * panel;
            for (i64 row = 0; row < g_.table_rows; ++row) std::fill_n(to + row * columns, count, real(0));
            const real* d = d_ + i * tokens_ * panel;
            for (i64 b = 0; b < s_.batch; ++b)
                for (i64 t = 0; t < s_.lengths[b]; ++t, d += panel) {
                    real* sum = to + *s_.ids.at(b, t) * columns;
                    for (i64 lane = 0; lane < count; lane += lanes)
                        store_units(sum + lane, load_units(sum + lane, count - lane) + load(d + lane), count - lane);
                }
        }
    }

    // d W' for the rows of this member: as equal a number of tokens for each as rows allow.
    void inputs(i64 member, i64 members) const {
        const i64 from = tokens_ * member / members, to = tokens_ * (member + 1) / members;
        for (i64 b = 0; b < s_.batch; ++b) {
            const i64 begin = offsets_[static_cast<std::size_t>(b)], end = offsets_[static_cast<std::size_t>(b + 1)];
            if (const i64 first = std::max(begin, from), last = std::min(end, to); first < last)
                inputs_of(b, first - begin, last - first, d_ + first * panel);
            if (b % members == member)
                std::fill_n(g_.x + (b * s_.time + s_.lengths[b]) * w_.input_size, (s_.time - s_.lengths[b]) * w_.input_size, real(0));
        }
    }

    void inputs_of(i64 b, i64 t, i64 count, const real* d) const {
        static constexpr real zeros[panel] = {};
        constexpr i64 rows_at_once = 8 * tallest;
        real whole[widest][rows_at_once * panel];
        real* to = g_.x + (b * s_.time + t) * w_.input_size;
        const i64 depth_of_all = Cell::input_gates * w_.blocks * panel;
        for (i64 v = 0; v < panels_of(w_.input_size); v += at_once) {
            const i64 taken = std::min(at_once, panels_of(w_.input_size) - v);
            const real *right[widest], *start[widest];
            real* c[widest];
            for (i64 p = 0; p < taken; ++p) right[p] = w_.input_back(v + p), start[p] = zeros, c[p] = whole[p];
            for (i64 first = 0; first < count; first += rows_at_once) {
                const i64 height = std::min(rows_at_once, count - first);
                multiply(height, {d + first * panel, panel, tokens_ * panel}, taken, right, depth_of_all, start, 0, c, panel);
                for (i64 p = 0; p < taken; ++p)
                    for (i64 m = 0; m < height; ++m)
                        std::copy_n(c[p] + m * panel, std::min(panel, w_.input_size - (v + p) * panel),
                                    to + (first + m) * w_.input_size + (v + p) * panel);
            }
        }
    }

    const panels<Cell>& w_;
    const sequence<real>& s_;
    const readings<real>& r_;
    const gradients<real>& g_;
    const std::vector<i64>& offsets_;
    const i64 tokens_;
    const real* const d_;
};

template <class Cell>
void backward(const packed<real>& weights, const sequence<real>& s, const readings<real>& r, const gradients<real>& g) {
    const auto& w = static_cast<const panels<Cell>&>(weights);
    w.prepare_back(g.x != nullptr);
    const i64 multiplications = w.hidden_size * Cell::hidden_gates * (w.input_size + w.hidden_size);
    const plan p = make_plan(s, multiplications, w.blocks);
    const std::vector<i64> offsets = token_offsets(s);
    const i64 d_size = workspace::rounded(Cell::slots * w.blocks * offsets.back() * panel);
    const weight_gradients<Cell> sizes(w, s, r, g, offsets, nullptr);
    i64 memory = d_size + p.threads() * sizes.memory();
    const backward_pass<Cell> measure(w, s, r, g, offsets, nullptr);
    for (const slice& part : p.slices) memory += measure.memory(static_cast<i64>(part.rows.size()));
    workspace space(memory);
    real* d = space.take(d_size);
    over_slices(backward_pass<Cell>(w, s, r, g, offsets, d), p, w.blocks, space);
    std::vector<real*> memories;
    for (int member = 0; member < p.threads(); ++member) memories.push_back(space.take(sizes.memory()));
    const weight_gradients<Cell> after(w, s, r, g, offsets, d);
    parallel(p.threads(), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        after.make(memories[static_cast<std::size_t>(member)], member, members);
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
