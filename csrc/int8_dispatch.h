// Which level runs what has weights of 8 bits: the level in use, or the one below where its processor lacks the products.
#pragma once

#include "recurrent.h"

namespace seqloom {

struct int8_kernels {
    recurrent<float> cells[6];  // in the order of cell_kind; `backward` is null, and gates, cells, masks and tables are not for them
    // csrc/int8_linear.h says what every argument is.
    std::unique_ptr<packed<float>> (*pack)(const float* b, std::int64_t row, std::int64_t column, std::int64_t depth, std::int64_t columns);
    void (*apply)(const packed<float>& b, std::int64_t rows, const float* a, std::int64_t a_row, const float* bias, float* c, int threads);
};

const int8_kernels& in_int8();

}  // namespace seqloom
