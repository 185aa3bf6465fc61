// Readings of whole batches and their ways back, each asked for in one call, which looks at the tensors and makes those of the
// results: to a core that has just emptied the caches, each further question of Python is far away.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <functional>
#include <numeric>

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

// What the tensors of a call show, and copies of those that cannot be read where they are.
class tensors {
public:
    // `tensor`, of these sizes, where -1 is any: its last axis in one piece, or all of it (`whole`).
    dlpack_tensor see(nb::handle tensor, std::initializer_list<i64> sizes, bool whole = false) {
        dlpack_tensor seen;
        if (!look_at(tensor, whole, seen)) {
            copies_.push_back(tensor.attr("resolve_neg")().attr("contiguous")());
            look(copies_.back(), nb::dtype<float>(), seen);
        }
        const auto fits = [](i64 size, i64 wanted) { return wanted < 0 || size == wanted; };
        if (!std::equal(sizes.begin(), sizes.end(), seen.shape, seen.shape + seen.ndim, [&](i64 wanted, i64 size) { return fits(size, wanted); }))
            throw nb::type_error("a tensor has not the size that the others ask for");
        return seen;
    }

    // Null where it is None.
    rows_of<const float> rows(nb::handle tensor, std::initializer_list<i64> sizes) {
        if (tensor.is_none()) return {};
        const dlpack_tensor seen = see(tensor, sizes);
        return {numbers_of(seen), seen.strides[0]};
    }
    steps_of<const float> steps(nb::handle tensor, std::initializer_list<i64> sizes) {
        if (tensor.is_none()) return {};
        const dlpack_tensor seen = see(tensor, sizes);
        return {numbers_of(seen), seen.strides[0], seen.strides[1]};
    }
    float* whole(nb::handle tensor, std::initializer_list<i64> sizes) { return tensor.is_none() ? nullptr : numbers_of(see(tensor, sizes, true)); }

    const i64* lengths_of(nb::handle tensor, i64 batch) {
        dlpack_tensor seen;
        if (!look(tensor, nb::dtype<i64>(), seen)) throw nb::type_error("lengths are whole numbers on the CPU");
        if (seen.ndim != 1 || seen.shape[0] != batch) throw nb::type_error("each row has one length");
        if (batch > 1 && seen.strides[0] != 1) {
            copies_.push_back(tensor.attr("contiguous")());
            look(copies_.back(), nb::dtype<i64>(), seen);
        }
        return reinterpret_cast<const i64*>(first_number(seen));
    }

    static float* numbers_of(const dlpack_tensor& seen) { return reinterpret_cast<float*>(first_number(seen)); }

private:
    static bool look_at(nb::handle tensor, bool whole, dlpack_tensor& seen) {
        if (!look(tensor, nb::dtype<float>(), seen)) throw nb::type_error("the core reads tensors of float32 on the CPU");
        const int last = seen.ndim - 1;
        const bool lies_well = whole ? in_one_piece(seen) : last < 0 || seen.shape[last] <= 1 || seen.strides[last] == 1;
        return lies_well && !negated(tensor);
    }

    std::vector<nb::object> copies_;
};

// A reading, or its way back, ready to be run.
struct reading {
    const layer& w;
    sequence<float> s{};
    readings<float> r{};
    gradients<float> g{};
    tensors seen;
    std::vector<i64> full;  // lengths, where none are given

    reading(const layer& weights, const nb::tuple& o, bool reverse, int threads) : w(weights) {
        if (o.size() != of::all) throw std::invalid_argument("a reading has other operands");
        s.reverse = reverse, s.threads = threads;
        if (o[of::ids].is_none()) {
            const dlpack_tensor read = seen.see(o[of::x], {-1, -1, w.input_size});
            s.batch = read.shape[0], s.time = read.shape[1];
            s.x = {tensors::numbers_of(read), read.strides[0], read.strides[1]};
        } else {
            dlpack_tensor read;
            if (!look(o[of::ids], nb::dtype<i64>(), read) || read.ndim != 2) throw nb::type_error("ids are whole numbers (B, T) on the CPU");
            s.batch = read.shape[0], s.time = read.shape[1];
            s.ids = {reinterpret_cast<const i64*>(first_number(read)), read.strides[0], read.strides[1]};
            s.table = seen.rows(o[of::x], {-1, w.gates() * w.hidden_size});
        }
        s.lengths = lengths_of(o[of::lengths].is_none() ? nullptr : seen.lengths_of(o[of::lengths], s.batch), s.batch, s.time, full);
        s.first_hidden = seen.rows(o[of::first_hidden], {s.batch, w.hidden_size});
        s.first_cell = seen.rows(o[of::first_cell], {s.batch, w.hidden_size});
        s.mask = seen.rows(o[of::mask], {s.batch, w.hidden_size});
    }
    reading(const reading&) = delete;
    reading& operator=(const reading&) = delete;

    // Tensors of the last state and, where they are saved, of gates and cells, zeros at padding if `blank`; None for what is not.
    nb::tuple make_room(steps_of<float> outputs, bool save, bool blank) {
        r.outputs = outputs;
        const i64 hidden = w.hidden_size;
        const nb::object last_hidden = state(r.last_hidden), last_cell = w.has_cell() ? state(r.last_cell) : nb::none();
        const bool padded = blank && std::any_of(s.lengths, s.lengths + s.batch, [&](i64 length) { return length < s.time; });
        const auto room = [&](std::initializer_list<i64> sizes, float*& numbers) {
            nb::object made = empty(sizes.begin(), static_cast<int>(sizes.size()), numbers);
            if (padded) std::fill_n(numbers, std::accumulate(sizes.begin(), sizes.end(), i64{1}, std::multiplies<>()), 0.0f);
            return made;
        };
        nb::object gates = nb::none(), cells = nb::none();
        if (save && w.saved() > 0) gates = room({s.batch, s.time, w.saved(), hidden}, r.gates);
        if (save && w.has_cell()) cells = room({s.batch, s.time, hidden}, r.cells);
        return nb::make_tuple(last_hidden, last_cell, gates, cells);
    }

    // Tensors of the gradients that are `wanted`, one an operand, None for the others. `kept`: outputs, gates and cells;
    // `come_back`: the gradients of outputs, last_hidden and last_cell.
    nb::list make_way_back(const nb::tuple& o, const nb::tuple& kept, const nb::tuple& come_back, const nb::tuple& wanted) {
        if (kept.size() != 3 || come_back.size() != 3 || wanted.size() != of::all)
            throw std::invalid_argument("a way back has other operands");
        if (kept[1].is_none() != (w.saved() == 0) || kept[2].is_none() == w.has_cell())
            throw nb::type_error("the way back needs the gates and cells of its cell");
        const i64 hidden = w.hidden_size, batch = s.batch, time = s.time;
        const steps_of<const float> outputs = seen.steps(kept[0], {batch, time, hidden});
        r.outputs = {const_cast<float*>(outputs.data), outputs.batch, outputs.time};
        r.gates = seen.whole(kept[1], {batch, time, w.saved(), hidden}), r.cells = seen.whole(kept[2], {batch, time, hidden});
        g.outputs = seen.steps(come_back[0], {batch, time, hidden});
        g.last_hidden = seen.rows(come_back[1], {batch, hidden}), g.last_cell = seen.rows(come_back[2], {batch, hidden});
        float* numbers[of::all];
        const nb::list found = empty_like(o, wanted, numbers);
        g.x = numbers[of::x], g.input = numbers[of::weight_input], g.hidden = numbers[of::weight_hidden];
        if (!o[of::ids].is_none()) std::swap(g.x, g.table), g.table_rows = seen.see(o[of::x], {-1, -1}).shape[0];
        g.bias = numbers[of::bias], g.bias_candidate = numbers[of::bias_candidate];
        g.first_hidden = {numbers[of::first_hidden], hidden}, g.first_cell = {numbers[of::first_cell], hidden};
        return found;
    }

    void read() const { w.loops->forward(*w.weights, s, r); }
    void go_back() const { w.loops->backward(*w.weights, s, r, g); }

private:
    nb::object state(rows_of<float>& path) {
        const i64 sizes[] = {s.batch, w.hidden_size};
        float* numbers;
        nb::object made = empty(sizes, 2, numbers);
        path = {numbers, w.hidden_size};
        return made;
    }
};

// Outputs of `width` numbers a step, not yet written.
nb::object room_for_outputs(const reading& first, i64 width, float*& numbers) {
    const i64 sizes[] = {first.s.batch, first.s.time, width};
    return empty(sizes, 3, numbers);
}

nb::tuple read_one(const layer& w, const nb::tuple& o, bool reverse, int threads, bool save, bool blank) {
    reading made(w, o, reverse, threads);
    float* numbers;
    const nb::object outputs = room_for_outputs(made, w.hidden_size, numbers);
    const nb::tuple rest = made.make_room({numbers, made.s.time * w.hidden_size, w.hidden_size}, save, blank);
    {
        nb::gil_scoped_release unlocked;
        made.read();
    }
    return nb::make_tuple(outputs, rest[0], rest[1], rest[2], rest[3]);
}

nb::list go_back_one(const layer& w, const nb::tuple& o, bool reverse, int threads, const nb::tuple& kept, const nb::tuple& come_back,
                 const nb::tuple& wanted) {
    reading made(w, o, reverse, threads);
    const nb::list found = made.make_way_back(o, kept, come_back, wanted);
    {
        nb::gil_scoped_release unlocked;
        made.go_back();
    }
    return found;
}

using pair_of_tuples = std::pair<nb::tuple, nb::tuple>;
using pair_of_layers = std::pair<const layer*, const layer*>;

// The two readings of a bidirectional layer. With two threads each has one of its own, with more of them they share the rows of one.
struct both_readings {
    const bool side_by_side;
    reading ahead, back;

    both_readings(const pair_of_layers& w, const pair_of_tuples& o, int threads)
        : side_by_side(threads == 2), ahead(*w.first, o.first, false, side_by_side ? 1 : threads),
          back(*w.second, o.second, true, side_by_side ? 1 : threads) {}

    // `multiplications`: so many for each of a reading's.
    void run(void (reading::*part)() const, i64 multiplications) const {
        nb::gil_scoped_release unlocked;
        if (!side_by_side) return (ahead.*part)(), (back.*part)();
        const i64 all = multiplications * (ahead.w.multiplications(ahead.s) + back.w.multiplications(back.s));
        seqloom::side_by_side(all, [&](int number) { ((number == 0 ? ahead : back).*part)(); });
    }
};

nb::tuple read_both(const layer& ahead, const layer& back, const nb::tuple& o, const nb::tuple& o_back, int threads, bool save) {
    both_readings made({&ahead, &back}, {o, o_back}, threads);
    float* numbers;
    const i64 hidden = ahead.hidden_size, time = made.ahead.s.time;
    const nb::object outputs = room_for_outputs(made.ahead, 2 * hidden, numbers);
    const auto half = [&](i64 number) { return steps_of<float>{numbers + number * hidden, time * 2 * hidden, 2 * hidden}; };
    const nb::tuple of_ahead = made.ahead.make_room(half(0), save, false), of_back = made.back.make_room(half(1), save, false);
    made.run(&reading::read, 1);
    return nb::make_tuple(outputs, of_ahead, of_back);
}

nb::tuple go_back_both(const layer& ahead, const layer& back, const pair_of_tuples& o, int threads, const pair_of_tuples& kept,
                       const pair_of_tuples& come_back, const pair_of_tuples& wanted) {
    both_readings made({&ahead, &back}, o, threads);
    const nb::list of_ahead = made.ahead.make_way_back(o.first, kept.first, come_back.first, wanted.first);
    const nb::list of_back = made.back.make_way_back(o.second, kept.second, come_back.second, wanted.second);
    made.run(&reading::go_back, 2);
    return nb::make_tuple(of_ahead, of_back);
}

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
              read_only grad_last_hidden, read_only grad_last_cell, numbers grad_x, numbers grad_input, numbers grad_hidden, numbers grad_bias,
              numbers grad_bias_candidate, numbers grad_first_hidden, numbers grad_first_cell, whole_numbers ids, read_only table,
              numbers grad_table, i64 table_rows) {
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
bool fits(const std::string& cell, nb::handle x, nb::handle input, nb::handle hidden, nb::handle bias, nb::handle candidate, const nb::args& rows) {
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
    return look_plainly(x, of_x) && look_plainly(weight, of_weight) && of_x.ndim == 3 && of_weight.ndim > 0 && of_x.shape[2] == of_weight.shape[0];
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
    module.def("read_both", &read_both, "ahead"_a, "back"_a, "operands"_a, "operands_back"_a, "threads"_a, "save"_a,
               "Two readings, the second from back to front: their outputs side by side, then of each the rest of its results.");
    module.def("go_back_both", &go_back_both, "ahead"_a, "back"_a, "operands"_a, "threads"_a, "kept"_a, "gradients"_a, "wanted"_a,
               "`go_back` of both.");
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
