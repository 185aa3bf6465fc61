"""int8 weights: the sums are those of whole numbers, the core's promises hold to the bit, and the cost is bounded."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from seqloom.errors import ConfigError
from seqloom.kernels import native
from seqloom.kernels.recurrence import name_of
from seqloom.nn import GRU, LSTM, Recurrent, SimpleRNN
from tests.contract.layers import random_state, scramble
from tests.kernels.cases import KINDS, LENGTHS, TIME, assert_same_bits, both_ways, needs_core, of_each_kind

pytestmark = needs_core


def made(kind: str, size: int, hidden: int, **options: bool) -> Recurrent:
    """A layer of distinct random weights under which an unbounded unit does not run away."""
    layer = scramble(KINDS[kind](size, hidden, **options))
    with torch.no_grad():
        layer.weight_hidden /= hidden**0.5
    return layer


def stepped(stream, x: Tensor) -> Tensor:
    return torch.stack([stream.step(step) for step in x.unbind(1)], dim=1)


# The arithmetic, from the equations


def rounded(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Whole numbers -127..127 and their scale, in the core's own precision."""
    largest = x.float().abs().amax(dim, keepdim=True)
    whole = (x.float() * (torch.full_like(largest, 127) / largest)).round().nan_to_num()
    assert whole.abs().max() <= 127
    return whole.double(), (largest / 127).double()


def product(x: Tensor, weights: Tensor) -> Tensor:
    (row, row_scale), (column, column_scale) = rounded(x, 1), rounded(weights, 0)
    return (row @ column) * row_scale * column_scale


def expected_step(layer: Recurrent, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The state after one step, in float64 but for what is rounded."""
    hidden = layer.hidden_size
    bias = torch.zeros(layer.weight_input.shape[1]) if layer.bias is None else layer.bias
    z = product(x, layer.weight_input) + bias.double()
    if isinstance(layer, GRU):
        h, u_weights = state[0], layer.weight_hidden
        reset, update = (z + product(h, u_weights))[:, : 2 * hidden].sigmoid().chunk(2, 1)
        candidate = product(h if layer.reset_after else reset * h, u_weights)[:, 2 * hidden :]
        if layer.reset_after:
            candidate = reset * (candidate + (0 if layer.bias_candidate is None else layer.bias_candidate))
        candidate = (z[:, 2 * hidden :] + candidate).tanh()
        return (update * h + (1 - update) * candidate,)
    z = z + product(state[0], layer.weight_hidden)
    if isinstance(layer, LSTM):
        i, f, g, o = z.chunk(4, 1)
        cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell
    assert isinstance(layer, SimpleRNN)
    return (
        {"tanh": torch.tanh, "relu": torch.relu, "leaky_relu": torch.nn.functional.leaky_relu}[layer.activation](z),
    )


@of_each_kind
@pytest.mark.parametrize("hidden", [1, 6, 33, 64])
@pytest.mark.parametrize("size", [1, 5, 18])
@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=["", "no_bias"])
def test_every_step_is_the_cell_on_rounded_numbers(kind: str, hidden: int, size: int, options: dict[str, bool]) -> None:
    layer = made(kind, size, hidden, **options)
    stream = layer.stream(3, weights="int8")
    stream.state = random_state(layer, 3)
    # r h may fall on the other side of a half, where it is computed in another precision.
    tolerance = 1e-3 if kind == "gru" else 1e-6 * max(1, hidden / 8)
    for x in torch.randn(6, 3, size) * 2:
        wanted = expected_step(layer, x, tuple(path.double() for path in stream.state))
        outputs = stream.step(x)
        assert_same_bits(outputs, stream.state.hidden)
        for found, path in zip(stream.state, wanted, strict=True):
            torch.testing.assert_close(found.double(), path, rtol=1e-6, atol=tolerance)


# The promises of the core, to the bit


def whole(layer: Recurrent, x: Tensor, lengths: list[int], *, reverse: bool = False, threads: int = 1) -> list[Tensor]:
    """Outputs and last state of sequences read by one call of the core, from zeros."""
    (batch, time, size), hidden, cell = x.shape, layer.hidden_size, name_of(layer.step())
    p = layer.parameters_of_cell(batch=0)
    biases = [0 if part is None else part.data_ptr() for part in (p.bias, p.bias_candidate)]
    matrices = [argument for part in p[:2] for argument in (part.data_ptr(), part.stride())]
    weights = native.core().Int8Weights(cell, size, hidden, *matrices, *biases)
    rows, last = torch.tensor(lengths), [torch.full((batch, hidden), torch.nan) for _ in range(2)]
    outputs = torch.full((batch, time, hidden), torch.nan)
    start = (weights, batch, time, rows, reverse, threads, x, None, None, None)
    native.core().forward_int8(*start, outputs, *last, None, None)
    return [outputs, *last[: len(layer.state_type._fields)]]


@of_each_kind
@pytest.mark.parametrize("hidden", [3, 40])
def test_a_stream_gives_the_bits_of_the_sequence(kind: str, hidden: int) -> None:
    layer = made(kind, 7, hidden)
    for batch in (1, 2, 5, 9):
        x = torch.randn(batch, 14, 7)
        stream = layer.stream(batch, weights="int8")
        outputs = stepped(stream, x)
        assert_same_bits(whole(layer, x, [14] * batch), [outputs, *stream.state])


@of_each_kind
@both_ways
def test_a_row_alone_and_without_its_padding_gives_its_bits(kind: str, reverse: bool) -> None:
    layer, x = made(kind, 7, 33), torch.randn(len(LENGTHS), TIME, 7)
    together = whole(layer, x, LENGTHS, reverse=reverse)
    for row, length in enumerate(LENGTHS):
        alone = whole(layer, x[row : row + 1, :length].clone(), [length], reverse=reverse)
        assert_same_bits([part[row : row + 1] for part in (together[0][:, :length], *together[1:])], alone)
        assert together[0][row, length:].eq(0).all()
        if reverse and length:
            turned = whole(layer, x[row : row + 1, :length].flip(1).contiguous(), [length])
            assert_same_bits(alone, [turned[0].flip(1), *turned[1:]])


@of_each_kind
@pytest.mark.parametrize("batch", [1, 3, 20])
def test_the_number_of_threads_changes_no_bit(kind: str, batch: int) -> None:
    layer, x = made(kind, 40, 150), torch.randn(batch, 12, 40)
    lengths = [12 - row % 5 for row in range(batch)]
    alone = whole(layer, x, lengths)
    for threads in (2, 3):
        assert_same_bits(whole(layer, x, lengths, threads=threads), alone)


def test_many_rows_and_steps_are_read_as_few() -> None:
    layer, x = made("lstm", 5, 20), torch.randn(70, 31, 5)
    together = whole(layer, x, [31] * 70)
    for row in (0, 35, 69):
        assert_same_bits(together[0][row : row + 1], whole(layer, x[row : row + 1].clone(), [31])[0])


LEVELS = """
import json, torch
from tests.kernels.test_int8 import made
torch.manual_seed(0)
print(json.dumps([made(kind, 19, 45).stream(2, weights="int8").step(torch.randn(2, 19)).tolist()
                  for kind in ("lstm", "gru", "rnn_relu", "gru_reset_after")]))
"""


def test_every_level_of_the_instruction_set_gives_the_same_sums() -> None:
    results = []
    for level in native.core().isas():
        environment = os.environ | {"SEQLOOM_ISA": level}
        done = subprocess.run(
            [sys.executable, "-c", LEVELS], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        results.append(torch.tensor(json.loads(done.stdout)))
    for result in results[1:]:
        torch.testing.assert_close(
            result, results[0], rtol=0, atol=1e-6
        )  # the sums; the float part may differ by an ulp


# The ends


@of_each_kind
def test_columns_and_rows_of_zeros_and_tiny_numbers_count_as_zeros(kind: str) -> None:
    layer = made(kind, 5, 6)
    zeros = torch.zeros(1, 5)
    with torch.no_grad():
        layer.weight_input[:, ::2] = 0
        layer.weight_hidden[:, 1::2] = 0
    wanted = layer.stream(weights="int8").step(zeros)
    torch.testing.assert_close(wanted, layer.stream().step(zeros), rtol=0, atol=1e-6)
    assert_same_bits(layer.stream(weights="int8").step(zeros + 1e-38), wanted)


@of_each_kind
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_a_number_that_is_not_finite_shows(kind: str, wrong: float) -> None:
    layer, x = made(kind, 5, 6), torch.randn(2, 5)
    x[1, 3] = wrong
    finite = layer.stream(2, weights="int8").step(x).isfinite()
    assert finite[0].all()
    assert kind == "rnn_relu" or not finite[1].any()


@pytest.mark.parametrize("x", [2.0, -2.0])
def test_sums_at_the_limit_are_exact(x: float) -> None:
    depth = 4096
    layer = SimpleRNN(depth, 8, activation="relu")
    with torch.no_grad():
        layer.weight_input.fill_(1)
        layer.weight_input[:, 1::2] *= -1
    outputs = layer.stream(weights="int8").step(torch.full((1, depth), x))
    torch.testing.assert_close(outputs, torch.tensor([[x * depth, -x * depth] * 4]).relu(), rtol=1e-6, atol=0)
    with pytest.raises(ConfigError, match="^with int8 weights a layer reads up to 132104 numbers a step. Use weights="):
        SimpleRNN(132105, 1).stream(weights="int8")


# What it costs


def trained_like(kind: str, hidden: int) -> Recurrent:
    """Weights of the size that training leaves: the start of each layer, with some noise and a bias of its own."""
    layer = KINDS[kind](hidden, hidden)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3 / hidden**0.5)
    return layer


@pytest.mark.parametrize(
    ("kind", "bound"), [("rnn_tanh", 0.1), ("lstm", 0.04), ("gru", 0.06), ("gru_reset_after", 0.06)]
)
def test_the_error_against_float32_is_bounded(kind: str, bound: float) -> None:
    layer, x = trained_like(kind, 128), torch.randn(4, 200, 128)
    error = (stepped(layer.stream(4, weights="int8"), x) - stepped(layer.stream(4), x)).abs()
    assert 0 < error.max() < bound
    assert error.mean() < bound / 10
