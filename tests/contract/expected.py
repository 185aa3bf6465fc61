"""What a layer must answer: `equations` applied row by row to the weights of the layer, each gate cut out by itself."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.nn import GRU, LSTM, Bidirectional, Recurrent, SimpleRNN, Stack
from tests.contract import equations
from tests.contract.equations import Gate, Matrix, Step, Vector, Weights
from tests.contract.layers import Layer

Row = list[Vector]


class Reading(NamedTuple):
    """One row read by one layer: outputs of the real steps, final paths, and the steps of each direction."""

    outputs: Row
    final: list[Vector]
    steps: list[list[Step]]  # one list for each direction of each layer, in the order of the sequence


def expected(layer: Layer, row: Tensor, first: list[Vector]) -> Reading:
    """The reading of `row` (steps, I), which holds no padding, from the paths `first` on. The list is used up."""
    if isinstance(layer, Stack):
        return _stacked(layer, row.tolist(), first)
    return _read(layer, row.tolist(), first)


def _stacked(stack: Stack, row: Row, first: list[Vector]) -> Reading:
    final, steps = [], []
    for number, part in enumerate(stack.parts):
        reading = _read(part, row, first)
        final += reading.final
        steps += reading.steps
        residual = stack.residual and number > 0
        row = [equations.plus(a, b) for a, b in zip(reading.outputs, row, strict=True)] if residual else reading.outputs
    return Reading(row, final, steps)


def _read(layer: Recurrent | Bidirectional, row: Row, first: list[Vector]) -> Reading:
    if isinstance(layer, Recurrent):
        return _one_way(layer, row, first)
    ahead = _one_way(layer.forward_layer, row, first)
    back = _one_way(layer.backward_layer, row[::-1], first)
    outputs = [one + other for one, other in zip(ahead.outputs, back.outputs[::-1], strict=True)]
    return Reading(outputs, ahead.final + back.final, [ahead.steps[0], back.steps[0][::-1]])


def _one_way(layer: Recurrent, row: Row, first: list[Vector]) -> Reading:
    step, gates = _cell(layer)
    names = ("hidden", "cell") if isinstance(layer, LSTM) else ("hidden",)
    state = {name: first.pop(0) for name in names}
    steps = equations.read(step, _weights(layer, gates), row, state)
    final = steps[-1][0] if steps else state
    return Reading([s["hidden"] for s, _ in steps], [final[name] for name in names], [steps])


def _cell(layer: Recurrent) -> tuple[Callable[..., Step], tuple[str, ...]]:
    if isinstance(layer, SimpleRNN):
        return functools.partial(equations.rnn, activation=layer.activation), ("output",)
    if isinstance(layer, LSTM):
        return equations.lstm, ("input", "forget", "candidate", "output")
    assert isinstance(layer, GRU)
    return (equations.gru_reset_after if layer.reset_after else equations.gru), ("reset", "update", "candidate")


def _weights(layer: Recurrent, gates: tuple[str, ...]) -> Weights:
    inner = getattr(layer, "bias_candidate", None)
    weights = {}
    for number, name in enumerate(gates):
        cut = functools.partial(_columns, number=number, hidden=layer.hidden_size)
        matrices: list[Matrix] = [cut(layer.weight_input), cut(layer.weight_hidden)]
        weights[name] = Gate(
            *matrices,
            bias=cut(layer.bias),
            inner_bias=inner.tolist() if inner is not None and name == "candidate" else None,
            gain_input=cut(layer.norm_input),
            gain_feedback=cut(layer.norm_hidden),
        )
    return weights


def _columns(weight: Tensor | None, *, number: int, hidden: int) -> list[Vector] | Vector | None:
    if weight is None:
        return None
    columns: Tensor = weight.detach()[..., number * hidden : (number + 1) * hidden]
    return columns.to(torch.float64).tolist()
