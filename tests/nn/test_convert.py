"""What conversion keeps beside the function: options, dtype, mode, and the independence of the copies."""

import pytest
import torch
from torch import nn

from seqloom.nn import GRU, LSTM, Bidirectional, Recurrent, SimpleRNN, Stack, from_torch, to_torch


@pytest.mark.parametrize(
    ("module", "kind"),
    [(nn.RNN(3, 4), SimpleRNN), (nn.LSTM(3, 4), LSTM), (nn.GRU(3, 4), GRU)],
    ids=["rnn", "lstm", "gru"],
)
def test_each_module_becomes_its_own_kind_and_back(module: nn.RNNBase, kind: type[Recurrent]) -> None:
    layer = from_torch(module)
    assert type(layer) is kind
    assert type(to_torch(layer)) is type(module)


def test_options_survive_both_ways() -> None:
    module = nn.RNN(3, 4, 2, nonlinearity="relu", bias=False, dropout=0.25, bidirectional=True, dtype=torch.float64)
    stack = from_torch(module)
    assert isinstance(stack, Stack)
    assert stack.dropout.p == 0.25
    for part in stack.parts:
        assert isinstance(part, Bidirectional)
        assert part.forward_layer.activation == part.backward_layer.activation == "relu"
        assert part.forward_layer.bias is None
        assert part.forward_layer.weight_input.dtype == torch.float64
    back = to_torch(stack)
    kept = ("num_layers", "bidirectional", "bias", "dropout", "nonlinearity", "input_size", "hidden_size")
    assert {name: getattr(back, name) for name in kept} == {name: getattr(module, name) for name in kept}
    assert back.batch_first
    assert back.weight_ih_l0.dtype == torch.float64


@pytest.mark.parametrize("training", [True, False])
def test_a_module_in_use_stays_in_use(training: bool) -> None:
    """Otherwise dropout would wake up in a trained model."""
    module = nn.LSTM(3, 4, 2, dropout=0.5).train(training)
    stack = from_torch(module)
    assert {part.training for part in stack.modules()} == {training}
    assert to_torch(stack).training is training


def test_copies_share_no_memory() -> None:
    module = nn.GRU(3, 4)
    layer = from_torch(module)
    before = [weight.clone() for weight in module.parameters()]
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(1)
        for weight in to_torch(layer).parameters():
            weight.add_(1)
    for weight, kept in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(weight, kept, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
def test_a_layer_that_is_converted_stays_as_it_was(kind: type[Recurrent]) -> None:
    layer = kind(3, 4, **({"reset_after": True} if kind is GRU else {}))
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_()
    before = [weight.clone() for weight in layer.parameters()]
    to_torch(layer)
    for weight, kept in zip(layer.parameters(), before, strict=True):
        torch.testing.assert_close(weight, kept, rtol=0, atol=0)
