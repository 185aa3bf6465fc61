// c = start + a b for heads, attention and softmax: the same product as the time loop's, so that a row's result does not
// depend on the other rows, nor on the number of threads; and the gradient of b.
#pragma once

#include "kernels.h"
#include "panels.h"
#include "threads.h"

namespace seqloom::SEQLOOM_LEVEL {

// (depth, columns), any strides, in panels.
class matrix : public packed<real> {
public:
    const i64 depth, columns;

    matrix(const real* b, i64 row, i64 column, i64 depth, i64 columns, int threads)
        : depth(depth), columns(columns), data_(panels_of(columns) * depth * panel) {
        share_out(panels_of(columns), data_.count(), threads, [&](i64 v) {
            pack_panel(b + v * panel * column, row, column, depth, std::min(panel, columns - v * panel), data_.data() + v * depth * panel);
        });
    }

    const real* at(i64 v) const { return data_.data() + v * depth * panel; }

private:
    numbers data_;
};

inline std::unique_ptr<packed<real>> pack_matrix(const real* b, i64 row, i64 column, i64 depth, i64 columns, int threads) {
    return std::make_unique<matrix>(b, row, column, depth, columns, threads);
}

// The last panel of c, which is not full.
inline void apply_edge(const matrix& b, i64 rows, operand left, const real* start, i64 start_row, real* c) {
    constexpr i64 rows_at_once = 8 * tallest;
    const i64 v = b.columns / panel, at = v * panel, count = b.columns - at;
    real whole[rows_at_once * panel], begin[rows_at_once * panel] = {};
    for (i64 from = 0; from < rows; from += rows_at_once) {
        const i64 height = std::min(rows_at_once, rows - from), starts = start_row == 0 ? 1 : height;
        for (i64 m = 0; start != nullptr && m < starts; ++m) std::copy_n(start + (from + m) * start_row + at, count, begin + m * panel);
        const real *right = b.at(v), *begins = begin;
        real* to = whole;
        multiply(height, {left.data + from * left.row, left.row, left.block}, 1, &right, b.depth, &begins, start_row == 0 ? 0 : panel, &to, panel);
        for (i64 m = 0; m < height; ++m) std::copy_n(whole + m * panel, count, c + (from + m) * b.columns + at);
    }
}

// The panels first .. last - 1 of c, for all rows. So many rows at a time that they stay in the second-level cache, panel after
// panel. A last panel that is not full goes by way of whole ones.
inline void apply_panels(const matrix& b, i64 rows, const real* a, i64 a_row, const real* start, i64 start_row, real* c, i64 first,
                         i64 last) {
    static constexpr real zeros[panel] = {};
    constexpr i64 most_numbers = (i64{256} << 10) / static_cast<i64>(sizeof(real));
    const i64 rows_at_once = tallest * std::max<i64>(1, std::min<i64>(32, most_numbers / std::max<i64>(1, b.depth) / tallest));
    for (i64 from = 0; from < rows; from += rows_at_once) {
        const i64 height = std::min(rows_at_once, rows - from), at_once = panels_at_once(std::min(height, tallest));
        const operand left = by_rows(a + from * a_row, a_row);
        const i64 full = std::min(last, b.columns / panel);
        const real* starts = start == nullptr ? nullptr : start + from * start_row;
        i64 starts_row = start == nullptr ? 0 : start_row;
        if (start != nullptr && start_row == one_a_row) {
            real* to = c + from * b.columns;
            for (i64 m = 0; m < height; ++m) std::fill(to + m * b.columns + first * panel, to + m * b.columns + std::min(last * panel, b.columns), start[from + m]);
            starts = to, starts_row = b.columns;
        }
        for (i64 v = first; v < full; v += at_once) {
            const real *right[widest], *begin[widest];
            real* to[widest];
            const i64 taken = std::min(at_once, full - v);
            for (i64 p = 0; p < taken; ++p) {
                const i64 at = (v + p) * panel;
                right[p] = b.at(v + p), to[p] = c + from * b.columns + at;
                begin[p] = starts == nullptr ? zeros : starts + at;
            }
            multiply(height, left, taken, right, b.depth, begin, starts_row, to, b.columns);
        }
        if (full < last) apply_edge(b, height, left, starts, starts_row, c + from * b.columns);
    }
}

// a: (rows, depth), rows a_row apart. start: (rows, columns), rows start_row apart, or with 0 one row for all, or with `one_a_row`
// (rows,); it may be c, or null for zeros. c: (rows, columns), contiguous, written.
inline void apply(const packed<real>& weights, i64 rows, const real* a, i64 a_row, const real* start, i64 start_row, real* c,
                  int threads) {
    const auto& b = static_cast<const matrix&>(weights);
    const i64 all = panels_of(b.columns), work = rows * b.depth * b.columns;
    const i64 useful = std::min<i64>(threads, 1 + work / worth_a_thread);
    parallel(static_cast<int>(useful), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        // What is larger is shared out, and the rest is read by all.
        if (rows >= members * tallest && (rows >= b.columns || all < members * 2 * widest)) {
            const i64 from = rows * member / members, to = rows * (member + 1) / members;
            const i64 before = from * (start_row == one_a_row ? 1 : start_row);
            apply_panels(b, to - from, a + from * a_row, a_row, start == nullptr ? nullptr : start + before, start_row,
                         c + from * b.columns, 0, all);
        } else {
            apply_panels(b, rows, a, a_row, start, start_row, c, all * member / members, all * (member + 1) / members);
        }
    });
}

// The gradient of b: c = a' d, (depth, columns), and the column sums of d, for tokens rows of a (tokens, depth), a_row apart,
// and d (tokens, columns), d_row apart. c and sums are contiguous and written; sums may be null.
class outer_product {
public:
    outer_product(i64 tokens, const real* a, i64 a_row, i64 depth, const real* d, i64 d_row, i64 columns, real* c, real* sums)
        : tokens_(tokens), a_(a), a_row_(a_row), depth_(depth), d_(d), d_row_(d_row), columns_(columns), c_(c), sums_(sums) {}

    // Numbers of memory that a member works in.
    i64 memory() const { return left_size() + workspace::rounded(most_summed * packed_panel); }

    // The panels first .. last - 1 of c and sums.
    void make(real* memory, i64 first, i64 last) const {
        real* const right = memory + left_size();
        for (i64 token = 0; token == 0 || token < tokens_; token += gathered_tokens) {
            const i64 count = std::min(gathered_tokens, tokens_ - token);
            gather(token, count, memory);
            for (i64 v = first; v < last; v += most_summed) {
                const i64 taken = std::min(most_summed, last - v);
                pack_rows(d_ + token * d_row_, count, v, taken, right);
                const real* b[most_summed];
                for (i64 p = 0; p < taken; ++p) b[p] = right + p * packed_panel;
                add_round(memory, v, taken, b, count, token == 0);
            }
        }
    }

private:
    // Numbers from one packed panel to the next: a cache line apart from a power of two, as all are written together.
    static constexpr i64 packed_panel = gathered_tokens * panel + 16;

    i64 tile_count() const { return (depth_ + tallest) / tallest; }  // with the row of ones that makes the sums
    i64 left_size() const { return workspace::rounded(tile_count() * gathered_tile); }

    // `count` rows of a, for each tile token by token.
    void gather(i64 token, i64 count, real* to) const {
        for (i64 k = 0; k < count; ++k) gather_token(a_ + (token + k) * a_row_, depth_, 0, tile_count(), to + k * tallest);
    }

    // The panels `v` .. `v` + `panels` - 1 of `count` rows of d. Row by row, as long rows lie pages apart.
    void pack_rows(const real* d, i64 count, i64 v, i64 panels, real* to) const {
        const i64 full = full_panels(v, panels);
        for (i64 k = 0; k < count; ++k)
            for (i64 p = 0; p < full; ++p) copy<panel>(d + k * d_row_ + (v + p) * panel, to + p * packed_panel + k * panel);
        if (full == panels) return;
        const i64 at = (v + full) * panel;
        pack_panel(d + at, d_row_, 1, count, columns_ - at, to + full * packed_panel);
    }

    i64 full_panels(i64 v, i64 panels) const { return std::min(panels, columns_ / panel - v); }

    // Adds `count` tokens, whose rows of a are gathered at `left`, to the panels `v` .. `v` + `panels` - 1 of c, or writes them over
    // what was there (`anew`).
    void add_round(const real* left, i64 v, i64 panels, const real* const* b, i64 count, bool anew) const {
        const i64 full = full_panels(v, panels), edge = depth_ / tallest;  // the first tile with fewer rows of c
        real* c[most_summed];
        for (i64 p = 0; p < full; ++p) c[p] = c_ + (v + p) * panel;
        accumulate(edge, left, full, b, count, c, columns_, anew);
        for (i64 p = 0; p < panels; ++p)
            for (i64 tile = p < full ? edge : 0; tile < tile_count(); ++tile)
                add_edge(tile, left + tile * gathered_tile, v + p, b[p], count, anew);
    }

    // The same for one panel of a tile at an edge, and for the sums: by way of a whole tile.
    void add_edge(i64 tile, const real* left, i64 v, const real* b, i64 count, bool anew) const {
        const i64 row = tile * tallest, rows = std::min(tallest, depth_ - row), at = v * panel;
        real whole[tallest * panel];
        real* const c = whole;
        accumulate(1, left, 1, &b, count, &c, panel, true);
        for (i64 m = 0; m <= rows && m < tallest; ++m) {
            real* const to = m < rows ? c_ + (row + m) * columns_ + at : sums_ != nullptr ? sums_ + at : nullptr;
            for (i64 lane = 0; to != nullptr && lane < std::min(panel, columns_ - at); ++lane) {
                const real sum = whole[m * panel + lane];
                to[lane] = anew ? sum : to[lane] + sum;
            }
        }
    }

    const i64 tokens_;
    const real* const a_;
    const i64 a_row_, depth_;
    const real* const d_;
    const i64 d_row_, columns_;
    real *const c_, *const sums_;
};

inline void outer(i64 tokens, const real* a, i64 a_row, i64 depth, const real* d, i64 d_row, i64 columns, real* c, real* sums,
                  int threads) {
    const outer_product product(tokens, a, a_row, depth, d, d_row, columns, c, sums);
    const i64 all = panels_of(columns);
    const i64 useful = std::max<i64>(1, std::min<i64>({threads, all, 1 + tokens * depth * columns / worth_a_thread}));
    workspace space(useful * product.memory());
    real* memory = space.take(useful * product.memory());
    parallel(static_cast<int>(useful), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        product.make(memory + member * product.memory(), all * member / members, all * (member + 1) / members);
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
