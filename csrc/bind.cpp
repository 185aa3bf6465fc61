// The Python face of the core: checks what it is given and calls; nothing is computed here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "kernels.h"

namespace nb = nanobind;
using namespace nb::literals;

using input = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using output = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

static void apply(seqloom::elementwise f, const input& x, const output& y) {
    if (x.size() != y.size()) throw std::invalid_argument("x and y have different sizes");
    nb::gil_scoped_release unlocked;
    f(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
}

NB_MODULE(_core, module) {
    module.doc() = "The compiled core of seqloom.";
    module.def("isa", [] { return std::string(seqloom::active().isa); }, "Level of the instruction set in use.");
    module.def(
        "isas",
        [] {
            std::vector<std::string> names;
            for (const seqloom::kernels* table : seqloom::runnable()) names.emplace_back(table->isa);
            return names;
        },
        "Levels of the instruction set that run here, plainest first.");
    module.def(
        "sigmoid", [](const input& x, const output& y) { apply(seqloom::active().sigmoid, x, y); },
        "x"_a.noconvert(), "y"_a.noconvert(), "Write the sigmoid of x to y; y may be x.");
    module.def(
        "tanh", [](const input& x, const output& y) { apply(seqloom::active().tanh, x, y); },
        "x"_a.noconvert(), "y"_a.noconvert(), "Write the hyperbolic tangent of x to y; y may be x.");
}
