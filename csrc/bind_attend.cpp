// The Python face of attention, beside csrc/bind.cpp and in its manner: addresses that the caller has checked, 0 for none.
#include <nanobind/nanobind.h>

#include "kernels.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

using address = std::uintptr_t;
using i64 = std::int64_t;

namespace {

template <class number>
number* at(address from) { return reinterpret_cast<number*>(from); }

// What is attended to, once for all steps.
struct source {
    attention_source s;
    source(i64 steps, i64 memory_size, i64 compared, address lengths, address memory, i64 memory_batch, i64 memory_time, address keys,
           i64 keys_batch, i64 keys_time, address score)
        : s{steps, memory_size, compared, at<const i64>(lengths), {at<const float>(memory), memory_batch, memory_time},
            {at<const float>(keys), keys_batch, keys_time}, at<const float>(score)} {}
};

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

void attend_sums(const source& from, i64 rows, i64 size, address places, address counts, address begins, address weights,
                 address values, address to, int threads) {
    nb::gil_scoped_release unlocked;
    active().attention.sum(from.s, {rows, size, at<const i64>(places), at<const i64>(counts), at<const i64>(begins),
                                    at<const float>(weights), at<const float>(values), at<float>(to), threads});
}

}  // namespace

void add_attention(nb::module_& module) {
    nb::class_<source>(module, "Source", "What is attended to: csrc/attention.h says what every argument is. Keeps nothing alive.")
        .def(nb::init<i64, i64, i64, address, address, i64, i64, address, i64, i64, address>(), "steps"_a, "memory_size"_a,
             "compared"_a, "lengths"_a, "memory"_a, "memory_stride_batch"_a, "memory_stride_time"_a, "keys"_a,
             "keys_stride_batch"_a, "keys_stride_time"_a, "score"_a);
    module.def("attend", &attend, "One step of attention.", "source"_a, "rows"_a, "places"_a, "query"_a, "weights"_a, "context"_a,
               "threads"_a);
    module.def("attend_backward", &attend_backward, "The gradients of one step, but for that of the memory.", "source"_a, "rows"_a,
               "places"_a, "query"_a, "weights"_a, "grad_context"_a, "grad_weights"_a, "grad_scores"_a, "grad_query"_a,
               "grad_keys"_a, "grad_score"_a, "threads"_a);
    module.def("attend_sums", &attend_sums, "Sums over all steps: the gradient of the memory, and of keys that are multiplied.",
               "source"_a, "rows"_a, "size"_a, "places"_a, "counts"_a, "begins"_a, "weights"_a, "values"_a, "to"_a, "threads"_a);
}
