// The cells, one unit at a time: pointwise equations forward and backward, on a row's units of a block in registers.
//
// A unit has `slots` pre-activations: z = x W + b (+ h U). Gate g of the input weights adds to slot g; gate g of the hidden
// weights adds to slot hidden_slot(g). Where a cell has a second product (`resets`), its last hidden gate does not read h but
// the `reset_memory` that the other gates made of it. `carries`: h goes on to the next step beside the products too.
//
// Two calls a step for such a cell: `open` after the first product, `move` after the second; the others have `move` alone.
// Backward mirrors it: `unmove`, the transposed second product, `unopen`, the transposed first product.
#pragma once

#include "activations.h"
#include "gemm.h"
#include "recurrent.h"

namespace seqloom::SEQLOOM_LEVEL {

// What a row has of a block of units.
using block_row = several<panel / lanes>;

// What a step reads and writes. `z` goes in as pre-activations and comes out as what backward needs of them.
struct unit {
    block_row z[4];
    block_row hidden, cell;  // before the step, then after it
};

// What backward reads (saved by forward), and what it passes on.
struct unit_gradient {
    block_row z[4];                        // saved
    block_row hidden, cell;                // after the step
    block_row hidden_before, cell_before;  // before it
    block_row d_hidden, d_cell;            // of the state after the step; then d_cell: of the cell before it
    block_row d_z[4];                      // of the pre-activations
    block_row d_carried;                   // of the hidden state before it, beside the products, where the cell carries it
};

SEQLOOM_INLINE block_row one_minus(block_row a) {
    return set(1) - a;
}

// h' = f(z)   (Elman 1990)
template <cell_kind kind>
struct simple_rnn {
    static constexpr i64 slots = 1, saved = 0, input_gates = 1, hidden_gates = 1;
    static constexpr bool resets = false, has_cell = false, carries = false;
    static constexpr i64 hidden_slot(i64 gate) { return gate; }

    SEQLOOM_INLINE static void move(unit& u) {
        if constexpr (kind == cell_kind::simple_rnn_tanh) u.hidden = tanh(u.z[0]);
        if constexpr (kind == cell_kind::simple_rnn_relu) u.hidden = max(set(0), u.z[0]);
        if constexpr (kind == cell_kind::simple_rnn_leaky_relu) u.hidden = max(u.z[0] * set(real(0.01)), u.z[0]);
    }

    // The derivative from the output: each f keeps the sign of its argument.
    SEQLOOM_INLINE static void unmove(unit_gradient& u) {
        block_row slope;
        if constexpr (kind == cell_kind::simple_rnn_tanh) slope = fnma(u.hidden, u.hidden, set(1));
        if constexpr (kind == cell_kind::simple_rnn_relu) slope = where_positive(u.hidden, set(1), set(0));
        if constexpr (kind == cell_kind::simple_rnn_leaky_relu) slope = where_positive(u.hidden, set(1), set(real(0.01)));
        u.d_z[0] = u.d_hidden * slope;
    }
};

// i, f, o = sigmoid(z), g = tanh(z);  c' = f c + i g;  h' = o tanh(c')   (Hochreiter & Schmidhuber 1997; Gers et al. 2000)
struct lstm {
    static constexpr i64 slots = 4, saved = 4, input_gates = 4, hidden_gates = 4;
    static constexpr bool resets = false, has_cell = true, carries = false;
    static constexpr i64 hidden_slot(i64 gate) { return gate; }

    SEQLOOM_INLINE static void move(unit& u) {
        u.z[0] = sigmoid(u.z[0]);
        u.z[1] = sigmoid(u.z[1]);
        u.z[2] = tanh(u.z[2]);
        u.z[3] = sigmoid(u.z[3]);
        u.cell = fma(u.z[1], u.cell, u.z[0] * u.z[2]);
        u.hidden = u.z[3] * tanh(u.cell);
    }

    SEQLOOM_INLINE static void unmove(unit_gradient& u) {
        const block_row i = u.z[0], f = u.z[1], g = u.z[2], o = u.z[3];
        const block_row shown = tanh(u.cell);
        const block_row d_cell = fma(u.d_hidden * o, fnma(shown, shown, set(1)), u.d_cell);
        u.d_z[0] = d_cell * g * (i * one_minus(i));
        u.d_z[1] = d_cell * u.cell_before * (f * one_minus(f));
        u.d_z[2] = d_cell * i * fnma(g, g, set(1));
        u.d_z[3] = u.d_hidden * shown * (o * one_minus(o));
        u.d_cell = d_cell * f;
    }
};

// h' = u h + (1 - u) n, as n + u (h - n)
SEQLOOM_INLINE block_row mix(block_row update, block_row hidden, block_row candidate) {
    return fma(update, hidden - candidate, candidate);
}

// r, u = sigmoid(z);  n = tanh(z + (r h) U);  h' = u h + (1 - u) n   (Cho et al. 2014)
struct gru {
    static constexpr i64 slots = 3, saved = 3, input_gates = 3, hidden_gates = 3;
    static constexpr bool resets = true, has_cell = false, carries = true;
    static constexpr i64 hidden_slot(i64 gate) { return gate; }

    SEQLOOM_INLINE static block_row open(unit& u) {
        u.z[0] = sigmoid(u.z[0]);
        u.z[1] = sigmoid(u.z[1]);
        return u.z[0] * u.hidden;
    }

    SEQLOOM_INLINE static void move(unit& u) {
        u.z[2] = tanh(u.z[2]);
        u.hidden = mix(u.z[1], u.hidden, u.z[2]);
    }

    SEQLOOM_INLINE static void unmove(unit_gradient& u) {
        const block_row update = u.z[1], n = u.z[2];
        u.d_z[2] = u.d_hidden * one_minus(update) * fnma(n, n, set(1));
        u.d_z[1] = u.d_hidden * (u.hidden_before - n) * (update * one_minus(update));
        u.d_carried = u.d_hidden * update;
    }

    // d_reset_memory: of r h. Adds to d_carried, which comes in as `unmove` left it.
    SEQLOOM_INLINE static void unopen(unit_gradient& u, block_row d_reset_memory) {
        const block_row r = u.z[0];
        u.d_z[0] = d_reset_memory * u.hidden_before * (r * one_minus(r));
        u.d_carried = fma(d_reset_memory, r, u.d_carried);
    }
};

// r, u = sigmoid(z);  n = tanh(z + r (h U + d));  h' = u h + (1 - u) n   (cuDNN's and torch.nn's form)
struct gru_reset_after {
    static constexpr i64 slots = 4, saved = 4, input_gates = 3, hidden_gates = 3;
    static constexpr bool resets = false, has_cell = false, carries = true;
    static constexpr i64 hidden_slot(i64 gate) { return gate < 2 ? gate : 3; }

    SEQLOOM_INLINE static void move(unit& u) {
        u.z[0] = sigmoid(u.z[0]);
        u.z[1] = sigmoid(u.z[1]);
        u.z[2] = tanh(fma(u.z[0], u.z[3], u.z[2]));
        u.hidden = mix(u.z[1], u.hidden, u.z[2]);
    }

    SEQLOOM_INLINE static void unmove(unit_gradient& u) {
        const block_row r = u.z[0], update = u.z[1], n = u.z[2];
        u.d_z[2] = u.d_hidden * one_minus(update) * fnma(n, n, set(1));
        u.d_z[3] = u.d_z[2] * r;
        u.d_z[0] = u.d_z[2] * u.z[3] * (r * one_minus(r));
        u.d_z[1] = u.d_hidden * (u.hidden_before - n) * (update * one_minus(update));
        u.d_carried = u.d_hidden * update;
    }
};

// How many gates, the first ones, add x W and h U to one slot.
template <class Cell>
constexpr i64 shared_gates = [] {
    i64 gates = 0;
    while (gates < Cell::hidden_gates && Cell::hidden_slot(gates) == gates) ++gates;
    return gates;
}();

}  // namespace seqloom::SEQLOOM_LEVEL
