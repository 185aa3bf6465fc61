// What the core can do, as one table of functions a level of the instruction set, and the choice among them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "attention.h"
#include "recurrent.h"

namespace seqloom {

// Reads `count` floats at x, writes `count` floats at y. x and y are the caller's; they are equal or do not overlap.
// An element of y depends on its element of x alone: not on count, position or alignment.
using elementwise = void (*)(const float* x, float* y, std::int64_t count);

// Instead of how far apart the rows of a start are: it is one number for each row.
constexpr std::int64_t one_a_row = -1;

// c = start + a b, and the gradient of b: csrc/linear.h says what every argument is.
struct dense {
    std::unique_ptr<packed<float>> (*pack)(const float* b, std::int64_t row, std::int64_t column, std::int64_t depth, std::int64_t columns,
                                           int threads);
    void (*apply)(const packed<float>& b, std::int64_t rows, const float* a, std::int64_t a_row, const float* start, std::int64_t start_row, float* c,
                  int threads);
    void (*outer)(std::int64_t tokens, const float* a, std::int64_t a_row, std::int64_t depth, const float* d, std::int64_t d_row,
                  std::int64_t columns, float* c, float* sums, int threads);
};

// The cross entropy of a softmax over V words, of N tokens, a column each. All memory is the caller's; none overlaps another.
struct softmax_loss {
    std::int64_t words, tokens;
    float smoothing;              // in 0..1: the share of each target that all words have alike
    float weight;                 // by which each loss counts in the gradient; 0: no gradient, and logits hold nothing of use
    float* logits;                // (V, N), contiguous; on return the gradient
    const std::int64_t* targets;  // (N,), each in 0..V-1
    float* losses;                // (N,), written
    float* sums;                  // (V,): the sums of the gradient's rows are added; or null
    int threads;
};

struct kernels {
    const char* isa;
    elementwise sigmoid;
    elementwise tanh;
    recurrent<float> cells[6];  // in the order of cell_kind
    dense linear;
    seqloom::attention attention;
    void (*cross_entropy)(const softmax_loss&);
    // z: (rows, words), contiguous logits; they become log-probabilities.
    void (*log_softmax)(std::int64_t rows, std::int64_t words, float* z, int threads);
    // The likeliest token of each row of such logits and its log-probability, to the bit as `log_softmax` has them; of equal ones
    // the first. Token 0 and NaN where one of them is NaN.
    void (*likeliest)(std::int64_t rows, std::int64_t words, const float* z, std::int64_t* tokens, float* scores, int threads);
    // Of x (B, T, H) the largest of each unit over the first lengths[b] steps, of which none beyond them is read; 0 where there are
    // none. Lengths below 0 count as 0, above T as T. `places` (B, H) are their steps, of equal ones and of NaNs the first, -1 where
    // there is none; or null. T is 2^24 at most. largest is (B, H); both are contiguous and written.
    void (*max_pool)(std::int64_t batch, std::int64_t time, std::int64_t units, const std::int64_t* lengths, const steps_of<const float>& x,
                     float* largest, std::int32_t* places, int threads);
    // The gradient of x, (B, T, H), written: `gradient` (B, H) at its places, of which those beyond 0..T-1 are none, and zero
    // elsewhere. All are contiguous.
    void (*max_pool_backward)(std::int64_t batch, std::int64_t time, std::int64_t units, const std::int32_t* places, const float* gradient,
                              float* of_x, int threads);
    // y = x without the numbers that a hash of their place and `seed` leaves out, `dropped` of 65,536, and the others times `scale`.
    // y may be x.
    void (*drop)(std::int64_t count, std::uint64_t seed, std::uint32_t dropped, float scale, const float* x, float* y, int threads);
    std::uint64_t (*fingerprint)(const void* from, std::int64_t bytes);  // csrc/fingerprint.h
    double (*multiply_adds)(std::int64_t rounds);  // the seconds that `rounds` independent fma on a whole vector take
    std::int64_t lanes;
};

// The tables that run on this processor, plainest first.
const std::vector<const kernels*>& runnable();

// The table in use: the last of `runnable()`, or the one that the environment variable SEQLOOM_ISA names. Chosen once.
// Throws std::invalid_argument where SEQLOOM_ISA names none of them.
const kernels& active();

// The same time loop in 64 bits and plain code, for checks. In the order of cell_kind.
const recurrent<double>* in_double();

}  // namespace seqloom
