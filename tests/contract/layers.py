"""Every kind of layer with every mix of options, filled with weights that are all different.

The battery runs over `SINGLE` (one layer, one direction) and `WRAPPED` (both directions, several layers).
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.nn import GRU, LSTM, Bidirectional, Recurrent, SimpleRNN, Stack
from seqloom.shapes import BidirectionalState, LSTMState, RNNState, StackState

Layer = Recurrent | Bidirectional | Stack
State = RNNState | LSTMState | BidirectionalState | StackState

INPUT, HIDDEN = 3, 4
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}  # by the dtype that the path computes in


class Case(NamedTuple):
    """A layer to be made anew in each test."""

    name: str
    make: Callable[[], Layer]


def mixes(size: int, hidden_size: int) -> Iterator[Case]:
    """One layer of each kind with each mix of options, reading vectors of `size` numbers."""
    kinds: dict[str, Callable[..., Recurrent]] = {
        "rnn_tanh": functools.partial(SimpleRNN, activation="tanh"),
        "rnn_relu": functools.partial(SimpleRNN, activation="relu"),
        "rnn_leaky_relu": functools.partial(SimpleRNN, activation="leaky_relu"),
        "lstm": LSTM,
        "gru": functools.partial(GRU, reset_after=False),
        "gru_reset_after": functools.partial(GRU, reset_after=True),
    }
    options: dict[str, dict[str, bool | str]] = {
        "": {},
        "-norm": {"layer_norm": True},
        "-no_bias": {"bias": False},
        "-norm-no_bias": {"layer_norm": True, "bias": False},
        "-learned": {"initial_state": "learned"},
    }
    for kind, make in kinds.items():
        for option, settings in options.items():
            yield Case(kind + option, functools.partial(make, size, hidden_size, **settings))


def _both(make: Callable[[], Recurrent]) -> Bidirectional:
    return Bidirectional(make())


def _learned(size: int) -> GRU:
    return GRU(size, 4, initial_state="learned")


SINGLE = list(mixes(INPUT, HIDDEN))

WRAPPED = [
    *(Case(f"both-{name}", functools.partial(_both, make)) for name, make in SINGLE if name.count("-") <= 1),
    Case("two-lstm", lambda: Stack([LSTM(3, 4), LSTM(4, 2)])),
    Case("three-rnn-residual", lambda: Stack([SimpleRNN(3, 4), *(SimpleRNN(4, 4) for _ in "12")], residual=True)),
    Case("two-gru-residual-learned", lambda: Stack([_learned(3), _learned(4)], residual=True)),
    Case("two-both-gru", lambda: Stack([Bidirectional(GRU(3, 2, reset_after=True)), Bidirectional(GRU(4, 3))])),
    Case(
        "three-both-lstm-residual", lambda: Stack([Bidirectional(LSTM(size, 2)) for size in (3, 4, 4)], residual=True)
    ),
    Case("mixed", lambda: Stack([SimpleRNN(3, 4), Bidirectional(LSTM(4, 2, layer_norm=True)), GRU(4, 3)])),
]


ALL = SINGLE + WRAPPED


def build(case: Case, dtype: torch.dtype | None = None) -> Layer:
    """The layer with random weights, no two alike, so that no two gates or units can be taken for each other."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed sees to devices too, which takes long
    return scramble(case.make()).to(dtype or torch.get_default_dtype())


def close() -> dict[str, float]:
    """How near two results must be that are equal but for rounding."""
    return {"rtol": 0, "atol": TOLERANCE[torch.get_default_dtype()]}


def scramble(layer: Layer) -> Layer:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float32) * 0.7)
    return layer


def singles(layer: Layer) -> list[Recurrent]:
    """The layers of one direction that `layer` is made of, in the order of their parameters."""
    if isinstance(layer, Recurrent):
        return [layer]
    if isinstance(layer, Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [single for part in layer.parts for single in singles(part)]


def paths(state: State) -> list[Tensor]:
    """All tensors (B, H) of a state, in one order."""
    if isinstance(state, StackState):
        return [path for part in state.layers for path in paths(part)]
    if isinstance(state, BidirectionalState):
        return [*state.forward, *state.backward]
    return list(state)


def state_like(layer: Layer, tensors: list[Tensor]) -> State:
    """The state of `layer` made of `tensors`, the inverse of `paths`. The list is used up."""
    if isinstance(layer, Stack):
        return StackState(layers=tuple(state_like(part, tensors) for part in layer.parts))
    if isinstance(layer, Bidirectional):
        return BidirectionalState(*(state_like(part, tensors) for part in singles(layer)))
    return layer.state_type(*(tensors.pop(0) for _ in layer.state_type._fields))


def random_state(layer: Layer, batch: int) -> State:
    """A first state of random numbers."""
    dtype = singles(layer)[0].weight_input.dtype
    sizes = [single.hidden_size for single in singles(layer) for _ in single.state_type._fields]
    return state_like(layer, [torch.randn(batch, size, dtype=dtype) for size in sizes])
