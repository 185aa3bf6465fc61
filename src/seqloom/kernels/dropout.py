"""Dropout that draws one random number a call: which numbers stay is told by a hash of that number and their places."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from seqloom.kernels import native
from seqloom.kernels.linear import observed
from seqloom.kernels.recurrence import empty
from seqloom.shapes import Float

STEPS = 1 << 16  # the share is rounded to so many; what is kept is scaled by the rounded one


def dropout(x: Float[Tensor, "*shape"], share: float) -> Float[Tensor, "*shape"]:
    """`x` with a `share` of its numbers at zero, each by chance, and the others larger: the mean stays (Hinton 2012).

    Of other than plain float32 on the CPU, or where torch must see each operation, it is torch's.
    """
    dropped = round(share * STEPS)
    if not 0 < dropped < STEPS or observed() or not native.readable(x):
        return functional.dropout(x, share)
    seed = int(torch.empty((), dtype=torch.int64, device="cpu").random_(-(1 << 63), None)) % (1 << 64)
    if not x.requires_grad or not torch.is_grad_enabled():
        return _drop(x, seed, dropped)
    learned: Tensor = _Dropped.apply(x, seed, dropped)  # type: ignore[no-untyped-call]  # torch has no types for it
    return learned


def _drop(x: Tensor, seed: int, dropped: int) -> Tensor:
    native.isa()  # a wrong SEQLOOM_ISA is told in words
    y, scale = empty(x.numel()), STEPS / (STEPS - dropped)
    native.core().drop(x.numel(), seed, dropped, scale, x.contiguous(), y, torch.get_num_threads())
    return y.view(x.shape)


class _Dropped(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: int, dropped: int) -> Tensor:
        ctx.seed, ctx.dropped = seed, dropped
        return _drop(x, seed, dropped)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if observed() or torch.is_grad_enabled() or not native.readable(gradient):
            factors = _drop(
                torch.ones(gradient.shape, device="cpu"), ctx.seed, ctx.dropped
            )  # to be differentiated again
            return gradient * factors, None, None
        return _drop(gradient, ctx.seed, ctx.dropped), None, None
