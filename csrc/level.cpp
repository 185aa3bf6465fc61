// The table of one level of the instruction set. Compiled once a level, with that level's flags: csrc/simd.h.
#include <chrono>

#include "backward.h"
#include "fingerprint.h"
#include "kernels.h"
#include "linear.h"

namespace seqloom::SEQLOOM_LEVEL {

template <class Cell>
std::unique_ptr<packed<real>> pack(const weights<real>& w) {
    return std::make_unique<panels<Cell>>(w);
}

template <class Cell>
constexpr recurrent<real> loops = {pack<Cell>, forward<Cell>, backward<Cell>, Cell::saved};

#define SEQLOOM_CELLS                                                                                     \
    {loops<simple_rnn<cell_kind::simple_rnn_tanh>>, loops<simple_rnn<cell_kind::simple_rnn_relu>>,        \
     loops<simple_rnn<cell_kind::simple_rnn_leaky_relu>>, loops<lstm>, loops<gru>, loops<gru_reset_after>}

#ifdef SEQLOOM_DOUBLE

extern const recurrent<double> cells[6];
const recurrent<double> cells[6] = SEQLOOM_CELLS;

#else

}  // namespace seqloom::SEQLOOM_LEVEL

#include "dropout.h"
#include "pooling.h"
#include "softmax_loss.h"

namespace seqloom::SEQLOOM_LEVEL {

template <class F>
SEQLOOM_INLINE void map(const float* x, float* y, std::int64_t count, F f) {
    constexpr int at_once = 8;
    std::int64_t i = 0;
    for (; i + at_once * lanes <= count; i += at_once * lanes) store(y + i, f(load_several<at_once>(x + i)));
    for (; i + lanes <= count; i += lanes) store(y + i, f(load(x + i)));
    if (i < count) store_first(y + i, f(load_first(x + i, count - i)), count - i);
}

void sigmoid_of_all(const float* x, float* y, std::int64_t count) {
    map(x, y, count, [](auto a) __attribute__((always_inline)) { return sigmoid(a); });
}

void tanh_of_all(const float* x, float* y, std::int64_t count) {
    map(x, y, count, [](auto a) __attribute__((always_inline)) { return tanh(a); });
}

// What this processor can do at most: sums that wait for nothing and touch no memory.
double multiply_adds(std::int64_t rounds) {
    constexpr int chains = 10;  // latency times width, with some to spare; all fit the registers of every level
    vec sum[chains];
    for (int i = 0; i < chains; ++i) sum[i] = set(static_cast<float>(i));
    const vec a = set(0.999f), b = set(1e-3f);
    const auto begin = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < rounds; i += chains)
        for (int j = 0; j < chains; ++j) sum[j] = fma(sum[j], a, b);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    vec all = sum[0];
    for (int i = 1; i < chains; ++i) all = all + sum[i];
    float kept[lanes];
    store(kept, all);
    const volatile float result = kept[0];
    (void)result;
    return seconds.count();
}

#define SEQLOOM_TEXT(name) #name
#define SEQLOOM_NAME(name) SEQLOOM_TEXT(name)

extern const kernels table;
const kernels table = {SEQLOOM_NAME(SEQLOOM_LEVEL), sigmoid_of_all, tanh_of_all, SEQLOOM_CELLS, {pack_matrix, apply, outer},
                       {prepare, attend, unattend, sum_over_steps}, cross_entropy, log_softmax_rows, likeliest_of_rows, max_pool, max_pool_backward,
                       drop, fingerprint, multiply_adds, lanes};

#endif

}  // namespace seqloom::SEQLOOM_LEVEL
