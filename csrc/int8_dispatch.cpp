#include "int8_dispatch.h"

#include "kernels.h"

namespace seqloom {

namespace plain { extern const int8_kernels int8_table; }
#ifdef SEQLOOM_X86
namespace avx2 { extern const int8_kernels int8_table; }
namespace avx512_vnni { extern const int8_kernels int8_table; }
#endif

const int8_kernels& in_int8() {
#ifdef SEQLOOM_X86
    const std::string level = active().isa;
    const bool products = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (level == "avx512" && products) return avx512_vnni::int8_table;
    if (level != "plain") return avx2::int8_table;
#endif
    return plain::int8_table;
}

}  // namespace seqloom
