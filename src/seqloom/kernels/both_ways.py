"""Both readings of a bidirectional layer by the compiled core: one node of torch's graph, outputs side by side.

With two threads each reads in one direction, so that none waits for the other at the end of each, and each step's
weights are fetched for all rows at once. The bits are those of one reading after the other.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.autograd import Function

from seqloom.cells import CellParameters
from seqloom.kernels.fused_cpu import by_reference, needs_gradient, operands, plain
from seqloom.kernels.packing import pack
from seqloom.kernels.recurrence import (
    CELLS,
    Operands,
    Reading,
    Results,
    compute_both,
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
    """As `dispatch.run_both`, for what `dispatch.choose` lets through in both directions, unobserved by a compiler."""
    cell = name_of(step)
    assert cell is not None
    if isinstance(x, Tokens):
        x = Tokens(x.ids, x.vectors.float())
    ahead, back = (operands(p, x, lengths, state) for p, state in zip(parameters, states, strict=True))
    if needs_gradient(ahead) or needs_gradient(back):
        outputs, *last = _BothWays.apply(cell, *ahead, *back)  # type: ignore[no-untyped-call]
    else:
        outputs, results = compute_both(cell, (ahead, back), (pack(cell, ahead), pack(cell, back)), save=False)
        last = [path for read in results for path in (read.last_hidden, read.last_cell)]
    state = CELLS[cell].state
    paths = len(state._fields)
    return outputs, (state(*last[:paths]), state(*last[2 : 2 + paths]))


class _BothWays(Function):
    """One node of the graph for both readings."""

    @staticmethod
    def forward(ctx: Any, cell: str, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        both = _operands(tensors)
        weights = [pack(cell, o) for o in both]
        outputs, results = compute_both(cell, both, weights, save=True)
        ctx.cell, ctx.weights, ctx.one_input = cell, weights, both[0].x is both[1].x
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, outputs, *(kept for read in results for kept in read[3:]))
        return outputs, *(path for read in results for path in read[1:3])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, outputs, gates, cells, gates_back, cells_back = ctx.saved_tensors
        both, half = _operands(tensors), len(tensors) // 2
        wanted = ctx.needs_input_grad[1 : 1 + half], ctx.needs_input_grad[1 + half :]
        of_outputs = (None, None) if gradients[0] is None else halves(gradients[0])
        ways = (of_outputs[0], *gradients[1:3]), (of_outputs[1], *gradients[3:5])
        if plain(gradients):
            kept = (gates, cells), (gates_back, cells_back)
            results = [Results(y, y, None, *own) for y, own in zip(halves(outputs), kept, strict=True)]
            ahead, back = differentiate_both(ctx.cell, both, ctx.weights, results, ways, wanted)
            if ctx.one_input and ahead[0] is not None and back[0] is not None:
                ahead[0].add_(back[0])
                back[0] = None
        else:
            ahead, back = (
                by_reference(Reading(ctx.cell, reverse), o, (*way, None, None), want)
                for reverse, o, way, want in zip((False, True), both, ways, wanted, strict=True)
            )
        return None, *ahead, *back


def _operands(tensors: Sequence[Tensor | None]) -> tuple[Operands, Operands]:
    half = len(tensors) // 2
    return Operands(*tensors[:half]), Operands(*tensors[half:])  # type: ignore[arg-type]
