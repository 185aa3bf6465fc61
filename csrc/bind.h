// What the files of the Python face share: packed weights as Python holds them, made of addresses that the caller has checked.
#pragma once

#include <stdexcept>
#include <utility>
#include <vector>

#include "int8_dispatch.h"
#include "kernels.h"

namespace seqloom {

using address = std::uintptr_t;
using i64 = std::int64_t;

inline int cell_number(const std::string& name) {
    constexpr const char* names[] = {"simple_rnn_tanh", "simple_rnn_relu", "simple_rnn_leaky_relu", "lstm", "gru", "gru_reset_after"};
    for (int i = 0; i < 6; ++i)
        if (name == names[i]) return i;
    throw std::invalid_argument("no cell is named \"" + name + "\"");
}

constexpr i64 gates_of_cell[] = {1, 1, 1, 4, 3, 3};  // in the order of cell_kind

struct layer {
    const recurrent<float>* loops;
    const int kind;
    i64 input_size, hidden_size;
    std::unique_ptr<packed<float>> weights;

    layer(const std::string& cell, i64 input_size, i64 hidden_size, address input, std::pair<i64, i64> input_strides, address hidden,
          std::pair<i64, i64> hidden_strides, address bias, address bias_candidate, int threads)
        : loops(active().cells + cell_number(cell)), kind(cell_number(cell)), input_size(input_size), hidden_size(hidden_size) {
        if (hidden_size < 1 || hidden == 0 || (input_size < 1) != (input == 0)) throw std::invalid_argument("a layer needs weights");
        weights = loops->pack({static_cast<cell_kind>(kind), input_size, hidden_size,
                               reinterpret_cast<const float*>(input), input_strides.first, input_strides.second,
                               reinterpret_cast<const float*>(hidden), hidden_strides.first, hidden_strides.second,
                               reinterpret_cast<const float*>(bias), reinterpret_cast<const float*>(bias_candidate), threads});
    }

    i64 gates() const { return gates_of_cell[kind]; }
    i64 saved() const { return loops->saved; }
    bool has_cell() const { return static_cast<cell_kind>(kind) == cell_kind::lstm; }
    bool has_candidate() const { return static_cast<cell_kind>(kind) == cell_kind::gru_reset_after; }

    // Of a reading of all rows.
    i64 multiplications(const sequence<float>& s) const {
        i64 steps = 0;
        for (i64 b = 0; b < s.batch; ++b) steps += s.lengths[b];
        return steps * hidden_size * gates() * (input_size + hidden_size);
    }
};

// The lengths that are given, or all T steps for each row, kept in `full`.
inline const i64* lengths_of(const i64* lengths, i64 batch, i64 time, std::vector<i64>& full) {
    if (lengths != nullptr) return lengths;
    full.assign(static_cast<std::size_t>(batch), time);
    return full.data();
}

struct matrix {
    std::unique_ptr<packed<float>> panels;
    matrix(address b, std::pair<i64, i64> strides, i64 depth, i64 columns, int threads)
        : panels(active().linear.pack(reinterpret_cast<const float*>(b), strides.first, strides.second, depth, columns, threads)) {}
};

inline void check_int8_depth(i64 depth) {
    constexpr i64 deepest = 2'147'483'647 / (128 * 127);  // the sums are of 32 bits
    if (depth > deepest)
        throw std::invalid_argument("with int8 weights a layer reads up to " + std::to_string(deepest) + " numbers a step. Use weights=\"float32\".");
}

struct int8_matrix {
    std::unique_ptr<packed<float>> panels;
    int8_matrix(address b, std::pair<i64, i64> strides, i64 depth, i64 columns) {
        check_int8_depth(depth);
        panels = in_int8().pack(reinterpret_cast<const float*>(b), strides.first, strides.second, depth, columns);
    }
};

}  // namespace seqloom
