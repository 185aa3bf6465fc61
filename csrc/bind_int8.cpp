// The Python face of layers with weights of 8 bits, beside csrc/bind.cpp and in its manner.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include "bind.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

namespace {

struct int8_layer {
    const recurrent<float>* loops;
    i64 hidden_size;
    std::unique_ptr<packed<float>> weights;

    int8_layer(const std::string& cell, i64 input_size, i64 hidden_size, address input, std::pair<i64, i64> input_strides,
               address hidden, std::pair<i64, i64> hidden_strides, address bias, address bias_candidate)
        : hidden_size(hidden_size) {
        const int kind = cell_number(cell);
        if (hidden_size < 1 || input_size < 1 || hidden == 0 || input == 0) throw std::invalid_argument("a layer needs weights");
        check_int8_depth(std::max(input_size, hidden_size));
        loops = in_int8().cells + kind;
        weights = loops->pack({static_cast<cell_kind>(kind), input_size, hidden_size, reinterpret_cast<const float*>(input),
                               input_strides.first, input_strides.second, reinterpret_cast<const float*>(hidden),
                               hidden_strides.first, hidden_strides.second, reinterpret_cast<const float*>(bias),
                               reinterpret_cast<const float*>(bias_candidate), 1});
    }
};

void forward_int8(const int8_layer& w, i64 batch, i64 time, address lengths, bool reverse, int threads, address x, i64 x_batch,
                  i64 x_time, address first_hidden, i64 first_hidden_row, address first_cell, i64 first_cell_row, address mask,
                  i64, address outputs, i64 outputs_batch, i64 outputs_time, address last_hidden, address last_cell,
                  address gates, address cells) {
    if (mask != 0 || gates != 0 || cells != 0) throw std::invalid_argument("with int8 weights there are answers alone: no mask, no gates, no cells");
    std::vector<i64> full;
    const sequence<float> s = {batch, time, lengths_of(lengths, batch, time, full), reverse, threads,
                               {reinterpret_cast<const float*>(x), x_batch, x_time}, {}, {},
                               {reinterpret_cast<const float*>(first_hidden), first_hidden_row},
                               {reinterpret_cast<const float*>(first_cell), first_cell_row}, {}};
    nb::gil_scoped_release unlocked;
    w.loops->forward(*w.weights, s,
                     {{reinterpret_cast<float*>(outputs), outputs_batch, outputs_time},
                      {reinterpret_cast<float*>(last_hidden), w.hidden_size},
                      {reinterpret_cast<float*>(last_cell), w.hidden_size}, nullptr, nullptr});
}

void linear_int8(const int8_matrix& b, i64 rows, address a, i64 a_row, address bias, address c, int threads) {
    nb::gil_scoped_release unlocked;
    in_int8().apply(*b.panels, rows, reinterpret_cast<const float*>(a), a_row, reinterpret_cast<const float*>(bias), reinterpret_cast<float*>(c), threads);
}

}  // namespace

void add_int8(nb::module_& module) {
    nb::class_<int8_layer>(module, "Int8Weights", "The weights of one layer, rounded to 8 bits: for `forward_int8`.")
        .def(nb::init<const std::string&, i64, i64, address, std::pair<i64, i64>, address, std::pair<i64, i64>, address, address>(),
             "cell"_a, "input_size"_a, "hidden_size"_a, "weight_input"_a, "weight_input_strides"_a, "weight_hidden"_a,
             "weight_hidden_strides"_a, "bias"_a, "bias_candidate"_a);
    module.def("forward_int8", &forward_int8, "As `forward`, on rounded numbers; mask, gates and cells are 0.", "w"_a, "batch"_a, "time"_a,
               "lengths"_a, "reverse"_a, "threads"_a, "x"_a, "x_stride_batch"_a, "x_stride_time"_a, "first_hidden"_a,
               "first_hidden_stride"_a, "first_cell"_a, "first_cell_stride"_a, "mask"_a, "mask_stride"_a, "outputs"_a,
               "outputs_stride_batch"_a, "outputs_stride_time"_a, "last_hidden"_a, "last_cell"_a, "gates"_a, "cells"_a);
    nb::class_<int8_matrix>(module, "Int8Matrix", "(depth, columns) numbers, rounded to 8 bits: for `linear_int8`.")
        .def(nb::init<address, std::pair<i64, i64>, i64, i64>(), "b"_a, "strides"_a, "depth"_a, "columns"_a);
    module.def("linear_int8", &linear_int8, "c = a b + bias on rounded numbers: csrc/int8_linear.h says what every argument is.", "b"_a,
               "rows"_a, "a"_a, "a_stride"_a, "bias"_a, "c"_a, "threads"_a);
}
