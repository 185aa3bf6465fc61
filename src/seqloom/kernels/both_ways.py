"""Both readings of a bidirectional layer by the compiled core: one node of torch's graph, outputs side by side.

With two threads each reads in one direction, so that none waits for the other at the end of each, and each step's
weights are fetched for all rows at once. The bits are those of one reading after the other. Being one node, both go
back together, and the outputs are kept for that: after a change of them in place torch refuses to.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.autograd import Function

from seqloom.cells import CellParameters
from seqloom.kernels.fused_cpu import as_looked_up, by_reference, directly, needs_gradient, operands, plain, tables
from seqloom.kernels.packing import pack
from seqloom.kernels.recurrence import (
    CELLS,
    Operands,
    Reading,
    compute_both,
    differentiate,
    differentiate_both,
    halves,
    name_of,
)
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, Int, Start, State, Tokens


def run(
    step: Step,
    parameters: Sequence[CellParameters],
    x: Float[Tensor, "B T I"] | Tokens,
    lengths: Int[Tensor, " B"] | None,
    states: Sequence[Start],
) -> tuple[Float[Tensor, "B T HH"], tuple[State, State]]:
    """As `dispatch.run_both`, for what it lets through: both cells are alike, and both or none need a gradient."""
    cell = name_of(step)
    assert cell is not None
    x = as_looked_up(x) if isinstance(x, Tokens) else x.float()
    looked_up: Sequence[Tensor | None] = tables(x.vectors, parameters) if isinstance(x, Tokens) else (None, None)
    ahead, back = (
        operands(p, x, lengths, state, products=products)
        for p, state, products in zip(parameters, states, looked_up, strict=True)
    )
    if needs_gradient(ahead):
        outputs, *last = _apply(cell, *ahead, *back)
    else:
        outputs, *rest = compute_both((ahead, back), (pack(cell, ahead), pack(cell, back)), save=False)
        last = [path for read in rest for path in read[:2]]
    state = CELLS[cell].state
    paths = len(state._fields)
    return outputs, (state(*last[:paths]), state(*last[2 : 2 + paths]))


class _BothWays(Function):
    """One node of the graph for both readings."""

    @staticmethod
    def forward(ctx: Any, cell: str, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        both = _operands(tensors)
        weights = pack(cell, both[0]), pack(cell, both[1])
        outputs, *rest = compute_both(both, weights, save=True)
        ctx.cell, ctx.weights, ctx.one_input = cell, weights, both[0].x is both[1].x
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, outputs, *(kept for read in rest for kept in read[2:]))
        return outputs, *(path for read in rest for path in read[:2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, outputs, gates, cells, gates_back, cells_back = ctx.saved_tensors
        both, half = _operands(tensors), len(tensors) // 2
        wanted = ctx.needs_input_grad[1 : 1 + half], ctx.needs_input_grad[1 + half :]
        of_outputs = (None, None) if gradients[0] is None else halves(gradients[0])
        ways = (of_outputs[0], *gradients[1:3]), (of_outputs[1], *gradients[3:5])
        of_ahead, of_back = halves(outputs)
        kept = (of_ahead, gates, cells), (of_back, gates_back, cells_back)
        come_back = [any(gradient is not None for gradient in way) for way in ways]
        if all(come_back) and plain(gradients):
            ahead, back = differentiate_both(both, ctx.weights, kept, ways, wanted)
            if ctx.one_input and ahead[0] is not None and back[0] is not None:
                ahead[0].add_(back[0])
                back[0] = None
            return None, *ahead, *back
        found: list[Tensor | None] = []
        for number, (o, way, want) in enumerate(zip(both, ways, wanted, strict=True)):
            reading = Reading(ctx.cell, reverse=number == 1)
            if not come_back[number]:
                found += [None] * half
            elif plain(gradients):
                found += differentiate(reading, o, ctx.weights[number], kept[number], way, want)
            else:
                found += by_reference(reading, o, (*way, None, None), want)
        return None, *found


_apply = directly(_BothWays)


def _operands(tensors: Sequence[Tensor | None]) -> tuple[Operands, Operands]:
    half = len(tensors) // 2
    return Operands(*tensors[:half]), Operands(*tensors[half:])  # type: ignore[arg-type]
