"""The compiled core as torch operators, for torch.compile and torch.export: `seqloom::recurrent` and its backward.

What does not exist (the cell of a GRU, gates that were not saved, a gradient nobody wants) is an empty tensor here, as
an operator returns tensors only.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqloom.errors import LengthError
from seqloom.kernels.packing import pack
from seqloom.kernels.recurrence import CELLS, Operands, Reading, Results, compute, differentiate
from seqloom.shapes import LSTMState

_OPERANDS = (
    "Tensor x, Tensor lengths, Tensor weight_input, Tensor weight_hidden, Tensor? bias, Tensor? bias_candidate, "
    "Tensor? mask, Tensor first_hidden, Tensor? first_cell"
)
_SAVED = "Tensor outputs, Tensor gates, Tensor cells"
_GRADIENTS = "Tensor? grad_outputs, Tensor? grad_last_hidden, Tensor? grad_last_cell"
_FIVE, _NINE = (f"({', '.join(['Tensor'] * number)})" for number in (5, 9))

torch.library.define("seqloom::recurrent", f"(str cell, bool reverse, bool save, {_OPERANDS}) -> {_FIVE}")
torch.library.define(
    "seqloom::recurrent_backward",
    f"(str cell, bool reverse, bool[] wanted, {_OPERANDS}, {_SAVED}, {_GRADIENTS}) -> {_NINE}",
)


def recurrent(reading: Reading, o: Operands, *, save: bool) -> Results:
    """`recurrence.compute` as an operator, and differentiable."""
    outputs, last_hidden, last_cell, gates, cells = torch.ops.seqloom.recurrent(
        *reading, save, *o[:9]
    )  # a graph looks nothing up
    known = CELLS[reading.cell]
    has_cell = known.state is LSTMState
    return Results(
        outputs,
        last_hidden,
        last_cell if has_cell else None,
        gates if save and known.saved else None,
        cells if save and has_cell else None,
    )


@torch.library.impl("seqloom::recurrent", "cpu")
def _recurrent(cell: str, reverse: bool, save: bool, *operands: Any) -> tuple[Tensor, ...]:
    o = _checked(operands)
    results = compute(Reading(cell, reverse), o, pack(cell, o), save=save, blank=True)
    return tuple(_or_empty(part, like=o.x) for part in results)


def _recurrent_fake(cell: str, reverse: bool, save: bool, *operands: Any) -> tuple[Tensor, ...]:
    o = Operands(*operands)
    (batch, time, _), hidden = o.x.shape, o.weight_hidden.shape[0]
    known = CELLS[cell]
    has_cell = known.state is LSTMState
    return (
        o.x.new_empty(batch, time, hidden),
        o.x.new_empty(batch, hidden),
        o.x.new_empty(batch, hidden) if has_cell else o.x.new_empty(0),
        o.x.new_empty(batch, time, known.saved, hidden) if save and known.saved else o.x.new_empty(0),
        o.x.new_empty(batch, time, hidden) if save and has_cell else o.x.new_empty(0),
    )


@torch.library.impl("seqloom::recurrent_backward", "cpu")
def _recurrent_backward(cell: str, reverse: bool, wanted: Sequence[bool], *tensors: Any) -> tuple[Tensor, ...]:
    o, (outputs, gates, cells), gradients = _checked(tensors[:9]), tensors[9:12], tensors[12:]
    reading, weights, known = Reading(cell, reverse), pack(cell, o), CELLS[cell]
    if known.saved and not gates.numel():  # an exported program saves nothing, but may be trained on
        outputs, _, _, gates, cells = compute(reading, o, weights, save=True)
    has_cell = known.state is LSTMState
    kept = outputs, gates if known.saved else None, cells if has_cell else None
    come_back = (*gradients[:2], gradients[2] if has_cell else None)
    found = differentiate(reading, o, weights, kept, come_back, (*wanted, False))[:9]
    return tuple(_or_empty(part, like=o.x) for part in found)


def _recurrent_backward_fake(cell: str, reverse: bool, wanted: Sequence[bool], *tensors: Any) -> tuple[Tensor, ...]:
    x = tensors[0]
    return tuple(
        x.new_empty(operand.shape) if want and operand is not None else x.new_empty(0)
        for operand, want in zip(tensors[:9], wanted, strict=True)
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    cell, reverse, _, *operands = inputs
    outputs, _, _, gates, cells = output
    ctx.reading = Reading(cell, reverse)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*operands, outputs, gates, cells)


def _go_back(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[3:])
    found = torch.ops.seqloom.recurrent_backward(*ctx.reading, wanted, *ctx.saved_tensors, *gradients[:3])
    return None, None, None, *(part if want else None for part, want in zip(found, wanted, strict=True))


torch.library.register_fake("seqloom::recurrent", _recurrent_fake)
torch.library.register_fake("seqloom::recurrent_backward", _recurrent_backward_fake)


def _go_back_twice(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    raise NotImplementedError(
        "seqloom: the gradient of a compiled or exported layer is differentiated again, which its operators cannot do. "
        "Set SEQLOOM_KERNELS=reference before compiling."
    )


torch.library.register_autograd("seqloom::recurrent", _go_back, setup_context=_remember)
torch.library.register_autograd("seqloom::recurrent_backward", _go_back_twice)


def _checked(operands: Sequence[Any]) -> Operands:
    """Where a graph is traced the lengths have no values yet, so they are checked here, before the core trusts them."""
    o = Operands(*operands)
    lengths, time = operands[1], o.x.shape[1]
    if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= time:
        raise LengthError(f"lengths lie in {int(lengths.min())}..{int(lengths.max())}. They must lie in 0..{time}.")
    return o


def _or_empty(x: Tensor | None, *, like: Tensor) -> Tensor:
    return like.new_empty(0) if x is None else x
