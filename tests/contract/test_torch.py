"""Every layer equals torch.nn with converted weights: outputs, final states and the gradient of every weight."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqloom.nn import GRU, LSTM, Bidirectional, SimpleRNN, Stack, from_torch, to_torch
from seqloom.shapes import LSTMState
from tests.contract.layers import Layer, close, scramble, singles, state_like

KINDS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn_tanh": nn.RNN,
    "rnn_relu": functools.partial(nn.RNN, nonlinearity="relu"),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}
pytestmark = pytest.mark.usefixtures("path")
LENGTHS = torch.tensor([2, 5, 1, 4])
of_each_kind = pytest.mark.parametrize("kind", KINDS)
of_each_size = pytest.mark.parametrize("num_layers", [1, 3])
of_each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
with_and_without_bias = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])


class Answer(NamedTuple):
    """Outputs (B, T, H) and final states (layers x directions, B, H), a tensor each path."""

    outputs: Tensor
    final: list[Tensor]


def of_torch(module: nn.RNNBase, x: Tensor, first: list[Tensor]) -> Answer:
    state = tuple(first) if isinstance(module, nn.LSTM) else first[0]
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    outputs, final = module(packed, state)
    padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    return Answer(padded, list(final) if isinstance(module, nn.LSTM) else [final])


def of_ours(layer: Layer, x: Tensor, first: list[Tensor]) -> Answer:
    in_our_order = [path[number] for number in range(len(first[0])) for path in first]
    outputs, final = layer(x, LENGTHS, state_like(layer, in_our_order))
    last = [final]
    while not all(hasattr(state, "hidden") for state in last):
        last = [part for state in last for part in (state if hasattr(state, "forward") else state.layers)]
    names = ("hidden", "cell") if isinstance(last[0], LSTMState) else ("hidden",)
    return Answer(outputs, [torch.stack([getattr(state, name) for state in last]) for name in names])


def assert_equal(layer: Layer, module: nn.RNNBase) -> None:
    """The same answers, the same gradient of input and first state, the same gradient of every weight."""
    near = {"rtol": 10 * close()["atol"], "atol": close()["atol"]}
    directions = 2 if module.bidirectional else 1
    paths = 2 if isinstance(module, nn.LSTM) else 1
    x = torch.randn(len(LENGTHS), 5, module.input_size)
    first = torch.randn(paths, module.num_layers * directions, len(LENGTHS), module.hidden_size)
    gradients = []
    answers = []
    for read in (functools.partial(of_ours, layer), functools.partial(of_torch, module)):
        ours_x, ours_first = x.clone().requires_grad_(), first.clone().requires_grad_()
        answer = read(ours_x, list(ours_first))
        torch.manual_seed(5)
        sum((torch.randn_like(value) * value).sum() for value in (answer.outputs, *answer.final)).backward()
        answers.append(answer)
        gradients.append((ours_x.grad, ours_first.grad))
    torch.testing.assert_close(answers[0], answers[1], **near)
    torch.testing.assert_close(gradients[0], gradients[1], **near)
    suffixes = [f"_l{number}{side}" for number in range(module.num_layers) for side in ("", "_reverse")[:directions]]
    for single, suffix in zip(singles(layer), suffixes, strict=True):
        of = {
            name.removesuffix(suffix): weight.grad
            for name, weight in module.named_parameters()
            if name.endswith(suffix)
        }
        torch.testing.assert_close(single.weight_input.grad, of["weight_ih"].T, **near)
        torch.testing.assert_close(single.weight_hidden.grad, of["weight_hh"].T, **near)
        if module.bias:
            torch.testing.assert_close(single.bias.grad, of["bias_ih"], **near)
        if isinstance(single, GRU) and module.bias:
            torch.testing.assert_close(single.bias_candidate.grad, of["bias_hh"][2 * module.hidden_size :], **near)


@of_each_kind
@of_each_size
@of_each_direction
@with_and_without_bias
def test_from_torch_computes_what_torch_does(kind: str, num_layers: int, bidirectional: bool, bias: bool) -> None:
    module = KINDS[kind](3, 4, num_layers, bias=bias, bidirectional=bidirectional, batch_first=True)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    assert_equal(from_torch(module), module)


@of_each_kind
@of_each_size
@of_each_direction
@with_and_without_bias
def test_to_torch_computes_what_we_do(kind: str, num_layers: int, bidirectional: bool, bias: bool) -> None:
    make: dict[str, Callable[..., SimpleRNN | LSTM | GRU]] = {
        "rnn_tanh": SimpleRNN,
        "rnn_relu": functools.partial(SimpleRNN, activation="relu"),
        "lstm": LSTM,
        "gru": functools.partial(GRU, reset_after=True),
    }
    sizes = [3] + [8 if bidirectional else 4] * (num_layers - 1)
    layers: list = [make[kind](size, 4, bias=bias) for size in sizes]
    parts = [Bidirectional(layer) for layer in layers] if bidirectional else layers
    layer = scramble(parts[0] if num_layers == 1 else Stack(parts))
    assert_equal(layer, to_torch(layer))


@of_each_kind
@of_each_direction
def test_there_and_back_again_changes_no_weight(kind: str, bidirectional: bool) -> None:
    layer = scramble(from_torch(KINDS[kind](3, 4, 2, bidirectional=bidirectional)))
    again = from_torch(to_torch(layer))
    assert again.state_dict().keys() == layer.state_dict().keys()
    for name, weight in layer.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)
