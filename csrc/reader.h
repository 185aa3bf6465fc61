// Decoding: a cell that attends reads one step after the other, and what follows it gives the log-probabilities of the next
// token. Addresses are ones that the caller has checked, 0 for none; all memory is contiguous.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "beam.h"
#include "bind.h"

namespace seqloom {

template <class number>
number* at(address from) { return reinterpret_cast<number*>(from); }

inline std::vector<float> copied(address from, i64 count) {
    return from == 0 ? std::vector<float>() : std::vector<float>(at<const float>(from), at<const float>(from) + count);
}

inline const float* or_null(const std::vector<float>& numbers) { return numbers.empty() ? nullptr : numbers.data(); }

// What is attended to, of so many rows, made ready once for all steps.
struct source {
    attention_source s;
    source(i64 rows, i64 steps, i64 memory_size, i64 compared, address lengths, address memory, i64 memory_batch, i64 memory_time,
           address keys, i64 keys_batch, i64 keys_time, address score, int threads)
        : s{steps, memory_size, compared, at<const i64>(lengths), {at<const float>(memory), memory_batch, memory_time},
            {at<const float>(keys), keys_batch, keys_time}, at<const float>(score), nullptr, nullptr} {
        if (score == 0) return;
        powers_.reset(new float[static_cast<std::size_t>(rows * steps * compared)]);
        mild_.reset(new bool[static_cast<std::size_t>(rows)]);
        active().attention.prepare(s, rows, powers_.get(), mild_.get(), threads);
        s.powers = powers_.get(), s.mild = mild_.get();
    }

private:
    std::unique_ptr<float[]> powers_;
    std::unique_ptr<bool[]> mild_;
};

// What a step reads and writes, of R rows. `cell` and `next_cell` are null for a cell without one; `places` as attention_step
// has it.
struct step_memory {
    const i64* places;
    const float *hidden, *cell;                    // (R, H)
    float *weights, *context, *next_hidden, *next_cell;  // (R, S), (R, M), (R, H); they overlap nothing that is read
};

// Reads one step after the other, whose rows are others each time, in memory of its own.
class reader {
public:
    const i64 hidden_size, memory_size;

    // `vectors`: those of the tokens, in one piece, or 0; they must outlive this. Without `input` they are what the cell's
    // input weights make of them, (words, columns), bias included; with it (words, input_size).
    reader(const layer& cell, const matrix* input, const matrix* query, const matrix& context, i64 input_size, i64 memory_size,
           i64 compared, i64 columns, address bias, address vectors, i64 words)
        : hidden_size(cell.hidden_size), memory_size(memory_size), cell_(cell), input_(input), query_(query), context_(context),
          input_size_(input_size), compared_(compared), columns_(columns), bias_(copied(bias, columns)), vectors_(at<const float>(vectors)),
          words_(words) {
        if (input == nullptr && vectors == 0) throw std::invalid_argument("without input weights there must be vectors");
    }

    // `x`: (R, input_size); of a reader with vectors the row of each in them, as 64-bit integers.
    void read(const source& from, i64 rows, address x, const step_memory& m, int threads) {
        make_room(rows);
        const dense& product = active().linear;
        const float* asking = m.hidden;
        if (query_ != nullptr) {
            product.apply(*query_->panels, rows, m.hidden, hidden_size, nullptr, 0, asked_.data(), threads);
            asking = asked_.data();
        }
        active().attention.forward(from.s, {rows, m.places, asking, threads}, m.weights, m.context);
        drive(x, rows, threads);
        product.apply(*context_.panels, rows, m.context, memory_size, drive_.data(), columns_, drive_.data(), threads);
        cell_.loops->forward(*cell_.weights,
                             {rows, 1, ones_.data(), false, threads, {}, {ids_.data(), 1, 1}, {drive_.data(), columns_},
                              {m.hidden, hidden_size}, {m.cell, hidden_size}, {}},
                             {{m.next_hidden, hidden_size, hidden_size}, {m.next_hidden, hidden_size}, {m.next_cell, hidden_size},
                              nullptr, m.next_cell});
    }

private:
    const layer& cell_;
    const matrix* input_;
    const matrix* query_;
    const matrix& context_;
    const i64 input_size_, compared_, columns_;
    std::vector<float> bias_, drive_, asked_, x_;
    const float* vectors_;
    const i64 words_;
    std::vector<i64> ones_, ids_;

    // What the input gives to the pre-activations.
    void drive(address x, i64 rows, int threads) {
        if (input_ == nullptr) return look_up(x, rows, columns_, drive_.data());
        if (vectors_ != nullptr) look_up(x, rows, input_size_, x_.data());
        const float* read = vectors_ != nullptr ? x_.data() : at<const float>(x);
        active().linear.apply(*input_->panels, rows, read, input_size_, or_null(bias_), 0, drive_.data(), threads);
    }

    void look_up(address tokens, i64 rows, i64 size, float* to) const {
        for (i64 row = 0; row < rows; ++row) {
            const i64 token = at<const i64>(tokens)[row];
            if (token < 0 || token >= words_) throw std::out_of_range("token " + std::to_string(token) + " is none of 0.." + std::to_string(words_ - 1));
            std::copy_n(vectors_ + token * size, size, to + row * size);
        }
    }

    void make_room(i64 rows) {
        if (rows <= static_cast<i64>(ones_.size())) return;
        const auto count = static_cast<std::size_t>(rows);
        drive_.resize(count * static_cast<std::size_t>(columns_));
        asked_.resize(count * static_cast<std::size_t>(compared_));
        if (vectors_ != nullptr && input_ != nullptr) x_.resize(count * static_cast<std::size_t>(input_size_));
        ones_.resize(count, 1);
        ids_.resize(count);
        std::iota(ids_.begin(), ids_.end(), i64{0});
    }
};

// x W + b, of weights in 32 bits or in 8.
class projection {
public:
    const i64 depth, columns;

    projection(const matrix* exact, const int8_matrix* rounded, i64 depth, i64 columns, address bias)
        : depth(depth), columns(columns), exact_(exact), rounded_(rounded), bias_(copied(bias, columns)) {
        if ((exact == nullptr) == (rounded == nullptr)) throw std::invalid_argument("a projection has one kind of weights");
    }

    void apply(i64 rows, const float* x, float* to, int threads) const {
        if (exact_ != nullptr) active().linear.apply(*exact_->panels, rows, x, depth, or_null(bias_), 0, to, threads);
        else in_int8().apply(*rounded_->panels, rows, x, depth, or_null(bias_), to, threads);
    }

private:
    const matrix* exact_;
    const int8_matrix* rounded_;
    const std::vector<float> bias_;
};

// The texts of a beam of so many steps: of each step, `width` + 1 places apart, where a text was before and its token; then
// how many texts there are. Of the last step, the scores, and which text is greedy's.
struct followed {
    i64 *before, *tokens, *counts, *greedy;
    double* scores;
};

// The next token of each row: reader -> tanh of a readout, or what is read as it is -> softmax.
class speller {
public:
    speller(reader& reads, const projection* readout, const projection& output) : reads_(reads), readout_(readout), output_(output) {
        const i64 read = reads.hidden_size + reads.memory_size, last = readout == nullptr ? read : readout->columns;
        if ((readout != nullptr && readout->depth != read) || output.depth != last) throw std::invalid_argument("the layers do not fit each other");
    }

    // Reads `tokens` (R,) and writes the log-probabilities of the next ones, (R, V).
    void spell(const source& from, i64 rows, address tokens, const step_memory& m, float* log_probabilities, int threads) {
        write_logits(from, rows, tokens, m, log_probabilities, threads);
        active().log_softmax(rows, output_.columns, log_probabilities, threads);
    }

    // Writes the likeliest tokens (of equal ones the first) step after step, `most` at most, and ends after the step in which a
    // row writes `end` or has no number: how many steps. tokens: (R,); m: of the first step, next_hidden and next_cell of the
    // last; m.weights: (most, R, S); chosen, scores: (most, R).
    i64 go_on(const source& from, i64 rows, i64 most, i64 end, address tokens, const step_memory& m, i64* chosen, float* scores, int threads) {
        const auto count = static_cast<std::size_t>(rows * reads_.hidden_size);
        for (std::vector<float>* kept : {&hidden_, &cell_}) kept->resize(count);
        context_.resize(static_cast<std::size_t>(rows * reads_.memory_size));
        scores_.resize(static_cast<std::size_t>(rows * output_.columns));
        step_memory now = m;
        now.context = context_.data();
        for (i64 step = 0;; ++step, now.weights += rows * from.s.steps, chosen += rows, scores += rows) {
            write_logits(from, rows, tokens, now, scores_.data(), threads);
            if (choose(rows, end, chosen, scores, threads) || step + 1 == most) return step + 1;
            std::copy_n(m.next_hidden, count, hidden_.data());
            if (m.cell != nullptr) std::copy_n(m.next_cell, count, cell_.data());
            now.hidden = hidden_.data(), now.cell = m.cell == nullptr ? nullptr : cell_.data();
            tokens = reinterpret_cast<address>(chosen);
        }
    }

    // One sentence, the first of `from`, from one text on: what a beam of `width` follows, `most` steps at most, until a text ends
    // or the numbers are none. How many steps. m: hidden and cell (1, H), those after the last step (width + 1, H).
    i64 follow(const source& from, i64 width, i64 most, i64 end, i64 token, const step_memory& m, const followed& found, int threads) {
        const i64 hidden = reads_.hidden_size, texts = width + 1;
        const auto numbers = static_cast<std::size_t>(texts * hidden);
        for (std::vector<float>* kept : {&hidden_, &cell_, &after_, &cell_after_}) kept->resize(numbers);
        context_.resize(static_cast<std::size_t>(texts * reads_.memory_size));
        scores_.resize(static_cast<std::size_t>(texts * output_.columns));
        const std::vector<i64> places(static_cast<std::size_t>(texts), 0);
        std::vector<i64> tokens{token};
        step_memory now{places.data(), m.hidden, m.cell, m.weights, context_.data(), after_.data(), m.cell == nullptr ? nullptr : cell_after_.data()};
        front beam(width);
        i64 step = 0;
        for (; step < most; ++step, now.weights += texts * from.s.steps) {
            const auto rows = static_cast<i64>(tokens.size());
            spell(from, rows, reinterpret_cast<address>(tokens.data()), now, scores_.data(), threads);
            if (!beam.advance(scores_.data(), output_.columns, end)) break;
            tokens.clear();
            i64 at = step * texts;
            for (const front::text& text : beam.open()) {
                const auto row = static_cast<i64>(tokens.size());
                std::copy_n(now.next_hidden + text.before * hidden, hidden, hidden_.data() + row * hidden);
                if (m.cell != nullptr) std::copy_n(now.next_cell + text.before * hidden, hidden, cell_.data() + row * hidden);
                tokens.push_back(text.token);
                found.before[at] = text.before, found.tokens[at++] = text.token;
            }
            found.counts[step] = static_cast<i64>(tokens.size());
            now.hidden = hidden_.data(), now.cell = m.cell == nullptr ? nullptr : cell_.data();
        }
        if (step == 0) return 0;
        std::copy_n(hidden_.data(), tokens.size() * static_cast<std::size_t>(hidden), m.next_hidden);
        if (m.cell != nullptr) std::copy_n(cell_.data(), tokens.size() * static_cast<std::size_t>(hidden), m.next_cell);
        for (std::size_t row = 0; row < tokens.size(); ++row) {
            found.scores[row] = beam.open()[row].score;
            found.greedy[row] = beam.open()[row].greedy;
        }
        return step;
    }

private:
    reader& reads_;
    const projection* readout_;
    const projection& output_;
    std::vector<float> features_, shown_, hidden_, cell_, after_, cell_after_, context_, scores_;

    // Reads `tokens` and writes what the softmax is of, (R, V).
    void write_logits(const source& from, i64 rows, address tokens, const step_memory& m, float* logits, int threads) {
        reads_.read(from, rows, tokens, m, threads);
        const i64 hidden = reads_.hidden_size, memory = reads_.memory_size;
        features_.resize(static_cast<std::size_t>(rows * (hidden + memory)));
        float* to = features_.data();
        for (i64 row = 0; row < rows; ++row) {
            to = std::copy_n(m.next_hidden + row * hidden, hidden, to);
            to = std::copy_n(m.context + row * memory, memory, to);
        }
        const float* features = features_.data();
        if (readout_ != nullptr) {
            const i64 count = rows * readout_->columns;
            shown_.resize(static_cast<std::size_t>(count));
            readout_->apply(rows, features, shown_.data(), threads);
            active().tanh(shown_.data(), shown_.data(), count);
            features = shown_.data();
        }
        output_.apply(rows, features, logits, threads);
    }

    // Chooses for each row by its logits. Whether one of the rows ends here.
    bool choose(i64 rows, i64 end, i64* chosen, float* scores, int threads) const {
        active().likeliest(rows, output_.columns, scores_.data(), chosen, scores, threads);
        bool ends = false;
        for (i64 row = 0; row < rows; ++row) ends = ends || chosen[row] == end || std::isnan(scores[row]);
        return ends;
    }
};

}  // namespace seqloom
