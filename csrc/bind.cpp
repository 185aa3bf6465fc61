// The Python face of the core: checks what it is given and calls; nothing is computed here.
//
// The recurrent functions take addresses, for converting a tensor costs more than a step of a small layer. Their caller,
// seqloom.kernels.fused_cpu, has checked shapes, dtypes and lengths; 0 stands for "not given".
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <exception>

#include "bind.h"
#include "pool.h"
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

template <class real>
sequence<real> sequence_of(i64 batch, i64 time, const i64* lengths, bool reverse, int threads, address x, i64 x_batch, i64 x_time,
                           address first_hidden, i64 first_hidden_row, address first_cell, i64 first_cell_row, address mask,
                           i64 mask_row, address ids, i64 ids_batch, i64 ids_time, address table, i64 table_row) {
    return {batch, time, lengths, reverse, threads,
            {reinterpret_cast<const real*>(x), x_batch, x_time},
            {reinterpret_cast<const i64*>(ids), ids_batch, ids_time},
            {reinterpret_cast<const real*>(table), table_row},
            {reinterpret_cast<const real*>(first_hidden), first_hidden_row},
            {reinterpret_cast<const real*>(first_cell), first_cell_row},
            {reinterpret_cast<const real*>(mask), mask_row}};
}

// One reading forward, or its way back, ready to be run. What it was given must outlive it, but not the lengths of rows that are
// all read to the end.
struct call {
    i64 multiplications = 0;
    virtual ~call() = default;
    virtual void run() const = 0;
};

template <class real>
struct forward_call final : call {
    const layer<real>& w;
    sequence<real> s;
    readings<real> r;
    std::vector<i64> full;

    explicit forward_call(const layer<real>& weights) : w(weights) {}
    forward_call(forward_call&&) = default;  // and no copy, whose lengths would be the original's
    void run() const override { w.loops->forward(*w.weights, s, r); }
};

template <class real>
struct backward_call final : call {
    const layer<real>& w;
    sequence<real> s;
    readings<real> r;
    gradients<real> g;
    std::vector<i64> full;

    explicit backward_call(const layer<real>& weights) : w(weights) {}
    backward_call(backward_call&&) = default;  // and no copy, whose lengths would be the original's
    void run() const override { w.loops->backward(*w.weights, s, r, g); }
};

template <class real>
forward_call<real> forward(const layer<real>& w, i64 batch, i64 time, address lengths, bool reverse, int threads, address x, i64 x_batch,
                           i64 x_time, address first_hidden, i64 first_hidden_row, address first_cell, i64 first_cell_row, address mask,
                           i64 mask_row, address outputs, i64 outputs_batch, i64 outputs_time, address last_hidden, address last_cell,
                           address gates, address cells, address ids, i64 ids_batch, i64 ids_time, address table, i64 table_row) {
    forward_call<real> made(w);
    const i64* each = lengths_of(lengths, batch, time, made.full);
    made.s = sequence_of<real>(batch, time, each, reverse, threads, x, x_batch, x_time, first_hidden, first_hidden_row,
                               first_cell, first_cell_row, mask, mask_row, ids, ids_batch, ids_time, table, table_row);
    made.r = {{reinterpret_cast<real*>(outputs), outputs_batch, outputs_time}, w.template rows<real>(last_hidden),
              w.template rows<real>(last_cell), reinterpret_cast<real*>(gates), reinterpret_cast<real*>(cells)};
    made.multiplications = w.multiplications(made.s);
    return made;
}

template <class real>
backward_call<real> backward(const layer<real>& w, i64 batch, i64 time, address lengths, bool reverse, int threads, address x, i64 x_batch,
                             i64 x_time, address first_hidden, i64 first_hidden_row, address first_cell, i64 first_cell_row, address mask,
                             i64 mask_row, address outputs, i64 outputs_batch, i64 outputs_time, address gates, address cells,
                             address grad_outputs, i64 grad_outputs_batch, i64 grad_outputs_time, address grad_last_hidden,
                             address grad_last_cell, address grad_x, address grad_input, address grad_hidden, address grad_bias,
                             address grad_bias_candidate, address grad_first_hidden, address grad_first_cell, address ids, i64 ids_batch,
                             i64 ids_time, address table, i64 table_row, address grad_table, i64 table_rows) {
    backward_call<real> made(w);
    const i64* each = lengths_of(lengths, batch, time, made.full);
    made.s = sequence_of<real>(batch, time, each, reverse, threads, x, x_batch, x_time, first_hidden, first_hidden_row,
                               first_cell, first_cell_row, mask, mask_row, ids, ids_batch, ids_time, table, table_row);
    made.r = {{reinterpret_cast<real*>(outputs), outputs_batch, outputs_time}, {}, {},
              reinterpret_cast<real*>(gates), reinterpret_cast<real*>(cells)};
    made.g = {{reinterpret_cast<const real*>(grad_outputs), grad_outputs_batch, grad_outputs_time},
              w.template rows<const real>(grad_last_hidden), w.template rows<const real>(grad_last_cell),
              reinterpret_cast<real*>(grad_x), reinterpret_cast<real*>(grad_input), reinterpret_cast<real*>(grad_hidden),
              reinterpret_cast<real*>(grad_table), table_rows, reinterpret_cast<real*>(grad_bias), reinterpret_cast<real*>(grad_bias_candidate),
              w.template rows<real>(grad_first_hidden), w.template rows<real>(grad_first_cell)};
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

// Two calls that need nothing of each other, each with one thread: side by side where that pays.
static void run_both(const call& first, const call& second) {
    nb::gil_scoped_release unlocked;
    const call* const calls[] = {&first, &second};
    std::exception_ptr failed[2];
    const i64 all = first.multiplications + second.multiplications;
    parallel(all > worth_a_thread && worth_waking(all) ? 2 : 1, [&](int member, int members) {
        for (int i = member; i < 2; i += members) {
            try {
                calls[i]->run();
            } catch (...) {  // memory ran out
                failed[i] = std::current_exception();
            }
        }
    });
    for (const std::exception_ptr& one : failed)
        if (one) std::rethrow_exception(one);
}

template <class real>
void add_recurrent(nb::module_& module, const char* suffix) {
    nb::class_<layer<real>>(module, (std::string("Weights") + suffix).c_str(), "The weights of one layer, copied into the order that the time loop reads.")
        .def(nb::init<const std::string&, i64, i64, address, std::pair<i64, i64>, address, std::pair<i64, i64>, address, address, int>(),
             "cell"_a, "input_size"_a, "hidden_size"_a, "weight_input"_a, "weight_input_strides"_a, "weight_hidden"_a,
             "weight_hidden_strides"_a, "bias"_a, "bias_candidate"_a, "threads"_a = 1);
    nb::class_<forward_call<real>, call>(module, (std::string("Forward") + suffix).c_str());
    nb::class_<backward_call<real>, call>(module, (std::string("Backward") + suffix).c_str());
    const auto add_forward = [&](const char* called, auto function, const char* says) {
        module.def(called, function, says, "w"_a, "batch"_a, "time"_a, "lengths"_a, "reverse"_a, "threads"_a, "x"_a, "x_stride_batch"_a,
                   "x_stride_time"_a, "first_hidden"_a, "first_hidden_stride"_a, "first_cell"_a, "first_cell_stride"_a,
                   "mask"_a, "mask_stride"_a, "outputs"_a, "outputs_stride_batch"_a, "outputs_stride_time"_a, "last_hidden"_a,
                   "last_cell"_a, "gates"_a, "cells"_a, "ids"_a = 0, "ids_stride_batch"_a = 0, "ids_stride_time"_a = 0,
                   "table"_a = 0, "table_stride"_a = 0);
    };
    add_forward("forward", running(&forward<real>), "Read sequences: csrc/recurrent.h says what every argument is.");
    add_forward("forward_call", &forward<real>, "The same, to be run by `run_both`. Keeps nothing alive.");
    const auto add_backward = [&](const char* called, auto function, const char* says) {
        module.def(called, function, says, "w"_a, "batch"_a, "time"_a, "lengths"_a, "reverse"_a, "threads"_a, "x"_a, "x_stride_batch"_a,
                   "x_stride_time"_a, "first_hidden"_a, "first_hidden_stride"_a, "first_cell"_a, "first_cell_stride"_a,
                   "mask"_a, "mask_stride"_a, "outputs"_a, "outputs_stride_batch"_a, "outputs_stride_time"_a, "gates"_a,
                   "cells"_a, "grad_outputs"_a, "grad_outputs_stride_batch"_a, "grad_outputs_stride_time"_a,
                   "grad_last_hidden"_a, "grad_last_cell"_a, "grad_x"_a, "grad_weight_input"_a, "grad_weight_hidden"_a,
                   "grad_bias"_a, "grad_bias_candidate"_a, "grad_first_hidden"_a, "grad_first_cell"_a, "ids"_a = 0,
                   "ids_stride_batch"_a = 0, "ids_stride_time"_a = 0, "table"_a = 0, "table_stride"_a = 0, "grad_table"_a = 0,
                   "table_rows"_a = 0);
    };
    add_backward("backward", running(&backward<real>), "The gradients of what `forward` read and wrote.");
    add_backward("backward_call", &backward<real>, "The same, to be run by `run_both`. Keeps nothing alive.");
}

// A tensor that gives its memory back for the next one of its size.
static nb::ndarray<nb::pytorch, float> empty(const std::vector<std::size_t>& shape) {
    std::size_t count = 1;
    for (std::size_t size : shape) count *= size;
    block* memory = take_block(static_cast<i64>(count * sizeof(float)));
    const nb::capsule owner(memory, [](void* done) noexcept { give_block(static_cast<block*>(done)); });
    return {static_cast<float*>(memory->data), shape.size(), shape.data(), owner};
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
        "fingerprint", [](address from, i64 bytes) { return active().fingerprint(reinterpret_cast<const void*>(from), bytes); },
        "from"_a, "bytes"_a, "A hash of memory that changes when the memory does.");
    module.def("empty", &empty, "shape"_a, "A tensor of this shape, not set, in memory that is kept for the next one.");
    nb::class_<call>(module, "Call", "A reading forward or its way back, made ready.");
    add_recurrent<float>(module, "");
    add_recurrent<double>(module, "64");
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
    module.def("fma_peak", &fma_peak, "threads"_a, "Billions of float operations a second: what no kernel can exceed.");
}
