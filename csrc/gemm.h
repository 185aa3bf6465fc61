// The one matrix product of the core: c = start + a b, on panels.
//
// Every element of c is one chain, start + a[0] b[0] + a[1] b[1] + ..., in the order of k, whatever the number of rows, the
// size of the tile or the thread: this is what makes results independent of the batch, to the bit. Speed comes from many
// chains side by side, never from splitting one.
//
// A panel is `panel` columns of b, row after row: depth x panel numbers, contiguous. A tile is up to `tallest` rows of c on
// one to four panels, as many as the registers hold, summed there over the depth.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "several.h"
#include "simd.h"

namespace seqloom::SEQLOOM_LEVEL {

using i64 = std::int64_t;

constexpr i64 panel = 2 * lanes;
constexpr i64 tallest = 6;
constexpr i64 widest = 4;
// Where rows are few, more panels make the chains that keep the processor busy; where they are many, more panels spare loads.
#if defined(__AVX512F__) || defined(SEQLOOM_NEON)
constexpr i64 panels_at_once(i64 rows) { return rows <= 3 ? 4 : 2; }  // of 32 registers
#else
constexpr i64 panels_at_once(i64 rows) { return rows == 1 ? 4 : rows == 2 ? 2 : 1; }  // of 16
#endif

constexpr i64 panels_of(i64 columns) { return (columns + panel - 1) / panel; }

// Tokens whose rows are gathered at once, for the gradients of weights, and the numbers from one tile of them to the next: a cache
// line apart from a power of two, as all tiles are written together.
constexpr i64 gathered_tokens = 512, gathered_tile = tallest * gathered_tokens + 16;
// Panels that a gathered tile goes through before the next one does: few enough for the second-level cache. The tiles, which together
// may be too large for it, are fetched once for all of these panels.
constexpr i64 most_summed = 4;

// The left operand: element (m, k) at data[m * row + (k / panel) * block + k % panel]. soon: with each block, a tile asks for that of
// two rows that lie so many numbers after its first, as they will be read later and may be far from the caches; 0: it does not.
struct operand {
    const real* data;
    i64 row, block, soon = 0;
};

// So few numbers that they take a move or two. `std::copy_n`, which allows for overlaps, becomes a call.
template <i64 count>
inline void copy(const real* from, real* to) { std::memcpy(to, from, count * sizeof(real)); }

// The numbers of one token, `size` of them, to the tiles `begin` .. `end` - 1, tallest numbers each, that of the first at `to`: 1 after
// the last number (whose product is the sum of the other operand), then zeros. One token after the other: some numbers that follow
// in a tile are written over.
inline void gather_token(const real* row, i64 size, i64 begin, i64 end, real* to) {
    constexpr i64 wide = 8;  // one move, where `tallest` numbers take two
    static_assert(tallest <= wide && wide <= tallest + gathered_tile - tallest * gathered_tokens);
    const i64 whole = std::min(end, size / tallest), in_one = std::min(whole, (size + tallest - wide) / tallest);
    i64 i = begin;
    for (; i < in_one; ++i, to += gathered_tile) copy<wide>(row + i * tallest, to);
    for (; i < whole; ++i, to += gathered_tile) copy<tallest>(row + i * tallest, to);
    for (; i < end; ++i) {
        const i64 rows = size - i * tallest;
        for (i64 m = 0; m < tallest; ++m) to[m] = m < rows ? row[i * tallest + m] : m == rows ? 1 : 0;
    }
}

// A row-major matrix as the left operand, rows `row` apart.
inline operand by_rows(const real* data, i64 row) { return {data, row, panel}; }

// Asks the caches for a panel's width of memory, `for_writing` or for reading. Inlined by force, like all that only asks: to the
// compiler such a function looks idle, and it would leave out the calls.
template <bool for_writing>
__attribute__((always_inline)) inline void prefetch(const real* from) {
    for (i64 at = 0; at < panel; at += 64 / static_cast<i64>(sizeof(real))) __builtin_prefetch(from + at, for_writing);
}

// Asks for the M rows of c that a tile is about to write, from row `from` on.
template <int M, int P>
__attribute__((always_inline)) inline void prefetch_rows(i64 from, real* const* c, i64 c_row) {
    for (int p = 0; p < P; ++p)
        for (int m = 0; m < M; ++m) prefetch<true>(c[p] + (from + m) * c_row);
}

// Asks for where P panels begin that are read next. Once the processor has seen some lines of them, it foresees the others.
template <int P>
__attribute__((always_inline)) inline void prefetch_panels(const real* const* b) {
    constexpr i64 line = 64 / static_cast<i64>(sizeof(real)), lines = 8;
    for (int p = 0; p < P; ++p)
        for (i64 at = 0; at < lines * line; at += line) __builtin_prefetch(b[p] + at);
}

// The sums of one tile, in registers: M rows by P panels. Inlined by force: registers is where they are to stay.
template <int M, int P>
struct sums {
    vec at[M][P][2];

    // Their first numbers; start[p]: that of row 0, rows `row` apart.
    SEQLOOM_INLINE void begin(const real* const* start, i64 from, i64 row) {
        for (int p = 0; p < P; ++p)
            for (int m = 0; m < M; ++m) {
                const real* const first = start[p] + (from + m) * row;
                at[m][p][0] = load(first), at[m][p][1] = load(first + lanes);
            }
    }

    SEQLOOM_INLINE void begin() {
        for (int p = 0; p < P; ++p)
            for (int m = 0; m < M; ++m) at[m][p][0] = at[m][p][1] = set(0);
    }

    // Adds `depth` products to every sum, in order. a: its row 0, rows `row` apart; right[p]: goes on to the row after the last.
    template <i64 Step>
    SEQLOOM_INLINE void add(const real* a, i64 row, const real** right, i64 depth) {
        constexpr int at_once = 2;  // steps without arithmetic on addresses, which competes with the products for the ports
        constexpr int groups = (M + 2) / 3;
        const real* base[groups];
        for (int g = 0; g < groups; ++g) base[g] = a + 3 * g * row;
        const auto advance = [&](int steps) {
            for (int g = 0; g < groups; ++g) base[g] += steps * Step;
            for (int p = 0; p < P; ++p) right[p] += steps * panel;
        };
        for (; depth >= at_once; depth -= at_once) {
            add_steps<Step, at_once>(base, row, right);
            advance(at_once);
        }
        static_assert(at_once == 2);
        if (depth > 0) {
            add_steps<Step, 1>(base, row, right);
            advance(1);
        }
    }

    // To the rows of c from `from` on, or added to them.
    template <bool Added>
    SEQLOOM_INLINE void leave(real* const* c, i64 from, i64 row) {
        for (int p = 0; p < P; ++p)
            for (int m = 0; m < M; ++m) {
                real* const to = c[p] + (from + m) * row;
                if constexpr (Added) {
                    at[m][p][0] = load(to) + at[m][p][0];
                    at[m][p][1] = load(to + lanes) + at[m][p][1];
                }
                store(to, at[m][p][0]);
                store(to + lanes, at[m][p][1]);
            }
    }

private:
    // base: three rows from each pointer, which is what one address of the processor reaches without further arithmetic.
    template <i64 Step, int Count>
    SEQLOOM_INLINE void add_steps(const real* const* base, i64 row, const real* const* right) {
#pragma GCC unroll 4
        for (int k = 0; k < Count; ++k) {
            vec low[P], high[P];
            for (int p = 0; p < P; ++p) {
                low[p] = load(right[p] + k * panel);
                high[p] = load(right[p] + k * panel + lanes);
            }
#pragma GCC unroll 12
            for (int m = 0; m < M; ++m) {
                const vec left = set(base[m / 3][(m % 3) * row + k * Step]);
                for (int p = 0; p < P; ++p) {
                    at[m][p][0] = fma(left, low[p], at[m][p][0]);
                    at[m][p][1] = fma(left, high[p], at[m][p][1]);
                }
            }
        }
    }
};

// A product that a tile's sums go through. b[p]: depth x panel.
struct term {
    operand a;
    const real* const* b;
    i64 depth;
};

// `count` tiles, one below the other: the sums of each go through the terms first .. last - 1, one after the other. start[p]: its
// rows, start_row apart (0: the same row for all). c[p]: its rows, c_row apart, written; it may be start. All tiles in one call: what
// lies between two of them, the processor gets done while it still multiplies, and a call would be too long for that.
template <int M, int P>
void tiles(i64 count, const term* first, const term* last, const real* const* start, i64 start_row, real* const* c, i64 c_row) {
    for (i64 tile = 0; tile < count; ++tile) {
        const i64 from = tile * M;
        prefetch_rows<M, P>(from, c, c_row);
        sums<M, P> sum;
        sum.begin(start, from, start_row);
        for (const term* of = first; of != last; ++of) {
            operand a = of->a;
            a.data += from * a.row;
            const real* right[P];
            for (int p = 0; p < P; ++p) right[p] = of->b[p];
            const i64 piece = a.block == panel ? of->depth : panel;  // rows in one piece need no visit a block
            const real* const* const next = of + 1 != last ? of[1].b : tile + 1 < count ? first->b : nullptr;
            for (i64 to_go = of->depth; to_go > 0; to_go -= piece, a.data += a.block) {
                if (a.soon != 0) prefetch<false>(a.data + a.soon), prefetch<false>(a.data + a.soon + a.row);
                if (to_go <= piece && next != nullptr) prefetch_panels<P>(next);
                sum.template add<1>(a.data, a.row, right, std::min(piece, to_go));
            }
        }
        sum.template leave<false>(c, from, c_row);
    }
}

using tiles_function = void (*)(i64, const term*, const term*, const real* const*, i64, real* const*, i64);

template <int M, int P>
constexpr tiles_function tiles_of() {
    if constexpr (P <= panels_at_once(M)) return tiles<M, P>;
    else return nullptr;
}

// For tiles of `rows` rows.
inline tiles_function tiles_of(i64 rows, i64 panels) {
    static constexpr tiles_function table[tallest][widest] = {
        {tiles_of<1, 1>(), tiles_of<1, 2>(), tiles_of<1, 3>(), tiles_of<1, 4>()},
        {tiles_of<2, 1>(), tiles_of<2, 2>(), tiles_of<2, 3>(), tiles_of<2, 4>()},
        {tiles_of<3, 1>(), tiles_of<3, 2>(), tiles_of<3, 3>(), tiles_of<3, 4>()},
        {tiles_of<4, 1>(), tiles_of<4, 2>(), tiles_of<4, 3>(), tiles_of<4, 4>()},
        {tiles_of<5, 1>(), tiles_of<5, 2>(), tiles_of<5, 3>(), tiles_of<5, 4>()},
        {tiles_of<6, 1>(), tiles_of<6, 2>(), tiles_of<6, 3>(), tiles_of<6, 4>()}};
    return table[rows - 1][panels - 1];
}

// Rows ahead of the one being computed whose memory is asked for, where it lies too scattered for the processor to foresee.
constexpr i64 ahead = 4;

// So much of the depth at a time that the panels stay in the second-level cache for all rows.
constexpr i64 round_depth = (i64{128} << 10) / (panels_at_once(tallest) * panel * static_cast<i64>(sizeof(real)));

// c = start + the terms first .. last - 1, one or two, for any number of rows on up to panels_at_once(rows) panels. Layout as in
// `tiles`. Two terms are taken whole, however deep: each tile reads all of their panels.
inline void multiply(i64 rows, const term* first, const term* last, i64 panels, const real* const* start, i64 start_row,
                     real* const* c, i64 c_row) {
    if (rows <= tallest) return tiles_of(rows, panels)(1, first, last, start, start_row, c, c_row);
    // Of nearly equal height: a last tile of one row would waste the registers.
    const i64 all = (rows + tallest - 1) / tallest, height = rows / all, higher = rows % all;
    if (higher == 0) return tiles_of(height, panels)(all, first, last, start, start_row, c, c_row);
    tiles_of(height + 1, panels)(higher, first, last, start, start_row, c, c_row);
    const i64 done = higher * (height + 1);
    const real* start_at[widest];
    real* c_at[widest];
    for (i64 p = 0; p < panels; ++p) start_at[p] = start[p] + done * start_row, c_at[p] = c[p] + done * c_row;
    term rest[2];
    for (i64 k = 0; k < last - first; ++k) rest[k] = first[k], rest[k].a.data += done * rest[k].a.row;
    tiles_of(height, panels)(all - higher, rest, rest + (last - first), start_at, start_row, c_at, c_row);
}

// c = start + a b.
inline void multiply(i64 rows, operand a, i64 panels, const real* const* b, i64 depth, const real* const* start, i64 start_row,
                     real* const* c, i64 c_row) {
    if (rows <= tallest || depth <= round_depth) {
        const term whole{a, b, depth};
        return multiply(rows, &whole, &whole + 1, panels, start, start_row, c, c_row);
    }
    for (i64 done = 0; done < depth; done += round_depth) {
        const real* b_at[widest];
        for (i64 p = 0; p < panels; ++p) b_at[p] = b[p] + done * panel;
        const term part{{a.data + done / panel * a.block, a.row, a.block, a.soon}, b_at, std::min(round_depth, depth - done)};
        multiply(rows, &part, &part + 1, panels, done == 0 ? start : c, done == 0 ? start_row : c_row, c, c_row);
    }
}

// `accumulate`, P panels at once.
template <bool Anew, int P>
void sum_up(i64 count, const real* a, i64 panels, const real* const* b, i64 depth, real* const* c, i64 c_row) {
    for (i64 tile = 0; tile < count; ++tile)
        for (i64 first = 0; first < panels; first += P) {
            prefetch_rows<tallest, P>(tile * tallest, c + first, c_row);
            sums<tallest, P> sum;
            sum.begin();
            const real* right[P];
            for (int p = 0; p < P; ++p) right[p] = b[first + p];
            const real* const left = a + tile * gathered_tile;
            const i64 last = std::min(depth, panel);
            sum.template add<tallest>(left, 1, right, depth - last);
            prefetch_panels<P>(b + (first + P < panels ? first + P : 0));
            sum.template add<tallest>(left + (depth - last) * tallest, 1, right, last);
            sum.template leave<!Anew>(c + first, tile * tallest, c_row);
        }
}

// c += a b, or c = a b where it is made `anew`, for `count` tiles of `tallest` rows of a, gathered (data[k * tallest + m]), on any
// number of panels. The sum of the call is formed by itself and then added: one chain over thousands of tokens would lose digits.
inline void accumulate(i64 count, const real* a, i64 panels, const real* const* b, i64 depth, real* const* c, i64 c_row, bool anew) {
    constexpr i64 most = panels_at_once(tallest);
    const i64 whole = panels / most * most;
    (anew ? sum_up<true, most> : sum_up<false, most>)(count, a, whole, b, depth, c, c_row);
    if (whole < panels) (anew ? sum_up<true, 1> : sum_up<false, 1>)(count, a, panels - whole, b + whole, depth, c + whole, c_row);
}

}  // namespace seqloom::SEQLOOM_LEVEL
