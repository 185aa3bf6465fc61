// What goes into the time loop and what comes out: plain structs of pointers, shared by all levels of the instruction set.
//
// B batch, T time, I input, H hidden, S saved values a unit. All memory is the caller's. What is written overlaps nothing that
// is read, but for one thing: last_hidden and last_cell may be first_hidden and first_cell, and a state moves in place; so may
// their gradients, the other way. last_hidden and last_cell may also be the outputs and cells of a single step.
// `real` is float, or double for checks.
#pragma once

#include <cstdint>
#include <memory>

namespace seqloom {

enum class cell_kind { simple_rnn_tanh, simple_rnn_relu, simple_rnn_leaky_relu, lstm, gru, gru_reset_after };

// Rows of numbers, the last axis contiguous; null where not given.
template <class real>
struct rows_of {
    real* data = nullptr;
    std::int64_t row = 0;
    real* operator[](std::int64_t b) const { return data + b * row; }
    explicit operator bool() const { return data != nullptr; }
};

// (B, T, .) numbers, the last axis contiguous; null where not given.
template <class real>
struct steps_of {
    real* data = nullptr;
    std::int64_t batch = 0, time = 0;
    real* at(std::int64_t b, std::int64_t t) const { return data + b * batch + t * time; }
    explicit operator bool() const { return data != nullptr; }
};

template <class real>
struct weights {
    cell_kind cell;
    std::int64_t input_size, hidden_size;
    const real* input;  // (I, G), any strides; I = 0 where steps are looked up in a table
    std::int64_t input_row, input_column;
    const real* hidden;  // (H, G), any strides
    std::int64_t hidden_row, hidden_column;
    const real* bias;            // (G,) or null
    const real* bias_candidate;  // (H,) or null: inside the reset of gru_reset_after
    int threads;                 // that may pack them
};

// The weights of one layer, copied into the order that the time loop reads.
template <class real>
struct packed {
    virtual ~packed() = default;
};

template <class real>
struct sequence {
    std::int64_t batch, time;
    const std::int64_t* lengths;  // (B,), each in 0..T
    bool reverse;                 // read each row from its last real step to its first
    int threads;
    steps_of<const real> x;            // (B, T, I); padding is never read
    // Instead of x, for a layer packed without input weights: the row of `table` (R, G), which is x W + b, for each step.
    steps_of<const std::int64_t> ids;  // (B, T), each in 0..R-1 where real
    rows_of<const real> table;
    rows_of<const real> first_hidden;  // (B, H); null: zeros, which nothing is multiplied with, be it inf
    rows_of<const real> first_cell;    // (B, H), lstm; null: zeros
    rows_of<const real> mask;          // (B, H), multiplies what is fed back; null: ones
};

template <class real>
struct readings {
    steps_of<real> outputs;  // (B, T, H), zeros at padding
    rows_of<real> last_hidden, last_cell;  // (B, H): the state after each row's last step; its first state where it has none
    // What backward needs, or null. Padding is left as it is. (B, T, S, H): simple_rnn none; lstm input, forget, candidate,
    // output; gru reset, update, candidate; gru_reset_after these and h U + d of the candidate.
    real* gates;
    real* cells;  // (B, T, H), lstm
};

template <class real>
struct gradients {
    steps_of<const real> outputs;                // (B, T, H) or null; padding is not read
    rows_of<const real> last_hidden, last_cell;  // (B, H) or null
    // Wanted, or null; contiguous, written.
    real* x;                        // (B, T, I), zeros at padding
    real *input, *hidden;           // (I, G), (H, G)
    real* table;                    // (R, G)
    std::int64_t table_rows;
    real *bias, *bias_candidate;    // (G,), (H,); bias_candidate: null but for gru_reset_after
    rows_of<real> first_hidden, first_cell;  // (B, H)
};

// One level's time loop.
template <class real>
struct recurrent {
    std::unique_ptr<packed<real>> (*pack)(const weights<real>&);
    void (*forward)(const packed<real>&, const sequence<real>&, const readings<real>&);
    // `read`: what forward read and wrote, with gates and cells.
    void (*backward)(const packed<real>&, const sequence<real>&, const readings<real>& read, const gradients<real>&);
    std::int64_t saved;  // values a unit and step among `gates`
};

}  // namespace seqloom
