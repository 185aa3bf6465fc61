#include "int8_dispatch.h"

#include "kernels.h"

namespace seqloom {

namespace plain { extern const recurrent<float> int8_cells[6]; }
#ifdef SEQLOOM_X86
namespace avx2 { extern const recurrent<float> int8_cells[6]; }
namespace avx512_vnni { extern const recurrent<float> int8_cells[6]; }
#endif

const recurrent<float>* in_int8() {
#ifdef SEQLOOM_X86
    const std::string level = active().isa;
    const bool products = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (level == "avx512" && products) return avx512_vnni::int8_cells;
    if (level != "plain") return avx2::int8_cells;
#endif
    return plain::int8_cells;
}

}  // namespace seqloom
