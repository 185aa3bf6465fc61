"""The six cells that the compiled core has, as layers with distinct random weights, and what a reading gives."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from seqloom.kernels import native
from seqloom.nn import GRU, LSTM, Recurrent, SimpleRNN
from tests.contract.layers import scramble

KINDS: dict[str, Callable[..., Recurrent]] = {
    "rnn_tanh": functools.partial(SimpleRNN, activation="tanh"),
    "rnn_relu": functools.partial(SimpleRNN, activation="relu"),
    "rnn_leaky_relu": functools.partial(SimpleRNN, activation="leaky_relu"),
    "lstm": LSTM,
    "gru": functools.partial(GRU, reset_after=False),
    "gru_reset_after": functools.partial(GRU, reset_after=True),
}
INPUT = 5
LENGTHS = [7, 0, 3, 5, 1]
TIME = 7

needs_core = pytest.mark.skipif(not native.available(), reason=native.reason())
of_each_kind = pytest.mark.parametrize("kind", KINDS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


class Answer(NamedTuple):
    """What a reading gave: outputs and last state, and the gradient of x, of the first state and of all weights."""

    results: list[Tensor]
    gradients: list[Tensor | None]


def build(kind: str, hidden: int = 6, **options: bool | str | float) -> Recurrent:
    torch.manual_seed(0)
    return scramble(KINDS[kind](INPUT, hidden, **options))


def inputs(batch: int = len(LENGTHS), time: int = TIME) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, time, INPUT)


def read(layer: Recurrent, x: Tensor, lengths: list[int] | None = LENGTHS, *, reverse: bool = False) -> Answer:
    """Read from a random first state, and go back from distinct random gradients of all results."""
    torch.manual_seed(2)
    x = x.detach().requires_grad_()
    size = (x.shape[0], layer.hidden_size)
    state = layer.state_type(*(torch.randn(size).to(x.dtype).requires_grad_() for _ in layer.state_type._fields))
    layer.zero_grad()
    outputs, last = layer(x, lengths, state, reverse=reverse)
    results = [outputs, *last]
    torch.manual_seed(3)
    pairs = [(part, torch.randn(part.shape).to(part.dtype)) for part in results]
    torch.autograd.backward(*zip(*((part, gradient) for part, gradient in pairs if part.requires_grad), strict=True))
    weights = [weight.grad for weight in layer.parameters()]
    return Answer([part.detach() for part in results], [x.grad, *(path.grad for path in state), *weights])


def assert_same_bits(one: object, other: object) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)
