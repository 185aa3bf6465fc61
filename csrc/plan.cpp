#include "plan.h"

#include <algorithm>

#include "threads.h"

namespace seqloom {

slice::slice() = default;
slice::slice(slice&&) noexcept = default;
slice& slice::operator=(slice&&) noexcept = default;
slice::~slice() = default;
plan::~plan() = default;
token_order::~token_order() = default;

plan::plan(std::int64_t batch, const std::int64_t* lengths, int threads, std::int64_t multiplications, std::int64_t blocks)
    : order_(static_cast<std::size_t>(batch)) {
    std::int64_t steps = 0;
    for (std::int64_t b = 0; b < batch; ++b) {
        order_[static_cast<std::size_t>(b)] = b;
        steps += lengths[b];
    }
    std::stable_sort(order_.begin(), order_.end(), [&](std::int64_t a, std::int64_t b) { return lengths[a] > lengths[b]; });
    std::int64_t useful = std::min<std::int64_t>(threads, 1 + steps * multiplications / worth_a_thread);
    if (useful > 1 && batch < 4 * useful) {
        const bool alone = !worth_waking(steps * multiplications);
        if (!alone && barrier::promising(batch, multiplications)) members = static_cast<int>(std::min(useful, blocks));
        if (alone || members > 1) useful = 1;
    }
    slices_.resize(static_cast<std::size_t>(std::max<std::int64_t>(1, std::min(useful, batch))));
    // What two threads write side by side, each would fetch from the other: the longer the runs of rows, the better, where that
    // leaves none of them much longer at work.
    const double in_one_run = deal(lengths, 1);
    if (in_one_run > 1.03 && deal(lengths, 8) >= in_one_run) deal(lengths, 1);
}

double plan::deal(const std::int64_t* lengths, std::size_t runs) {
    for (slice& part : slices_) part = slice();
    const std::size_t all_runs = runs * slices_.size();
    const std::size_t run = runs == 1 ? (order_.size() + all_runs - 1) / all_runs : std::max<std::size_t>(1, order_.size() / all_runs);
    std::vector<std::int64_t> load(slices_.size());
    std::int64_t all = 0;
    std::ptrdiff_t least = 0;
    for (std::size_t rank = 0; rank < order_.size(); ++rank) {
        const std::int64_t b = order_[rank];
        if (rank % run == 0) least = std::min_element(load.begin(), load.end()) - load.begin();
        load[static_cast<std::size_t>(least)] += lengths[b] + 1, all += lengths[b] + 1;
        slice& part = slices_[static_cast<std::size_t>(least)];
        part.rows.push_back(b);
        part.ranks.push_back(static_cast<std::int64_t>(rank));
        part.steps = std::max(part.steps, lengths[b]);
    }
    const std::int64_t most = *std::max_element(load.begin(), load.end());
    return static_cast<double>(most) * static_cast<double>(load.size()) / static_cast<double>(std::max<std::int64_t>(1, all));
}

token_order::token_order(std::int64_t batch, const std::int64_t* lengths, bool reverse, const plan& p)
    : lengths_(lengths), order_(p.order()), reverse_(reverse), begins_{0} {
    for (std::int64_t active = batch;; begins_.push_back(begins_.back() + active), ++steps_) {
        while (active > 0 && lengths[order_[active - 1]] <= steps_) --active;
        if (active == 0) break;
    }
    begin_ = begins_.data();
}

std::int64_t token_order::step_of(std::int64_t token) const {
    return std::upper_bound(begins_.begin(), begins_.end(), token) - begins_.begin() - 1;
}

}  // namespace seqloom
