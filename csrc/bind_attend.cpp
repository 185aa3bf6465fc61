// The Python face of attention, beside csrc/bind.cpp and in its manner: addresses that the caller has checked, 0 for none.
#include <nanobind/nanobind.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "bind.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

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

// Reads one step after the other, whose rows are others each time, in memory of its own.
class reader {
public:
    // `vectors`: (words, input_size), contiguous, or 0; it must outlive this.
    reader(const layer<float>& cell, const matrix& input, const matrix* query, const matrix& context, i64 input_size, i64 memory_size,
           i64 compared, i64 columns, address bias, address vectors, i64 words)
        : cell_(cell), input_(input), query_(query), context_(context), input_size_(input_size), memory_size_(memory_size),
          compared_(compared), columns_(columns), bias_(at<const float>(bias), at<const float>(bias) + (bias != 0 ? columns : 0)),
          vectors_(at<const float>(vectors)), words_(words) {}

    // `x`: (rows, input_size); of a reader with vectors the row of each in them, as 64-bit integers.
    void read(const source& from, i64 rows, address x, address hidden, address cell, address weights, address context,
              address next_hidden, address next_cell, int threads) {
        nb::gil_scoped_release unlocked;
        make_room(rows);
        const dense& product = active().linear;
        const i64 size = cell_.hidden_size;
        const float *before = at<const float>(hidden), *asking = before, *bias = bias_.empty() ? nullptr : bias_.data();
        if (query_ != nullptr) {
            product.apply(*query_->panels, rows, before, size, nullptr, 0, asked_.data(), threads);
            asking = asked_.data();
        }
        active().attention.forward(from.s, {rows, nullptr, asking, threads}, at<float>(weights), at<float>(context));
        product.apply(*input_.panels, rows, vectors_of(x, rows), input_size_, bias, 0, drive_.data(), threads);
        product.apply(*context_.panels, rows, at<const float>(context), memory_size_, drive_.data(), columns_, drive_.data(), threads);
        cell_.loops->forward(*cell_.weights,
                             {rows, 1, ones_.data(), false, threads, {}, {ids_.data(), 1, 1}, {drive_.data(), columns_}, {before, size},
                              {at<const float>(cell), size}, {}},
                             {{at<float>(next_hidden), size, size}, {at<float>(next_hidden), size}, {at<float>(next_cell), size},
                              nullptr, at<float>(next_cell)});
    }

private:
    const layer<float>& cell_;
    const matrix& input_;
    const matrix* query_;
    const matrix& context_;
    i64 input_size_, memory_size_, compared_, columns_;
    std::vector<float> bias_, drive_, asked_, x_;
    const float* vectors_;
    i64 words_;
    std::vector<i64> ones_, ids_;

    const float* vectors_of(address x, i64 rows) {
        if (vectors_ == nullptr) return at<const float>(x);
        for (i64 row = 0; row < rows; ++row) {
            const i64 token = at<const i64>(x)[row];
            if (token < 0 || token >= words_) throw std::out_of_range("token " + std::to_string(token) + " is none of 0.." + std::to_string(words_ - 1));
            std::copy_n(vectors_ + token * input_size_, input_size_, x_.data() + row * input_size_);
        }
        return x_.data();
    }

    void make_room(i64 rows) {
        if (rows <= static_cast<i64>(ones_.size())) return;
        const auto count = static_cast<std::size_t>(rows);
        drive_.resize(count * static_cast<std::size_t>(columns_));
        asked_.resize(count * static_cast<std::size_t>(compared_));
        if (vectors_ != nullptr) x_.resize(count * static_cast<std::size_t>(input_size_));
        ones_.resize(count, 1);
        ids_.resize(count);
        std::iota(ids_.begin(), ids_.end(), i64{0});
    }
};

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
    nb::class_<reader>(module, "Reader", "A cell that attends, one step of any rows at a time.")
        .def(nb::init<const layer<float>&, const matrix&, const matrix*, const matrix&, i64, i64, i64, i64, address, address, i64>(), "cell"_a, "input"_a,
             nb::arg("query").none(), "context"_a, "input_size"_a, "memory_size"_a, "compared"_a, "columns"_a, "bias"_a, "vectors"_a, "words"_a,
             nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>(), nb::keep_alive<1, 5>())
        .def("read", &reader::read, "All is contiguous; `weights` and what follows are written.", "source"_a, "rows"_a, "x"_a, "hidden"_a,
             "cell"_a, "weights"_a, "context"_a, "next_hidden"_a, "next_cell"_a, "threads"_a);
    module.def("attend", &attend, "One step of attention.", "source"_a, "rows"_a, "places"_a, "query"_a, "weights"_a, "context"_a,
               "threads"_a);
    module.def("attend_backward", &attend_backward, "The gradients of one step, but for that of the memory.", "source"_a, "rows"_a,
               "places"_a, "query"_a, "weights"_a, "grad_context"_a, "grad_weights"_a, "grad_scores"_a, "grad_query"_a,
               "grad_keys"_a, "grad_score"_a, "threads"_a);
    module.def("attend_sums", &attend_sums, "Sums over all steps: the gradient of the memory, and of keys that are multiplied.",
               "source"_a, "rows"_a, "size"_a, "places"_a, "counts"_a, "begins"_a, "weights"_a, "values"_a, "to"_a, "threads"_a);
}
