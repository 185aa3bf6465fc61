// The Python face of the core: checks what it is given and calls; nothing is computed here.
//
// The caller, seqloom.kernels, has checked shapes and lengths. Functions take tensors where csrc/bind_tensors.h reads them, or
// addresses, where 0 stands for "not given".
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>

#include "bind_tensors.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

using input = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using output = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

static void apply(elementwise f, const input& x, const output& y) {
    if (x.size() != y.size()) throw std::invalid_argument("x and y have different sizes");
    nb::gil_scoped_release unlocked;
    f(x.data(), y.data(), static_cast<i64>(x.size()));
}

// One reading forward, or its way back, ready to be run. What it was given must outlive it, but not the lengths of rows that are
// all read to the end.
struct call {
    i64 multiplications = 0;
    virtual ~call() = default;
    virtual void run() const = 0;
};

struct forward_call final : call {
    const layer& w;
    sequence<float> s;
    readings<float> r;
    std::vector<i64> full;

    explicit forward_call(const layer& weights) : w(weights) {}
    forward_call(forward_call&&) = default;  // and no copy, whose lengths would be the original's
    void run() const override { w.loops->forward(*w.weights, s, r); }
};

struct backward_call final : call {
    const layer& w;
    sequence<float> s;
    readings<float> r;
    gradients<float> g;
    std::vector<i64> full;

    explicit backward_call(const layer& weights) : w(weights) {}
    backward_call(backward_call&&) = default;  // and no copy, whose lengths would be the original's
    void run() const override { w.loops->backward(*w.weights, s, r, g); }
};

using numbers = place<float>;
using read_only = place<const float>;
using whole_numbers = place<const i64>;

static forward_call forward(const layer& w, i64 batch, i64 time, whole_numbers lengths, bool reverse, int threads, read_only x,
                            read_only first_hidden, read_only first_cell, read_only mask, numbers outputs, numbers last_hidden,
                            numbers last_cell, numbers gates, numbers cells, whole_numbers ids, read_only table) {
    forward_call made(w);
    const i64* each = lengths_of(lengths.data, batch, time, made.full);
    made.s = {batch, time, each, reverse, threads, x, ids, table, first_hidden, first_cell, mask};
    made.r = {outputs, last_hidden, last_cell, gates.data, cells.data};
    made.multiplications = w.multiplications(made.s);
    return made;
}

static backward_call backward(const layer& w, i64 batch, i64 time, whole_numbers lengths, bool reverse, int threads, read_only x,
                              read_only first_hidden, read_only first_cell, read_only mask, numbers outputs, numbers gates, numbers cells,
                              read_only grad_outputs, read_only grad_last_hidden, read_only grad_last_cell, numbers grad_x,
                              numbers grad_input, numbers grad_hidden, numbers grad_bias, numbers grad_bias_candidate,
                              numbers grad_first_hidden, numbers grad_first_cell, whole_numbers ids, read_only table, numbers grad_table,
                              i64 table_rows) {
    backward_call made(w);
    const i64* each = lengths_of(lengths.data, batch, time, made.full);
    made.s = {batch, time, each, reverse, threads, x, ids, table, first_hidden, first_cell, mask};
    made.r = {outputs, {}, {}, gates.data, cells.data};
    made.g = {grad_outputs, grad_last_hidden, grad_last_cell, grad_x.data, grad_input.data, grad_hidden.data, grad_table.data, table_rows,
              grad_bias.data, grad_bias_candidate.data, grad_first_hidden, grad_first_cell};
    made.multiplications = 2 * w.multiplications(made.s);
    return made;
}

// What a call of `make` gives, run at once.
template <class Call, class... Arguments>
auto running(Call (*make)(Arguments...)) {
    return [make](Arguments... arguments) {
        const Call made = make(arguments...);
        nb::gil_scoped_release unlocked;
        made.run();
    };
}

// Two calls, each made for one thread.
static void run_both(const call& first, const call& second) {
    nb::gil_scoped_release unlocked;
    side_by_side(first.multiplications + second.multiplications, [&](int number) { (number == 0 ? first : second).run(); });
}

static void add_recurrent(nb::module_& module) {
    const auto none = [](const char* name) { return nb::arg(name).none() = nb::none(); };
    nb::class_<layer>(module, "Weights", "The weights of one layer, copied into the order that the time loop reads.")
        .def(nb::init<const std::string&, i64, i64, address, std::pair<i64, i64>, address, std::pair<i64, i64>, address, address, int>(),
             "cell"_a, "input_size"_a, "hidden_size"_a, "weight_input"_a, "weight_input_strides"_a, "weight_hidden"_a,
             "weight_hidden_strides"_a, "bias"_a, "bias_candidate"_a, "threads"_a = 1);
    nb::class_<forward_call, call>(module, "Forward");
    nb::class_<backward_call, call>(module, "Backward");
    const auto add_forward = [&](const char* called, auto function, const char* says) {
        module.def(called, function, says, "w"_a, "batch"_a, "time"_a, "lengths"_a.none(), "reverse"_a, "threads"_a, "x"_a.none(),
                   "first_hidden"_a.none(), "first_cell"_a.none(), "mask"_a.none(), "outputs"_a, "last_hidden"_a, "last_cell"_a.none(),
                   "gates"_a.none(), "cells"_a.none(), none("ids"), none("table"));
    };
    add_forward("forward", running(&forward), "Read sequences: csrc/recurrent.h says what every argument is.");
    module.def(
        "step",
        [](const layer& w, nb::handle x, int threads, nb::handle hidden, nb::handle cell) {
            return step(*w.loops, *w.weights, w.input_size, w.hidden_size, x, threads, hidden, cell);
        },
        "w"_a, "x"_a.none(), "threads"_a, "hidden"_a, none("cell"), "One step of a stream, which changes its state: csrc/bind_tensors.h.");
    add_forward("forward_call", &forward, "The same, to be run by `run_both`. Keeps nothing alive.");
    const auto add_backward = [&](const char* called, auto function, const char* says) {
        module.def(called, function, says, "w"_a, "batch"_a, "time"_a, "lengths"_a.none(), "reverse"_a, "threads"_a, "x"_a.none(),
                   "first_hidden"_a.none(), "first_cell"_a.none(), "mask"_a.none(), "outputs"_a, "gates"_a.none(), "cells"_a.none(),
                   "grad_outputs"_a.none(), "grad_last_hidden"_a.none(), "grad_last_cell"_a.none(), "grad_x"_a.none(),
                   "grad_weight_input"_a.none(), "grad_weight_hidden"_a.none(), "grad_bias"_a.none(), "grad_bias_candidate"_a.none(),
                   "grad_first_hidden"_a.none(), "grad_first_cell"_a.none(), none("ids"), none("table"), none("grad_table"),
                   "table_rows"_a = 0);
    };
    add_backward("backward", running(&backward), "The gradients of what `forward` read and wrote.");
    add_backward("backward_call", &backward, "The same, to be run by `run_both`. Keeps nothing alive.");
}

static void linear(const matrix& b, i64 rows, address a, i64 a_row, address start, address c, int threads, i64 start_row) {
    nb::gil_scoped_release unlocked;
    active().linear.apply(*b.panels, rows, reinterpret_cast<const float*>(a), a_row, reinterpret_cast<const float*>(start), start_row,
                          reinterpret_cast<float*>(c), threads);
}

static void outer(i64 tokens, address a, i64 a_row, i64 depth, address d, i64 d_row, i64 columns, address c, address sums, int threads) {
    nb::gil_scoped_release unlocked;
    active().linear.outer(tokens, reinterpret_cast<const float*>(a), a_row, depth, reinterpret_cast<const float*>(d), d_row,
                          columns, reinterpret_cast<float*>(c), reinterpret_cast<float*>(sums), threads);
}

static void cross_entropy(i64 words, i64 tokens, address logits, address targets, float smoothing, float weight, address losses, address sums,
                          int threads) {
    nb::gil_scoped_release unlocked;
    active().cross_entropy({words, tokens, smoothing, weight, reinterpret_cast<float*>(logits), reinterpret_cast<const i64*>(targets),
                            reinterpret_cast<float*>(losses), reinterpret_cast<float*>(sums), threads});
}

static void max_pool(i64 batch, i64 time, i64 units, address lengths, address x, i64 x_batch, i64 x_time, address largest, address places,
                     int threads) {
    nb::gil_scoped_release unlocked;
    active().max_pool(batch, time, units, reinterpret_cast<const i64*>(lengths), {reinterpret_cast<const float*>(x), x_batch, x_time},
                      reinterpret_cast<float*>(largest), reinterpret_cast<std::int32_t*>(places), threads);
}

static void max_pool_backward(i64 batch, i64 time, i64 units, address places, address gradient, address of_x, int threads) {
    nb::gil_scoped_release unlocked;
    active().max_pool_backward(batch, time, units, reinterpret_cast<const std::int32_t*>(places), reinterpret_cast<const float*>(gradient),
                               reinterpret_cast<float*>(of_x), threads);
}

static void drop(i64 count, std::uint64_t seed, std::uint32_t dropped, float scale, read_only x, numbers y, int threads) {
    nb::gil_scoped_release unlocked;
    active().drop(count, seed, dropped, scale, x.data, y.data, threads);
}

static double fma_peak(int threads) {
    nb::gil_scoped_release unlocked;
    std::vector<double> each(static_cast<std::size_t>(threads), 0);
    constexpr i64 rounds = 20'000'000;
    parallel(threads, [&](int member, int) {
        each[static_cast<std::size_t>(member)] = 2e-9 * static_cast<double>(rounds * active().lanes) / active().multiply_adds(rounds);
    });
    double all = 0;
    for (double one : each) all += one;
    return all;
}

void add_int8(nb::module_& module);       // csrc/bind_int8.cpp
void add_attention(nb::module_& module);  // csrc/bind_attend.cpp
void add_tensors(nb::module_& module);    // csrc/bind_tensors.cpp

NB_MODULE(_core, module) {
    module.doc() = "The compiled core of seqloom.";
    nb::set_leak_warnings(false);  // weights kept alive by a graph at the end of the process are no leak
    module.def("isa", [] { return std::string(active().isa); }, "Level of the instruction set in use.");
    module.def(
        "isas",
        [] {
            std::vector<std::string> names;
            for (const kernels* table : runnable()) names.emplace_back(table->isa);
            return names;
        },
        "Levels of the instruction set that run here, plainest first.");
    module.def(
        "sigmoid", [](const input& x, const output& y) { apply(active().sigmoid, x, y); },
        "x"_a.noconvert(), "y"_a.noconvert(), "Write the sigmoid of x to y; y may be x.");
    module.def(
        "tanh", [](const input& x, const output& y) { apply(active().tanh, x, y); },
        "x"_a.noconvert(), "y"_a.noconvert(), "Write the hyperbolic tangent of x to y; y may be x.");
    module.def(
        "variable",
        [](const char* name, const char* otherwise) {
            const char* value = std::getenv(name);
            return nb::steal(PyUnicode_DecodeFSDefault(value == nullptr ? otherwise : value));  // of any bytes, as os.environ
        },
        "name"_a, "otherwise"_a, "The environment variable of this name, or `otherwise` where it is not set.");
    add_tensors(module);
    nb::class_<call>(module, "Call", "A reading forward or its way back, made ready.");
    add_recurrent(module);
    module.def("run_both", &run_both, "first"_a, "second"_a, "Run two calls made for one thread, side by side where that pays.");
    add_int8(module);
    add_attention(module);
    nb::class_<matrix>(module, "Matrix", "(depth, columns) numbers, copied into the order that `linear` reads.")
        .def(nb::init<address, std::pair<i64, i64>, i64, i64, int>(), "b"_a, "strides"_a, "depth"_a, "columns"_a, "threads"_a = 1);
    module.def("linear", &linear, "b"_a, "rows"_a, "a"_a, "a_stride"_a, "start"_a, "c"_a, "threads"_a,
               "start_stride"_a = 0, "c = start + a b: csrc/linear.h says what every argument is.");
    module.def("outer", &outer, "tokens"_a, "a"_a, "a_stride"_a, "depth"_a, "d"_a, "d_stride"_a, "columns"_a, "c"_a, "sums"_a,
               "threads"_a, "c = a' d, and the column sums of d.");
    module.def("cross_entropy", &cross_entropy, "words"_a, "tokens"_a, "logits"_a, "targets"_a, "smoothing"_a, "weight"_a, "losses"_a,
               "sums"_a, "threads"_a, "The loss of a softmax, and its gradient over the logits: csrc/kernels.h.");
    module.def("max_pool", &max_pool, "batch"_a, "time"_a, "units"_a, "lengths"_a, "x"_a, "x_stride_batch"_a, "x_stride_time"_a, "largest"_a,
               "places"_a, "threads"_a, "The largest of each unit over time: csrc/kernels.h says what every argument is.");
    module.def("max_pool_backward", &max_pool_backward, "batch"_a, "time"_a, "units"_a, "places"_a, "gradient"_a, "of_x"_a, "threads"_a,
               "The gradient of x, zero but at the places.");
    module.def("drop", &drop, "count"_a, "seed"_a, "dropped"_a, "scale"_a, "x"_a, "y"_a, "threads"_a,
               "Dropout, and its way back: csrc/kernels.h says what every argument is.");
    module.def("fma_peak", &fma_peak, "threads"_a, "Billions of float operations a second: what no kernel can exceed.");
}
