"""What Keras on JAX and on TensorFlow share: the layer, with the weights of the task, and what it is given."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Array, Direction, Task, fingerprint, numbers

KINDS = {"SimpleRNN": keras.layers.SimpleRNN, "GRU": keras.layers.GRU, "LSTM": keras.layers.LSTM}


def make_layer(task: Task) -> Any:
    """The layer with the weights of `task`: one bias a gate but for GRU, which has both, its gates in another order."""
    case, given = task.case, numbers(task)
    stepped = case.kind == "step"
    layer = KINDS[task.cell](case.hidden, return_sequences=True, return_state=stepped)
    if case.directions == 2:
        layer = keras.layers.Bidirectional(layer)
    layer.build((case.batch, case.time, case.input))
    layer.set_weights([values for direction in given.directions for values in _weights(task, direction)])
    return layer


def mask_of(task: Task) -> NDArray[np.bool_] | None:
    """Which steps are real (B, T), where rows differ in it."""
    if task.case.kind != "reviews":
        return None
    real: NDArray[np.bool_] = np.arange(task.case.time)[None, :] < task.case.lengths[:, None]
    return real


def first_state(task: Task) -> list[Array]:
    """Zeros (B, H), two of them for the LSTM."""
    return [np.zeros((task.case.batch, task.case.hidden), np.float32) for _ in range(1 + (task.cell == "LSTM"))]


def feedback_weights(task: Task) -> list[int]:
    """Where the feedback weights stand among a layer's variables: after the input weights of each direction."""
    return [3 * direction + 1 for direction in range(task.case.directions)]


def show(task: Task, x: Any, weights: list[Any]) -> list[float]:
    """The fingerprint of a training step: the gradients of `x` and of the feedback weights."""
    return fingerprint(task, x, *(weights[number] for number in feedback_weights(task)))


def _weights(task: Task, direction: Direction) -> list[Array]:
    if task.cell != "GRU":
        return [direction.weight_input.T, direction.weight_hidden.T, direction.bias_input + direction.bias_hidden]

    def ordered(values: Array) -> Array:
        reset, update, candidate = np.split(values, 3)
        return np.concatenate([update, reset, candidate])

    biases = np.stack([ordered(direction.bias_input), ordered(direction.bias_hidden)])
    return [ordered(direction.weight_input).T, ordered(direction.weight_hidden).T, biases]
