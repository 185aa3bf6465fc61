// How the rows of a call are shared out, and in which order its steps stand. Without vector code, and compiled once for all
// levels: a container's code compiled for one level could be linked into another.
#pragma once

#include <cstdint>
#include <vector>

namespace seqloom {

// Which rows are read together, and by whom.
struct slice {
    std::vector<std::int64_t> rows;  // longest first
    std::int64_t steps = 0;          // of the longest

    slice();
    slice(slice&&) noexcept;
    slice& operator=(slice&&) noexcept;
    ~slice();
    std::int64_t count() const { return static_cast<std::int64_t>(rows.size()); }
};

class plan {
public:
    // Rows are dealt to slices with equal numbers of steps, for up to `threads` threads; where rows are few, and waiting for each
    // other at every step pays, there is one slice with several members, each with its own of the `blocks` of units.
    // `multiplications`: of one step of one row.
    plan(std::int64_t batch, const std::int64_t* lengths, int threads, std::int64_t multiplications, std::int64_t blocks);
    ~plan();
    plan(const plan&) = delete;
    plan& operator=(const plan&) = delete;

    int members = 1;  // that share a slice
    std::int64_t slices() const { return static_cast<std::int64_t>(slices_.size()); }
    const slice& at(std::int64_t i) const { return slices_.data()[i]; }
    int threads() const { return members * static_cast<int>(slices_.size()); }
    const std::vector<std::int64_t>& order() const { return order_; }  // all rows, longest first

private:
    std::vector<std::int64_t> order_;
    std::vector<slice> slices_;
};

// All real steps of all rows in one order. It has one part, or two with about half of the steps each, which whoever reads the rows of a
// part needs alone. Within a part: step after step, and within a step the longest row first, so that what a step writes lies side by
// side. The number of threads has no say in it.
class token_order {
public:
    // Two parts: of eight rows and more, where they have more tokens than `many`.
    token_order(const plan& p, const std::int64_t* lengths, bool reverse, std::int64_t many);
    ~token_order();

    int parts() const { return parts_; }
    // Whether there are as many parts as slices of the plan, and part i has the steps of slice i.
    bool follows_slices() const { return follows_slices_; }
    std::int64_t count() const { return begin_[steps_[parts_]]; }
    // Tokens from one block of numbers to the next, where each token has one row in each. Odd, as all rows of a token are written
    // together, and lines that lie pages apart fall on each other in the first-level cache.
    std::int64_t spacing() const { return count() | 1; }
    // The first token of a part; of one beyond the last: the end of all.
    std::int64_t begin(int part) const { return begin_[steps_[part]]; }
    // Of the first tokens of a part, those that are first in their rows.
    std::int64_t firsts(int part) const { return steps_[part] == steps_[part + 1] ? 0 : begin_[steps_[part] + 1] - begin(part); }
    std::int64_t at(std::int64_t step, std::int64_t row) const {
        const standing& of = standing_[row];
        return begin_[steps_[of.part] + step] + of.rank;
    }

    // visit(token, row, position) for the tokens first .. last - 1, in order.
    template <class Visit>
    void each(std::int64_t first, std::int64_t last, Visit visit) const {
        if (first == last) return;
        std::int64_t step = step_of(first);
        for (std::int64_t token = first; token < last; ++token) {
            if (token == begin_[step + 1]) ++step;
            const int part = step >= steps_[1];
            const std::int64_t b = order_[first_row_[part] + token - begin_[step]];
            visit(token, b, reverse_ ? lengths_[b] - 1 - (step - steps_[part]) : step - steps_[part]);
        }
    }

private:
    struct standing {
        int part;
        std::int64_t rank;  // among the rows of the part
    };
    std::int64_t step_of(std::int64_t token) const;

    const std::int64_t *lengths_, *order_ = nullptr, *begin_ = nullptr;
    const standing* standing_ = nullptr;
    bool reverse_, follows_slices_;
    int parts_ = 1;
    std::int64_t steps_[3] = {}, first_row_[2] = {};  // where the steps of a part begin among those of all, and its rows in the order
    // What the pointers above point to: where each step begins, and the end of the last; rows, part after part; of each row.
    std::vector<std::int64_t> begins_, rows_;
    std::vector<standing> standings_;
};

}  // namespace seqloom
