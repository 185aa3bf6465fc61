"""The cells as the papers write them: plain Python numbers, one row, one step and one gate at a time.

Nothing here comes from the package, so that a mistake there cannot be made here as well.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

Vector = list[float]
Matrix = list[Vector]  # a row for each input, a column for each unit


class Gate(NamedTuple):
    """The weights of one gate: its own matrices, shift and gains."""

    input: Matrix
    feedback: Matrix
    bias: Vector | None = None
    inner_bias: Vector | None = None
    gain_input: Vector | None = None
    gain_feedback: Vector | None = None


Weights = dict[str, Gate]
State = dict[str, Vector]
Step = tuple[State, dict[str, Vector]]


def times(vector: Vector, matrix: Matrix) -> Vector:
    return [math.fsum(v * row[unit] for v, row in zip(vector, matrix, strict=True)) for unit in range(len(matrix[0]))]


def plus(*vectors: Vector) -> Vector:
    return [math.fsum(values) for values in zip(*vectors, strict=True)]


def normalised(values: Vector, gain: Vector | None) -> Vector:
    """Layer norm (Ba et al. 2016, equation 3) with the usual 1e-5 under the root."""
    if gain is None:
        return values
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    return [g * (value - mean) / math.sqrt(variance + 1e-5) for value, g in zip(values, gain, strict=True)]


def sigmoid(values: Vector) -> Vector:
    return [1 / (1 + math.exp(-value)) for value in values]


def tanh(values: Vector) -> Vector:
    return [math.tanh(value) for value in values]


ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "tanh": math.tanh,
    "relu": lambda value: max(0.0, value),
    "leaky_relu": lambda value: value if value > 0 else 0.01 * value,
}


def from_input(gate: Gate, x: Vector) -> Vector:
    drive = normalised(times(x, gate.input), gate.gain_input)
    return drive if gate.bias is None else plus(drive, gate.bias)


def from_feedback(gate: Gate, hidden: Vector) -> Vector:
    return normalised(times(hidden, gate.feedback), gate.gain_feedback)


def both(gate: Gate, x: Vector, hidden: Vector) -> Vector:
    return plus(from_input(gate, x), from_feedback(gate, hidden))


def rnn(w: Weights, x: Vector, s: State, *, activation: str) -> Step:
    """Elman 1990."""
    return {"hidden": [ACTIVATIONS[activation](value) for value in both(w["output"], x, s["hidden"])]}, {}


def lstm(w: Weights, x: Vector, s: State) -> Step:
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    gates = {name: sigmoid(both(w[name], x, s["hidden"])) for name in ("input", "forget", "output")}
    gates["candidate"] = tanh(both(w["candidate"], x, s["hidden"]))
    cell, hidden = [], []
    for unit, before in enumerate(s["cell"]):
        now = gates["forget"][unit] * before + gates["input"][unit] * gates["candidate"][unit]
        cell.append(now)
        hidden.append(gates["output"][unit] * math.tanh(now))
    return {"hidden": hidden, "cell": cell}, gates


def gru(w: Weights, x: Vector, s: State) -> Step:
    """Cho et al. 2014, equations 5-8: the reset comes before the product; update says how much is kept."""
    reset = sigmoid(both(w["reset"], x, s["hidden"]))
    remembered = [r * h for r, h in zip(reset, s["hidden"], strict=True)]
    return _blend(w, x, s, reset=reset, candidate=tanh(both(w["candidate"], x, remembered)))


def gru_reset_after(w: Weights, x: Vector, s: State) -> Step:
    """The variant of cuDNN: the reset comes after the product and its bias."""
    reset = sigmoid(both(w["reset"], x, s["hidden"]))
    fed = from_feedback(w["candidate"], s["hidden"])
    inner = w["candidate"].inner_bias
    fed = fed if inner is None else plus(fed, inner)
    passed = [r * value for r, value in zip(reset, fed, strict=True)]
    return _blend(w, x, s, reset=reset, candidate=tanh(plus(from_input(w["candidate"], x), passed)))


def _blend(w: Weights, x: Vector, s: State, *, reset: Vector, candidate: Vector) -> Step:
    update = sigmoid(both(w["update"], x, s["hidden"]))
    hidden = [u * h + (1 - u) * n for u, h, n in zip(update, s["hidden"], candidate, strict=True)]
    return {"hidden": hidden}, {"reset": reset, "update": update, "candidate": candidate}


def read(step: Callable[[Weights, Vector, State], Step], w: Weights, sequence: Matrix, first: State) -> list[Step]:
    """What one row does: its real steps in order, each with its state and gates."""
    steps: list[Step] = []
    state = first
    for x in sequence:
        state, gates = step(w, x, state)
        steps.append((state, gates))
    return steps
