// Tensors of torch as arguments of the core: where their numbers are and how they lie there.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <type_traits>

#include "bind.h"

namespace seqloom {

using dlpack_tensor = nanobind::dlpack::dltensor;

// Where the numbers of a tensor on the CPU are; false where it has none of this kind. What it shows of the tensor's axes lives as
// long as the tensor.
bool look(nanobind::handle tensor, nanobind::dlpack::dtype kind, dlpack_tensor& seen);

// The same of float32 that can be read as they stand in memory: of a plain tensor, and none whose sign is a flag.
bool look_plainly(nanobind::handle tensor, dlpack_tensor& seen);

// Whether the numbers have the other sign than what stands in memory.
bool negated(nanobind::handle tensor);

// Whether the numbers lie in one piece, row after row.
bool in_one_piece(const dlpack_tensor& seen);

inline char* first_number(const dlpack_tensor& seen) { return static_cast<char*>(seen.data) + seen.byte_offset; }

// A tensor of float32, not set, where its `numbers` are; a large one in memory that is kept for the next one.
nanobind::object empty(const i64* sizes, int axes, float*& numbers);

// For each tensor that is wanted one of its shape, not set; None and null for the others.
nanobind::list empty_like(const nanobind::tuple& tensors, const nanobind::tuple& wanted, float** numbers);

// Where the numbers of an argument begin, and how many there are from one to the next along its first two axes. Python gives a
// tensor, None, or (address, steps ...) for a part of a tensor, which to make would cost more than many a call. The last axis of
// tensors of numbers lies in one piece: the caller has seen to that, as to all sizes.
template <class number>
struct place {
    number* data = nullptr;
    i64 steps[2] = {0, 0};

    operator rows_of<number>() const { return {data, steps[0]}; }
    operator steps_of<number>() const { return {data, steps[0], steps[1]}; }
};

// False where it is none of these.
bool find_place(nanobind::handle argument, nanobind::dlpack::dtype kind, void*& data, i64 (&steps)[2]);

// One step of all rows of `hidden` and `cell`, which it changes in place: x (B, I), the outputs (B, H). None where x is not ready
// to be read.
nanobind::object step(const recurrent<float>& loops, const packed<float>& weights, i64 input_size, i64 hidden_size, nanobind::handle x,
                      int threads, nanobind::handle hidden, nanobind::handle cell);

}  // namespace seqloom

template <class number>
struct nanobind::detail::type_caster<seqloom::place<number>> {
    NB_TYPE_CASTER(seqloom::place<number>, const_name("Tensor | tuple[int, ...] | None"))

    bool from_python(handle argument, std::uint8_t, cleanup_list*) noexcept {
        void* data = nullptr;
        const bool found = seqloom::find_place(argument, dtype<std::remove_const_t<number>>(), data, value.steps);
        value.data = static_cast<number*>(data);
        return found;
    }
};
