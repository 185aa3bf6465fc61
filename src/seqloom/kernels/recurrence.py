"""One reading of a batch by the compiled core, forward and backward: the tensors it takes, and the two calls.

Shared by the autograd function of eager calls and by the operators that torch.compile and torch.export see, so that
both give the same bits. Everything is float32 on the CPU; the core trusts the sizes it is told.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from seqloom.cells import GRUGates, LSTMGates, gru_reset_after_step, gru_step, lstm_step, simple_rnn_step
from seqloom.kernels import native
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, Int, LSTMState, RNNState, has_padding


class Cell(NamedTuple):
    """What the compiled core knows of a cell: its step, its gates by name, and how many values a unit it saves."""

    step: Step
    gates: tuple[str, ...] = ()
    saved: int = 0
    state: type[RNNState] | type[LSTMState] = RNNState


POOLED = 1 << 17  # numbers: from there on memory new from the system costs more than a call
_LIKE = torch.empty(0, dtype=torch.float32, device="cpu")  # a tensor made like another costs half of one described

CELLS = {
    "simple_rnn_tanh": Cell(functools.partial(simple_rnn_step, activation=torch.tanh)),
    "simple_rnn_relu": Cell(functools.partial(simple_rnn_step, activation=torch.relu)),
    "simple_rnn_leaky_relu": Cell(functools.partial(simple_rnn_step, activation=leaky_relu)),
    "lstm": Cell(lstm_step, LSTMGates._fields, saved=4, state=LSTMState),
    "gru": Cell(gru_step, GRUGates._fields, saved=3),
    "gru_reset_after": Cell(gru_reset_after_step, GRUGates._fields, saved=4),  # the fourth: h U + d of the candidate
}


class Reading(NamedTuple):
    """How to read: the cell by its name in `CELLS`, and in which direction."""

    cell: str
    reverse: bool


class Operands(NamedTuple):
    """What is read. A gradient is found for all but `lengths`, `mask` and `ids`.

    Where `ids` are given, `x` is a table (R, G) of products: row `ids[b, t]` is x W + b of that step, and there is no
    input weight (of no rows) nor bias. Without `lengths` all steps are read, without a first state it is zeros.
    """

    x: Float[Tensor, "..."]
    lengths: Int[Tensor, " B"] | None
    weight_input: Float[Tensor, "I G"]
    weight_hidden: Float[Tensor, "H G"]
    bias: Float[Tensor, " G"] | None
    bias_candidate: Float[Tensor, " H"] | None
    mask: Float[Tensor, "B H"] | None
    first_hidden: Float[Tensor, "B H"] | None
    first_cell: Float[Tensor, "B H"] | None
    ids: Int[Tensor, "B T"] | None = None


class Results(NamedTuple):
    """What was computed: `last_cell` and `cells` for cells that have one; `gates` and `cells` where they were saved."""

    outputs: Float[Tensor, "B T H"]
    last_hidden: Float[Tensor, "B H"]
    last_cell: Float[Tensor, "B H"] | None
    gates: Float[Tensor, "B T S H"] | None
    cells: Float[Tensor, "B T H"] | None


def name_of(step: Step) -> str | None:
    """The name in `CELLS` of the cell with this step; None where the compiled core does not know it."""
    plain: object = step
    options: Mapping[str, object] = {}
    if isinstance(step, functools.partial) and not step.args:
        plain, options = step.func, step.keywords
    if plain is simple_rnn_step and options.keys() <= {"activation"}:
        return _name_of_activation(options.get("activation", torch.tanh))
    return None if options else _NAMES.get(plain)


_NAMES: dict[object, str] = {known.step: name for name, known in CELLS.items() if known.step is not simple_rnn_step}


def _name_of_activation(activation: object) -> str | None:
    if activation is torch.tanh:
        return "simple_rnn_tanh"
    if activation is torch.relu:
        return "simple_rnn_relu"
    return "simple_rnn_leaky_relu" if activation is leaky_relu else None


def empty(*shape: int) -> Tensor:
    """A float32 tensor on the CPU, not set.

    A large one has memory of the core, which the next such tensor gets when it is gone, and cannot be resized.
    """
    if math.prod(shape) < POOLED:
        return _LIKE.new_empty(*shape)
    found: Tensor = native.core().empty(shape)
    return found


def compute(reading: Reading, o: Operands, weights: Any, *, save: bool, blank: bool = False) -> Results:
    """Read the batch with packed `weights`; `save` keeps what `differentiate` needs, `blank` with zeros at padding."""
    batch, time, hidden = _sizes(o)
    results = _room(reading, o, empty(batch, time, hidden), save=save, blank=blank)
    call = _forward(reading, o, weights, results, threads=torch.get_num_threads())
    native.core().forward(*call.arguments)
    return results


def both_readings(cell: str) -> tuple[Reading, Reading]:
    """How a bidirectional layer reads: forward, and from the last step back."""
    return Reading(cell, reverse=False), Reading(cell, reverse=True)


def compute_both(
    cell: str, both: Sequence[Operands], weights: Sequence[Any], *, save: bool
) -> tuple[Float[Tensor, "B T HH"], list[Results]]:
    """Read the batch in both directions: the outputs side by side, and of each reading its results, a half of them."""
    batch, time, hidden = _sizes(both[0])
    joint = empty(batch, time, 2 * hidden)
    results = [
        _room(reading, o, outputs, save=save, blank=False)
        for reading, o, outputs in zip(both_readings(cell), both, halves(joint), strict=True)
    ]
    calls = [
        _forward(reading, o, packed, read, threads=_threads_of_each())
        for reading, o, packed, read in zip(both_readings(cell), both, weights, results, strict=True)
    ]
    _run_both("forward", calls)
    return joint, results


def differentiate(
    reading: Reading,
    o: Operands,
    weights: Any,
    results: Results,
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the operands that are `wanted`, in their order, None for the others.

    `gradients` are those of outputs, last_hidden and last_cell, None where nothing comes back; of `results` only
    outputs, gates and cells are read.
    """
    found = _wanted(o, wanted)
    call = _backward(reading, o, weights, results, (gradients, found), threads=torch.get_num_threads())
    native.core().backward(*call.arguments)
    return found


def differentiate_both(
    cell: str,
    both: Sequence[Operands],
    weights: Sequence[Any],
    results: Sequence[Results],
    gradients: Sequence[Sequence[Tensor | None]],
    wanted: Sequence[Sequence[bool]],
) -> list[list[Tensor | None]]:
    """What `differentiate` finds for each of two readings."""
    found = [_wanted(o, want) for o, want in zip(both, wanted, strict=True)]
    calls = [
        _backward(reading, o, packed, read, (come, go), threads=_threads_of_each())
        for reading, o, packed, read, come, go in zip(
            both_readings(cell), both, weights, results, gradients, found, strict=True
        )
    ]
    _run_both("backward", calls)
    return found


def halves(x: Float[Tensor, "B T HH"]) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "B T H"]]:
    """The two halves of the last axis, where they are."""
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


class _Call(NamedTuple):
    """What the core is called with, and the tensors that keep the addresses alive until it returns."""

    arguments: tuple[Any, ...]
    tensors: tuple[Tensor | None, ...]


def _side_by_side() -> bool:
    """Whether each direction has a thread of its own: with two. More of them share the rows of one direction."""
    return torch.get_num_threads() == 2


def _threads_of_each() -> int:
    return 1 if _side_by_side() else torch.get_num_threads()


def _run_both(name: Literal["forward", "backward"], calls: Sequence[_Call]) -> None:
    core = native.core()
    if _side_by_side():
        make = core.forward_call if name == "forward" else core.backward_call
        core.run_both(*(make(*call.arguments) for call in calls))
    else:
        for call in calls:
            getattr(core, name)(*call.arguments)


def _sizes(o: Operands) -> tuple[int, int, int]:
    """B, T and H."""
    batch, time = (o.x if o.ids is None else o.ids).shape[:2]
    return batch, time, o.weight_hidden.shape[0]


def _room(reading: Reading, o: Operands, outputs: Tensor, *, save: bool, blank: bool) -> Results:
    """Results around `outputs`, not yet written."""
    batch, time, hidden = _sizes(o)
    known = CELLS[reading.cell]
    has_cell = known.state is LSTMState
    new = o.weight_hidden.new_zeros if blank and o.lengths is not None and has_padding(o.lengths, time) else empty
    return Results(
        outputs=outputs,
        last_hidden=empty(batch, hidden),
        last_cell=empty(batch, hidden) if has_cell else None,
        gates=new(batch, time, known.saved, hidden) if save and known.saved else None,
        cells=new(batch, time, hidden) if save and has_cell else None,
    )


def _forward(reading: Reading, o: Operands, weights: Any, results: Results, *, threads: int) -> _Call:
    source = _source(reading, o, weights, threads=threads)
    arguments = (
        *source.arguments,
        *_placed(results.outputs),
        address(results.last_hidden),
        address(results.last_cell),
        address(results.gates),
        address(results.cells),
        *source.looked_up,
    )
    return _Call(arguments, source.tensors)


def _wanted(o: Operands, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Tensors for the gradients that are wanted, not yet written."""
    return [
        empty(*operand.shape) if operand is not None and want else None for operand, want in zip(o, wanted, strict=True)
    ]


def _backward(
    reading: Reading,
    o: Operands,
    weights: Any,
    results: Results,
    ways: tuple[Sequence[Tensor | None], Sequence[Tensor | None]],
    *,
    threads: int,
) -> _Call:
    """`ways`: the gradients that come back, and the tensors of those that are found."""
    gradients, found = ways
    grad_outputs = None if gradients[0] is None else in_rows(gradients[0])
    grad_hidden, grad_cell = (None if g is None else g.resolve_neg().contiguous() for g in gradients[1:3])
    new = Operands(*found)  # type: ignore[arg-type]
    source = _source(reading, o, weights, threads=threads)
    arguments = (
        *source.arguments,
        *_placed(results.outputs),
        address(results.gates),
        address(results.cells),
        *((0, 0, 0) if grad_outputs is None else _placed(grad_outputs)),
        address(grad_hidden),
        address(grad_cell),
        *(
            address(part)
            for part in (
                new.x if o.ids is None else None,
                new.weight_input,
                new.weight_hidden,
                new.bias,
                new.bias_candidate,
                new.first_hidden,
                new.first_cell,
            )
        ),
        *source.looked_up,
        *((0, 0) if o.ids is None else (address(new.x), o.x.shape[0])),
    )
    return _Call(arguments, (*source.tensors, grad_outputs, grad_hidden, grad_cell))


def in_rows(x: Tensor) -> Tensor:
    """`x` with its last axis in one piece, as the core reads it; other axes may have any stride."""
    return x if x.stride(-1) == 1 and not x.is_neg() else x.resolve_neg().contiguous()


class _Source(NamedTuple):
    """What both calls of the core begin with, the ids and the table among the last arguments, and the tensors that
    keep the addresses alive until they return.
    """

    arguments: tuple[Any, ...]
    looked_up: tuple[int, ...]
    tensors: tuple[Tensor | None, ...]


def _source(reading: Reading, o: Operands, weights: Any, *, threads: int) -> _Source:
    x = in_rows(o.x)
    lengths = None if o.lengths is None else o.lengths.contiguous()
    first_hidden = None if o.first_hidden is None else in_rows(o.first_hidden)
    first_cell = None if o.first_cell is None else in_rows(o.first_cell)
    mask = None if o.mask is None else in_rows(o.mask)
    arguments = (
        weights,
        *(x if o.ids is None else o.ids).shape[:2],
        address(lengths),
        reading.reverse,
        threads,
        *(_placed(x) if o.ids is None else (0, 0, 0)),
        *_by_row(first_hidden),
        *_by_row(first_cell),
        *_by_row(mask),
    )
    looked_up = (0,) * 5 if o.ids is None else (o.ids.data_ptr(), *o.ids.stride(), *_by_row(x))
    return _Source(arguments, looked_up, (x, lengths, first_hidden, first_cell, mask))


def _placed(x: Float[Tensor, "B T N"]) -> tuple[int, int, int]:
    batch, time, _ = x.stride()
    return x.data_ptr(), batch, time


def _by_row(x: Float[Tensor, "B N"] | None) -> tuple[int, int]:
    return (0, 0) if x is None else (x.data_ptr(), x.stride(0))


def address(x: Tensor | None) -> int:
    """Where the numbers of `x` begin; 0 where there is none."""
    return 0 if x is None else x.data_ptr()
