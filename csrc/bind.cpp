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

static void drop(i64 count, std::uint64_t seed, std::uint32_t dropped, float scale, place<const float> x, place<float> y, int threads) {
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

void add_recurrent(nb::module_& module);  // csrc/bind_recurrent.cpp
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
    add_recurrent(module);
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
