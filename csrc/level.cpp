// The table of one level of the instruction set. Compiled once a level, with that level's flags: csrc/simd.h.
#include "backward.h"
#include "kernels.h"

namespace seqloom::SEQLOOM_LEVEL {

template <class Cell>
std::unique_ptr<packed<real>> pack(const weights<real>& w) {
    return std::make_unique<panels<Cell>>(w);
}

template <class Cell>
constexpr recurrent<real> loops = {pack<Cell>, forward<Cell>, backward<Cell>};

#define SEQLOOM_CELLS                                                                                     \
    {loops<simple_rnn<cell_kind::simple_rnn_tanh>>, loops<simple_rnn<cell_kind::simple_rnn_relu>>,        \
     loops<simple_rnn<cell_kind::simple_rnn_leaky_relu>>, loops<lstm>, loops<gru>, loops<gru_reset_after>}

#ifdef SEQLOOM_DOUBLE

extern const recurrent<double> cells[6];
const recurrent<double> cells[6] = SEQLOOM_CELLS;

#else

template <vec (*f)(vec)>
void map(const float* x, float* y, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) store(y + i, f(load(x + i)));
    if (i < count) store_first(y + i, f(load_first(x + i, count - i)), count - i);
}

#define SEQLOOM_TEXT(name) #name
#define SEQLOOM_NAME(name) SEQLOOM_TEXT(name)

extern const kernels table;
const kernels table = {SEQLOOM_NAME(SEQLOOM_LEVEL), map<sigmoid>, map<tanh>, SEQLOOM_CELLS};

#endif

}  // namespace seqloom::SEQLOOM_LEVEL
