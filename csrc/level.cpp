// The table of one level of the instruction set. Compiled once a level, with that level's flags: csrc/simd.h.
#include "activations.h"
#include "kernels.h"

namespace seqloom::SEQLOOM_LEVEL {

template <vec (*f)(vec)>
void map(const float* x, float* y, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) store(y + i, f(load(x + i)));
    if (i < count) store_first(y + i, f(load_first(x + i, count - i)), count - i);
}

#define SEQLOOM_TEXT(name) #name
#define SEQLOOM_NAME(name) SEQLOOM_TEXT(name)

extern const kernels table;
const kernels table = {SEQLOOM_NAME(SEQLOOM_LEVEL), map<sigmoid>, map<tanh>};

}  // namespace seqloom::SEQLOOM_LEVEL
