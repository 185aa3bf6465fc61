"""The largest of each unit over time by the compiled core: outputs are read once, their gradient is written once."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from seqloom.kernels import native
from seqloom.kernels.linear import observed
from seqloom.kernels.recurrence import address, empty, in_rows
from seqloom.shapes import Float, Int

MOST_STEPS = 1 << 24  # whole numbers up to there are exact in the core's vectors
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def fits(outputs: Tensor, lengths: Tensor) -> bool:
    """Whether `max_pool` can do this, and nobody must see each operation of torch."""
    if observed() or not native.readable(outputs) or outputs.dim() != 3 or not outputs.numel():
        return False
    if type(lengths) is not Tensor or lengths.dtype not in WHOLE or not lengths.is_cpu or lengths.is_nested:
        return False
    batch, time, _ = outputs.shape
    return time <= MOST_STEPS and lengths.shape == (batch,) and native.in_memory(lengths)


def max_pool(outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
    """The largest value of each unit over the real steps, 0 without any. Of equal ones the first has the gradient."""
    if not outputs.requires_grad or not torch.is_grad_enabled():
        return _largest(outputs, lengths, None)
    largest: Tensor = _MaxPool.apply(outputs, lengths)  # type: ignore[no-untyped-call]  # torch has no types for it
    return largest


class _MaxPool(Function):
    """Keeps where the largest were, a step's worth of numbers, and not the outputs."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, lengths: Tensor) -> Tensor:
        places = lengths.new_empty(outputs.shape[0], outputs.shape[2], dtype=torch.int32)
        ctx.save_for_backward(places)
        ctx.shape = outputs.shape
        return _largest(outputs, lengths, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        if torch.is_grad_enabled() or observed() or not native.readable(gradient):  # to be differentiated again
            at = places.clamp(min=0).long()[:, None]
            return gradient.new_zeros(ctx.shape).scatter(1, at, gradient.where(places >= 0, 0)[:, None]), None
        gradient, whole = gradient.contiguous(), empty(*ctx.shape)
        sources = places.data_ptr(), gradient.data_ptr()
        native.core().max_pool_backward(*ctx.shape, *sources, whole.data_ptr(), torch.get_num_threads())
        return whole, None


def _largest(outputs: Tensor, lengths: Tensor, places: Tensor | None) -> Tensor:
    native.isa()  # a wrong SEQLOOM_ISA is told in words
    outputs, lengths = in_rows(outputs), lengths.long().contiguous()
    batch, time, units = outputs.shape
    largest = empty(batch, units)
    native.core().max_pool(
        *(batch, time, units, lengths.data_ptr()),
        *(outputs.data_ptr(), *outputs.stride()[:2]),
        *(largest.data_ptr(), address(places), torch.get_num_threads()),
    )
    return largest
