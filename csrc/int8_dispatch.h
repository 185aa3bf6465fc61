// Which level runs the layers with weights of 8 bits: the level in use, or the one below where its processor lacks the products.
#pragma once

#include "recurrent.h"

namespace seqloom {

// In the order of cell_kind; `backward` is null, and gates, cells, masks and tables are not for them.
const recurrent<float>* in_int8();

}  // namespace seqloom
