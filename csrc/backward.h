// The time loop, backward, and the gradients of the weights after it.
//
// Phase 1 goes back through the steps, slice by slice as forward went on, and leaves the gradient of every pre-activation of
// every real step in `d`: d[slot][block] is tokens x panel numbers, from one block to the next `spacing` tokens. Phase 2 makes of it
// the gradients of the weights, summed over the tokens in one order, and of x. Tokens may have two parts with a sum each, the second
// added to the first: what one of two threads left, it sums up by itself, at once, as it would have to wait for the other's, and to fetch
// it, from afar where they share no cache. Within a part work is shared out by what is written, never by what is summed: the thread
// count changes no bit.
#pragma once

#include "time_loop.h"

namespace seqloom::SEQLOOM_LEVEL {

template <class Cell>
class backward_pass {
public:
    backward_pass(const panels<Cell>& w, const sequence<real>& s, const readings<real>& r, const gradients<real>& g,
                  const token_order& all, i64 members, real* d)
        : w_(w), s_(s), r_(r), g_(g), all_(all), members_(members), spacing_(all.spacing()), d_(d),
          puts_past_(worth_storing_past(Cell::slots * w.blocks * spacing_ * panel, d, panel)) {}

    i64 memory(i64 rows) const {
        return members_ * numbers_for<place>(rows) + workspace::rounded((gradients_kept() + 4) * w_.blocks * rows * panel);
    }

    void read(const slice& part, real* memory, i64 number, i64 first, i64 last, barrier* team) const {
        member me{part, part.count(), first, last, team, static_cast<int>(number)};
        me.block = me.rows * panel;
        me.places = reinterpret_cast<place*>(memory + number * numbers_for<place>(me.rows));
        memory += members_ * numbers_for<place>(me.rows);
        const i64 state = w_.blocks * me.block;
        me.carried = memory, me.fed = memory + state, me.d_cell = memory + 2 * state;
        me.d_reset_memory = memory + 3 * state, me.d_hidden_gates = memory + 4 * state;
        me.d_next_gates = me.d_hidden_gates + (gradients_kept() - Cell::hidden_gates) * state;
        begin(me);
        i64 active = 0;
        for (i64 step = part.steps - 1; step >= 0; --step) {
            while (active < me.rows && length(me, active) > step) ++active;
            if (!retreat(me, step, active)) return;
            std::swap(me.d_hidden_gates, me.d_next_gates);
        }
        finish(me);
    }

private:
    // Where the step of a row stands: which of the B x T it is and which in the order of all, its outputs and their gradient,
    // null where there is none; the hidden state and the cell before it, null for zeros.
    struct place {
        i64 token, rank;
        const real *outputs, *d_outputs, *hidden_before, *cell_before;
    };

    struct member {
        const slice& part;
        i64 rows, first, last;
        barrier* team;  // null: alone
        int number;     // among the team
        bool waits = false;
        place* places = nullptr;
        // carried, fed: the two parts of the gradient of h, by the cell and by the product U. [block], as hidden in forward. The
        // gradient of the last state begins in `carried`; where nothing is carried, in `fed`.
        real *carried = nullptr, *fed = nullptr, *d_cell = nullptr, *d_reset_memory = nullptr;
        // [gate][block]: of the pre-activations of one step, in the order of the transposed products. A team has those of the next step
        // elsewhere, as others may still read this step's.
        real *d_hidden_gates = nullptr, *d_next_gates = nullptr;
        i64 block = 0;
    };
    static constexpr i64 together = Cell::resets ? Cell::hidden_gates - 1 : Cell::hidden_gates;

    // Gates whose gradients have a place: those of one step; in a team, of two steps.
    i64 gradients_kept() const { return (members_ > 1 ? 2 : 1) * Cell::hidden_gates; }

    i64 row_of(const member& me, i64 row) const { return me.part.rows.data()[row]; }
    i64 length(const member& me, i64 row) const { return s_.lengths[row_of(me, row)]; }
    i64 units(i64 u) const { return std::min(panel, w_.hidden_size - u * panel); }

    void begin(const member& me) const {
        for (i64 u = me.first; u < me.last; ++u)
            for (i64 row = 0; row < me.rows; ++row) {
                const i64 at = u * me.block + row * panel, b = row_of(me, row);
                const block_row last = state_of(g_.last_hidden, b, u * panel, units(u));
                store(me.carried + at, has_carried_ ? last : block_row(set(0)));
                store(me.fed + at, has_carried_ ? block_row(set(0)) : last);
                if constexpr (Cell::has_cell) store(me.d_cell + at, state_of(g_.last_cell, b, u * panel, units(u)));
            }
    }

    // One step back of the first `active` rows. False as `wait`.
    bool retreat(member& me, i64 step, i64 active) const {
        for (i64 row = 0; row < active; ++row) me.places[row] = find(me, step, row);
        for (i64 row = 0; row < active; ++row)  // a row's blocks lie side by side, which the processor foresees
            for (i64 u = me.first; u < me.last; ++u) {
                if (units(u) == panel) unmove<true>(me, active, row, u);
                else unmove<false>(me, active, row, u);
            }
        arrive(me);
        if constexpr (Cell::resets) {
            const real* const d = me.d_hidden_gates + together * w_.blocks * me.block;
            if (!product(me, active, d, together, 1, me.d_reset_memory)) return false;
            for (i64 u = me.first; u < me.last; ++u) {
                if (units(u) == panel) unopen<true>(me, active, u);
                else unopen<false>(me, active, u);
            }
            arrive(me);
        }
        if (step == 0 && !g_.first_hidden) return true;  // nobody reads it
        return product(me, active, me.d_hidden_gates, 0, together, me.fed);
    }

    place find(const member& me, i64 step, i64 row) const {
        const i64 b = row_of(me, row), t = position(s_, s_.lengths[b], step), back = s_.reverse ? 1 : -1;
        place at;
        at.token = b * s_.time + t, at.rank = all_.at(step, b);
        at.outputs = r_.outputs.at(b, t);
        at.d_outputs = g_.outputs ? g_.outputs.at(b, t) : nullptr;
        at.hidden_before = step > 0 ? r_.outputs.at(b, t + back) : s_.first_hidden ? s_.first_hidden[b] : nullptr;
        at.cell_before = nullptr;
        if constexpr (Cell::has_cell)
            at.cell_before = step > 0 ? r_.cells + (at.token + back) * w_.hidden_size : s_.first_cell ? s_.first_cell[b] : nullptr;
        return at;
    }

    // c = d U' for the hidden gates `first` .. `first` + `gates` - 1. False as `wait`.
    bool product(member& me, i64 active, const real* d, i64 first, i64 gates, real* c) const {
        if (me.number > 0 && !wait(me, w_.blocks)) return false;
        static constexpr real zeros[panel] = {};
        const operand left{d, panel, me.block};
        const i64 depth = w_.blocks * gates * panel;
        const i64 at_once = panels_at_once(active);
        for (i64 from = me.first, count; from < me.last; from += count) {  // me.last grows where the team parts
            count = std::min(at_once, me.last - from);
            const real *b[widest], *start[widest];
            real* at[widest];
            for (i64 p = 0; p < count; ++p) {
                b[p] = w_.hidden_back(from + p, first, gates);
                start[p] = zeros, at[p] = c + (from + p) * me.block;
            }
            multiply_in_team(me, w_.blocks, active, {left, b, depth}, count, start, 0, at);
        }
        return true;
    }

    // `whole`: all units of the block are there.
    template <bool whole>
    void unmove(const member& me, i64 active, i64 row, i64 u) const {
        const i64 unit_at = u * panel, at = u * me.block + row * panel;
        const saved_steps saved(*this, unit_at);
        const kept_gradients kept(*this, me, u);
        const place at_row = me.places[row];
        if (row + 1 < active) saved.expect(me.places[row + 1]), kept.expect(me.places[row + 1]);
        unit_gradient x = saved.template gather<whole>(at_row, units(u));
        const block_row fed = load_row(me.fed + at);
        x.d_hidden = s_.mask ? fed * mask_of(me, row, u) : fed;
        if (has_carried_) x.d_hidden = load_row(me.carried + at) + x.d_hidden;
        if (at_row.d_outputs != nullptr) x.d_hidden = x.d_hidden + load_units<whole>(at_row.d_outputs + unit_at, units(u));
        if constexpr (Cell::has_cell) x.d_cell = load_row(me.d_cell + at);
        Cell::unmove(x);
        if constexpr (Cell::carries) store(me.carried + at, x.d_carried);
        else if (has_carried_) store(me.carried + at, block_row(set(0)));  // the last state's gradient was there
        if constexpr (Cell::has_cell) store(me.d_cell + at, x.d_cell);
        for (i64 slot = Cell::resets ? 1 : 0; slot < Cell::slots; ++slot) kept.put(slot, at_row, row, x.d_z[slot]);
    }

    template <bool whole>
    void unopen(const member& me, i64 active, i64 u) const {
        const i64 unit_at = u * panel;
        const saved_steps saved(*this, unit_at);
        const kept_gradients kept(*this, me, u);
        real* const carried = me.carried + u * me.block;
        const real* const back = me.d_reset_memory + u * me.block;
        const place* const places = me.places;
        const bool is_masked = static_cast<bool>(s_.mask);
        for (i64 row = 0; row < active; ++row) {
            const place at_row = places[row];
            const i64 at = row * panel;
            unit_gradient x = saved.template gather<whole>(at_row, units(u));
            x.d_carried = load_row(carried + at);
            const block_row d_memory = load_row(back + at);
            Cell::unopen(x, is_masked ? d_memory * mask_of(me, row, u) : d_memory);
            store(carried + at, x.d_carried);
            kept.put(0, at_row, row, x.d_z[0]);
        }
    }

    block_row mask_of(const member& me, i64 row, i64 u) const {
        return load_units<false>(s_.mask[row_of(me, row)] + u * panel, units(u));
    }

    // What forward saved, of the block of units that begins at `unit`.
    struct saved_steps {
        saved_steps(const backward_pass& pass, i64 unit)
            : gates(Cell::saved > 0 ? pass.r_.gates + unit : nullptr), cells(Cell::has_cell ? pass.r_.cells + unit : nullptr),
              unit(unit), width(pass.w_.hidden_size) {}

        // Asks for what `gather` will read.
        SEQLOOM_INLINE void expect(const place& later) const {
            for (i64 slot = 0; slot < Cell::saved; ++slot) prefetch<false>(gates + (later.token * Cell::saved + slot) * width);
            if constexpr (Cell::has_cell) prefetch<false>(cells + later.token * width);
            else prefetch<false>(later.outputs + unit);
            if (later.d_outputs != nullptr) prefetch<false>(later.d_outputs + unit);
        }

        template <bool whole>
        SEQLOOM_INLINE unit_gradient gather(const place& at, i64 count) const {
            unit_gradient x;
            for (i64 slot = 0; slot < Cell::saved; ++slot)
                x.z[slot] = load_units<whole>(gates + (at.token * Cell::saved + slot) * width, count);
            if constexpr (Cell::saved == 0) x.hidden = load_units<whole>(at.outputs + unit, count);
            if constexpr (Cell::has_cell) {
                x.cell = load_units<whole>(cells + at.token * width, count);
                x.cell_before = at.cell_before == nullptr ? block_row(set(0)) : load_units<whole>(at.cell_before + unit, count);
            } else if constexpr (Cell::saved > 0) {
                x.hidden_before = at.hidden_before == nullptr ? block_row(set(0)) : load_units<whole>(at.hidden_before + unit, count);
            }
            return x;
        }

        const real *const gates, *const cells;
        const i64 unit, width;
    };

    // Where the gradients of the pre-activations of block u are put: where the product of this step and where phase 2 read them.
    struct kept_gradients {
        kept_gradients(const backward_pass& pass, const member& me, i64 u)
            : of_tokens(pass.d_ + u * pass.spacing_ * panel), of_step(me.d_hidden_gates + u * me.block),
              slot_size(pass.w_.blocks * pass.spacing_ * panel), gate_size(pass.w_.blocks * me.block), past(pass.puts_past_) {}

        // Asks for where `put` will write: memory that has left the caches since.
        SEQLOOM_INLINE void expect(const place& later) const {
            for (i64 slot = Cell::resets ? 1 : 0; !past && slot < Cell::slots; ++slot)
                prefetch<true>(of_tokens + slot * slot_size + later.rank * panel);
        }

        SEQLOOM_INLINE void put(i64 slot, const place& at, i64 row, block_row all) const {
            store_units<true>(of_tokens + slot * slot_size + at.rank * panel, all, panel, past);
            const i64 gate = Cell::slots == Cell::hidden_gates || slot < 2 ? slot : slot - 1;
            if (Cell::hidden_slot(gate) != slot) return;  // no way to h from here
            store(of_step + gate * gate_size + row * panel, all);
        }

        real *const of_tokens, *const of_step;
        const i64 slot_size, gate_size;
        const bool past;
    };

    void finish(const member& me) const {
        for (i64 u = me.first; u < me.last; ++u)
            for (i64 row = 0; row < me.rows; ++row) {
                const i64 at = u * me.block + row * panel, b = row_of(me, row), unit_at = u * panel;
                const block_row fed = load_row(me.fed + at), through = s_.mask ? fed * mask_of(me, row, u) : fed;
                if (g_.first_hidden) store_units<false>(g_.first_hidden[b] + unit_at, load_row(me.carried + at) + through, units(u));
                if (Cell::has_cell && g_.first_cell) store_units<false>(g_.first_cell[b] + unit_at, load_row(me.d_cell + at), units(u));
            }
    }

    const panels<Cell>& w_;
    const sequence<real>& s_;
    const readings<real>& r_;
    const gradients<real>& g_;
    const token_order& all_;
    const i64 members_, spacing_;
    real* const d_;
    const bool has_carried_ = Cell::carries || s_.mask;  // with a mask too, which the gradient of the last state must not go through
    const bool puts_past_;  // whether what goes to `d_` is stored past the caches
};

// Phase 2, for one part of the tokens. The left operands, one row of numbers a token: x; h before the step (masked); r h (masked),
// where the cell resets. Each has a last number 1, whose product with d is the gradient of the bias.
template <class Cell>
class weight_gradients {
public:
    weight_gradients(const panels<Cell>& w, const sequence<real>& s, const readings<real>& r, const gradients<real>& g,
                     const token_order& all, int part, const real* d)
        : w_(w), s_(s), r_(r), g_(g), all_(all), spacing_(all.spacing()), begin_(all.begin(part)), end_(all.begin(part + 1)),
          end_of_zeros_(s.first_hidden ? begin_ : begin_ + all.firsts(part)), d_(d) {}

    // Numbers of memory that a member works in.
    i64 memory() const { return workspace::rounded((all_tiles() + 1) * gathered_tile + w_.hidden_size); }

    // A member's share of the gradients of the weights, from `from` to `to` of `all`.
    void make(real* memory, i64 from, i64 to, i64 all) const { tiles(memory, first_tile(from, all), first_tile(to, all)); }

    // The gradient of x for tokens that nobody has taken yet, until none are left, in pieces of nearly equal size. `members`: about
    // how many share them; the pieces depend on it, and what is asked for ahead.
    void make_inputs(shared_work& tokens, i64 members) const {
        const i64 all = end_ - begin_, pieces = members * ((all + members * rows_at_once - 1) / (members * rows_at_once));
        if (pieces == 0) return;
        const i64 piece = (all + pieces - 1) / pieces;
        for (i64 from; (from = begin_ + tokens.take(piece)) < end_;) inputs(from, std::min(piece, end_ - from), from + members * piece);
    }

private:
    static constexpr i64 at_once = panels_at_once(tallest), rows_at_once = 8 * tallest;
    enum source { from_x, from_hidden, from_reset_memory };

    i64 tile_count(source a) const {
        if (a == from_x) return g_.input == nullptr && g_.bias == nullptr ? 0 : (w_.input_size + tallest) / tallest;
        if (g_.hidden == nullptr && (a != from_hidden || g_.bias_candidate == nullptr)) return 0;
        return a == from_reset_memory && !Cell::resets ? 0 : (w_.hidden_size + tallest) / tallest;
    }
    i64 all_tiles() const { return tile_count(from_x) + tile_count(from_hidden) + tile_count(from_reset_memory); }

    // The first tile after the share `done` of `all`, where shares are of what is to be multiplied: the tiles of one operand go with
    // more gates than another's.
    i64 first_tile(i64 done, i64 all) const {
        i64 work = 0;
        for (source a : {from_x, from_hidden, from_reset_memory}) work += tile_count(a) * gates_of(a);
        i64 tile = 0, before = work * done / all;
        for (source a : {from_x, from_hidden, from_reset_memory}) {
            const i64 here = tile_count(a) * gates_of(a);
            if (before < here) return tile + before / gates_of(a);
            tile += tile_count(a), before -= here;
        }
        return tile;
    }

    static i64 gates_of(source a) {
        if (a == from_x) return Cell::input_gates;
        if (a == from_reset_memory) return 1;
        return Cell::resets ? Cell::hidden_gates - 1 : Cell::hidden_gates;
    }

    // The gradients of the weights in the tiles `from` .. `to` - 1 of all operands.
    void tiles(real* memory, i64 from, i64 to) const {
        if (from == to) return;
        for (i64 token = begin_; token == begin_ || token < end_; token += gathered_tokens) {
            const i64 count = std::min(gathered_tokens, end_ - token);
            real* const own = memory + (to - from) * gathered_tile;
            each_operand(from, to, memory, [&](source a, i64 begin, i64 end, real* left) {
                gather(a, begin, end, token, count, left, own);
            });
            // Panels of d one group after the other, each for all tiles: they stay in the caches.
            const i64 all = Cell::slots * w_.blocks;
            for (i64 first = 0; first < all; first += most_summed)
                each_operand(from, to, memory, [&](source a, i64 begin, i64 end, const real* left) {
                    add_round(a, begin, end, first, std::min(most_summed, all - first), left, token, count);
                });
        }
    }

    // visit(operand, first, end, memory) for the tiles `from` .. `to` - 1, numbered from the first of each operand, and where what is
    // gathered for them lies.
    template <class Visit>
    void each_operand(i64 from, i64 to, real* memory, Visit visit) const {
        i64 first = 0;
        for (source a : {from_x, from_hidden, from_reset_memory}) {
            const i64 begin = std::max(from, first), end = std::min(to, first + tile_count(a));
            if (begin < end) visit(a, begin - first, end - first, memory + (begin - from) * gathered_tile);
            first += tile_count(a);
        }
    }

    // `count` tokens of an operand, for each of the tiles `begin` .. `end` - 1 token by token. Each token's row is read once, for all
    // tiles. `own`: memory for one row.
    void gather(source a, i64 begin, i64 end, i64 token, i64 count, real* to, real* own) const {
        const i64 size = a == from_x ? w_.input_size : w_.hidden_size;
        const bool changed = a == from_reset_memory || (a == from_hidden && s_.mask);
        all_.each(token, token + count, [&](i64, i64 b, i64 t) {
            const real* row = a == from_x ? s_.x.at(b, t) : before(b, t);
            if (row == nullptr) std::fill_n(own, size, real(0)), row = own;
            else if (changed) row = masked(a, b, t, row, own);
            gather_token(row, size, begin, end, to);
            to += tallest;
        });
    }

    // The hidden state before the step at `t`; null for zeros.
    const real* before(i64 b, i64 t) const {
        const bool begins = s_.reverse ? t == s_.lengths[b] - 1 : t == 0;
        if (begins) return s_.first_hidden ? s_.first_hidden[b] : nullptr;
        return r_.outputs.at(b, s_.reverse ? t + 1 : t - 1);
    }

    // The hidden state as the product read it: reset, where the operand is, and masked.
    const real* masked(source a, i64 b, i64 t, const real* row, real* to) const {
        const real* reset = r_.gates + (b * s_.time + t) * Cell::saved * w_.hidden_size;
        for (i64 i = 0; i < w_.hidden_size; ++i) {
            to[i] = a == from_reset_memory ? row[i] * reset[i] : row[i];
            if (s_.mask) to[i] *= s_.mask[b][i];
        }
        return to;
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

    // Adds one round of tokens to the rows of an operand's tiles `begin` .. `end` - 1, gathered at `left`, and the panels `first` ..
    // `first` + `panels` - 1 of d, slot after slot. The first round is written over what was there.
    void add_round(source a, i64 begin, i64 end, i64 first, i64 panels, const real* left, i64 token, i64 count) const {
        const i64 size = a == from_x ? w_.input_size : w_.hidden_size, width = columns_of(a), zeros = zeros_of(a, token, count);
        real* const weight = a == from_x ? g_.input : g_.hidden;
        const i64 edge = std::clamp(size / tallest, begin, end);  // the first tile that has more than rows of the weights
        const real* b[most_summed];
        real* c[most_summed];
        i64 taken = 0;
        for (i64 i = first; i < first + panels; ++i) {
            const i64 gate = gate_of(a, i / w_.blocks), unit = i % w_.blocks * panel;
            if (gate < 0) continue;
            const real* const d = d_ + (i * spacing_ + token) * panel;
            const bool whole = weight != nullptr && begin < edge && unit + panel <= w_.hidden_size;
            if (whole) b[taken] = d + zeros * panel, c[taken++] = weight + begin * tallest * width + gate * w_.hidden_size + unit;
            for (i64 tile = whole || weight == nullptr ? edge : begin; tile < end; ++tile)  // at an edge, and for the bias
                add_edge(a, tile, i, left + (tile - begin) * gathered_tile, d, token, count);
        }
        if (taken > 0) accumulate(edge - begin, left + zeros * tallest, taken, b, count - zeros, c, width, token == begin_);
    }

    // Of `count` tokens from `token` on, the first ones, where the operand is zeros: they are multiplied with nothing.
    i64 zeros_of(source a, i64 token, i64 count) const {
        return a == from_x ? 0 : std::min(count, std::max<i64>(0, end_of_zeros_ - token));
    }

    // Numbers of a row of an operand's weights.
    i64 columns_of(source a) const { return (a == from_x ? Cell::input_gates : Cell::hidden_gates) * w_.hidden_size; }

    // The same for one tile and panel `i` of d, by way of a whole tile.
    void add_edge(source a, i64 tile, i64 i, const real* left, const real* b, i64 token, i64 count) const {
        real whole[tallest * panel];
        const auto sum_without = [&](i64 tokens) {
            const real* const others = b + tokens * panel;
            real* const c = whole;
            accumulate(1, left + tokens * tallest, 1, &others, count - tokens, &c, panel, true);
        };
        const i64 zeros = zeros_of(a, token, count);
        sum_without(zeros);
        const i64 slot = i / w_.blocks, u = i % w_.blocks, columns = std::min(panel, w_.hidden_size - u * panel);
        const i64 at = gate_of(a, slot) * w_.hidden_size + u * panel, first = tile * tallest;
        const i64 rows = std::min(tallest, (a == from_x ? w_.input_size : w_.hidden_size) - first);
        const auto add_row = [&](const real* sum, real* to) {
            for (i64 lane = 0; lane < columns; lane += lanes) {
                const vec here = load(sum + lane);
                store_units(to + lane, token == begin_ ? here : load_units(to + lane, columns - lane) + here, columns - lane);
            }
        };
        real* const weight = a == from_x ? g_.input : g_.hidden;
        for (i64 m = 0; m < rows && weight != nullptr; ++m) add_row(whole + m * panel, weight + (first + m) * columns_of(a) + at);
        real* const bias = a == from_x ? g_.bias : slot >= Cell::input_gates ? g_.bias_candidate : nullptr;
        if (rows == tallest || bias == nullptr) return;
        if (zeros > 0) sum_without(0);  // the bias is added there too
        add_row(whole + rows * panel, bias + (a == from_x ? at : u * panel));
    }

    // d W' for the tokens `first` .. `first` + `count` - 1. The gradients from `next` on are asked for meanwhile, two rows a tile with
    // each of the first panels, so that not all requests wait at once.
    void inputs(i64 first, i64 count, i64 next) const {
        static constexpr real zeros[panel] = {};
        real whole[widest][rows_at_once * panel];
        real* rows[rows_at_once];
        all_.each(first, first + count, [&](i64 token, i64 b, i64 t) { rows[token - first] = g_.x + (b * s_.time + t) * w_.input_size; });
        for (i64 v = 0; v < panels_of(w_.input_size); v += at_once) {
            const i64 taken = std::min(at_once, panels_of(w_.input_size) - v);
            const real *right[widest], *start[widest];
            real* c[widest];
            for (i64 p = 0; p < taken; ++p) right[p] = w_.input_back(v + p), start[p] = zeros, c[p] = whole[p];
            const i64 row = v / at_once * 2, soon = row < tallest && next + count <= end_ ? (next - first + row) * panel : 0;
            multiply(count, {d_ + first * panel, panel, spacing_ * panel, soon}, taken, right, Cell::input_gates * w_.blocks * panel,
                     start, 0, c, panel);
            for (i64 p = 0; p < taken; ++p) {
                const i64 at = (v + p) * panel, units = std::min(panel, w_.input_size - at);
                if (units == panel) for (i64 m = 0; m < count; ++m) store(rows[m] + at, load_row(c[p] + m * panel));
                else for (i64 m = 0; m < count; ++m) store_units<false>(rows[m] + at, load_row(c[p] + m * panel), units);
            }
        }
    }

    const panels<Cell>& w_;
    const sequence<real>& s_;
    const readings<real>& r_;
    const gradients<real>& g_;
    const token_order& all_;
    const i64 spacing_;
    const i64 begin_, end_, end_of_zeros_;  // the tokens of this part; those of them before which h is zeros come first
    const real* const d_;
};

// Each row of the table has the sum of d over the tokens that looked it up, in their order. A member has its own columns.
template <class Cell>
void table_gradient(const panels<Cell>& w, const sequence<real>& s, const gradients<real>& g, const token_order& order, const real* d,
                    i64 member, i64 members) {
    const i64 all = Cell::input_gates * w.blocks, columns = Cell::input_gates * w.hidden_size;
    for (i64 i = all * member / members; i < all * (member + 1) / members; ++i) {
        const i64 slot = i / w.blocks, u = i % w.blocks, count = std::min(panel, w.hidden_size - u * panel);
        real* to = g.table + slot * w.hidden_size + u * panel;
        for (i64 row = 0; row < g.table_rows; ++row) std::fill_n(to + row * columns, count, real(0));
        const real* from = d + i * order.spacing() * panel;
        order.each(0, order.count(), [&](i64 token, i64 b, i64 t) {
            real* sum = to + *s.ids.at(b, t) * columns;
            for (i64 lane = 0; lane < count; lane += lanes)
                store_units(sum + lane, load_units(sum + lane, count - lane) + load(from + token * panel + lane), count - lane);
        });
    }
}

// Zeros at the padding of a member's rows of the gradient of x.
inline void clear_padding(const sequence<real>& s, real* x, i64 size, i64 member, i64 members) {
    for (i64 b = member; b < s.batch; b += members)
        std::fill_n(x + (b * s.time + s.lengths[b]) * size, (s.time - s.lengths[b]) * size, real(0));
}

// The gradients of weights that the second part of the tokens is summed up in, before it is added to the first's.
template <class Cell>
class second_sum {
public:
    second_sum(const panels<Cell>& w, const gradients<real>& g)
        : counts_{w.input_size * Cell::input_gates * w.hidden_size, w.hidden_size * Cell::hidden_gates * w.hidden_size,
                  Cell::input_gates * w.hidden_size, w.hidden_size},
          totals_{g.input, g.hidden, g.bias, g.bias_candidate} {}

    i64 memory() const {
        i64 all = 0;
        for (int i = 0; i < 4; ++i) all += totals_[i] == nullptr ? 0 : workspace::rounded(counts_[i]);
        return all;
    }

    // `g`, with gradients of weights of its own in `memory`.
    gradients<real> take(gradients<real> g, real* memory) {
        real** const own[] = {&g.input, &g.hidden, &g.bias, &g.bias_candidate};
        for (int i = 0; i < 4; ++i)
            if (totals_[i] != nullptr) *own[i] = sums_[i] = memory, memory += workspace::rounded(counts_[i]);
        return g;
    }

    // Adds a member's share of it.
    void add(i64 member, i64 members) const {
        for (int i = 0; i < 4; ++i) {
            if (totals_[i] == nullptr) continue;
            const i64 end = counts_[i] * (member + 1) / members;
            for (i64 at = counts_[i] * member / members; at < end; at += lanes) {
                const i64 count = end - at;
                store_units(totals_[i] + at, load_units(totals_[i] + at, count) + load_units(sums_[i] + at, count), count);
            }
        }
    }

private:
    const i64 counts_[4];
    real* const totals_[4];
    real* sums_[4] = {};
};

template <class Cell>
void backward(const packed<real>& weights, const sequence<real>& s, const readings<real>& r, const gradients<real>& g) {
    const auto& w = static_cast<const panels<Cell>&>(weights);
    w.prepare_back(g.x != nullptr, s.threads);
    const plan p = plan_for(w, s);
    // Two parts where there are so many tokens that adding up a second sum of the weights is worth its while.
    const token_order all(p, s.lengths, s.reverse, w.input_size + w.hidden_size);
    const int parts = all.parts();
    second_sum<Cell> second(w, g);
    const i64 d_size = workspace::rounded(Cell::slots * w.blocks * all.spacing() * panel);
    workspace space(d_size + (parts > 1 ? second.memory() : 0));
    real* const d = space.take(d_size);
    const backward_pass<Cell> pass(w, s, r, g, all, p.members, d);
    const gradients<real> g_second = parts > 1 ? second.take(g, space.take(second.memory())) : g;
    const weight_gradients<Cell> sums[] = {{w, s, r, g, all, 0, d}, {w, s, r, g_second, all, parts - 1, d}};
    const members_memory memory(p.threads(), std::max(memory_of(pass, p), sums[0].memory()));
    barrier team(p.members);
    milestone gone_back, summed_up;
    shared_work tokens[2];
    parallel(p.threads(), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        read_slices(pass, p, w.blocks, memory, team, member, members);
        gone_back.reach();
        // Of two threads each goes on with its own part: which of them was faster so far, is made up for by the pieces below.
        const bool has_own_part = all.follows_slices() && parts == members;
        if (!has_own_part) gone_back.wait(members);
        // `members` shares of each part, one part after the other: of three members the second ends the first part and begins the other.
        for (i64 part = 0; part < parts; ++part) {
            const auto of_part = [&](i64 shares) { return std::clamp<i64>(shares - part * members, 0, members); };
            const i64 from = of_part(parts * member), to = of_part(parts * (member + 1));
            if (from < to) sums[part].make(memory.of(member), from, to, members);
        }
        summed_up.reach();
        // Whoever is done with that takes pieces of what is left, of the part that it knows first.
        for (i64 i = 0; g.x != nullptr && i < parts; ++i) {
            const i64 part = (parts * member / members + i) % parts;
            if (i > 0) gone_back.wait(members);
            sums[part].make_inputs(tokens[part], (members + parts - 1) / parts);
        }
        if (g.x != nullptr) clear_padding(s, g.x, w.input_size, member, members);
        if (g.table != nullptr) gone_back.wait(members), table_gradient(w, s, g, all, d, member, members);
        if (parts > 1) summed_up.wait(members), second.add(member, members);
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
