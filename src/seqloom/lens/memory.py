"""What the layers of a model did while they read one sequence: gates and states step by step, and how long they keep.

The values are those that the layers compute anyway (`layer.trace`): looking changes no result.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.nn import Stack
from seqloom.shapes import BidirectionalTrace, Float, Tokens, Trace

KEEPS = ("forget", "update")  # the gates that say which share of a memory stays
UNITS = 16
LONGEST = 1e6  # steps: a gate that never closes keeps for ever, and JSON has no number for that
DIGITS = 5


class Reader(NamedTuple):
    """One layer in one direction, `number` from 1, the lowest; its `trace` of one row is (1, T, H) each."""

    number: int
    direction: str
    trace: Trace


class Layer(NamedTuple):
    """What one layer did while it read in one direction, in the order of the tokens.

    `gates` are the mean over all units of each gate at each step. `moved` is how far the hidden state went in that
    step: the root of the mean square over the units, which a tanh keeps below 2. `half_lives` says for each unit after
    how many steps half of its memory is gone, by the mean logarithm of the gate that keeps it; none for a cell without
    such a gate.

    `units` are those whose hidden state moves most, and `values` their hidden state, cell and gates: for each unit a
    list of steps.
    """

    number: int
    direction: str
    gates: dict[str, list[float]]
    moved: list[float]
    half_lives: list[float]
    units: list[int]
    values: dict[str, list[list[float]]]

    @property
    def name(self) -> str:
        """`layer 1`, or `layer 1, backward`."""
        return f"layer {self.number}" + (", backward" if self.direction == "backward" else "")


@torch.inference_mode()
def read_through(
    stack: Stack, vectors: Float[Tensor, "B T I"] | Tokens, lengths: Tensor
) -> tuple[list[Reader], Float[Tensor, "B T H"]]:
    """The trace of each layer and direction, lowest first, and the outputs of the last layer, as `stack` gives them."""
    readers = []
    outputs: list[Tensor] = []
    for number, trace in enumerate(stack.trace(vectors, lengths), start=1):
        both = trace if isinstance(trace, BidirectionalTrace) else (trace,)
        readers += [Reader(number, way, one) for way, one in zip(("forward", "backward"), both, strict=False)]
        outputs.append(torch.cat([one.hidden for one in both], dim=-1))
    return readers, sum(outputs[1:], start=outputs[0]) if stack.residual else outputs[-1]


def layer_view(reader: Reader, *, units: int = UNITS) -> Layer:
    """What is shown of a reader of one row: means over all units, and the values of those that move most."""
    trace = reader.trace
    hidden = trace.hidden[0]
    before = hidden.roll(1 if reader.direction == "forward" else -1, dims=0)
    before[0 if reader.direction == "forward" else -1] = 0
    moves = (hidden - before).square()
    shown = sorted(moves.sum(dim=0).topk(min(units, hidden.shape[1])).indices.tolist())
    values = {"hidden": hidden} | ({} if trace.cell is None else {"cell": trace.cell[0]})
    values |= {name: gate[0] for name, gate in trace.gates.items()}
    return Layer(
        reader.number,
        reader.direction,
        gates={name: _plain(gate[0].mean(dim=1)) for name, gate in trace.gates.items()},
        moved=_plain(moves.mean(dim=1).sqrt()),
        half_lives=half_lives([reader.trace]),
        units=shown,
        values={name: _plain(value[:, shown].t()) for name, value in values.items()},
    )


def averaged(layer: Layer, runs: Sequence[tuple[int, int]]) -> Layer:
    """What is shown of a long reading: the means over runs of steps, each from its start up to, not with, its end."""

    def mean(values: Sequence[float]) -> list[float]:
        return [round(math.fsum(values[start:end]) / (end - start), DIGITS) for start, end in runs]

    return layer._replace(
        gates={name: mean(gate) for name, gate in layer.gates.items()},
        moved=mean(layer.moved),
        values={name: list(map(mean, units)) for name, units in layer.values.items()},
    )


def half_lives(traces: Sequence[Trace]) -> list[float]:
    """After how many steps half of each unit's memory is gone: ln 2 / -mean(ln gate), over all steps of all traces.

    The product of the gate over so many steps is one half. Each trace is of one row without padding. A million steps
    at most; none where no gate keeps a memory.
    """
    kept = [gate[0] for trace in traces for name, gate in trace.gates.items() if name in KEEPS]
    if not kept or not sum(map(len, kept)):
        return []
    return [min(steps, LONGEST) for steps in half_lives_of(torch.cat(kept))]


def half_lives_of(kept: Float[Tensor, "N H"]) -> list[float]:
    """The half-life of each unit by what its gate kept at each of N steps; infinite where the gate never closes."""
    means = kept.double().clamp(min=torch.finfo(torch.float32).tiny).log().mean(dim=0)
    return [math.log(0.5) / mean if mean < 0 else math.inf for mean in means.tolist()]


def _plain(values: Tensor) -> Any:
    """Nested lists of the values, short enough to be shown."""
    return torch.round(values.double().cpu(), decimals=DIGITS).tolist()
