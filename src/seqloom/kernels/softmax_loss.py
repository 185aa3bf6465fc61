"""The cross entropy of a softmax over a vocabulary by the compiled core, some tokens at a time.

The logits of a token are a column. So the weights, of which there are many, are read where they lie in all three
products, and packed are the few features of the chunk.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.kernels import native
from seqloom.kernels.linear import fits
from seqloom.kernels.packing import matrix
from seqloom.kernels.recurrence import address, empty, in_rows
from seqloom.shapes import Float, Int

ONE_A_ROW = -1  # as csrc/kernels.h has it: the bias is one number for each row of the product
WHOLE = 32  # columns that fill whole panels of the core, at every level of the instruction set


class SoftmaxLoss(NamedTuple):
    """The cross entropy of each row of softmax(features W' + b) against its target."""

    features: Float[Tensor, "N I"]
    weight: Float[Tensor, "V I"]
    bias: Float[Tensor, " V"] | None
    targets: Int[Tensor, " N"]
    smoothing: float = 0.0


class Solved(NamedTuple):
    """The loss of each row, and the gradients of their mean; None for those that were not asked for."""

    losses: Float[Tensor, " N"]
    features: Float[Tensor, "N I"] | None
    weight: Float[Tensor, "V I"] | None
    bias: Float[Tensor, " V"] | None


def fits_core(s: SoftmaxLoss) -> bool:
    """Whether `solve` can do this, and nobody must see each operation of torch. Wrong targets are torch's to tell."""
    if s.targets.dtype is not torch.int64 or not s.targets.is_cpu or s.targets.shape != s.features.shape[:1]:
        return False
    if not fits(s.features, s.weight.t(), s.bias) or 0 in (*s.features.shape, len(s.weight)):
        return False
    lowest, highest = s.targets.aminmax()
    return int(lowest) >= 0 and int(highest) < len(s.weight)


def solve(s: SoftmaxLoss, wanted: Sequence[bool], *, numbers: int) -> Solved:
    """All losses, and the gradients `wanted` of features, weight and bias, by about `numbers` logits at a time.

    To the bit for any number of threads; the loss of a row does not depend on the others.
    """
    features, weight, targets = in_rows(s.features), in_rows(s.weight), s.targets.contiguous()
    bias = None if s.bias is None else s.bias.contiguous()
    (rows, size), words, core, threads = features.shape, len(weight), native.core(), torch.get_num_threads()
    height = min(rows, max(WHOLE, numbers // words // WHOLE * WHOLE))
    of_features, of_weight, of_bias = wanted
    found = Solved(
        losses=features.new_empty(rows),
        features=empty(rows, size) if of_features else None,
        weight=empty(words, size) if of_weight else None,
        bias=features.new_zeros(words) if of_bias and bias is not None else None,
    )
    memory = empty(words * height)
    at, share = memory.data_ptr(), 1 / rows if any(wanted) else 0
    for start in range(0, rows, height):
        read = features[start : start + height]
        count = len(read)
        core.linear(matrix(read.t()), words, weight.data_ptr(), weight.stride(0), address(bias), at, threads, ONE_A_ROW)
        of_chunk = targets[start:].data_ptr(), s.smoothing, share, found.losses[start:].data_ptr(), address(found.bias)
        core.cross_entropy(words, count, at, *of_chunk, threads)
        if found.features is not None:
            to = found.features[start:].data_ptr()
            core.outer(words, at, count, count, weight.data_ptr(), weight.stride(0), size, to, 0, threads)
        if found.weight is not None:
            to = found.weight.data_ptr()
            core.linear(matrix(read), words, at, count, to if start else 0, to, threads, size)
    return found
