"""One reading of a batch by the compiled core, forward and backward: the tensors it takes, and the two calls.

Shared by the autograd function of eager calls and by the operators that torch.compile and torch.export see, so that
both give the same bits. Everything is float32 on the CPU. The core looks at the tensors and makes the results itself:
what Python does between two calls takes several times as long as elsewhere, as the core has emptied the caches.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from seqloom.cells import GRUGates, LSTMGates, gru_reset_after_step, gru_step, lstm_step, simple_rnn_step
from seqloom.kernels import native
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, Int, LSTMState, RNNState


class Cell(NamedTuple):
    """What the compiled core knows of a cell: its step, its gates by name, and how many values a unit it saves."""

    step: Step
    gates: tuple[str, ...] = ()
    saved: int = 0
    state: type[RNNState] | type[LSTMState] = RNNState


Kept = tuple[Tensor | None, ...]  # for the way back: outputs, gates and cells of `Results`
Gradients = tuple[Tensor | None, ...]  # of outputs, last_hidden and last_cell: None where nothing comes back

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
    return Results(*native.core().read(weights, o, reading.reverse, torch.get_num_threads(), save, blank))


def compute_both(
    both: tuple[Operands, Operands], weights: tuple[Any, Any], *, save: bool
) -> tuple[Float[Tensor, "B T HH"], tuple[Tensor | None, ...], tuple[Tensor | None, ...]]:
    """Read the batch forward and from back to front: the outputs side by side, then the rest of each `Results`."""
    found: tuple[Any, Any, Any] = native.core().read_both(*weights, both, torch.get_num_threads(), save)
    return found


def differentiate(
    reading: Reading, o: Operands, weights: Any, kept: Kept, gradients: Gradients, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of the operands that are `wanted`, in their order, None for the others."""
    core, threads = native.core(), torch.get_num_threads()
    found: list[Tensor | None] = core.go_back(weights, o, reading.reverse, threads, kept, gradients, wanted)
    return found


def differentiate_both(
    both: tuple[Operands, Operands],
    weights: tuple[Any, Any],
    kept: tuple[Kept, Kept],
    gradients: tuple[Gradients, Gradients],
    wanted: tuple[Sequence[bool], Sequence[bool]],
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """What `differentiate` finds for each reading of `compute_both`."""
    threads = torch.get_num_threads()
    found: tuple[Any, Any] = native.core().go_back_both(*weights, both, threads, kept, gradients, wanted)
    return found


def halves(x: Float[Tensor, "B T HH"]) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "B T H"]]:
    """The two halves of the last axis, where they are."""
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def in_rows(x: Tensor) -> Tensor:
    """`x` with its last axis in one piece, as the core reads it; other axes may have any stride."""
    return x if x.stride(-1) == 1 and not x.is_neg() else x.resolve_neg().contiguous()


def address(x: Tensor | None) -> int:
    """Where the numbers of `x` begin; 0 where there is none."""
    return 0 if x is None else x.data_ptr()
