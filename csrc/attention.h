// What goes into attention and what comes out: plain structs of pointers, as csrc/recurrent.h has them for the time loop.
//
// B rows of the source, S steps of it, M memory, A what is compared; R rows that ask. All memory is the caller's. What is
// written overlaps nothing that is read. Steps of the source beyond a row's length are never read.
#pragma once

#include "recurrent.h"

namespace seqloom {

struct attention_source {
    std::int64_t steps, memory_size, compared;
    const std::int64_t* lengths;    // (B,); below 0 counts as 0, above S as S
    steps_of<const float> memory;   // (B, S, M)
    steps_of<const float> keys;     // (B, S, A)
    const float* score;             // (A,): keys and query are added, and weighed after their tanh; null: they are multiplied
    // What `prepare` makes of the keys of a source with a score; null: nothing, and each tanh is computed by itself.
    const float* powers;            // (B, S, A), contiguous: exp(2 key)
    const bool* mild;               // (B,): whether the keys of a row are small enough for that
};

// One step of the rows that ask.
struct attention_step {
    std::int64_t rows;
    const std::int64_t* places;  // (R,): the row of the source that each row asks; null: its own number
    const float* query;          // (R, A), contiguous
    int threads;
};

// What comes back through one step.
struct attention_gradients {
    const float* weights;       // (R, S), contiguous: what forward wrote
    const float* context;       // (R, M), contiguous: the gradient of the context
    const float* of_weights;    // (R, S), contiguous, or null: the gradient of the weights; not read beyond a row's length
    float* scores;              // (R, S), written: the gradient of the scores, zeros beyond a row's length
    float* query;               // (R, A), written
    // Added to, and for sources with a score alone; no two rows that ask may ask the same row.
    float* keys;                // (B, S, A), contiguous
    float* score;               // (R, A), contiguous
};

// Sums over the steps of the rows that asked: to[b][s] = sum of weights[n][s] values[n] over the tokens n of the row that asks
// b, in their order; zeros beyond a row's length. Step t of row r is token begins[t] + r.
struct attention_sums {
    std::int64_t rows, size;      // R; numbers of a value
    const std::int64_t* places;   // (R,), all different
    const std::int64_t* counts;   // (R,): how many steps of a row there are
    const std::int64_t* begins;   // (longest of counts,)
    const float* weights;         // (N, S), contiguous
    const float* values;          // (N, size), contiguous
    float* to;                    // (B, S, size), contiguous, written in the rows asked
    int threads;
};

// One level's attention.
struct attention {
    // Writes the powers and mild of `rows` rows, where they belong.
    void (*prepare)(const attention_source&, std::int64_t rows, float* powers, bool* mild, int threads);
    // Writes weights (R, S), zeros beyond a row's length, and context (R, M), both contiguous.
    void (*forward)(const attention_source&, const attention_step&, float* weights, float* context);
    void (*backward)(const attention_source&, const attention_step&, const attention_gradients&);
    void (*sum)(const attention_source&, const attention_sums&);
};

}  // namespace seqloom
