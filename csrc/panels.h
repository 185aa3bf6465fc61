// The weights of a layer in panels, forward and transposed, and the memory that a call works in.
//
// Units are grouped in blocks of `panel`; the last block is filled up with zeros, so that no loop has a special end.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>

#include "cell.h"
#include "pool.h"
#include "recurrent.h"
#include "threads.h"

namespace seqloom::SEQLOOM_LEVEL {

// `count` numbers, not set, at a multiple of `lines` bytes. Many come from the pool, which has them again afterwards: weights are
// packed anew at each step of a training.
class numbers {
public:
    numbers() = default;
    explicit numbers(i64 count) : count_(count) {
        const i64 bytes = count * static_cast<i64>(sizeof(real));
        if (bytes >= worth_pooling) {
            pooled_ = take_block(bytes);
            data_ = static_cast<real*>(pooled_->data);
            return;
        }
        data_ = static_cast<real*>(std::aligned_alloc(lines, static_cast<std::size_t>((bytes + lines) / lines * lines)));
        if (data_ == nullptr) throw std::bad_alloc();
    }
    numbers(numbers&& other) noexcept { swap(other); }
    numbers& operator=(numbers&& other) noexcept {
        swap(other);
        return *this;
    }
    ~numbers() {
        if (pooled_ != nullptr) give_block(pooled_);
        else std::free(data_);
    }

    real* data() const { return data_; }
    i64 count() const { return count_; }

private:
    void swap(numbers& other) {
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
        std::swap(pooled_, other.pooled_);
    }
    real* data_ = nullptr;
    i64 count_ = 0;
    block* pooled_ = nullptr;
};

// The memory of one call, kept for the next call of this thread; large memory goes back to the pool.
class workspace {
public:
    explicit workspace(i64 count) {
        numbers& kept = of_this_thread();
        if (kept.count() < count) kept = numbers(count);
        next_ = kept.data();
    }
    ~workspace() {
        if (of_this_thread().count() > keep) of_this_thread() = numbers();
    }
    // `count` numbers, at a place as above. The counts of a call must sum to what it was made with: see `rounded`.
    real* take(i64 count) {
        real* taken = next_;
        next_ += rounded(count);
        return taken;
    }
    static constexpr i64 rounded(i64 count) {
        constexpr i64 unit = lines / static_cast<i64>(sizeof(real));
        return (count + unit - 1) / unit * unit;
    }
    static constexpr i64 keep = i64{32} << 20;

private:
    static numbers& of_this_thread() {
        static thread_local numbers kept;
        return kept;
    }
    real* next_;
};

// The memory that each member of a call works in by itself, kept likewise, and at the same places while no call needs more: what a
// member wrote last is still in the caches of its own processor, while what another wrote would have to come from there.
class members_memory {
public:
    members_memory(i64 members, i64 count) {
        kept_memory& kept = of_this_thread();
        const i64 own = workspace::rounded(count);
        i64 stride = std::max(kept.stride, own);
        if (members * stride > workspace::keep) stride = own;  // one large call is no reason for many members to have as much
        if (kept.all.count() < members * stride) kept.all = numbers(members * stride);
        kept.stride = stride;
        first_ = kept.all.data(), stride_ = stride;
    }
    ~members_memory() {
        if (of_this_thread().all.count() > workspace::keep) of_this_thread() = kept_memory();
    }
    members_memory(const members_memory&) = delete;
    members_memory& operator=(const members_memory&) = delete;

    real* of(i64 member) const { return first_ + member * stride_; }

private:
    struct kept_memory {
        numbers all;
        i64 stride = 0;
    };
    static kept_memory& of_this_thread() {
        static thread_local kept_memory kept;
        return kept;
    }
    real* first_;
    i64 stride_;
};

// Calls copy(i) for each of `items` pieces, `count` numbers in all, on as many threads as are worth their while.
template <class F>
void share_out(i64 items, i64 count, int threads, F&& copy) {
    constexpr i64 a_number = 4;  // multiplications that take as long as copying it
    const i64 useful = std::max<i64>(1, std::min<i64>({threads, items, 1 + a_number * count / worth_a_thread}));
    parallel(static_cast<int>(useful), [&](i64 member, i64 members) {
        for (i64 i = items * member / members; i < items * (member + 1) / members; ++i) copy(i);
    });
}

// `from` is panel x panel numbers; so is `to`, transposed.
inline void transpose_block(const real* from, real* to) {
    for (i64 r = 0; r < panel; ++r)
        for (i64 c = 0; c < panel; ++c) to[c * panel + r] = from[r * panel + c];
}

// `count` columns of a matrix with `depth` rows and any strides as one panel, zeros beyond them.
inline void pack_panel(const real* from, i64 row, i64 column, i64 depth, i64 count, real* to) {
    if (column == 1) {
        for (i64 k = 0; k < depth; ++k)
            for (i64 lane = 0; lane < panel; ++lane) to[k * panel + lane] = lane < count ? from[k * row + lane] : 0;
        return;
    }
    // Columns far apart (a transposed view): read along the columns, a few rows at a time. Too many at once for the processor
    // to foresee.
    for (i64 done = 0; done < depth; done += panel)
        for (i64 lane = 0; lane < panel; ++lane) {
            if (lane < count && done + panel < depth) prefetch<false>(from + (done + panel) * row + lane * column);
            for (i64 k = done; k < std::min(done + panel, depth); ++k)
                to[k * panel + lane] = lane < count ? from[k * row + lane * column] : 0;
        }
}

// A layer's weights as the loops read them. Panel (u, g): the columns of gate g of the units in block u.
template <class Cell>
class panels : public packed<real> {
public:
    const i64 input_size, hidden_size, blocks;

    explicit panels(const weights<real>& w)
        : input_size(w.input_size), hidden_size(w.hidden_size), blocks(panels_of(w.hidden_size)),
          input_(blocks * Cell::input_gates * input_size * panel), hidden_(blocks * Cell::hidden_gates * hidden_size * panel),
          start_(blocks * Cell::slots * panel) {
        const i64 inputs = blocks * Cell::input_gates, all = inputs + blocks * Cell::hidden_gates;
        share_out(all, input_.count() + hidden_.count(), w.threads, [&](i64 i) {
            if (i < inputs) pack(w.input, w.input_row, w.input_column, input_size, Cell::input_gates, i, input_.data());
            else pack(w.hidden, w.hidden_row, w.hidden_column, hidden_size, Cell::hidden_gates, i - inputs, hidden_.data());
        });
        for (i64 u = 0; u < blocks; ++u)
            for (i64 slot = 0; slot < Cell::slots; ++slot)
                for (i64 lane = 0; lane < panel; ++lane)
                    start_.data()[(u * Cell::slots + slot) * panel + lane] = bias(w, slot, u * panel + lane);
    }

    // (I, panel): gate `gate` of block u.
    const real* input(i64 u, i64 gate) const { return input_.data() + (u * Cell::input_gates + gate) * input_size * panel; }
    // (H, panel)
    const real* hidden(i64 u, i64 gate) const {
        return hidden_.data() + (u * Cell::hidden_gates + gate) * hidden_size * panel;
    }
    // (panel,): what the pre-activations of slot `slot` start from, the bias.
    const real* start(i64 u, i64 slot) const { return start_.data() + (u * Cell::slots + slot) * panel; }

    // Transposed: columns are the inputs of block v; rows run over gates `first` .. `first` + `gates` - 1 and their units.
    // Hidden: rows [gate][block u][panel], in which no sum depends on how wide a panel is. (gates * blocks * panel, panel)
    const real* hidden_back(i64 v, i64 first, i64 gates) const {
        return hidden_back_.data() + (first * blocks + v * gates) * blocks * panel * panel;
    }
    // Input: rows [gate][block u][panel]. (input_gates * blocks * panel, panel)
    const real* input_back(i64 v) const { return input_back_.data() + v * Cell::input_gates * blocks * panel * panel; }

    // Makes hidden_back and input_back, once.
    void prepare_back(bool with_input, int threads) const {
        std::call_once(hidden_done_, [&] {
            hidden_back_ = numbers(Cell::hidden_gates * blocks * blocks * panel * panel);
            constexpr i64 first = Cell::resets ? Cell::hidden_gates - 1 : Cell::hidden_gates;
            share_out(blocks, hidden_back_.count(), threads, [&](i64 v) {
                transpose_hidden(v, 0, first);
                if constexpr (Cell::resets) transpose_hidden(v, first, 1);
            });
        });
        if (with_input) std::call_once(input_done_, [&] {
            input_back_ = numbers(panels_of(input_size) * Cell::input_gates * blocks * panel * panel);
            share_out(panels_of(input_size), input_back_.count(), threads, [&](i64 v) {
                for (i64 gate = 0; gate < Cell::input_gates; ++gate)
                    for (i64 u = 0; u < blocks; ++u)
                        transpose(input(u, gate), input_size, v,
                                  const_cast<real*>(input_back(v)) + (gate * blocks + u) * panel * panel);
            });
        });
    }

private:
    static real bias(const weights<real>& w, i64 slot, i64 unit) {
        if (unit >= w.hidden_size) return 0;
        if (slot < Cell::input_gates) return w.bias == nullptr ? 0 : w.bias[slot * w.hidden_size + unit];
        return w.bias_candidate == nullptr ? 0 : w.bias_candidate[unit];
    }

    // The panel `i` of all.
    void pack(const real* from, i64 row, i64 column, i64 depth, i64 gates, i64 i, real* to) const {
        const i64 u = i / gates, gate = i % gates, count = std::min(panel, hidden_size - u * panel);
        pack_panel(from + (gate * hidden_size + u * panel) * column, row, column, depth, count, to + i * depth * panel);
    }

    // The block of rows v of a forward panel of `depth` rows, transposed; zeros beyond its end.
    static void transpose(const real* from, i64 depth, i64 v, real* to) {
        const i64 count = std::min(panel, depth - v * panel);
        if (count == panel) return transpose_block(from + v * panel * panel, to);
        real padded[panel * panel] = {};
        std::copy_n(from + v * panel * panel, count * panel, padded);
        transpose_block(padded, to);
    }

    void transpose_hidden(i64 v, i64 first, i64 gates) const {
        for (i64 u = 0; u < blocks; ++u)
            for (i64 j = 0; j < gates; ++j)
                transpose(hidden(u, first + j), hidden_size, v,
                          const_cast<real*>(hidden_back(v, first, gates)) + (j * blocks + u) * panel * panel);
    }

    numbers input_, hidden_, start_;
    mutable numbers hidden_back_, input_back_;
    mutable std::once_flag hidden_done_, input_done_;
};

}  // namespace seqloom::SEQLOOM_LEVEL
