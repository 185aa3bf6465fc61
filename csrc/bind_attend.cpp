// The Python face of attention, beside csrc/bind.cpp and in its manner: addresses that the caller has checked, 0 for none.
#include <nanobind/nanobind.h>

#include "reader.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

namespace {

void attend(const source& from, i64 rows, address places, address query, address weights, address context, int threads) {
    nb::gil_scoped_release unlocked;
    active().attention.forward(from.s, {rows, at<const i64>(places), at<const float>(query), threads}, at<float>(weights), at<float>(context));
}

void attend_backward(const source& from, i64 rows, address places, address query, address weights, address grad_context,
                     address grad_weights, address grad_scores, address grad_query, address grad_keys, address grad_score, int threads) {
    nb::gil_scoped_release unlocked;
    active().attention.backward(from.s, {rows, at<const i64>(places), at<const float>(query), threads},
                                {at<const float>(weights), at<const float>(grad_context), at<const float>(grad_weights),
                                 at<float>(grad_scores), at<float>(grad_query), at<float>(grad_keys), at<float>(grad_score)});
}

step_memory memory(address hidden, address cell, address weights, address context, address next_hidden, address next_cell) {
    return {nullptr, at<const float>(hidden), at<const float>(cell), at<float>(weights), at<float>(context), at<float>(next_hidden), at<float>(next_cell)};
}

void read_step(reader& reads, const source& from, i64 rows, address x, address hidden, address cell, address weights, address context,
          address next_hidden, address next_cell, int threads) {
    nb::gil_scoped_release unlocked;
    reads.read(from, rows, x, memory(hidden, cell, weights, context, next_hidden, next_cell), threads);
}

void spell(speller& spells, const source& from, i64 rows, address tokens, address hidden, address cell, address weights, address context,
           address next_hidden, address next_cell, address log_probabilities, int threads) {
    nb::gil_scoped_release unlocked;
    spells.spell(from, rows, tokens, memory(hidden, cell, weights, context, next_hidden, next_cell), at<float>(log_probabilities), threads);
}

i64 go_on(speller& spells, const source& from, i64 rows, i64 most, i64 end, address tokens, address hidden, address cell, address weights,
          address next_hidden, address next_cell, address chosen, address scores, int threads) {
    nb::gil_scoped_release unlocked;
    return spells.go_on(from, rows, most, end, tokens, memory(hidden, cell, weights, 0, next_hidden, next_cell), at<i64>(chosen),
                        at<float>(scores), threads);
}

i64 follow(speller& spells, const source& from, i64 width, i64 most, i64 end, i64 token, address hidden, address cell, address weights,
           address next_hidden, address next_cell, address before, address tokens, address counts, address greedy, address scores, int threads) {
    nb::gil_scoped_release unlocked;
    return spells.follow(from, width, most, end, token, memory(hidden, cell, weights, 0, next_hidden, next_cell),
                         {at<i64>(before), at<i64>(tokens), at<i64>(counts), at<i64>(greedy), at<double>(scores)}, threads);
}

void attend_sums(const source& from, i64 rows, i64 size, address places, address counts, address begins, address weights,
                 address values, address to, int threads) {
    nb::gil_scoped_release unlocked;
    active().attention.sum(from.s, {rows, size, at<const i64>(places), at<const i64>(counts), at<const i64>(begins),
                                    at<const float>(weights), at<const float>(values), at<float>(to), threads});
}

}  // namespace

void add_attention(nb::module_& module) {
    nb::class_<source>(module, "Source", "What is attended to: csrc/attention.h says what every argument is. Keeps nothing alive.")
        .def(nb::init<i64, i64, i64, i64, address, address, i64, i64, address, i64, i64, address, int>(), "rows"_a, "steps"_a,
             "memory_size"_a, "compared"_a, "lengths"_a, "memory"_a, "memory_stride_batch"_a, "memory_stride_time"_a, "keys"_a,
             "keys_stride_batch"_a, "keys_stride_time"_a, "score"_a, "threads"_a);
    nb::class_<reader>(module, "Reader", "A cell that attends, one step of any rows at a time: csrc/reader.h says what every argument is.")
        .def(nb::init<const layer&, const matrix*, const matrix*, const matrix&, i64, i64, i64, i64, address, address, i64>(), "cell"_a,
             nb::arg("input").none(), nb::arg("query").none(), "context"_a, "input_size"_a, "memory_size"_a, "compared"_a, "columns"_a,
             "bias"_a, "vectors"_a, "words"_a, nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>(), nb::keep_alive<1, 5>())
        .def("read", &read_step, "`weights` and what follows are written.", "source"_a, "rows"_a, "x"_a, "hidden"_a, "cell"_a, "weights"_a,
             "context"_a, "next_hidden"_a, "next_cell"_a, "threads"_a);
    nb::class_<projection>(module, "Projection", "x W + b, of a Matrix or an Int8Matrix.")
        .def(nb::init<const matrix*, const int8_matrix*, i64, i64, address>(), nb::arg("exact").none(), nb::arg("rounded").none(), "depth"_a,
             "columns"_a, "bias"_a, nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>());
    nb::class_<speller>(module, "Speller", "The next token of each row: csrc/reader.h says what every argument is.")
        .def(nb::init<reader&, const projection*, const projection&>(), "reader"_a, nb::arg("readout").none(), "output"_a,
             nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>())
        .def("spell", &spell, "`weights` and what follows are written.", "source"_a, "rows"_a, "tokens"_a, "hidden"_a, "cell"_a,
             "weights"_a, "context"_a, "next_hidden"_a, "next_cell"_a, "log_probabilities"_a, "threads"_a)
        .def("go_on", &go_on, "`weights` and what follows are written.", "source"_a, "rows"_a, "most"_a, "end"_a, "tokens"_a, "hidden"_a,
             "cell"_a, "weights"_a, "next_hidden"_a, "next_cell"_a, "chosen"_a, "scores"_a, "threads"_a)
        .def("follow", &follow, "`weights` and what follows are written.", "source"_a, "width"_a, "most"_a, "end"_a, "token"_a, "hidden"_a,
             "cell"_a, "weights"_a, "next_hidden"_a, "next_cell"_a, "before"_a, "tokens"_a, "counts"_a, "greedy"_a, "scores"_a, "threads"_a);
    module.def("attend", &attend, "One step of attention.", "source"_a, "rows"_a, "places"_a, "query"_a, "weights"_a, "context"_a,
               "threads"_a);
    module.def("attend_backward", &attend_backward, "The gradients of one step, but for that of the memory.", "source"_a, "rows"_a,
               "places"_a, "query"_a, "weights"_a, "grad_context"_a, "grad_weights"_a, "grad_scores"_a, "grad_query"_a,
               "grad_keys"_a, "grad_score"_a, "threads"_a);
    module.def("attend_sums", &attend_sums, "Sums over all steps: the gradient of the memory, and of keys that are multiplied.",
               "source"_a, "rows"_a, "size"_a, "places"_a, "counts"_a, "begins"_a, "weights"_a, "values"_a, "to"_a, "threads"_a);
}
