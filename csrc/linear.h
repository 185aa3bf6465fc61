// c = start + a b for heads, attention and softmax: the same product as the time loop's, so that a row's result does not
// depend on the other rows, nor on the number of threads; and the gradient of b.
#pragma once

#include "panels.h"
#include "threads.h"

namespace seqloom::SEQLOOM_LEVEL {

// (depth, columns), any strides, in panels.
class matrix : public packed<real> {
public:
    const i64 depth, columns;

    matrix(const real* b, i64 row, i64 column, i64 depth, i64 columns)
        : depth(depth), columns(columns), data_(panels_of(columns) * depth * panel) {
        for (i64 v = 0; v < panels_of(columns); ++v)
            pack_panel(b + v * panel * column, row, column, depth, std::min(panel, columns - v * panel), data_.data() + v * depth * panel);
    }

    const real* at(i64 v) const { return data_.data() + v * depth * panel; }

private:
    numbers data_;
};

inline std::unique_ptr<packed<real>> pack_matrix(const real* b, i64 row, i64 column, i64 depth, i64 columns) {
    return std::make_unique<matrix>(b, row, column, depth, columns);
}

// The panels first .. last - 1 of c, for all rows.
inline void apply_panels(const matrix& b, i64 rows, const real* a, i64 a_row, const real* start, i64 start_row, real* c, i64 first,
                         i64 last) {
    constexpr i64 rows_at_once = 8 * tallest;
    real whole[widest][rows_at_once * panel], shared[widest][panel];
    for (i64 from = 0; from < rows; from += rows_at_once) {
        const i64 height = std::min(rows_at_once, rows - from), at_once = panels_at_once(std::min(height, tallest));
        for (i64 v = first; v < last; v += at_once) {
            const i64 taken = std::min(at_once, last - v);
            const real *right[widest], *begin[widest];
            real* sums[widest];
            for (i64 p = 0; p < taken; ++p) {
                const i64 at = (v + p) * panel, count = std::min(panel, b.columns - at);
                real* const to = start_row == 0 ? shared[p] : whole[p];
                for (i64 m = 0; m < (start_row == 0 ? 1 : height); ++m)
                    for (i64 lane = 0; lane < panel; ++lane)
                        to[m * panel + lane] = start != nullptr && lane < count ? start[(from + m) * start_row + at + lane] : 0;
                right[p] = b.at(v + p), begin[p] = to, sums[p] = whole[p];
            }
            multiply(height, by_rows(a + from * a_row, a_row), taken, right, b.depth, begin,
                     start_row == 0 ? 0 : panel, sums, panel);
            for (i64 p = 0; p < taken; ++p)
                for (i64 m = 0; m < height; ++m)
                    std::copy_n(whole[p] + m * panel, std::min(panel, b.columns - (v + p) * panel),
                                c + (from + m) * b.columns + (v + p) * panel);
        }
    }
}

// a: (rows, depth), rows a_row apart. start: (rows, columns), rows start_row apart, or with 0 one row for all; it may be c, or null
// for zeros. c: (rows, columns), contiguous, written.
inline void apply(const packed<real>& weights, i64 rows, const real* a, i64 a_row, const real* start, i64 start_row, real* c,
                  int threads) {
    const auto& b = static_cast<const matrix&>(weights);
    const i64 all = panels_of(b.columns), work = rows * b.depth * b.columns;
    const i64 useful = std::min<i64>(threads, 1 + work / worth_a_thread);
    parallel(static_cast<int>(useful), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        if (rows >= members * tallest) {
            const i64 from = rows * member / members, to = rows * (member + 1) / members;
            apply_panels(b, to - from, a + from * a_row, a_row, start == nullptr ? nullptr : start + from * start_row, start_row,
                         c + from * b.columns, 0, all);
        } else {
            apply_panels(b, rows, a, a_row, start, start_row, c, all * member / members, all * (member + 1) / members);
        }
    });
}

// The gradient of b: c = a' d, (depth, columns), and the column sums of d, for tokens rows of a (tokens, depth), a_row apart,
// and d (tokens, columns), d_row apart. c and sums are contiguous and written; sums may be null.
inline void outer(i64 tokens, const real* a, i64 a_row, i64 depth, const real* d, i64 d_row, i64 columns, real* c, real* sums,
                  int threads) {
    constexpr i64 round = 128, at_once = panels_at_once(tallest);
    const i64 tiles = (depth + tallest) / tallest, all = panels_of(columns);  // with the row of ones that makes the sums
    const i64 useful = std::max<i64>(1, std::min<i64>({threads, all, 1 + tokens * depth * columns / worth_a_thread}));
    const i64 left_size = workspace::rounded(tiles * tallest * round), right_size = workspace::rounded(at_once * round * panel);
    workspace space(useful * (left_size + right_size));
    real* memory = space.take(useful * (left_size + right_size));
    std::fill_n(c, depth * columns, real(0));
    if (sums != nullptr) std::fill_n(sums, columns, real(0));
    parallel(static_cast<int>(useful), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        real *left = memory + member * (left_size + right_size), *right = left + left_size;
        const i64 first = all * member / members, last = all * (member + 1) / members;
        for (i64 token = 0; token < tokens; token += round) {
            const i64 count = std::min(round, tokens - token);
            for (i64 tile = 0; tile < tiles; ++tile)
                for (i64 k = 0; k < count; ++k)
                    for (i64 m = 0; m < tallest; ++m) {
                        const i64 row = tile * tallest + m;
                        left[(tile * round + k) * tallest + m] = row < depth ? a[(token + k) * a_row + row] : row == depth ? 1 : 0;
                    }
            for (i64 v = first; v < last; v += at_once) {
                const i64 taken = std::min(at_once, last - v);
                const real* b[widest];
                real whole[widest][tallest * panel], *to[widest];
                for (i64 p = 0; p < taken; ++p) {
                    const i64 at = (v + p) * panel;
                    pack_panel(d + token * d_row + at, d_row, 1, count, std::min(panel, columns - at), right + p * round * panel);
                    b[p] = right + p * round * panel, to[p] = whole[p];
                }
                for (i64 tile = 0; tile < tiles; ++tile) {
                    std::fill_n(whole[0], widest * tallest * panel, real(0));
                    accumulate(left + tile * tallest * round, taken, b, count, to, panel);
                    for (i64 p = 0; p < taken; ++p)
                        for (i64 m = 0; m < tallest; ++m) {
                            const i64 row = tile * tallest + m, at = (v + p) * panel;
                            real* sum = row < depth ? c + row * columns + at : row == depth && sums != nullptr ? sums + at : nullptr;
                            for (i64 lane = 0; sum != nullptr && lane < std::min(panel, columns - at); ++lane)
                                sum[lane] += whole[p][m * panel + lane];
                        }
                }
            }
        }
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
