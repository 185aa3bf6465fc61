"""The fast path on the CPU: the compiled core reads the whole batch in one call, and torch's autograd goes through it.

What the core cannot do, the reference does: where the gradient itself is differentiated, or comes back through the
gates, the batch is read again by the cell's equations.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Parameter

from seqloom.cells import CellParameters
from seqloom.kernels import native, operators, reference
from seqloom.kernels.linear import fits, linears
from seqloom.kernels.packing import pack, table
from seqloom.kernels.recurrence import CELLS, Operands, Reading, Results, compute, differentiate, name_of
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, Int, Start, State, Tokens, Trace


def run(
    step: Step,
    p: CellParameters,
    x: Float[Tensor, "B T I"] | Tokens,
    lengths: Int[Tensor, " B"] | None,
    state: Start,
    *,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Float[Tensor, "B T H"], State, Trace | None]:
    """As `dispatch.run`, for what `dispatch.choose` lets through. Always in float32: autocast changes nothing."""
    cell = name_of(step)
    assert cell is not None
    if isinstance(x, Tokens):
        x = as_looked_up(x)
    if observed():  # the graph of a compiler has one way to read
        x = x.spelled_out() if isinstance(x, Tokens) else x
        lengths, state = reference.spelled_out(p, x, lengths, state)
    o = operands(p, x, lengths, state)
    results = _results(Reading(cell, reverse), o, record=record)
    last = (results.last_hidden,) if results.last_cell is None else (results.last_hidden, results.last_cell)
    return results.outputs, CELLS[cell].state(*last), _trace(cell, results) if record else None


def operands(
    p: CellParameters, x: Tensor | Tokens, lengths: Tensor | None, state: Start, *, products: Tensor | None = None
) -> Operands:
    """What `run` was given, as the compiled core takes it: float32, and a row of the batch in each row.

    `products`: what `tables` gives for tokens, where it is there already.
    """
    weight_input, bias, ids = p.weight_input, p.bias, None
    if isinstance(x, Tokens):
        ids, x = x.ids, tables(x.vectors, (p,))[0] if products is None else products
        weight_input, bias = p.weight_hidden.new_empty(0, weight_input.shape[1]), None
    rows = ((x if ids is None else ids).shape[0], p.weight_hidden.shape[0])
    hidden, cell = (None, None) if isinstance(state, type) else (state.hidden, getattr(state, "cell", None))
    return Operands(
        x=x if x.dtype is torch.float32 else x.float(),
        lengths=None if lengths is None else _expanded(lengths.long(), rows[:1]),
        weight_input=weight_input,
        weight_hidden=p.weight_hidden,
        bias=bias,
        bias_candidate=p.bias_candidate,
        mask=None if p.hidden_mask is None else _expanded(p.hidden_mask, rows),
        first_hidden=None if hidden is None else _expanded(hidden.float(), rows),
        first_cell=None if cell is None else _expanded(cell.float(), rows),
        ids=ids,
    )


def as_looked_up(x: Tokens) -> Tensor | Tokens:
    """The tokens in float32, spelled out where their ids, which torch.func may have left behind, are in no memory."""
    x = Tokens(x.ids, x.vectors.float())
    return x if observed() or native.in_memory(x.ids) else x.spelled_out()


def tables(vectors: Float[Tensor, "R I"], cells: Sequence[CellParameters]) -> Sequence[Float[Tensor, "R G"]]:
    """x W + b of each vector for each cell, under autocast too; of a whole table of vectors from those kept."""
    weights, biases = [p.weight_input for p in cells], [p.bias for p in cells]
    of_table = isinstance(vectors, Parameter) and vectors.is_contiguous() and not torch.is_grad_enabled()
    if of_table and all(fits(vectors, p.weight_input, p.bias) for p in cells):
        return [table(vectors, p.weight_input, None if p.bias is None else p.bias.contiguous()) for p in cells]
    if not torch.is_autocast_enabled("cpu"):
        return linears(vectors, weights, biases)
    with torch.autocast("cpu", enabled=False):
        return linears(vectors, weights, biases)


def _expanded(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x if x.shape == shape else x.expand(shape)


def needs_gradient(parts: Iterable[Tensor | None]) -> bool:
    """Whether a gradient of any part is recorded now."""
    if torch.is_grad_enabled():
        for part in parts:
            if part is not None and part.requires_grad:
                return True
    return False


def observed() -> bool:
    """Whether a compiler or another mode of torch must see each operation, rather than have it done."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def _results(reading: Reading, o: Operands, *, record: bool) -> Results:
    if observed():
        # An exported program is mostly asked for answers; its backward, if any, makes the gates again.
        save = record or (needs_gradient(o) and not torch.compiler.is_exporting())
        return operators.recurrent(reading, o, save=save)
    if needs_gradient(o):
        return Results(*_apply(reading, record, *o))
    return compute(reading, o, pack(reading.cell, o), save=record, blank=record)


def _trace(cell: str, results: Results) -> Trace:
    names = CELLS[cell].gates
    gates = {} if results.gates is None else dict(zip(names, results.gates.unbind(2), strict=False))
    return Trace(hidden=results.outputs, cell=results.cells, gates=gates)


def directly(node: type[Function]) -> Callable[..., Any]:
    """`node.apply`, without a search of all arguments for what torch.func left behind.

    Such tensors do not come here: `dispatch.choose` refuses them, and `as_looked_up` spells out such ids.
    """
    found: Callable[..., Any] = super(Function, node).apply  # type: ignore[misc]  # torch's own class below has no types
    return found


class _Recurrence(Function):
    """One node of the graph for the whole reading."""

    @staticmethod
    def forward(ctx: Any, reading: Reading, record: bool, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        o = Operands(*tensors)  # type: ignore[arg-type]
        weights = pack(reading.cell, o)
        results = compute(reading, o, weights, save=True, blank=record)
        ctx.reading, ctx.weights = reading, weights
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, results.outputs, results.gates, results.cells)
        return tuple(results) if record else (*results[:3], None, None)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, outputs, gates, cells = ctx.saved_tensors
        o, wanted = Operands(*tensors), ctx.needs_input_grad[2:]
        if not any(gradient is not None for gradient in gradients[3:]) and plain(gradients):
            found = differentiate(ctx.reading, o, ctx.weights, (outputs, gates, cells), gradients[:3], wanted)
        else:
            found = by_reference(ctx.reading, o, gradients, wanted)
        return None, None, *found


_apply = directly(_Recurrence)


def plain(gradients: Sequence[Tensor | None]) -> bool:
    """Whether the core can go back: these are numbers in memory, and the results are not differentiated again."""
    if torch.is_grad_enabled() or observed():
        return False
    return all(gradient is None or native.in_memory(gradient) for gradient in gradients)


def by_reference(
    reading: Reading, o: Operands, gradients: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of `differentiate` by the reference, as differentiable as it is; two more, of gates and cells."""
    known, again = CELLS[reading.cell], torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        o = Operands(*views(o))  # type: ignore[arg-type]
        x, weight_input = _spelled_out(o)
        p = CellParameters(weight_input, o.weight_hidden, o.bias, bias_candidate=o.bias_candidate, hidden_mask=o.mask)
        given = [part for part in (o.first_hidden, o.first_cell) if part is not None]
        lengths, first = reference.spelled_out(p, x, o.lengths, known.state(*given) if given else known.state)
        outputs, last, trace = reference.run(known.step, p, x, lengths, first, reverse=reading.reverse, record=True)
        assert trace is not None
        results = [outputs, last.hidden, getattr(last, "cell", None), *trace.gates.values(), trace.cell]
    gates = [None] * len(trace.gates) if gradients[3] is None else gradients[3].unbind(2)[: len(trace.gates)]
    return differentiated(results, (*gradients[:3], *gates, gradients[4]), o, wanted, again=again)


def views(operands: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Views of their own: operands may depend on each other, and each gradient must end at its own operand."""
    return [None if part is None else part.view_as(part) for part in operands]


def differentiated(
    results: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
    operands: Sequence[Tensor | None],
    wanted: Sequence[bool],
    *,
    again: bool,
) -> list[Tensor | None]:
    """The gradients of the operands that are `wanted`, through torch's graph; `again`, to be differentiated further."""
    pairs = [
        (result, gradient)
        for result, gradient in zip(results, gradients, strict=True)
        if result is not None and result.requires_grad and gradient is not None
    ]
    inputs = [part for part, want in zip(operands, wanted, strict=True) if part is not None and want]
    found = iter(
        torch.autograd.grad(
            [result for result, _ in pairs],
            inputs,
            [gradient for _, gradient in pairs],
            create_graph=again,
            allow_unused=True,
        )
    )
    return [next(found) if want else None for want in wanted]


def _spelled_out(o: Operands) -> tuple[Tensor, Tensor]:
    """The input and its weights: what was looked up is its own input, by weights that change nothing."""
    if o.ids is None:
        return o.x, o.weight_input
    return Tokens(o.ids, o.x).spelled_out(), torch.eye(o.x.shape[1], dtype=o.x.dtype, device=o.x.device)
