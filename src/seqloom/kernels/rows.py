"""Some rows of a matrix, whose gradient costs little: its memory is an earlier step's, not new from the system."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from seqloom.kernels.linear import fits
from seqloom.kernels.recurrence import empty
from seqloom.shapes import Float, Int, has_padding, valid_steps


def take_rows(
    x: Float[Tensor, "R I"], places: Int[Tensor, " N"], *, padding_idx: int | None = None
) -> Float[Tensor, "N I"]:
    """The rows of `x` at `places`, which are all different. Row `padding_idx` has no gradient."""
    if x.requires_grad and torch.is_grad_enabled() and fits(x, x.t(), None):
        rows: Tensor = _Rows.apply(x, places, padding_idx)  # type: ignore[no-untyped-call]  # torch has no types for it
        return rows
    return torch.embedding(x, places, -1 if padding_idx is None else padding_idx)


def real_rows(x: Float[Tensor, "B T I"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "N I"]:
    """The real steps of each row, row after row; a view where there is no padding."""
    steps = x.flatten(0, 1)
    if not has_padding(lengths, x.shape[1]):
        return steps
    return take_rows(steps, valid_steps(lengths, x.shape[1]).flatten().nonzero().squeeze(1))


class _Rows(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, padding_idx: int | None) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape, ctx.padding_idx = x.shape, padding_idx
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        whole = empty(*ctx.shape).zero_() if gradient.is_cpu else gradient.new_zeros(ctx.shape)
        whole.index_copy_(0, places, gradient)
        if ctx.padding_idx is not None:
            whole[ctx.padding_idx] = 0
        return whole, None, None
