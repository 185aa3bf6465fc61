"""Step by step is the whole sequence: a stream gives the bits of the layer, and keeps nothing but its state."""

import copy

import pytest
import torch
from torch import Tensor

from seqloom.errors import ConfigError, ShapeError
from seqloom.nn import GRU, LSTM, Bidirectional, Recurrent, SimpleRNN, Stack
from seqloom.nn.stream import Precision
from seqloom.shapes import LSTMState, RNNState, StackState
from tests.contract.layers import SINGLE, Case, random_state, scramble
from tests.contract.layers import build as build_case
from tests.kernels.cases import INPUT, assert_same_bits, build, needs_core, of_each_kind

of_each_case = pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.name)


def stepped(stream, x: Tensor) -> Tensor:
    return torch.stack([stream.step(step) for step in x.unbind(1)], dim=1)


@needs_core
@of_each_kind
@pytest.mark.parametrize("hidden", [1, 7, 40])
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("options", [{}, {"initial_state": "learned"}, {"bias": False}], ids=["", "learned", "no_bias"])
def test_a_stream_gives_the_bits_of_the_sequence(kind: str, hidden: int, batch: int, options: dict[str, str]) -> None:
    layer = build(kind, hidden, **options)
    with torch.no_grad():
        layer.weight_hidden /= hidden**0.5
    x = torch.randn(batch, 9, INPUT)
    stream = layer.stream(batch)
    outputs, last = layer(x)
    assert_same_bits(stepped(stream, x), outputs.detach())
    assert_same_bits(list(stream.state), [path.detach() for path in last])


@needs_core
def test_a_stream_gives_the_bits_of_the_sequence_on_any_number_of_threads() -> None:
    layer, x = LSTM(40, 256), torch.randn(2, 5, 40)
    wanted = layer(x)[0].detach()
    threads = torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            assert_same_bits(stepped(layer.stream(2), x), wanted)
    finally:
        torch.set_num_threads(threads)


@of_each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_layer_streams_what_it_reads(case: Case, dtype: torch.dtype) -> None:
    layer = build_case(case, dtype)
    x = torch.randn(3, 6, layer.input_size, dtype=dtype)
    outputs, last = layer(x)
    stream = layer.stream(3)
    torch.testing.assert_close(stepped(stream, x), outputs.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(stream.state, type(last)(*(path.detach() for path in last)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("residual", [False, True])
def test_a_stack_streams_what_it_reads(residual: bool) -> None:
    stack = scramble(Stack([LSTM(4, 4), GRU(4, 4, initial_state="learned"), SimpleRNN(4, 4)], residual=residual))
    x = torch.randn(2, 6, 4)
    outputs, last = stack(x)
    stream = stack.stream(2)
    torch.testing.assert_close(stepped(stream, x), outputs.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(list(stream.state.layers[0]), [path.detach() for path in last.layers[0]])
    half = stream.state
    onward = stepped(stream, x)
    stream.state = half
    assert_same_bits(stepped(stream, x), onward)
    stream.reset()
    torch.testing.assert_close(stepped(stream, x), outputs.detach(), rtol=0, atol=1e-6)


@needs_core
@of_each_kind
@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("batch", [1, 5])
def test_steps_read_in_one_are_those_read_one_by_one(kind: str, weights: Precision, batch: int) -> None:
    layer, x = build(kind, 40), torch.randn(batch, 9, INPUT)
    stream, single = layer.stream(batch, weights=weights), layer.stream(batch, weights=weights)
    pieces = [stream.read(x[:, :4]), stream.read(x[:, 4:4]), stream.step(x[:, 4])[:, None], stream.read(x[:, 5:])]
    assert_same_bits(torch.cat(pieces, dim=1), stepped(single, x))
    assert_same_bits(list(stream.state), list(single.state))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("norm", [False, True], ids=["core", "cell"])
def test_a_stack_reads_steps_in_one(residual: bool, norm: bool) -> None:
    stack = scramble(Stack([LSTM(4, 4, layer_norm=norm), GRU(4, 4)], residual=residual))
    x = torch.randn(2, 6, 4)
    stream = stack.stream(2)
    found = torch.cat([stream.read(x[:, :2]), stream.read(x[:, 2:])], dim=1)
    torch.testing.assert_close(found, stack(x)[0].detach(), rtol=0, atol=1e-6)


# The state


@of_each_case
def test_the_state_that_is_set_is_where_the_stream_goes_on(case: Case) -> None:
    layer = build_case(case)
    x = torch.randn(2, 5, layer.input_size)
    start = random_state(layer, 2)
    before = copy.deepcopy(start)
    stream = layer.stream(2)
    stream.state = start
    torch.testing.assert_close(stepped(stream, x), layer(x, state=start)[0].detach(), rtol=0, atol=1e-6)
    assert_same_bits(start, before)  # it was copied


@of_each_kind
def test_what_was_given_out_does_not_change(kind: str) -> None:
    layer, x = build(kind, 1, initial_state="learned"), torch.randn(1, 2, INPUT)
    stream = layer.stream()
    first, x_first = stream.state, x[:, 0].clone()
    outputs = stream.step(x[:, 0])
    state, kept, kept_state = stream.state, outputs.clone(), copy.deepcopy(stream.state)
    stream.step(x[:, 1])
    assert_same_bits([outputs, *state, x[:, 0]], [kept, *kept_state, x_first])
    outputs.fill_(9)
    stream.state.hidden.fill_(9)
    assert not stream.state.hidden.eq(9).any()
    stream.reset()
    assert_same_bits(stream.state, first)
    assert_same_bits(stream.step(x[:, 0]), kept)


def test_streams_of_one_layer_do_not_disturb_each_other() -> None:
    layer, x = build("lstm"), torch.randn(2, 6, INPUT)
    one, other = layer.stream(), layer.stream()
    both = [torch.cat([one.step(x[:1, t]), other.step(x[1:, t])]) for t in range(6)]
    torch.testing.assert_close(torch.stack(both, dim=1), layer(x)[0].detach(), rtol=0, atol=1e-6)


# Weights, gradients, chance


@pytest.mark.parametrize("norm", [False, True], ids=["core", "cell"])
def test_later_changes_of_the_layer_are_not_seen(norm: bool) -> None:
    layer, x = scramble(GRU(INPUT, 6, layer_norm=norm, initial_state="learned")), torch.randn(1, 4, INPUT)
    stream = layer.stream()
    wanted = stepped(stream, x)
    scramble(layer)
    layer.double()
    stream.reset()
    assert_same_bits(stepped(stream, x), wanted)


@pytest.mark.parametrize("norm", [False, True], ids=["core", "cell"])
def test_a_stream_records_no_gradient_and_leaves_nothing_to_chance(norm: bool) -> None:
    layer = scramble(LSTM(INPUT, 6, layer_norm=norm, recurrent_dropout=0.5, initial_state="random"))
    assert layer.training
    x = torch.randn(3, 4, INPUT, requires_grad=True)
    outputs = stepped(layer.stream(3), x)
    assert not outputs.requires_grad
    torch.testing.assert_close(outputs, layer.eval()(x)[0].detach(), rtol=0, atol=1e-6)


def test_x_may_lie_in_memory_as_it_likes() -> None:
    layer, x = build("gru"), torch.randn(2, 4, INPUT)
    stream, turned = layer.stream(2), x.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    torch.testing.assert_close(stepped(stream, turned), layer(x)[0].detach(), rtol=0, atol=1e-6)
    stream.reset()
    parameter = torch.nn.Parameter(x[:, 0])
    torch.testing.assert_close(stream.step(parameter), layer(x)[0][:, 0].detach(), rtol=0, atol=1e-6)


def test_autocast_and_inference_mode_change_nothing() -> None:
    layer, x = build("lstm"), torch.randn(2, 4, INPUT)
    wanted = stepped(layer.stream(2), x)
    with torch.inference_mode():
        stream = layer.stream(2)
        first = stream.step(x[:, 0])
        stream.state = layer.stream(2).state
        assert_same_bits(stream.step(x[:, 0]), first)
    stream.reset()
    assert_same_bits(stepped(stream, x), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same_bits(stepped(layer.stream(2), x), wanted)


# What is refused


@pytest.mark.usefixtures("own_messages")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(2, 1, 3),
            r"x has shape \(2, 1, 3\), but must be \(batch 2, input 3\).* one step, x\[:, t\], or all to read\(x\).$",
        ),
        (
            torch.zeros(2, 4),
            r"x has shape \(2, 4\), but must be \(batch 2, input 3\), the next step of each sequence.$",
        ),
        (torch.zeros(1, 3), r"x has shape \(1, 3\), but must be \(batch 2, input 3\)"),
        (torch.zeros(2, 3, dtype=torch.float64), "x is torch.float64 but the weights are torch.float32"),
        (torch.zeros(2, 3, device="meta"), "x is on meta but the weights are on cpu"),
        ([[0.0] * 3] * 2, r"x is a list, but must be a plain tensor \(batch 2, input 3\)"),
        (torch.zeros(2, 3).to_sparse(), None),
    ],
    ids=["a_sequence", "input", "batch", "dtype", "device", "list", "sparse"],
)
@pytest.mark.parametrize("norm", [False, True], ids=["core", "cell"])
def test_a_wrong_x_is_named(x: object, message: str | None, norm: bool) -> None:
    stream = LSTM(3, 4, layer_norm=norm).stream(2)
    if message is None:
        assert stream.step(x).shape == (2, 4)
        return
    with pytest.raises(ShapeError, match=rf"^LSTM.stream: {message}"):
        stream.step(x)


@pytest.mark.usefixtures("own_messages")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(2, 3),
            r"x has shape \(2, 3\), but must be \(batch 2, time, input 3\), the next .* Give one step to step\(x\).$",
        ),
        (torch.zeros(2, 5, 4), r"x has shape \(2, 5, 4\), but must be \(batch 2, time, input 3\), .* each sequence.$"),
        (torch.zeros(2, 5, 3).double(), "x is torch.float64 but the weights are torch.float32"),
        ([0.0], r"x is a list, but must be a plain tensor \(batch 2, time, input 3\)"),
    ],
    ids=["a_step", "input", "dtype", "list"],
)
def test_wrong_steps_are_named(x: object, message: str) -> None:
    with pytest.raises(ShapeError, match=rf"^LSTM.stream: {message}"):
        LSTM(3, 4).stream(2).read(x)


@pytest.mark.usefixtures("own_messages")
@pytest.mark.parametrize(
    ("state", "message"),
    [
        (RNNState(torch.zeros(2, 4)), "state is a RNNState, but must be an LSTMState"),
        (
            LSTMState(torch.zeros(2, 4), torch.zeros(1, 4)),
            r"state.cell has shape \(1, 4\), but must be \(batch 2, hidden 4",
        ),
        (LSTMState(torch.zeros(2, 4), torch.zeros(2, 4).double()), "state.cell is torch.float64"),
    ],
    ids=["kind", "shape", "dtype"],
)
def test_a_wrong_state_is_named(state: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        LSTM(3, 4).stream(2).state = state
    stack = Stack([LSTM(3, 4)]).stream(2)
    with pytest.raises(ShapeError, match=message):
        stack.state = StackState((state,))
    with pytest.raises(ShapeError, match="Stack.stream: state must be a StackState of 1 layer states"):
        stack.state = state


@pytest.mark.usefixtures("own_messages")
@pytest.mark.parametrize("layer", [LSTM(3, 4), Stack([LSTM(3, 4)])], ids=["layer", "stack"])
def test_a_wrong_stream_is_named(layer: Recurrent) -> None:
    with pytest.raises(ConfigError, match=r"^LSTM.stream: batch is 0. It must be a whole number from 1 on.$"):
        layer.stream(0)
    with pytest.raises(ConfigError, match='^LSTM.stream: weights is "int4", did you mean "int8"'):
        layer.stream(weights="int4")


def test_both_directions_are_no_stream() -> None:
    both = Bidirectional(LSTM(3, 4))
    for layer in (both, Stack([LSTM(3, 3), both])):
        with pytest.raises(ConfigError, match="^Bidirectional.stream: the backward reading starts at the last step"):
            layer.stream()


def test_int8_weights_need_the_core() -> None:
    with pytest.raises(ConfigError, match=r"^LSTM.stream: weights are .int8.*, but layer norm .* Use weights=.float32"):
        LSTM(3, 4, layer_norm=True).stream(weights="int8")


def test_a_copy_goes_its_own_way() -> None:
    stream, x = build("lstm").stream(), torch.randn(3, 1, INPUT)
    stream.step(x[0])
    copied = copy.deepcopy(stream)
    first, second = stream.step(x[1]), copied.step(x[2])
    fresh = build("lstm").stream()
    fresh.step(x[0])
    assert_same_bits([second], [fresh.step(x[2])])
    assert not torch.equal(first, second)


@needs_core
def test_what_is_no_tensor_or_has_no_numbers_is_refused_in_words() -> None:
    stream = build("lstm").stream()
    for wrong in (None, [[1.0] * INPUT]):
        with pytest.raises(ShapeError, match="must be a plain tensor"):
            stream.step(wrong)
    with pytest.raises(ShapeError, match="x has no numbers in memory"):
        torch.func.vmap(stream.step)(torch.randn(2, 1, INPUT))
    zeros = build("lstm").stream()
    assert_same_bits([stream.step(torch._efficientzerotensor(1, INPUT))], [zeros.step(torch.zeros(1, INPUT))])
