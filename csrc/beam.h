// The texts of one sentence that a beam follows until the first of them ends: what src/seqloom/models/beam.py does at each
// step, to the bit, as long as there is nothing to keep yet.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace seqloom {

class front {
public:
    using i64 = std::int64_t;

    struct text {
        i64 before, token;  // its row in the step before
        double score;
        bool greedy;  // what is written where each token is the likeliest
    };

    explicit front(i64 width) : width_(width), open_{{0, 0, 0.0, true}} {}

    const std::vector<text>& open() const { return open_; }

    // Goes on by one token, with the log-probabilities (texts, words) of all. False, and nothing is changed, where a text would
    // end with it, or where they are none.
    bool advance(const float* log_probabilities, i64 words, i64 end) {
        ranked_.clear();
        for (std::size_t row = 0; row < open_.size(); ++row) {
            rank(log_probabilities + static_cast<i64>(row) * words, words);
            const float likeliest = ranked_.back().empty() ? 1 : ranked_.back()[0].value;
            if (std::isinf(likeliest) || likeliest > 1e-3f) return false;  // rounding may lift a sure token above 0
        }
        std::vector<text> going = best();
        for (const text& each : going)
            if (each.token == end) return false;
        if (going.empty()) return false;
        open_ = std::move(going);
        return true;
    }

private:
    struct candidate {
        float value;
        i64 token;
    };

    const i64 width_;
    std::vector<text> open_;
    std::vector<std::vector<candidate>> ranked_;  // of each text its likeliest tokens, of equal ones the lowest first

    void rank(const float* values, i64 words) {
        std::vector<candidate>& top = ranked_.emplace_back();
        const auto most = static_cast<std::size_t>(std::min(width_, words));
        for (i64 token = 0; token < words; ++token) {
            const float value = values[token];
            if (std::isnan(value)) return top.clear();
            if (top.size() == most && !(value > top.back().value)) continue;
            if (top.size() == most) top.pop_back();
            std::size_t at = top.size();
            while (at > 0 && value > top[at - 1].value) --at;
            top.insert(top.begin() + static_cast<std::ptrdiff_t>(at), {value, token});
        }
    }

    text continued(std::size_t row, std::size_t rank) const {
        const candidate& next = ranked_[row][rank];
        return {static_cast<i64>(row), next.token, open_[row].score + static_cast<double>(next.value), open_[row].greedy && rank == 0};
    }

    // The likeliest texts, and greedy's where it is none of them. The next best is always the first left of a row.
    std::vector<text> best() const {
        std::vector<text> found;
        std::vector<std::size_t> taken(open_.size(), 0);
        while (static_cast<i64>(found.size()) < width_) {
            text next{0, 0, -std::numeric_limits<double>::infinity(), false};
            for (std::size_t row = 0; row < open_.size(); ++row)
                if (taken[row] < ranked_[row].size()) {
                    const text head = continued(row, taken[row]);
                    if (head.score > next.score) next = head;
                }
            if (std::isinf(next.score)) break;
            ++taken[static_cast<std::size_t>(next.before)];
            found.push_back(next);
        }
        for (std::size_t row = 0; row < open_.size(); ++row)
            if (open_[row].greedy && taken[row] == 0) found.push_back(continued(row, 0));
        return found;
    }
};

}  // namespace seqloom
