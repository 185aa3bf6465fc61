// The table of one level of the instruction set, for weights of 8 bits. Compiled once a level, with that level's flags.
#include "int8_dispatch.h"
#include "int8_linear.h"

namespace seqloom::SEQLOOM_LEVEL {

template <class Cell>
std::unique_ptr<packed<real>> int8_pack(const weights<real>& w) {
    return std::make_unique<int8_panels_of_layer<Cell>>(w);
}

template <class Cell>
constexpr recurrent<real> int8_loops = {int8_pack<Cell>, int8_forward<Cell>, nullptr, 0};

extern const int8_kernels int8_table;
const int8_kernels int8_table = {
    {int8_loops<simple_rnn<cell_kind::simple_rnn_tanh>>, int8_loops<simple_rnn<cell_kind::simple_rnn_relu>>,
     int8_loops<simple_rnn<cell_kind::simple_rnn_leaky_relu>>, int8_loops<lstm>, int8_loops<gru>, int8_loops<gru_reset_after>},
    pack_int8_matrix, apply_int8};

}  // namespace seqloom::SEQLOOM_LEVEL
