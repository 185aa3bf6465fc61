"""Where the gradient goes on its way back through time, and how long a memory lasts, as plain numbers and in words.

A model is looked at as it answers: without dropout, and with results that are, to the bit, those without looking.
"""

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqloom.errors import ConfigError, ShapeError
from seqloom.lens.memory import KEEPS, half_lives_of
from seqloom.nn import Recurrent
from seqloom.nn.recurrent import Lengths
from seqloom.shapes import Float, State, Tokens, check_lengths, valid_steps

VANISHED, EXPLODED = 1e-6, 1e3  # of the gradient at the end; the first is told in words
CURES = {
    "SimpleRNN": "try LSTM or GRU, or an identity start (init identity with activation relu)",
    "LSTM": "try attention, mean or max pooling, or both directions, which bring the end nearer",
}
CURES["GRU"] = CURES["LSTM"]


class LayerFlow(NamedTuple):
    """What comes back to one layer.

    `hidden[b][t]` is the norm of dL/dh_t of row b, for each of its real steps; `cell` the same of the long-term path of
    an LSTM, with h_t held fixed. `weights` are the norms of the gradients of the input and feedback weights, and of
    what else the layer has (other). A layer that reads from the end has `reverse` set: its last step is 0.
    """

    name: str
    kind: str
    reverse: bool
    hidden: list[list[float]]
    cell: list[list[float]] | None
    weights: dict[str, float]

    def carried(self) -> list[float]:
        """The norm of the gradient of the whole state by steps before a row's last one, over all rows that are as long.

        The first is that of the last step. (A root of the mean of squares.)
        """
        paths = [self.hidden] if self.cell is None else [self.hidden, self.cell]
        squares: list[list[float]] = []
        for row in zip(*paths, strict=True):
            norms = [math.hypot(*step) for step in zip(*row, strict=True)]
            for back, norm in enumerate(norms if self.reverse else reversed(norms)):
                if back == len(squares):
                    squares.append([])
                squares[back].append(norm**2)
        return [math.sqrt(math.fsum(each) / len(each)) for each in squares]


class GradientFlow(NamedTuple):
    """The gradient of a loss: what comes back to each recurrent layer, to the output weights, to the token vectors."""

    loss: float
    layers: list[LayerFlow]
    output: float
    vectors: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self._asdict(), "layers": [layer._asdict() | {"carried": layer.carried()} for layer in self.layers]}


def gradient_flow(model: nn.Module, loss: Callable[[], Tensor]) -> GradientFlow:
    """Follow the gradient of `loss()`, one number that `model` has part in, to every step of its recurrent layers.

    No parameter, its `.grad`, nor a random number is touched. Raises ConfigError for a model without a recurrent layer,
    ShapeError where the loss is not one number.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Recurrent)}
    if not layers:
        raise ConfigError(f"gradient_flow: {type(model).__name__} has no layer of seqloom.nn that reads step by step.")
    with _watched(model, layers) as readings, torch.enable_grad():
        value = loss()
        if value.dim():
            raise ShapeError(f"gradient_flow: the loss has shape {tuple(value.shape)}. Give one number: its mean.")
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        paths = [path for reading in readings for state in reading.states for path in state]
        found = iter(torch.autograd.grad(value, [*paths, *weights], allow_unused=True))
    backs = [_rows(reading, found) for reading in readings]
    norms: dict[Tensor, float] = {
        weight: 0.0 if gradient is None else float(gradient.norm())
        for weight, gradient in zip(weights, found, strict=True)
    }

    def norm(parts: Iterable[Tensor | None]) -> float:
        return math.hypot(*(norms.get(part, 0.0) for part in parts if part is not None))

    flows = []
    for reading, paths_back in zip(readings, backs, strict=True):
        layer = layers[reading.name]
        split = {"input": norm([layer.weight_input]), "feedback": norm([layer.weight_hidden])}
        products = (layer.weight_input, layer.weight_hidden)
        split["other"] = norm(weight for weight in layer.parameters() if all(weight is not each for each in products))
        kind, cell = type(layer).__name__, paths_back[1] if len(paths_back) > 1 else None
        flows.append(LayerFlow(reading.name, kind, reading.reverse, paths_back[0], cell, split))
    inside = {weight for layer in layers.values() for weight in layer.parameters()}
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    output = norm(weight for weight in weights if weight not in inside | tables)
    vectors = norm(weight for weight in weights if weight in tables)
    return GradientFlow(float(value.detach()), flows, output, vectors)


def brief_flow(model: nn.Module, loss: Callable[[], Tensor]) -> dict[str, Any]:
    """What a report keeps of a flow, as plain values: how much of it each layer has by steps back, and what that says.

    A layer that was called several times shows its first. Raises as `gradient_flow`.
    """
    found = gradient_flow(model, loss)
    first: dict[str, LayerFlow] = {}
    for layer in found.layers:
        first.setdefault(layer.name, layer._replace(name=_spoken(layer.name)))
    flow = found._replace(layers=list(first.values()))
    carried = [(layer.name, layer.carried()) for layer in flow.layers]
    curves = [{"name": name, "carried": norms} for name, norms in carried if all(map(math.isfinite, norms))]
    return {"layers": curves, "findings": findings(flow)}


def _spoken(name: str) -> str:
    """A layer by its place: `encoder.layers.0.forward_layer` is the encoder's first, read forward."""
    place = re.fullmatch(r"(\w+)\.layers\.(\d+)(?:\.(forward|backward)_layer)?", name)
    if place is None:
        return name
    stack, number, way = place.groups()
    return " ".join(part for part in (stack, f"layer {int(number) + 1}", way) if part)


def jacobian_norms(layer: Recurrent, x: Float[Tensor, "T I"]) -> list[float]:
    """How much of a change of the state after step t is left in the last output: the spectral norm of dh_T/ds_t.

    The state s is h, of an LSTM (h, c). There are T + 1 of them, the first state's first; the last is 1. Computed in
    float64, so that 400 steps do not end in zeros. Raises ShapeError as the layer does.
    """
    twin = copy.deepcopy(layer).double().eval()
    steps = x.double()[None]
    states = [twin.first(batch=1)]
    with torch.no_grad():
        for t in range(len(x)):
            states.append(twin(steps[:, t : t + 1], None, states[-1])[1])
    size = layer.hidden_size
    one = torch.eye(size, dtype=torch.float64, device=x.device)
    back: Sequence[Tensor] = [one, *(torch.zeros_like(one) for _ in states[0][1:])]
    norms = [1.0]
    for t in reversed(range(len(x))):
        # Each unit of h_T gets a row of the batch, so that one call multiplies all of them by the step's Jacobian.
        before = type(states[t])(*(path.detach().repeat(size, 1).requires_grad_() for path in states[t]))
        _, after = twin(steps[:, t : t + 1].expand(size, -1, -1), None, before)
        back = torch.autograd.grad([*after], [*before], grad_outputs=back)
        norms.append(float(torch.linalg.matrix_norm(torch.cat(list(back), dim=1), 2)))
    return norms[::-1]


def half_lives(layer: Recurrent, x: Float[Tensor, "B T I"] | Tokens, lengths: Lengths = None) -> list[float]:
    """After how many steps half of what a unit holds is left: ln 1/2 / mean ln g, g its forget or update gate.

    One number a unit, from the mean over all real steps; infinite where the gate never closes.
    Raises ConfigError for a SimpleRNN, which has no such gate.
    """
    name = next((gate for gate in KEEPS if gate in layer.gates), None)
    if name is None:
        raise ConfigError(f"half_lives: a {type(layer).__name__} has no gate that keeps. Give an LSTM or a GRU.")
    with torch.no_grad():
        gate = layer.trace(x, lengths).gates[name]
    return half_lives_of(gate[valid_steps(check_lengths(lengths, gate), gate.shape[1])])


def findings(flow: GradientFlow) -> list[str]:
    """What a gradient flow says, in sentences: how far back each layer learns, and which weights get the gradient."""
    return [*map(distance_finding, flow.layers), split_finding(flow)]


def distance_finding(layer: LayerFlow) -> str:
    """How far back the gradient of one layer reaches."""
    who, carried = f"{layer.name or 'the layer'} ({layer.kind})", layer.carried()
    if not all(map(math.isfinite, carried)):
        return f"{who}: the gradient is not a number: lower the learning rate, or clip (training.clip_norm)."
    end = next((norm for norm in carried if norm), None)
    if end is None:
        return f"{who}: no gradient reaches it."
    gone, grown = reach(carried), max(carried) / carried[0] if carried[0] else 1.0
    if gone is not None:
        far = f"the gradient falls below a millionth of its end after {gone} steps"
        return f"{who}: {far}, and next to nothing is learned from further back: {CURES[layer.kind]}."
    if grown > EXPLODED:
        back = carried.index(max(carried))
        return (
            f"{who}: the gradient grows to {grown:.2g} times its end within {back} steps: clip it "
            "(training.clip_norm), or try an orthogonal start (init orthogonal)."
        )
    return f"{who}: the gradient carries: {len(carried) - 1} steps back it has {carried[-1] / end:.2g} of its end."


def reach(carried: Sequence[float]) -> int | None:
    """After how many steps a gradient is below a millionth of its end; None where it nowhere is."""
    return next((back for back, norm in enumerate(carried) if norm < VANISHED * carried[0]), None)


def split_finding(flow: GradientFlow) -> str:
    """Which part of the squared gradient goes to the input, feedback and output weights."""
    layers = {layer.name: layer for layer in flow.layers}.values()  # each once, however often it was called
    parts = {name: math.hypot(*(layer.weights[name] for layer in layers)) for name in ("input", "feedback", "other")}
    parts |= {"output": flow.output, "vectors": flow.vectors}
    total = math.fsum(norm**2 for norm in parts.values())
    if not total or not math.isfinite(total):
        return "No weight gets a gradient." if not total else "The gradient of the weights is not a number."
    names = {"input": "input weights", "feedback": "feedback weights", "output": "output weights"}
    names |= {"other": "biases and the like", "vectors": "token vectors"}
    told = [f"{names[name]} {norm**2 / total:.0%}".replace("%", " %") for name, norm in parts.items() if norm]
    return f"Of the squared gradient go to: {', '.join(told)}."


class _Reading(NamedTuple):
    """One call of a layer: the state after each step, and which steps are real."""

    name: str
    reverse: bool
    states: list[State]
    lengths: Tensor


@contextmanager
def _watched(model: nn.Module, layers: Mapping[str, Recurrent]) -> Iterator[list[_Reading]]:
    """While it lasts, `layers` read one step at a time, as `model` answers, and each call is noted."""
    readings: list[_Reading] = []
    training = {module: module.training for module in model.modules()}
    hooks = [
        layer.register_forward_hook(partial(_by_step, readings, name), with_kwargs=True)
        for name, layer in layers.items()
    ]
    model.eval()
    try:
        yield readings
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode


def _by_step(
    readings: list[_Reading], name: str, layer: Recurrent, args: Any, kwargs: Any, found: tuple[Tensor, State]
) -> tuple[Tensor, State]:
    if not found[0].shape[1]:
        return found  # nothing was read
    reading, outputs = _read(name, layer, *args, **kwargs)
    readings.append(reading)
    return outputs, reading.states[0 if reading.reverse else -1]


def _read(
    name: str,
    layer: Recurrent,
    x: Float[Tensor, "B T I"] | Tokens,
    lengths: Lengths = None,
    state: State | None = None,
    *,
    reverse: bool = False,
) -> tuple[_Reading, Float[Tensor, "B T H"]]:
    """As the layer reads, and to the bit, but with each state a tensor that a gradient can be asked for."""
    steps = x.spelled_out() if isinstance(x, Tokens) else x
    known = check_lengths(lengths, steps)
    state = layer.first(batch=len(known)) if state is None else state
    order = range(steps.shape[1])
    states: dict[int, State] = {}
    for t in reversed(order) if reverse else order:
        _, moved = layer.forward(steps[:, t : t + 1], (known > t).long(), state)
        # Copies: the gradient of h must not hold what h was made of, as it would where h and c are of one graph.
        state = states[t] = type(moved)(*(path.clone().requires_grad_() for path in moved))
    outputs = torch.stack([states[t].hidden for t in order], dim=1)
    outputs = outputs.masked_fill(~valid_steps(known, len(order))[..., None], 0)
    return _Reading(name, reverse, [states[t] for t in order], known), outputs


def _rows(reading: _Reading, gradients: Iterator[Tensor | None]) -> list[list[list[float]]]:
    """The norms of each path of the state, by row and real step; takes as many `gradients` as there are states."""
    found: list[list[Tensor]] = [[] for _ in reading.states[0]]
    for state in reading.states:
        for path, values in zip(state, found, strict=True):
            gradient = next(gradients)
            values.append((torch.zeros_like(path) if gradient is None else gradient).norm(dim=-1))
    lengths = reading.lengths.tolist()
    return [
        [row[:length] for row, length in zip(torch.stack(path, dim=1).tolist(), lengths, strict=True)] for path in found
    ]
