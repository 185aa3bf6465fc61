// Which level of the instruction set runs: the best that the processor and its operating system support.
#include <cstdlib>
#include <stdexcept>

#include "kernels.h"

namespace seqloom {

namespace plain { extern const kernels table; }
namespace plain_double { extern const recurrent<double> cells[6]; }
#if defined(SEQLOOM_X86)
namespace avx2 { extern const kernels table; }
namespace avx512 { extern const kernels table; }
#elif defined(SEQLOOM_ARM)
namespace neon { extern const kernels table; }
#endif

const std::vector<const kernels*>& runnable() {
    static const std::vector<const kernels*> tables = [] {
        std::vector<const kernels*> found = {&plain::table};
#if defined(SEQLOOM_X86)
        const bool avx2_runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        if (avx2_runs) found.push_back(&avx2::table);
        if (avx2_runs && __builtin_cpu_supports("avx512f")) found.push_back(&avx512::table);
#elif defined(SEQLOOM_ARM)
        found.push_back(&neon::table);  // every such processor has it
#endif
        return found;
    }();
    return tables;
}

static const kernels& choose() {
    const char* wanted = std::getenv("SEQLOOM_ISA");
    if (wanted == nullptr || *wanted == '\0') return *runnable().back();
    std::string allowed;
    for (const kernels* table : runnable()) {
        if (std::string(wanted) == table->isa) return *table;
        allowed += (allowed.empty() ? "" : ", ") + std::string(table->isa);
    }
    std::string shown = wanted;
    for (char& byte : shown)
        if (static_cast<unsigned char>(byte) >= 0x80) byte = '?';  // the message is read as UTF-8, which it may not be
    throw std::invalid_argument("SEQLOOM_ISA is \"" + shown + "\", but this machine runs: " + allowed +
                                ". Set one of these, or unset it to use the best.");
}

const kernels& active() {
    static const kernels& chosen = choose();
    return chosen;
}

const recurrent<double>* in_double() { return plain_double::cells; }

}  // namespace seqloom
