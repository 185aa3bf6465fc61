"""Dropout whose random numbers cost a quarter: 16 bits decide of a number, where torch spends 64 on each."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from seqloom.kernels.linear import observed
from seqloom.shapes import Float

STEPS = 1 << 16  # the share is rounded to so many; what is kept is scaled by the rounded one
LOWEST, LOWEST_64 = -(1 << 15), -(1 << 63)


def dropout(x: Float[Tensor, "*shape"], share: float) -> Float[Tensor, "*shape"]:
    """`x` with a `share` of its numbers at zero, each by chance, and the others larger: the mean stays (Hinton 2012).

    Elsewhere than on the CPU, or where torch must see each operation, it is torch's.
    """
    dropped = round(share * STEPS)
    if not 0 < dropped < STEPS or not x.is_cpu or observed():
        return functional.dropout(x, share)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(LOWEST_64, None).view(torch.int16)
    kept = (bits[: x.numel()].view(x.shape) >= LOWEST + dropped).view(torch.int8)
    return _scaled(x, kept, STEPS / (STEPS - dropped))


def _scaled(x: Tensor, kept: Tensor, scale: float) -> Tensor:
    result: Tensor = _Dropped.apply(x, kept, scale)  # type: ignore[no-untyped-call]  # torch has no types for it
    return result


class _Dropped(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return (x * kept).mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return _scaled(gradient, kept, ctx.scale), None, None
