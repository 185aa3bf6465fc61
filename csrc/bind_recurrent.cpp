// Readings of whole batches and their ways back, each asked for in one call, which looks at the tensors and makes those of the
// results: to a core that has just emptied the caches, each further question of Python is far away.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>

#include "bind_tensors.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

namespace {

// The operands of a reading: `Operands` of src/seqloom/kernels/recurrence.py.
namespace of {
constexpr std::size_t x = 0, lengths = 1, weight_input = 2, weight_hidden = 3, bias = 4, bias_candidate = 5, mask = 6, first_hidden = 7,
                      first_cell = 8, ids = 9, all = 10;
}
constexpr const char* operand_names[of::all] = {"x",    "lengths",      "weight_input", "weight_hidden", "bias", "bias_candidate",
                                                "mask", "first_hidden", "first_cell",   "ids"};

using sizes = std::initializer_list<i64>;  // of a tensor; -1 is any

std::string shown(const i64* begin, const i64* end) {
    std::string all;
    for (const i64* size = begin; size != end; ++size) all += (all.empty() ? "" : ", ") + (*size < 0 ? "any" : std::to_string(*size));
    return "(" + all + ")";
}

[[noreturn]] void refuse(const std::string& words) { throw nb::type_error(words.c_str()); }

void check_sizes(const char* name, const dlpack_tensor& seen, sizes wanted) {
    const bool same = std::equal(wanted.begin(), wanted.end(), seen.shape, seen.shape + seen.ndim,
                                 [](i64 one, i64 size) { return one < 0 || one == size; });
    if (!same)
        refuse(std::string(name) + " is " + shown(seen.shape, seen.shape + seen.ndim) + ", but the weights and the other tensors ask for " +
               shown(wanted.begin(), wanted.end()));
}

dlpack_tensor seen_as(const char* name, nb::handle tensor, nb::dlpack::dtype kind, sizes wanted) {
    dlpack_tensor seen;
    if (!look(tensor, kind, seen))
        refuse(std::string(name) + " is no tensor of " + (kind == nb::dtype<float>() ? "float32" : "int64") + " on the CPU");
    check_sizes(name, seen, wanted);
    return seen;
}

float* numbers_of(const dlpack_tensor& seen) { return reinterpret_cast<float*>(first_number(seen)); }
const i64* whole_numbers_of(const dlpack_tensor& seen) { return reinterpret_cast<const i64*>(first_number(seen)); }

// Tensors as the core reads them, and copies of those that do not lie so.
class read_tensors {
public:
    // The last axis in one piece, or all of it (`whole`).
    dlpack_tensor see(const char* name, nb::handle tensor, sizes wanted, bool whole = false) {
        const dlpack_tensor seen = seen_as(name, tensor, nb::dtype<float>(), wanted);
        const int last = seen.ndim - 1;
        const bool lies_so = whole ? in_one_piece(seen) : last < 0 || seen.shape[last] <= 1 || seen.strides[last] == 1;
        if (lies_so && !negated(tensor)) return seen;
        copies_.push_back(tensor.attr("resolve_neg")().attr("contiguous")());
        return seen_as(name, copies_.back(), nb::dtype<float>(), wanted);
    }

    // Null where it is None.
    rows_of<const float> rows(const char* name, nb::handle tensor, sizes wanted) {
        if (tensor.is_none()) return {};
        const dlpack_tensor seen = see(name, tensor, wanted);
        return {numbers_of(seen), seen.strides[0]};
    }
    steps_of<const float> steps(const char* name, nb::handle tensor, sizes wanted) {
        if (tensor.is_none()) return {};
        const dlpack_tensor seen = see(name, tensor, wanted);
        return {numbers_of(seen), seen.strides[0], seen.strides[1]};
    }
    float* whole(const char* name, nb::handle tensor, sizes wanted) {
        return tensor.is_none() ? nullptr : numbers_of(see(name, tensor, wanted, true));
    }
    const i64* lengths(nb::handle tensor, i64 batch) {
        if (tensor.is_none()) return nullptr;
        const dlpack_tensor seen = seen_as("lengths", tensor, nb::dtype<i64>(), {batch});
        if (batch < 2 || seen.strides[0] == 1) return whole_numbers_of(seen);
        copies_.push_back(tensor.attr("contiguous")());
        return whole_numbers_of(seen_as("lengths", copies_.back(), nb::dtype<i64>(), {batch}));
    }

private:
    std::vector<nb::object> copies_;
};

// A reading, or its way back, ready to be run.
struct reading {
    const layer& w;
    sequence<float> s{};
    readings<float> r{};
    gradients<float> g{};
    read_tensors tensors;
    std::vector<i64> full;  // lengths, where none are given

    reading(const layer& weights, const nb::tuple& o, bool reverse, int threads) : w(weights) {
        if (o.size() != of::all) throw std::invalid_argument("a reading has other operands");
        s.reverse = reverse, s.threads = threads;
        if (o[of::ids].is_none()) {
            const dlpack_tensor x = tensors.see("x", o[of::x], {-1, -1, w.input_size});
            s.batch = x.shape[0], s.time = x.shape[1];
            s.x = {numbers_of(x), x.strides[0], x.strides[1]};
        } else {
            const dlpack_tensor ids = seen_as("ids", o[of::ids], nb::dtype<i64>(), {-1, -1});
            s.batch = ids.shape[0], s.time = ids.shape[1];
            s.ids = {whole_numbers_of(ids), ids.strides[0], ids.strides[1]};
            const dlpack_tensor table = tensors.see("x", o[of::x], {-1, w.gates() * w.hidden_size});
            s.table = {numbers_of(table), table.strides[0]}, g.table_rows = table.shape[0];
        }
        s.lengths = tensors.lengths(o[of::lengths], s.batch);
        s.first_hidden = tensors.rows("first_hidden", o[of::first_hidden], {s.batch, w.hidden_size});
        s.first_cell = tensors.rows("first_cell", o[of::first_cell], {s.batch, w.hidden_size});
        s.mask = tensors.rows("mask", o[of::mask], {s.batch, w.hidden_size});
    }
    reading(const reading&) = delete;
    reading& operator=(const reading&) = delete;

    // Tensors of the last state and, where they are saved, of gates and cells, zeros at padding if `blank`; None for what is not.
    nb::tuple make_room(steps_of<float> outputs, bool save, bool blank) {
        r.outputs = outputs;
        const i64 hidden = w.hidden_size;
        const nb::object last_hidden = state(r.last_hidden), last_cell = w.has_cell() ? state(r.last_cell) : nb::none();
        nb::object gates = nb::none(), cells = nb::none();
        if (save && w.saved() > 0) gates = steps(w.saved() * hidden, {s.batch, s.time, w.saved(), hidden}, blank, r.gates);
        if (save && w.has_cell()) cells = steps(hidden, {s.batch, s.time, hidden}, blank, r.cells);
        fill_lengths();
        return nb::make_tuple(last_hidden, last_cell, gates, cells);
    }

    // Tensors of the gradients that are `wanted`, one an operand, None for the others. `kept`: outputs, gates and cells;
    // `come_back`: the gradients of outputs, last_hidden and last_cell.
    nb::list make_way_back(const nb::tuple& o, const nb::tuple& kept, const nb::tuple& come_back, const nb::tuple& wanted) {
        if (kept.size() != 3 || come_back.size() != 3 || wanted.size() != of::all)
            throw std::invalid_argument("a way back has other operands");
        if (kept[1].is_none() != (w.saved() == 0) || kept[2].is_none() == w.has_cell())
            refuse("the way back needs the gates and cells of its cell");
        const i64 hidden = w.hidden_size, batch = s.batch, time = s.time;
        const steps_of<const float> outputs = tensors.steps("outputs", kept[0], {batch, time, hidden});
        r.outputs = {const_cast<float*>(outputs.data), outputs.batch, outputs.time};
        r.gates = tensors.whole("gates", kept[1], {batch, time, w.saved(), hidden});
        r.cells = tensors.whole("cells", kept[2], {batch, time, hidden});
        g.outputs = tensors.steps("the gradient of outputs", come_back[0], {batch, time, hidden});
        g.last_hidden = tensors.rows("the gradient of last_hidden", come_back[1], {batch, hidden});
        g.last_cell = tensors.rows("the gradient of last_cell", come_back[2], {batch, hidden});
        check_wanted(o, wanted);
        float* numbers[of::all];
        const nb::list found = empty_like(o, wanted, numbers);
        (o[of::ids].is_none() ? g.x : g.table) = numbers[of::x];
        g.input = numbers[of::weight_input], g.hidden = numbers[of::weight_hidden];
        g.bias = numbers[of::bias], g.bias_candidate = numbers[of::bias_candidate];
        g.first_hidden = {numbers[of::first_hidden], hidden}, g.first_cell = {numbers[of::first_cell], hidden};
        fill_lengths();
        return found;
    }

    void run_forward() const { w.loops->forward(*w.weights, s, r); }
    void run_back() const { w.loops->backward(*w.weights, s, r, g); }

private:
    // Last, as there may be more rows than memory: then the results are refused in words.
    void fill_lengths() { s.lengths = lengths_of(s.lengths, s.batch, s.time, full); }

    // What is wanted is written by the sizes of the weights when they were packed: they may have changed since.
    void check_wanted(const nb::tuple& o, const nb::tuple& wanted) const {
        const i64 columns = w.gates() * w.hidden_size;
        const auto check = [&](std::size_t at, bool is_found, sizes of_this) {
            if (o[at].is_none() || PyObject_IsTrue(wanted[at].ptr()) != 1) return;
            if (!is_found) refuse(std::string(operand_names[at]) + " has no gradient here");
            seen_as(operand_names[at], o[at], nb::dtype<float>(), of_this);
        };
        for (std::size_t at : {of::lengths, of::mask, of::ids}) check(at, false, {});
        check(of::weight_input, true, {w.input_size, o[of::ids].is_none() ? columns : -1});
        check(of::weight_hidden, true, {w.hidden_size, columns});
        check(of::bias, true, {columns});
        check(of::bias_candidate, w.has_candidate(), {w.hidden_size});
        check(of::first_cell, w.has_cell(), {s.batch, w.hidden_size});
    }

    nb::object state(rows_of<float>& path) {
        const i64 axes[] = {s.batch, w.hidden_size};
        float* numbers;
        nb::object made = empty(axes, 2, numbers);
        path = {numbers, w.hidden_size};
        return made;
    }

    // `width` numbers a step, zeros at padding if `blank`.
    nb::object steps(i64 width, sizes axes, bool blank, float*& numbers) {
        nb::object made = empty(axes.begin(), static_cast<int>(axes.size()), numbers);
        for (i64 b = 0; blank && s.lengths != nullptr && b < s.batch; ++b)
            std::fill_n(numbers + (b * s.time + s.lengths[b]) * width, (s.time - s.lengths[b]) * width, 0.0f);
        return made;
    }
};

// Outputs of `width` numbers a step, not yet written.
nb::object room_for_outputs(const reading& first, i64 width, float*& numbers) {
    const i64 axes[] = {first.s.batch, first.s.time, width};
    return empty(axes, 3, numbers);
}

nb::tuple read_one(const layer& w, const nb::tuple& o, bool reverse, int threads, bool save, bool blank) {
    reading made(w, o, reverse, threads);
    float* numbers;
    const nb::object outputs = room_for_outputs(made, w.hidden_size, numbers);
    const nb::tuple rest = made.make_room({numbers, made.s.time * w.hidden_size, w.hidden_size}, save, blank);
    {
        nb::gil_scoped_release unlocked;
        made.run_forward();
    }
    return nb::make_tuple(outputs, rest[0], rest[1], rest[2], rest[3]);
}

nb::list go_back_one(const layer& w, const nb::tuple& o, bool reverse, int threads, const nb::tuple& kept, const nb::tuple& come_back,
                     const nb::tuple& wanted) {
    reading made(w, o, reverse, threads);
    const nb::list found = made.make_way_back(o, kept, come_back, wanted);
    {
        nb::gil_scoped_release unlocked;
        made.run_back();
    }
    return found;
}

using two_tuples = std::pair<nb::tuple, nb::tuple>;

// The two readings of a bidirectional layer. With two threads each has one of its own, with more of them they share the rows of one.
struct both_readings {
    const bool has_own_threads;
    reading ahead, back;

    both_readings(const layer& w, const layer& w_back, const two_tuples& o, int threads)
        : has_own_threads(threads == 2), ahead(w, o.first, false, has_own_threads ? 1 : threads),
          back(w_back, o.second, true, has_own_threads ? 1 : threads) {
        if (w.hidden_size != w_back.hidden_size || ahead.s.batch != back.s.batch || ahead.s.time != back.s.time)
            refuse("both directions read as many rows and steps by as many units");
    }

    // `multiplications`: so many for each of a reading's.
    void run(void (reading::*part)() const, i64 multiplications) const {
        nb::gil_scoped_release unlocked;
        if (!has_own_threads) return (ahead.*part)(), (back.*part)();
        const i64 all = multiplications * (ahead.w.multiplications(ahead.s) + back.w.multiplications(back.s));
        side_by_side(all, [&](int number) { ((number == 0 ? ahead : back).*part)(); });
    }
};

nb::tuple read_both(const layer& w, const layer& w_back, const two_tuples& o, int threads, bool save) {
    both_readings made(w, w_back, o, threads);
    float* numbers;
    const i64 hidden = w.hidden_size, time = made.ahead.s.time;
    const nb::object outputs = room_for_outputs(made.ahead, 2 * hidden, numbers);
    const auto half = [&](i64 number) { return steps_of<float>{numbers + number * hidden, time * 2 * hidden, 2 * hidden}; };
    const nb::tuple of_ahead = made.ahead.make_room(half(0), save, false), of_back = made.back.make_room(half(1), save, false);
    made.run(&reading::run_forward, 1);
    return nb::make_tuple(outputs, of_ahead, of_back);
}

nb::tuple go_back_both(const layer& w, const layer& w_back, const two_tuples& o, int threads, const two_tuples& kept,
                       const two_tuples& come_back, const two_tuples& wanted) {
    both_readings made(w, w_back, o, threads);
    const nb::list of_ahead = made.ahead.make_way_back(o.first, kept.first, come_back.first, wanted.first);
    const nb::list of_back = made.back.make_way_back(o.second, kept.second, come_back.second, wanted.second);
    made.run(&reading::run_back, 2);
    return nb::make_tuple(of_ahead, of_back);
}

// `forward` and `backward` on memory that the caller names: of a stream, whose state moves in place, and of the steps of attention.

using numbers = place<float>;
using read_only = place<const float>;
using whole_numbers = place<const i64>;

void forward(const layer& w, i64 batch, i64 time, whole_numbers lengths, bool reverse, int threads, read_only x, read_only first_hidden,
             read_only first_cell, read_only mask, numbers outputs, numbers last_hidden, numbers last_cell, numbers gates, numbers cells,
             whole_numbers ids, read_only table) {
    std::vector<i64> full;
    const i64* each = lengths_of(lengths.data, batch, time, full);
    nb::gil_scoped_release unlocked;
    w.loops->forward(*w.weights, {batch, time, each, reverse, threads, x, ids, table, first_hidden, first_cell, mask},
                     {outputs, last_hidden, last_cell, gates.data, cells.data});
}

void backward(const layer& w, i64 batch, i64 time, whole_numbers lengths, bool reverse, int threads, read_only x, read_only first_hidden,
              read_only first_cell, read_only mask, numbers outputs, numbers gates, numbers cells, read_only grad_outputs,
              read_only grad_last_hidden, read_only grad_last_cell, numbers grad_x, numbers grad_input, numbers grad_hidden,
              numbers grad_bias, numbers grad_bias_candidate, numbers grad_first_hidden, numbers grad_first_cell, whole_numbers ids,
              read_only table, numbers grad_table, i64 table_rows) {
    std::vector<i64> full;
    const i64* each = lengths_of(lengths.data, batch, time, full);
    nb::gil_scoped_release unlocked;
    w.loops->backward(*w.weights, {batch, time, each, reverse, threads, x, ids, table, first_hidden, first_cell, mask},
                      {outputs, {}, {}, gates.data, cells.data},
                      {grad_outputs, grad_last_hidden, grad_last_cell, grad_x.data, grad_input.data, grad_hidden.data, grad_table.data,
                       table_rows, grad_bias.data, grad_bias_candidate.data, grad_first_hidden, grad_first_cell});
}

// Whether a cell can read x (.., I) with these weights, all of them where they are: plain, float32, on the CPU, of its sizes. `rows`:
// of states and masks.
bool fits(const std::string& cell, nb::handle x, nb::handle input, nb::handle hidden, nb::handle bias, nb::handle candidate,
          const nb::args& rows) {
    dlpack_tensor of_x, of_input, of_hidden, other;
    if (!look_plainly(x, of_x) || !look_plainly(input, of_input) || !look_plainly(hidden, of_hidden)) return false;
    if (of_x.ndim == 0 || of_input.ndim != 2 || of_hidden.ndim != 2) return false;
    const int number = cell_number(cell);
    const i64 units = of_hidden.shape[0], columns = gates_of_cell[number] * units;
    if (of_input.shape[0] != of_x.shape[of_x.ndim - 1] || of_input.shape[1] != columns || of_hidden.shape[1] != columns) return false;
    const auto is_vector = [&](nb::handle tensor, i64 size) {
        return tensor.is_none() || (look_plainly(tensor, other) && other.ndim == 1 && other.shape[0] == size);
    };
    if (!is_vector(bias, columns) || !is_vector(candidate, units)) return false;
    if (!candidate.is_none() && static_cast<cell_kind>(number) != cell_kind::gru_reset_after) return false;
    for (const nb::handle tensor : rows)
        if (!tensor.is_none() && !(look_plainly(tensor, other) && other.ndim > 0 && other.shape[other.ndim - 1] == units)) return false;
    return true;
}

// Whether x is (B, T, I), for weights (I, ..), and both can be read where they are.
bool is_input(nb::handle x, nb::handle weight) {
    dlpack_tensor of_x, of_weight;
    if (!look_plainly(x, of_x) || !look_plainly(weight, of_weight)) return false;
    return of_x.ndim == 3 && of_weight.ndim > 0 && of_x.shape[2] == of_weight.shape[0];
}

}  // namespace

void add_recurrent(nb::module_& module) {
    nb::class_<layer>(module, "Weights", "The weights of one layer, copied into the order that the time loop reads.")
        .def(nb::init<const std::string&, i64, i64, address, std::pair<i64, i64>, address, std::pair<i64, i64>, address, address, int>(),
             "cell"_a, "input_size"_a, "hidden_size"_a, "weight_input"_a, "weight_input_strides"_a, "weight_hidden"_a,
             "weight_hidden_strides"_a, "bias"_a, "bias_candidate"_a, "threads"_a = 1);
    module.def("fits", &fits, "cell"_a, "x"_a.none(), "weight_input"_a.none(), "weight_hidden"_a.none(), "bias"_a.none(),
               "bias_candidate"_a.none(), "rows"_a, "Whether a cell can read x where it is, with these weights, masks and states.");
    module.def("is_input", &is_input, "x"_a.none(), "weight_input"_a.none(), "Whether x is (B, T, I) for these weights, and can be read.");
    module.def("read", &read_one, "w"_a, "operands"_a, "reverse"_a, "threads"_a, "save"_a, "blank"_a,
               "Read sequences: the `Operands` to the `Results` of seqloom.kernels.recurrence.");
    module.def("go_back", &go_back_one, "w"_a, "operands"_a, "reverse"_a, "threads"_a, "kept"_a, "gradients"_a, "wanted"_a,
               "The gradients of the operands that are wanted, of outputs, gates and cells that were kept.");
    module.def("read_both", &read_both, "w"_a, "w_back"_a, "operands"_a, "threads"_a, "save"_a,
               "Two readings, the second from back to front: their outputs side by side, then of each the rest of its results.");
    module.def("go_back_both", &go_back_both, "w"_a, "w_back"_a, "operands"_a, "threads"_a, "kept"_a, "gradients"_a, "wanted"_a,
               "`go_back` of both.");
    module.attr("OPERANDS") = nb::tuple(nb::cast(std::vector<std::string>(operand_names, operand_names + of::all)));
    const auto none = [](const char* name) { return nb::arg(name).none() = nb::none(); };
    module.def("forward", &forward, "Read what is where: csrc/recurrent.h says what every argument is.", "w"_a, "batch"_a, "time"_a,
               "lengths"_a.none(), "reverse"_a, "threads"_a, "x"_a.none(), "first_hidden"_a.none(), "first_cell"_a.none(), "mask"_a.none(),
               "outputs"_a, "last_hidden"_a, "last_cell"_a.none(), "gates"_a.none(), "cells"_a.none(), none("ids"), none("table"));
    module.def("backward", &backward, "The gradients of what `forward` read and wrote.", "w"_a, "batch"_a, "time"_a, "lengths"_a.none(),
               "reverse"_a, "threads"_a, "x"_a.none(), "first_hidden"_a.none(), "first_cell"_a.none(), "mask"_a.none(), "outputs"_a,
               "gates"_a.none(), "cells"_a.none(), "grad_outputs"_a.none(), "grad_last_hidden"_a.none(), "grad_last_cell"_a.none(),
               "grad_x"_a.none(), "grad_weight_input"_a.none(), "grad_weight_hidden"_a.none(), "grad_bias"_a.none(),
               "grad_bias_candidate"_a.none(), "grad_first_hidden"_a.none(), "grad_first_cell"_a.none(), none("ids"), none("table"),
               none("grad_table"), "table_rows"_a = 0);
    module.def(
        "step",
        [](const layer& w, nb::handle read, int threads, nb::handle hidden, nb::handle cell) {
            return step(*w.loops, *w.weights, w.input_size, w.hidden_size, read, threads, hidden, cell);
        },
        "w"_a, "x"_a.none(), "threads"_a, "hidden"_a, none("cell"), "One step of a stream, which changes its state: csrc/bind_tensors.h.");
}
