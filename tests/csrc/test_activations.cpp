// Measures the gate functions of every level that runs here against double precision, and checks their promises.
//
//     test_activations [stride]     every stride-th float of all 2^32 (default 1021); 1 is exhaustive, and takes minutes
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels.h"

using seqloom::elementwise;
using seqloom::kernels;

static int failures = 0;

static void check(bool holds, const char* isa, const char* function, const char* promise, float at) {
    if (holds) return;
    if (++failures <= 20) std::printf("FAILED %s %s: %s, at x = %a\n", isa, function, promise, static_cast<double>(at));
}

static float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Distance from the true value in units of the last place of the float nearest to it.
static double ulps(float got, double truth) {
    const float nearest = static_cast<float>(std::fabs(truth));
    const float next = std::nextafter(nearest, std::numeric_limits<float>::infinity());
    return std::fabs(static_cast<double>(got) - truth) / (static_cast<double>(next) - static_cast<double>(nearest));
}

struct function {
    const char* name;
    elementwise run;
    double (*truth)(double);
    float lowest;  // of the range; the highest is 1
    double promised_ulps;
};

static double true_sigmoid(double x) {
    const double z = std::exp(-std::fabs(x));
    return (x < 0 ? z : 1.0) / (1.0 + z);
}
static double true_tanh(double x) { return std::tanh(x); }

// Both functions rise: walking the floats from -inf to +inf in order, results must never step back.
static double sweep(const char* isa, const function& f, std::uint64_t stride) {
    const std::size_t block = 4096;
    std::vector<float> x, y(block);
    double worst = 0;
    float last = f.lowest;
    const std::int64_t infinity = 0x7f800000;
    for (std::int64_t key = -infinity; key <= infinity;) {  // key: position among the floats in order
        x.clear();
        for (; x.size() < block && key <= infinity; key += static_cast<std::int64_t>(stride))
            x.push_back(key < 0 ? -from_bits(static_cast<std::uint32_t>(-key)) : from_bits(static_cast<std::uint32_t>(key)));
        f.run(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double error = ulps(y[i], f.truth(static_cast<double>(x[i])));
            check(error <= f.promised_ulps, isa, f.name, "error above the promise", x[i]);
            check(y[i] >= f.lowest && y[i] <= 1.0f, isa, f.name, "outside its range", x[i]);
            if (std::fabs(y[i]) >= 0.999f || y[i] <= f.lowest + 1e-3f)
                check(y[i] >= last, isa, f.name, "a step back near its limit", x[i]);
            last = y[i];
            if (error > worst) worst = error;
        }
    }
    return worst;
}

static void specials(const char* isa, const function& f) {
    const float infinity = std::numeric_limits<float>::infinity();
    const float x[] = {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity, 0.0f, -0.0f};
    float y[5];
    f.run(x, y, 5);
    check(std::isnan(y[0]), isa, f.name, "NaN in, NaN out", x[0]);
    check(y[1] == 1.0f, isa, f.name, "limit at +inf", x[1]);
    check(y[2] == f.lowest, isa, f.name, "limit at -inf", x[2]);
    check(static_cast<double>(y[3]) == f.truth(0.0), isa, f.name, "value at 0", x[3]);
    check(static_cast<double>(y[4]) == f.truth(0.0), isa, f.name, "value at -0", x[4]);
}

// Any part of an array, at any alignment, in place or not, gives the bits of the whole; nothing is touched around it.
static void slices(const char* isa, const function& f) {
    const std::size_t size = 147;  // more than any level does at once
    std::vector<float> x(size), whole(size);
    for (std::size_t i = 0; i < size; ++i) x[i] = static_cast<float>(std::sin(static_cast<double>(7 * i)) * 12);
    f.run(x.data(), whole.data(), static_cast<std::int64_t>(size));
    for (std::size_t first = 0; first < size; ++first)
        for (std::size_t count = 0; first + count <= size; ++count) {
            std::vector<float> part(x.begin() + static_cast<std::ptrdiff_t>(first),
                                    x.begin() + static_cast<std::ptrdiff_t>(first + count));
            std::vector<float> exact(count);  // its own allocation, so that the sanitiser sees a write past the end
            f.run(part.data(), exact.data(), static_cast<std::int64_t>(count));
            std::vector<float> around = x;
            f.run(around.data() + first, around.data() + first, static_cast<std::int64_t>(count));
            for (std::size_t i = 0; i < size; ++i) {
                const bool inside = i >= first && i < first + count;
                const float expected = inside ? whole[i] : x[i];
                check(around[i] == expected, isa, f.name, "a slice in place differs from the whole", x[i]);
                if (inside) check(exact[i - first] == expected, isa, f.name, "a slice differs from the whole", x[i]);
            }
        }
}

static void odd(const char* isa, elementwise tanh) {
    for (std::uint32_t bits = 0; bits < 0x7f800000u; bits += 65537) {
        const float x[] = {from_bits(bits), -from_bits(bits)};
        float y[2];
        tanh(x, y, 2);
        check(y[0] == -y[1] && std::signbit(y[0]) != std::signbit(y[1]), isa, "tanh", "not odd", x[0]);
    }
}

int main(int argc, char** argv) {
    const std::uint64_t stride = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1021;
    if (stride == 0) return 2;
    for (const kernels* table : seqloom::runnable()) {
        const function functions[] = {{"sigmoid", table->sigmoid, true_sigmoid, 0.0f, 3.0},
                                      {"tanh", table->tanh, true_tanh, -1.0f, 5.0}};
        for (const function& f : functions) {
            specials(table->isa, f);
            slices(table->isa, f);
            std::printf("%-7s %-7s largest error %.3f ulp\n", table->isa, f.name, sweep(table->isa, f, stride));
        }
        odd(table->isa, table->tanh);
    }
    std::printf("%d failed\n", failures);
    return failures == 0 ? 0 : 1;
}
