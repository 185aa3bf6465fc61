#include "plan.h"

#include <algorithm>
#include <utility>

#include "threads.h"

namespace seqloom {

slice::slice() = default;
slice::slice(slice&&) noexcept = default;
slice& slice::operator=(slice&&) noexcept = default;
slice::~slice() = default;
plan::~plan() = default;
token_order::~token_order() = default;

struct dealt {
    std::vector<slice> slices;
    double longer = 0;  // than the mean the busiest is at work
};

// Deals rows, longest first, to `count` slices, each in so many runs of rows alike.
static dealt deal(const std::vector<std::int64_t>& order, const std::int64_t* lengths, std::size_t count, std::size_t runs) {
    dealt found;
    found.slices.resize(count);
    const std::size_t all_runs = runs * count;
    const std::size_t run = runs == 1 ? (order.size() + all_runs - 1) / all_runs : std::max<std::size_t>(1, order.size() / all_runs);
    std::vector<std::int64_t> load(count);
    std::int64_t all = 0;
    std::ptrdiff_t least = 0;
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
        const std::int64_t b = order[rank];
        if (rank % run == 0) least = std::min_element(load.begin(), load.end()) - load.begin();
        load[static_cast<std::size_t>(least)] += lengths[b] + 1, all += lengths[b] + 1;
        slice& part = found.slices[static_cast<std::size_t>(least)];
        part.rows.push_back(b);
        part.steps = std::max(part.steps, lengths[b]);
    }
    const std::int64_t most = *std::max_element(load.begin(), load.end());
    found.longer = static_cast<double>(most) * static_cast<double>(count) / static_cast<double>(std::max<std::int64_t>(1, all));
    return found;
}

// The same, in as many runs as are best. What two threads write side by side, each would fetch from the other: the longer the runs of
// rows, the better, where that leaves none of them much longer at work.
static std::vector<slice> deal(const std::vector<std::int64_t>& order, const std::int64_t* lengths, std::size_t count) {
    dealt in_one_run = deal(order, lengths, count, 1);
    if (in_one_run.longer <= 1.03) return std::move(in_one_run.slices);
    dealt in_many = deal(order, lengths, count, 8);
    return std::move(in_many.longer < in_one_run.longer ? in_many.slices : in_one_run.slices);
}

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
    slices_ = deal(order_, lengths, static_cast<std::size_t>(std::max<std::int64_t>(1, std::min(useful, batch))));
}

token_order::token_order(const plan& p, const std::int64_t* lengths, bool reverse, std::int64_t many)
    : lengths_(lengths), reverse_(reverse), begins_{0}, standings_(p.order().size()) {
    constexpr std::size_t enough_rows = 8;
    std::vector<std::int64_t> read = p.order();  // those that have steps
    while (!read.empty() && lengths[read.back()] == 0) read.pop_back();
    std::int64_t tokens = 0;
    for (std::int64_t b : read) tokens += lengths[b];
    if (read.size() >= enough_rows && tokens > many) parts_ = 2;
    rows_.reserve(read.size());
    const std::vector<slice> slices = deal(read, lengths, static_cast<std::size_t>(parts_));
    for (int part = 0; part < parts_; ++part) {
        const std::vector<std::int64_t>& rows = slices[static_cast<std::size_t>(part)].rows;
        for (std::size_t rank = 0; rank < rows.size(); ++rank)
            standings_[static_cast<std::size_t>(rows[rank])] = {part, static_cast<std::int64_t>(rank)};
        first_row_[part] = static_cast<std::int64_t>(rows_.size());
        rows_.insert(rows_.end(), rows.begin(), rows.end());
        auto active = static_cast<std::int64_t>(rows.size());
        for (std::int64_t step = 0;; ++step, begins_.push_back(begins_.back() + active)) {
            while (active > 0 && lengths[rows[static_cast<std::size_t>(active - 1)]] <= step) --active;
            if (active == 0) break;
        }
        steps_[part + 1] = static_cast<std::int64_t>(begins_.size()) - 1;
    }
    follows_slices_ = parts_ == p.slices();
    for (int part = 0; part < parts_ && follows_slices_; ++part) {  // a slice may end in rows without steps
        const std::vector<std::int64_t>& rows = slices[static_cast<std::size_t>(part)].rows;
        const std::vector<std::int64_t>& of_slice = p.at(part).rows;
        follows_slices_ = rows.size() <= of_slice.size() && std::equal(rows.begin(), rows.end(), of_slice.begin());
    }
    order_ = rows_.data(), begin_ = begins_.data(), standing_ = standings_.data();
}

std::int64_t token_order::step_of(std::int64_t token) const {
    return std::upper_bound(begins_.begin(), begins_.end(), token) - begins_.begin() - 1;
}

}  // namespace seqloom
