// c = start + a b with b of 8 bits, for answers alone: the product of csrc/int8.h for heads and softmax. Each row of a is rounded
// by itself, so that its result does not depend on the other rows, nor on the number of threads.
#pragma once

#include "int8.h"

namespace seqloom::SEQLOOM_LEVEL {

// (depth, columns), any strides, in rounded panels.
class int8_matrix : public packed<real> {
public:
    const i64 depth, columns;

    int8_matrix(const real* b, i64 row, i64 column, i64 depth, i64 columns)
        : depth(depth), columns(columns), data_(panels_of(columns) * int8_size(depth)) {
        std::fill_n(data_.data(), data_.count(), real(0));
        for (i64 c = 0; c < columns; ++c)
            pack_int8_column(b + c * column, row, depth, data_.data() + c / panel * int8_size(depth), c % panel);
    }

    const real* at(i64 v) const { return data_.data() + v * int8_size(depth); }

private:
    numbers data_;
};

inline std::unique_ptr<packed<real>> pack_int8_matrix(const real* b, i64 row, i64 column, i64 depth, i64 columns) {
    return std::make_unique<int8_matrix>(b, row, column, depth, columns);
}

// The panels first .. last - 1 of c, for `rows` rounded rows.
inline void apply_int8_panels(const int8_matrix& b, i64 rows, rounded_rows a, const real* bias, real* c, i64 first, i64 last) {
    constexpr i64 rows_at_once = 8 * int8_tallest;
    real whole[widest][rows_at_once * panel], begin[widest][panel];
    for (i64 from = 0; from < rows; from += rows_at_once) {
        const i64 height = std::min(rows_at_once, rows - from), at_once = int8_panels(std::min(height, int8_tallest));
        for (i64 v = first; v < last; v += at_once) {
            const i64 taken = std::min(at_once, last - v);
            const real *right[widest], *start[widest];
            real* sums[widest];
            for (i64 p = 0; p < taken; ++p) {
                const i64 at = (v + p) * panel, count = std::min(panel, b.columns - at);
                for (i64 lane = 0; lane < panel; ++lane) begin[p][lane] = bias != nullptr && lane < count ? bias[at + lane] : 0;
                right[p] = b.at(v + p), start[p] = begin[p], sums[p] = whole[p];
            }
            int8_multiply(height, a.from(from), taken, right, b.depth, start, 0, sums, panel);
            for (i64 p = 0; p < taken; ++p)
                for (i64 m = 0; m < height; ++m)
                    std::copy_n(whole[p] + m * panel, std::min(panel, b.columns - (v + p) * panel), c + (from + m) * b.columns + (v + p) * panel);
        }
    }
}

// a: (rows, depth), rows a_row apart. bias: (columns,) or null. c: (rows, columns), contiguous, written.
inline void apply_int8(const packed<real>& weights, i64 rows, const real* a, i64 a_row, const real* bias, real* c, int threads) {
    const auto& b = static_cast<const int8_matrix&>(weights);
    const i64 apart = padded(b.depth), all = panels_of(b.columns), smalls = rows * apart * static_cast<i64>(sizeof(small));
    workspace space(workspace::rounded(rows) + workspace::rounded(smalls / static_cast<i64>(sizeof(real)) + 1));
    real* const scales = space.take(rows);
    const rounded_rows rounded{reinterpret_cast<small*>(space.take(smalls / static_cast<i64>(sizeof(real)) + 1)), apart, scales};
    for (i64 m = 0; m < rows; ++m)
        scales[m] = round_row(b.depth, rounded.data + m * apart, [&](i64 i) { return load_units(a + m * a_row + i, b.depth - i); });
    const i64 useful = std::min<i64>(threads, 1 + rows * b.depth * b.columns / (4 * worth_a_thread));  // four cost what one of floats does
    parallel(static_cast<int>(useful), [&](i64 member, i64 members) {
        const flush_denormals flushed;
        if (rows >= members * int8_tallest) {
            const i64 from = rows * member / members, to = rows * (member + 1) / members;
            apply_int8_panels(b, to - from, rounded.from(from), bias, c + from * b.columns, 0, all);
        } else {
            apply_int8_panels(b, rows, rounded, bias, c, all * member / members, all * (member + 1) / members);
        }
    });
}

}  // namespace seqloom::SEQLOOM_LEVEL
