"""Weights start as they are said to, each gate by itself."""

import math

import pytest
import torch
from torch import Tensor

from seqloom.nn import GRU, LSTM, Recurrent, SimpleRNN

I, H = 24, 40  # noqa: E741  sizes that differ, so that fan in and fan out cannot be exchanged unseen
KINDS: list[type[Recurrent]] = [SimpleRNN, LSTM, GRU]
of_each_kind = pytest.mark.parametrize("kind", KINDS)


def gates(weight: Tensor) -> list[Tensor]:
    return list(weight.detach().split(H, dim=1))


def assert_uniform(weight: Tensor, bound: float) -> None:
    """Spread evenly over the whole of +-bound, and not beyond."""
    assert float(weight.abs().max()) <= bound
    assert float(weight.abs().max()) > 0.98 * bound
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.08)
    assert abs(float(weight.mean())) < 0.1 * bound


def assert_all_different(parts: list[Tensor]) -> None:
    for number, part in enumerate(parts):
        assert not any(torch.equal(part, other) for other in parts[:number])


@of_each_kind
def test_uniform_is_uniform_within_one_over_the_root_of_the_hidden_size(kind: type[Recurrent]) -> None:
    layer = kind(I, H, init="uniform")
    parts = gates(layer.weight_input) + gates(layer.weight_hidden)
    for part in parts:
        assert_uniform(part, 1 / math.sqrt(H))
    assert_all_different(parts)


@of_each_kind
def test_orthogonal_feedback_keeps_every_length(kind: type[Recurrent]) -> None:
    layer = kind(I, H, init="orthogonal")
    parts = gates(layer.weight_hidden)
    for part in parts:
        torch.testing.assert_close(part.T @ part, torch.eye(H), rtol=0, atol=1e-5)
    assert_all_different(parts)


@of_each_kind
def test_identity_feedback_hands_the_state_on(kind: type[Recurrent]) -> None:
    for part in gates(kind(I, H, init="identity").weight_hidden):
        torch.testing.assert_close(part, torch.eye(H), rtol=0, atol=0)


@of_each_kind
def test_glorot_bounds_each_gate_by_its_own_sizes(kind: type[Recurrent]) -> None:
    for part in gates(kind(I, H, init="glorot").weight_hidden):
        assert_uniform(part, math.sqrt(6 / (H + H)))


@of_each_kind
@pytest.mark.parametrize("init", ["orthogonal", "identity", "glorot"])
def test_input_weights_are_glorots_but_for_uniform(kind: type[Recurrent], init: str) -> None:
    parts = gates(kind(I, H, init=init).weight_input)
    for part in parts:
        assert_uniform(part, math.sqrt(6 / (I + H)))
    assert_all_different(parts)


@of_each_kind
def test_biases_start_at_zero_gains_at_one_and_the_forget_bias_at_one(kind: type[Recurrent]) -> None:
    layer = kind(I, H, layer_norm=True, initial_state="learned")
    for name, bias in zip(layer.gates or ("output",), layer.bias.detach().split(H), strict=True):
        torch.testing.assert_close(bias, torch.full((H,), 1.0 if name == "forget" else 0.0), rtol=0, atol=0)
    for gain in (layer.norm_input, layer.norm_hidden):
        torch.testing.assert_close(gain.detach(), torch.ones_like(gain), rtol=0, atol=0)
    for path in layer.first_state:
        assert not path.any()
    if isinstance(layer, GRU):
        inner = GRU(I, H, reset_after=True).bias_candidate
        assert inner is not None
        assert not inner.any()


@of_each_kind
def test_reset_parameters_starts_all_weights_again(kind: type[Recurrent]) -> None:
    layer = kind(I, H, layer_norm=True, initial_state="learned")
    before = {name: weight.clone() for name, weight in layer.named_parameters()}
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(9)
    layer.reset_parameters()
    for name, weight in layer.named_parameters():
        if name.startswith("weight"):
            assert not (weight == 9).any()
            assert not torch.equal(weight, before[name])
        else:
            torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


@of_each_kind
def test_the_seed_decides_the_weights(kind: type[Recurrent]) -> None:
    torch.manual_seed(1)
    one = kind(3, 4)
    torch.manual_seed(1)
    for weight, again in zip(one.parameters(), kind(3, 4).parameters(), strict=True):
        torch.testing.assert_close(weight, again, rtol=0, atol=0)
