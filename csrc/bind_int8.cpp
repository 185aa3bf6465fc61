// The Python face of layers with weights of 8 bits, beside csrc/bind.cpp and in its manner.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include "bind_tensors.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

namespace {

struct int8_layer {
    const recurrent<float>* loops;
    i64 input_size, hidden_size;
    std::unique_ptr<packed<float>> weights;

    int8_layer(const std::string& cell, i64 input_size, i64 hidden_size, address input, std::pair<i64, i64> input_strides,
               address hidden, std::pair<i64, i64> hidden_strides, address bias, address bias_candidate)
        : input_size(input_size), hidden_size(hidden_size) {
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

void forward_int8(const int8_layer& w, i64 batch, i64 time, place<const i64> lengths, bool reverse, int threads, place<const float> x,
                  place<const float> first_hidden, place<const float> first_cell, place<const float> mask, place<float> outputs,
                  place<float> last_hidden, place<float> last_cell, place<float> gates, place<float> cells) {
    if (mask.data != nullptr || gates.data != nullptr || cells.data != nullptr)
        throw std::invalid_argument("with int8 weights there are answers alone: no mask, no gates, no cells");
    std::vector<i64> full;
    const i64* each = lengths_of(lengths.data, batch, time, full);
    nb::gil_scoped_release unlocked;
    w.loops->forward(*w.weights, {batch, time, each, reverse, threads, x, {}, {}, first_hidden, first_cell, {}},
                     {outputs, last_hidden, last_cell, nullptr, nullptr});
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
    module.def("forward_int8", &forward_int8, "As `forward`, on rounded numbers; no mask, gates and cells.", "w"_a, "batch"_a, "time"_a,
               "lengths"_a.none(), "reverse"_a, "threads"_a, "x"_a, "first_hidden"_a.none(), "first_cell"_a.none(), "mask"_a.none(),
               "outputs"_a, "last_hidden"_a, "last_cell"_a.none(), "gates"_a.none(), "cells"_a.none());
    module.def(
        "step_int8",
        [](const int8_layer& w, nb::handle x, int threads, nb::handle hidden, nb::handle cell) {
            return step(*w.loops, *w.weights, w.input_size, w.hidden_size, x, threads, hidden, cell);
        },
        "w"_a, "x"_a.none(), "threads"_a, "hidden"_a, nb::arg("cell").none() = nb::none(), "As `step`, on rounded numbers.");
    nb::class_<int8_matrix>(module, "Int8Matrix", "(depth, columns) numbers, rounded to 8 bits: for `linear_int8`.")
        .def(nb::init<address, std::pair<i64, i64>, i64, i64>(), "b"_a, "strides"_a, "depth"_a, "columns"_a);
    module.def("linear_int8", &linear_int8, "c = a b + bias on rounded numbers: csrc/int8_linear.h says what every argument is.", "b"_a,
               "rows"_a, "a"_a, "a_stride"_a, "bias"_a, "c"_a, "threads"_a);
}
