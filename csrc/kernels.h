// What the core can do, as one table of functions a level of the instruction set, and the choice among them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recurrent.h"

namespace seqloom {

// Reads `count` floats at x, writes `count` floats at y. x and y are the caller's; they are equal or do not overlap.
// An element of y depends on its element of x alone: not on count, position or alignment.
using elementwise = void (*)(const float* x, float* y, std::int64_t count);

struct kernels {
    const char* isa;
    elementwise sigmoid;
    elementwise tanh;
    recurrent<float> cells[6];  // in the order of cell_kind
};

// The tables that run on this processor, plainest first.
const std::vector<const kernels*>& runnable();

// The table in use: the last of `runnable()`, or the one that the environment variable SEQLOOM_ISA names. Chosen once.
// Throws std::invalid_argument where SEQLOOM_ISA names none of them.
const kernels& active();

// The same time loop in 64 bits and plain code, for checks. In the order of cell_kind.
const recurrent<double>* in_double();

}  // namespace seqloom
