"""One reading of a batch by the compiled core, forward and backward: the tensors it takes, and the two calls.

Shared by the autograd function of eager calls and by the operators that torch.compile and torch.export see, so that
both give the same bits. Everything is float32 on the CPU; the core trusts the sizes it is told.
"""

import functools
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


Arguments = tuple[Any, ...]  # of a call of the core: tensors, whose memory it reads and writes, sizes and flags

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
    """A float32 tensor on the CPU, not set, which cannot be resized; a large one's memory is kept for the next one."""
    found: Tensor = native.core().empty(*shape)
    return found


def compute(reading: Reading, o: Operands, weights: Any, *, save: bool, blank: bool = False) -> Results:
    """Read the batch with packed `weights`; `save` keeps what `differentiate` needs, `blank` with zeros at padding."""
    results = _room(reading, o, empty(*_sizes(o)), save=save, blank=blank)
    native.core().forward(*_forward(reading, o, weights, results, threads=torch.get_num_threads()))
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
    ways = gradients, found
    native.core().backward(*_backward(reading, o, weights, results, ways, threads=torch.get_num_threads()))
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


def _side_by_side() -> bool:
    """Whether each direction has a thread of its own: with two. More of them share the rows of one direction."""
    return torch.get_num_threads() == 2


def _threads_of_each() -> int:
    return 1 if _side_by_side() else torch.get_num_threads()


def _run_both(name: Literal["forward", "backward"], calls: Sequence[Arguments]) -> None:
    core = native.core()
    if _side_by_side():
        make = core.forward_call if name == "forward" else core.backward_call
        core.run_both(*(make(*arguments) for arguments in calls))
    else:
        for arguments in calls:
            getattr(core, name)(*arguments)


def _sizes(o: Operands) -> tuple[int, int, int]:
    """B, T and H."""
    batch, time = (o.x if o.ids is None else o.ids).shape[:2]
    return batch, time, o.weight_hidden.shape[0]


def _room(reading: Reading, o: Operands, outputs: Tensor, *, save: bool, blank: bool) -> Results:
    """Results around `outputs`, not yet written."""
    known, (batch, time, _), hidden = CELLS[reading.cell], outputs.shape, o.weight_hidden.shape[0]
    new = native.core().empty
    last = new(batch, hidden), new(batch, hidden) if known.state is LSTMState else None
    if not save:
        return Results(outputs, *last, None, None)
    if blank and o.lengths is not None and has_padding(o.lengths, time):
        new = o.weight_hidden.new_zeros
    gates = new(batch, time, known.saved, hidden) if known.saved else None
    return Results(outputs, *last, gates, None if last[1] is None else new(batch, time, hidden))


def _forward(reading: Reading, o: Operands, weights: Any, results: Results, *, threads: int) -> Arguments:
    source, looked_up = _source(reading, o, weights, threads=threads)
    return *source, *results, *looked_up


def _wanted(o: Operands, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Tensors for the gradients that are wanted, not yet written."""
    found: list[Tensor | None] = native.core().empty_like(o, tuple(wanted))
    return found


def _backward(
    reading: Reading,
    o: Operands,
    weights: Any,
    results: Results,
    ways: tuple[Sequence[Tensor | None], Sequence[Tensor | None]],
    *,
    threads: int,
) -> Arguments:
    """`ways`: the gradients that come back, and the tensors of those that are found."""
    gradients, found = ways
    new = Operands(*found)  # type: ignore[arg-type]
    source, looked_up = _source(reading, o, weights, threads=threads)
    return (
        *source,
        results.outputs,
        results.gates,
        results.cells,
        *(None if gradient is None else in_rows(gradient) for gradient in gradients[:3]),
        new.x if o.ids is None else None,
        new.weight_input,
        new.weight_hidden,
        new.bias,
        new.bias_candidate,
        new.first_hidden,
        new.first_cell,
        *looked_up,
        *(() if o.ids is None else (new.x, o.x.shape[0])),
    )


def in_rows(x: Tensor) -> Tensor:
    """`x` with its last axis in one piece, as the core reads it; other axes may have any stride."""
    return x if x.stride(-1) == 1 and not x.is_neg() else x.resolve_neg().contiguous()


def _source(reading: Reading, o: Operands, weights: Any, *, threads: int) -> tuple[Arguments, Arguments]:
    """What both calls of the core begin with, and the ids and the table, which come later."""
    x = in_rows(o.x)
    arguments = (
        weights,
        *(x if o.ids is None else o.ids).shape[:2],
        None if o.lengths is None else o.lengths.contiguous(),
        reading.reverse,
        threads,
        x if o.ids is None else None,
        None if o.first_hidden is None else in_rows(o.first_hidden),
        None if o.first_cell is None else in_rows(o.first_cell),
        None if o.mask is None else in_rows(o.mask),
    )
    return arguments, () if o.ids is None else (o.ids, x)


def address(x: Tensor | None) -> int:
    """Where the numbers of `x` begin; 0 where there is none."""
    return 0 if x is None else x.data_ptr()
