// The one time loop, forward: each member of a team of threads takes rows (many rows) or units (few rows) through all steps.
//
// Rows are dealt to slices with equal numbers of steps; a slice needs no other slice, so there is no waiting in time. Within a
// slice rows are sorted by length, longest first: those still being read are the first `active`, finished ones cost nothing.
// Where rows are few and their weights are many, all members share one slice and each computes its own blocks of units; they meet
// before each product. Neither choice can be seen in the results: each number is made by one member in one order.
//
// A loop over rows keeps in variables of its own all that it reads: the compiler must believe that a vector, once stored, may have
// changed any member of any object, and would fetch each of them anew, row after row (a seventh to a quarter of the time of
// layers of 64 units).
//
// Memory of a slice, all in blocks of `panel` units, rows x panel numbers each, row r being the slice's r-th:
//     z[step][block][slot]     pre-activations of one chunk of steps: x W + b first, then + h U, in place; where both are one
//                              sum (`joined`), of one step
//     x[block of inputs]       what a joined step reads
//     fed[2][block]            what the products read: h (masked), before and after the step
//     reset_memory[block]      r h (masked), where the cell resets
//     hidden[block], cell[block]   the state: h where a mask keeps the products from reading it
// and for each member
//     places[row]                  where a row's step stands
#pragma once

#include "panels.h"
#include "plan.h"
#include "threads.h"

namespace seqloom::SEQLOOM_LEVEL {

// Where step `step` of a row of length `length` stands in its sequence.
inline i64 position(const sequence<real>& s, i64 length, i64 step) { return s.reverse ? length - 1 - step : step; }

inline vec load_units(const real* from, i64 count) {
    return count >= lanes ? load(from) : count > 0 ? load_first(from, count) : set(0);
}

inline void store_units(real* to, vec a, i64 count) {
    if (count >= lanes) store(to, a);
    else if (count > 0) store_first(to, a, count);
}

inline block_row load_row(const real* from) { return load_several<panel / lanes>(from); }

// `count` units of it; all of them where that is known (`whole`).
template <bool whole>
SEQLOOM_INLINE block_row load_units(const real* from, i64 count) {
    if constexpr (whole) return load_row(from);
    block_row all;
    for (i64 i = 0; i < panel / lanes; ++i) all.at[i] = load_units(from + i * lanes, count - i * lanes);
    return all;
}

template <bool whole>
SEQLOOM_INLINE void store_units(real* to, block_row all, i64 count) {
    if constexpr (whole) return store(to, all);
    for (i64 i = 0; i < panel / lanes; ++i) store_units(to + i * lanes, all.at[i], count - i * lanes);
}

// `count` units, from `unit` on, of row b of a state or of its gradient; zeros where none is given.
inline block_row state_of(rows_of<const real> state, i64 b, i64 unit, i64 count) {
    return state ? load_units<false>(state[b] + unit, count) : block_row(set(0));
}

// Numbers of which few are still in a cache when all of them are written: 8 MB, as the third level is others' too.
constexpr i64 too_many_to_find = (i64{8} << 20) / static_cast<i64>(sizeof(real));

// Whether so many numbers are stored past the caches, in rows of `width` numbers from `from` on: in whole cache lines, as
// parts of them gain nothing.
inline bool worth_storing_past(i64 count, const real* from, i64 width) {
    constexpr std::uintptr_t line = 64;
    const auto begins = [](std::uintptr_t bytes) { return bytes % line == 0; };
    const bool whole = begins(reinterpret_cast<std::uintptr_t>(from)) && begins(static_cast<std::uintptr_t>(width) * sizeof(real));
    return stores_past && whole && count > too_many_to_find;
}

// The same past the caches, where `past` and `to` is at a multiple of `lanes` numbers.
template <bool whole>
SEQLOOM_INLINE void store_units(real* to, block_row all, i64 count, bool past) {
    if (!whole || !past) return store_units<whole>(to, all, count);
    for (i64 i = 0; i < panel / lanes; ++i) store_past(to + i * lanes, all.at[i]);
}

// Tells the team of a member, which has `team` (null: alone) and the blocks first .. last - 1 of all `blocks`, that it is done.
template <class Member>
void arrive(Member& me) {
    if (me.team == nullptr) return;
    me.team->arrive(me.number);
    me.waits = true;
}

// Waits until the others have arrived too. A member that is no longer needed gets false; who goes on alone has all blocks from
// here on.
template <class Member>
bool wait(Member& me, i64 blocks) {
    if (!std::exchange(me.waits, false) || me.team->wait(me.number)) return true;
    me.team = nullptr, me.last = blocks;
    return me.number == 0;
}

template <class Member>
bool meet(Member& me, i64 blocks) {
    arrive(me);
    return wait(me, blocks);
}

// c = start + a b, as `multiply`, where member 0 may not have waited yet: it begins with its own part of a, the first numbers of
// each row.
template <class Member>
void multiply_in_team(Member& me, i64 blocks, i64 rows, term product, i64 panels, const real* const* start, i64 start_row,
                      real* const* c) {
    const auto [a, b, depth] = product;
    if (!me.waits) return multiply(rows, a, panels, b, depth, start, start_row, c, panel);
    const i64 known = std::min(me.last * panel, depth);
    multiply(rows, a, panels, b, known, start, start_row, c, panel);
    wait(me, blocks);
    const real* rest[widest];
    for (i64 p = 0; p < panels; ++p) rest[p] = b[p] + known * panel;
    multiply(rows, {a.data + known / panel * a.block, a.row, a.block}, panels, rest, depth - known, c, panel, c, panel);
}

// `count` objects of type T in a workspace, as numbers.
template <class T>
constexpr i64 numbers_for(i64 count) {
    return workspace::rounded(count * static_cast<i64>(sizeof(T)) / static_cast<i64>(sizeof(real)));
}

template <class Cell>
class forward_pass {
public:
    forward_pass(const panels<Cell>& w, const sequence<real>& s, const readings<real>& r, const plan& p)
        : w_(w), s_(s), r_(r), members_(p.members), chunk_(chunk(w, p)), saves_past_(saves_past(w, s, r)) {}

    // Numbers of memory that a slice of `rows` rows works in.
    i64 memory(i64 rows) const {
        const i64 blocks = (chunk_ * Cell::slots + 5) * w_.blocks + panels_of(w_.input_size);
        return members_ * numbers_for<place>(rows) + workspace::rounded(blocks * rows * panel);
    }

    // One member's share of one slice: the blocks first .. last - 1 of all its rows. `number`: the member's among its team.
    void read(const slice& part, real* memory, i64 number, i64 first, i64 last, barrier* team) const {
        member me{part, part.count(), first, last, team, static_cast<int>(number)};
        me.block = me.rows * panel;
        me.places = reinterpret_cast<place*>(memory + number * numbers_for<place>(me.rows));
        memory += members_ * numbers_for<place>(me.rows);
        const i64 state = w_.blocks * me.block;
        me.z = memory + 5 * state, me.x = me.z + chunk_ * Cell::slots * state;
        me.fed = memory, me.next = memory + state;
        me.reset_memory = memory + 2 * state, me.hidden = memory + 3 * state, me.cell = memory + 4 * state;
        begin(me);
        if (!meet(me, w_.blocks)) return;
        i64 active = me.rows;
        for (i64 step = 0; step < part.steps; ++step) {
            while (length(me, active - 1) <= step) --active;
            if (step % chunk_ == 0) {
                if (!wait(me, w_.blocks)) return;
                me.joined = joins(me, active);
                if (!me.joined) project(me, step, active);
            }
            if (me.joined) lay_out(me, step, active);
            if (!advance(me, step, active)) return;
            finish(me, step + 1, active, hidden_of(me, me.next));
            arrive(me);
            std::swap(me.fed, me.next);
        }
        clear_padding(me);
    }

private:
    // Where the step of a row stands: which of the B x T it is, and its outputs.
    struct place {
        i64 token;
        real* outputs;
    };

    struct member {
        const slice& part;
        i64 rows, first, last;
        barrier* team;  // null: alone
        int number;     // among the team
        bool waits = false;  // has told the others that it is done, and not waited for them yet
        place* places = nullptr;
        bool joined = false;  // whether x W and h U are one sum, until the chunk ends
        real *z = nullptr, *x = nullptr, *fed = nullptr, *next = nullptr, *reset_memory = nullptr, *hidden = nullptr, *cell = nullptr;
        i64 block = 0;  // numbers of a block of units: rows x panel
    };

    static constexpr i64 cache = (i64{512} << 10) / static_cast<i64>(sizeof(real));  // numbers: half of a second-level cache
    // Weights that many rows fetch at each step in one sum. With AVX2 products take long enough to have them from the third level.
    static constexpr i64 most_joined = lanes == 8 ? too_many_to_find : cache;

    // Steps whose inputs are projected at once: enough rows for a tile, few enough for the second-level cache.
    static i64 chunk(const panels<Cell>& w, const plan& p) {
        i64 rows = 1, steps = 1;
        for (i64 i = 0; i < p.slices(); ++i) {
            rows = std::max(rows, p.at(i).count());
            steps = std::max(steps, p.at(i).steps);
        }
        const i64 fitting = cache / (Cell::slots * w.blocks * rows * panel);
        return std::min(steps, std::clamp(fitting / tallest * tallest, tallest, 16 * tallest));
    }

    // Whether what is saved for the way back is stored past the caches.
    static bool saves_past(const panels<Cell>& w, const sequence<real>& s, const readings<real>& r) {
        if (Cell::saved == 0 || r.gates == nullptr) return false;
        i64 tokens = 0;
        for (i64 b = 0; b < s.batch; ++b) tokens += s.lengths[b];
        const i64 count = tokens * (Cell::saved + Cell::has_cell) * w.hidden_size;
        return worth_storing_past(count, r.gates, w.hidden_size) && (!Cell::has_cell || worth_storing_past(count, r.cells, w.hidden_size));
    }

    i64 length(const member& me, i64 row) const { return s_.lengths[me.part.rows.data()[row]]; }
    i64 units(i64 u) const { return std::min(panel, w_.hidden_size - u * panel); }
    real* z_at(const member& me, i64 step, i64 u, i64 slot) const {
        const i64 at = me.joined ? 0 : step % chunk_;
        return me.z + ((at * w_.blocks + u) * Cell::slots + slot) * me.block;
    }

    // Whether x W is summed together with h U, a step at a time, rather than ahead of it: this spares the way of z through the
    // caches, and makes tiles of rows where there are too few steps to make them of. Of many steps, few rows read the weights too
    // seldom for that, and large weights are not to be fetched twice a step; a team would have to wait for the inputs too.
    bool joins(const member& me, i64 active) const {
        if (me.team != nullptr || s_.ids) return false;
        const i64 steps = me.part.steps;
        if (steps == 1 || (steps <= tallest / 2 && steps < active)) return true;
        const i64 depth = w_.input_size + w_.hidden_size, numbers = depth * Cell::hidden_gates * w_.hidden_size;
        return active >= 2 * tallest && depth <= round_depth && numbers <= most_joined;
    }

    // The inputs of a step as the products read them.
    void lay_out(const member& me, i64 step, i64 active) const {
        const i64 size = w_.input_size;
        for (i64 row = 0; row < active; ++row) {
            const real* from = input(me, row, step).data;
            real* to = me.x + row * panel;
            for (i64 left = size; left > 0; left -= panel, from += panel, to += me.block) store(to, load_units<false>(from, left));
        }
    }

    // The hidden state, where `fed` is what the products read of it: the same, unless that is masked.
    const real* hidden_of(const member& me, const real* fed) const { return s_.mask ? me.hidden : fed; }

    // The first state.
    void begin(member& me) const {
        for (i64 row = 0; row < me.rows; ++row) {
            const i64 b = me.part.rows.data()[row];
            for (i64 u = me.first; u < me.last; ++u) {
                const i64 at = u * me.block + row * panel, unit = u * panel;
                const block_row hidden = state_of(s_.first_hidden, b, unit, units(u));
                if (s_.mask) store(me.hidden + at, hidden);
                store(me.fed + at, masked(hidden, b, unit, units(u)));
                if constexpr (Cell::has_cell) store(me.cell + at, state_of(s_.first_cell, b, unit, units(u)));
            }
        }
        finish(me, 0, me.rows, hidden_of(me, me.fed));
    }

    block_row masked(block_row hidden, i64 b, i64 unit, i64 count) const {
        return s_.mask ? hidden * load_units<false>(s_.mask[b] + unit, count) : hidden;
    }

    // z = x W + b for the steps of the chunk that begins at `step`.
    void project(const member& me, i64 step, i64 active) const {
        for (i64 row = 0; row < active; ++row) {
            const i64 steps = std::min(chunk_, length(me, row) - step);
            for (i64 slot = Cell::input_gates; slot < Cell::slots; ++slot)
                for (i64 u = me.first; u < me.last; ++u)
                    for (i64 t = 0; t < steps; ++t)
                        copy<panel>(w_.start(u, slot), z_at(me, step, u, slot) + t * z_step(me) + row * panel);
        }
        if (s_.ids) return look_up(me, step, active);
        for (i64 row = 0; row < active;) {  // rows are sorted: those with a whole chunk to go come first, in one go
            const i64 steps = std::min(chunk_, length(me, row) - step);
            i64 end = row + 1;
            while (end < active && std::min(chunk_, length(me, end) - step) == steps) ++end;
            constexpr i64 gates = Cell::input_gates;
            const i64 at_once = panels_at_once(steps);
            for (i64 from = me.first * gates; from < me.last * gates; from += at_once) {
                const i64 count = std::min(at_once, me.last * gates - from);
                const real *b[widest], *start[widest];
                real* c[widest];
                for (i64 p = 0; p < count; ++p) {
                    const i64 u = (from + p) / gates, gate = (from + p) % gates;
                    b[p] = w_.input(u, gate), start[p] = w_.start(u, gate), c[p] = z_at(me, step, u, gate) + row * panel;
                }
                for (i64 r = row; r < end; ++r) {
                    multiply(steps, input(me, r, step), count, b, w_.input_size, start, 0, c, z_step(me));
                    for (i64 p = 0; p < count; ++p) c[p] += panel;
                }
            }
            row = end;
        }
    }

    // The same from the table.
    void look_up(const member& me, i64 step, i64 active) const {
        for (i64 row = 0; row < active; ++row) {
            const i64 b = me.part.rows.data()[row], steps = std::min(chunk_, s_.lengths[b] - step);
            for (i64 t = 0; t < steps; ++t) {
                const real* from = s_.table[*s_.ids.at(b, position(s_, s_.lengths[b], step + t))];
                for (i64 u = me.first; u < me.last; ++u) {
                    real* const to = z_at(me, step, u, 0) + t * z_step(me) + row * panel;
                    if (units(u) == panel) copy_gates<true>(from + u * panel, to, me.block, panel);
                    else copy_gates<false>(from + u * panel, to, me.block, units(u));
                }
            }
        }
    }

    // A block of each input gate, `count` units of it: those of the gates are H numbers apart, and go `block` apart.
    template <bool whole>
    void copy_gates(const real* from, real* to, i64 block, i64 count) const {
        const i64 width = w_.hidden_size;
        for (i64 gate = 0; gate < Cell::input_gates; ++gate, from += width, to += block) store(to, load_units<whole>(from, count));
    }

    // Numbers from one step's pre-activations to the next one's.
    i64 z_step(const member& me) const { return w_.blocks * Cell::slots * me.block; }

    // The inputs of a row from `step` on, a step a row.
    operand input(const member& me, i64 row, i64 step) const {
        const i64 b = me.part.rows.data()[row];
        return by_rows(s_.x.at(b, position(s_, s_.lengths[b], step)), s_.reverse ? -s_.x.time : s_.x.time);
    }

    // One step of the first `active` rows. False as `wait`.
    bool advance(member& me, i64 step, i64 active) const {
        for (i64 row = 0; row < active; ++row) {
            const i64 b = me.part.rows.data()[row], t = position(s_, s_.lengths[b], step);
            me.places[row] = {b * s_.time + t, r_.outputs.at(b, t)};
        }
        const auto move_units = [&](i64 u) {
            if (units(u) == panel) move<true>(me, step, active, u);
            else move<false>(me, step, active, u);
        };
        if constexpr (Cell::resets) {
            constexpr i64 last = Cell::hidden_gates - 1;
            if (!first_product<last>(me, step, active, [&](i64 u) { open(me, step, active, u); })) return false;
            arrive(me);
            return in_blocks(me, step, active, {last, 1, me.joined ? me.x : nullptr, me.reset_memory}, move_units);
        }
        return first_product<Cell::hidden_gates>(me, step, active, move_units);
    }

    // What is added to z for the hidden gates `gate` .. `gate` + `gates` - 1: x W and fed U, null what is not; with x W alone it goes
    // where the gates of the input have it.
    struct product {
        i64 gate, gates;
        const real *x, *fed;
    };

    // The product of h with the first `gates` gates, and then the units. False as `wait`.
    template <i64 gates, class Units>
    bool first_product(member& me, i64 step, i64 active, Units units_of) const {
        constexpr i64 shared = std::min(shared_gates<Cell>, gates);
        if (!me.joined) return in_blocks(me, step, active, {0, gates, nullptr, me.fed}, units_of);
        if constexpr (shared == gates) return in_blocks(me, step, active, {0, gates, me.x, me.fed}, units_of);
        const auto none = [](i64) {};
        return in_blocks(me, step, active, {0, shared, me.x, me.fed}, none) &&
               in_blocks(me, step, active, {shared, gates - shared, me.x, nullptr}, none) &&
               in_blocks(me, step, active, {shared, gates - shared, nullptr, me.fed}, units_of);
    }

    // z += a product, or where joined b + it, and then the units, block after block. False as `wait`.
    template <class Units>
    bool in_blocks(member& me, i64 step, i64 active, product of, Units units_of) const {
        if (me.number > 0 && !wait(me, w_.blocks)) return false;
        const i64 first = me.first, last = me.last;
        in_blocks(me, step, active, of, first, last, units_of);
        if (me.last > last) in_blocks(me, step, active, of, last, me.last, units_of);  // the team has parted meanwhile
        return true;
    }

    // The same for the blocks first_block .. last_block - 1. Every other step goes through the weights the other way round, as what
    // was read last is still in the first-level cache. What member 0 multiplies first is its own part of h, before it waits for
    // the rest.
    template <class Units>
    void in_blocks(member& me, i64 step, i64 active, product of, i64 first_block, i64 last_block, Units units_of) const {
        const i64 gates = of.gates;
        const operand x{of.x, panel, me.block}, fed{of.fed, panel, me.block};
        const bool turned = step % 2 == 1;
        const i64 all = (last_block - first_block) * gates, most = panels_at_once(active), rounds = (all + most - 1) / most;
        const i64 at_once = rounds == 0 ? most : (all + rounds - 1) / rounds;  // nearly the same in each round
        i64 unfinished = turned ? last_block : first_block;
        for (i64 round = 0; round < rounds; ++round) {
            const i64 from = first_block * gates + (turned ? rounds - 1 - round : round) * at_once;
            const i64 count = std::min(at_once, last_block * gates - from);
            const real *input[widest], *hidden[widest], *start[widest];
            real* c[widest];
            for (i64 p = 0; p < count; ++p) {
                const i64 u = (from + p) / gates, gate = of.gate + (from + p) % gates;
                const i64 slot = of.fed == nullptr ? gate : Cell::hidden_slot(gate);
                input[p] = of.x == nullptr ? nullptr : w_.input(u, gate), hidden[p] = w_.hidden(u, gate);
                c[p] = z_at(me, step, u, slot), start[p] = me.joined ? w_.start(u, slot) : c[p];
            }
            // A first state that is not given is not multiplied.
            const i64 depth = step > 0 || s_.first_hidden ? w_.hidden_size : 0;
            const term both[] = {{x, input, w_.input_size}, {fed, hidden, depth}};
            const term *const first = of.x == nullptr ? both + 1 : both, *const last = of.fed == nullptr ? both + 1 : both + 2;
            if (me.joined) multiply(active, first, last, count, start, 0, c, panel);
            else multiply_in_team(me, w_.blocks, active, both[1], count, start, panel, c);
            // units whose sums are complete, and still in the cache
            if (turned) for (; (unfinished - 1) * gates >= from; --unfinished) units_of(unfinished - 1);
            else for (; (unfinished + 1) * gates <= from + count; ++unfinished) units_of(unfinished);
        }
    }

    void open(const member& me, i64 step, i64 active, i64 u) const {
        real *const reset = z_at(me, step, u, 0), *const update = z_at(me, step, u, 1);
        real* const memory = me.reset_memory + u * me.block;
        const real* const hidden = hidden_of(me, me.fed) + u * me.block;
        const bool is_masked = static_cast<bool>(s_.mask);
        for (i64 row = 0; row < active; ++row) {
            const i64 at = row * panel;
            unit x;
            x.z[0] = load_row(reset + at), x.z[1] = load_row(update + at), x.hidden = load_row(hidden + at);
            const block_row opened = Cell::open(x);
            store(memory + at, is_masked ? masked(opened, me.part.rows.data()[row], u * panel, units(u)) : opened);
            store(reset + at, x.z[0]);
            store(update + at, x.z[1]);
        }
    }

    // `whole`: all units of the block are there.
    template <bool whole>
    void move(const member& me, i64 step, i64 active, i64 u) const {
        const i64 count = units(u), unit_at = u * panel;
        const real* z[Cell::slots];
        for (i64 slot = 0; slot < Cell::slots; ++slot) z[slot] = z_at(me, step, u, slot);
        const real* const hidden = hidden_of(me, me.fed) + u * me.block;
        real *const next = me.next + u * me.block, *const unmasked = me.hidden + u * me.block, *const cell = me.cell + u * me.block;
        const bool is_masked = static_cast<bool>(s_.mask);
        const kept_steps kept(*this, unit_at, whole && saves_past_);
        const place* const places = me.places;
        for (i64 row = 0; row < active; ++row) {
            if (row + ahead < active) kept.expect(places[row + ahead]);
            const i64 at = row * panel;
            unit x;
            for (i64 slot = 0; slot < Cell::slots; ++slot) x.z[slot] = load_row(z[slot] + at);
            x.hidden = load_row(hidden + at);
            if constexpr (Cell::has_cell) x.cell = load_row(cell + at);
            Cell::move(x);
            if (is_masked) {
                store(unmasked + at, x.hidden);
                store(next + at, masked(x.hidden, me.part.rows.data()[row], unit_at, count));
            } else {
                store(next + at, x.hidden);
            }
            if constexpr (Cell::has_cell) store(cell + at, x.cell);
            kept.template put<whole>(places[row], x, count);
        }
    }

    // Where a block of units that begins at `unit_at` is handed out: the outputs, and what is saved for the way back, `past` the
    // caches or not.
    struct kept_steps {
        kept_steps(const forward_pass& pass, i64 unit_at, bool past)
            : unit_at(unit_at), width(pass.w_.hidden_size), saves(Cell::saved > 0 && pass.r_.gates != nullptr), past(past),
              gates(saves ? pass.r_.gates + unit_at : nullptr), cells(saves && Cell::has_cell ? pass.r_.cells + unit_at : nullptr) {}

        // Asks for where `put` will write.
        SEQLOOM_INLINE void expect(const place& later) const {
            prefetch<true>(later.outputs + unit_at);
            if (!saves || past) return;
            for (i64 slot = 0; slot < Cell::saved; ++slot) prefetch<true>(gates + (later.token * Cell::saved + slot) * width);
            if constexpr (Cell::has_cell) prefetch<true>(cells + later.token * width);
        }

        template <bool whole>
        SEQLOOM_INLINE void put(const place& at, const unit& x, i64 count) const {
            store_units<whole>(at.outputs + unit_at, x.hidden, count);
            if (!saves) return;
            for (i64 slot = 0; slot < Cell::saved; ++slot)
                store_units<whole>(gates + (at.token * Cell::saved + slot) * width, x.z[slot], count, past);
            if constexpr (Cell::has_cell) store_units<whole>(cells + at.token * width, x.cell, count, past);
        }

        const i64 unit_at, width;
        const bool saves, past;
        real *const gates, *const cells;
    };

    // Hands out the state, which is at `hidden`, of the rows, among the first `active`, that end after `steps` steps.
    void finish(const member& me, i64 steps, i64 active, const real* hidden) const {
        for (i64 row = active - 1; row >= 0 && length(me, row) == steps; --row) {
            const i64 b = me.part.rows.data()[row];
            for (i64 u = me.first; u < me.last; ++u) {
                std::copy_n(hidden + u * me.block + row * panel, units(u), r_.last_hidden[b] + u * panel);
                if constexpr (Cell::has_cell)
                    std::copy_n(me.cell + u * me.block + row * panel, units(u), r_.last_cell[b] + u * panel);
            }
        }
    }

    void clear_padding(const member& me) const {
        const i64 from = me.first * panel, to = std::min(me.last * panel, w_.hidden_size);
        for (i64 row = 0; row < me.rows; ++row)
            for (i64 b = me.part.rows.data()[row], t = s_.lengths[b]; t < s_.time; ++t) std::fill(r_.outputs.at(b, t) + from, r_.outputs.at(b, t) + to, real(0));
    }

    const panels<Cell>& w_;
    const sequence<real>& s_;
    const readings<real>& r_;
    const i64 members_, chunk_;
    const bool saves_past_;
};

// The plan for a call: how many multiplications a step of a row has decides whether threads are worth their while.
template <class Cell>
plan plan_for(const panels<Cell>& w, const sequence<real>& s) {
    return {s.batch, s.lengths, s.threads, w.hidden_size * Cell::hidden_gates * (w.input_size + w.hidden_size), w.blocks};
}

// Numbers of memory that a member of a pass over all slices works in; a team works in that of its first.
template <class Pass>
i64 memory_of(const Pass& pass, const plan& p) {
    i64 memory = 0;
    for (i64 i = 0; i < p.slices(); ++i) memory = std::max(memory, pass.memory(p.at(i).count()));
    return memory;
}

// A member's share of `pass.read(slice, memory, member, first block, last block, team)` for every slice of the plan.
template <class Pass>
void read_slices(const Pass& pass, const plan& p, i64 blocks, const members_memory& memory, barrier& team, i64 member, i64 members) {
    if (p.members > 1 && members == p.members) {
        team.measure(static_cast<int>(member));
        pass.read(p.at(0), memory.of(0), member, blocks * member / members, blocks * (member + 1) / members, &team);
    } else {
        for (i64 i = member; i < p.slices(); i += members) pass.read(p.at(i), memory.of(member), 0, 0, blocks, nullptr);
    }
    settle();
}

// The same on the plan's threads.
template <class Pass>
void over_slices(const Pass& pass, const plan& p, i64 blocks, const members_memory& memory) {
    barrier team(p.members);
    parallel(p.threads(), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        read_slices(pass, p, blocks, memory, team, member, members);
    });
}

template <class Cell>
void forward(const packed<real>& weights, const sequence<real>& s, const readings<real>& r) {
    const auto& w = static_cast<const panels<Cell>&>(weights);
    const plan p = plan_for(w, s);
    const forward_pass<Cell> pass(w, s, r, p);
    over_slices(pass, p, w.blocks, members_memory(p.slices(), memory_of(pass, p)));
}

}  // namespace seqloom::SEQLOOM_LEVEL
