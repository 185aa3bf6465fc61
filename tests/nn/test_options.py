"""Every option of every layer changes what it says it changes, and nothing else."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from seqloom.nn import GRU, LSTM, Bidirectional, Recurrent, SimpleRNN, Stack
from seqloom.shapes import BidirectionalState, LSTMState, RNNState, StackState

pytestmark = pytest.mark.usefixtures("either_path")

KINDS: list[type[Recurrent]] = [SimpleRNN, LSTM, GRU]
of_each_kind = pytest.mark.parametrize("kind", KINDS)

# Of each option a value that is not the default. An option without an entry makes a test fail.
OTHER = {
    "activation": "relu",
    "init": "glorot",
    "initial_state": "random",
    "recurrent_dropout": 0.5,
    "layer_norm": True,
    "bias": False,
    "reset_after": True,
    "dropout": 0.5,
    "residual": True,
    "variational": True,
}


def options(kind: type) -> list[str]:
    parameters = inspect.signature(kind).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def seeded(make, **settings: object) -> torch.nn.Module:
    """A layer whose weights all come from one seed, and none of which is zero where the other has it too."""
    torch.manual_seed(3)
    layer = make(**settings)
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            torch.nn.init.constant_(parameter, 0.3)
    return layer


def answer(layer: torch.nn.Module) -> Tensor:
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(7))
    torch.manual_seed(4)
    return layer(x)[0]


@pytest.mark.parametrize(("kind", "option"), [(kind, option) for kind in KINDS for option in options(kind)])
def test_every_option_of_a_layer_is_alive(kind: type[Recurrent], option: str) -> None:
    default, other = (seeded(kind, input_size=3, hidden_size=4, **chosen) for chosen in ({}, {option: OTHER[option]}))
    assert not torch.allclose(answer(default), answer(other))


@pytest.mark.parametrize("option", options(Stack))
def test_every_option_of_a_stack_is_alive(option: str) -> None:
    def make(**settings: object) -> Stack:
        return Stack([GRU(3, 4), GRU(4, 4)], **settings)

    needed = {"dropout": OTHER["dropout"]} if option == "variational" else {}
    assert not torch.allclose(answer(seeded(make, **needed)), answer(seeded(make, **needed, **{option: OTHER[option]})))


@pytest.mark.parametrize("activation", ["tanh", "relu", "leaky_relu"])
def test_activation_is_the_function_of_the_sum(activation: str) -> None:
    layer = SimpleRNN(1, 1, activation=activation)
    with torch.no_grad():
        layer.weight_input.fill_(1)
    outputs, _ = layer(torch.tensor([[[-2.0]], [[1.5]]]))
    expected = {
        "tanh": [math.tanh(-2), math.tanh(1.5)],
        "relu": [0.0, 1.5],
        "leaky_relu": [-0.02, 1.5],
    }
    torch.testing.assert_close(outputs.flatten(), torch.tensor(expected[activation]))


@of_each_kind
def test_a_learned_first_state_is_a_parameter_that_learns(kind: type[Recurrent]) -> None:
    layer = kind(3, 4, initial_state="learned")
    outputs, _ = layer(torch.randn(2, 5, 3))
    outputs.sum().backward()
    assert len(layer.first_state) == len(kind.state_type._fields)
    for path in layer.first_state:
        assert path.grad is not None
        assert path.grad.all()


@of_each_kind
def test_a_random_first_state_differs_by_call_and_row_in_training_and_is_zero_in_use(kind: type[Recurrent]) -> None:
    layer, x = kind(3, 4, initial_state="random"), torch.randn(1, 5, 3).expand(2, -1, -1)
    first, second = layer(x)[0], layer(x)[0]
    assert not torch.allclose(first, second)
    assert not torch.allclose(first[0], first[1])
    many = torch.cat([path for _ in range(200) for path in layer.first(batch=50)])
    assert abs(float(many.mean())) < 0.005
    assert float(many.std()) == pytest.approx(0.1, rel=0.05)
    layer.eval()
    zeros = layer.state_type(*(torch.zeros(2, 4) for _ in layer.state_type._fields))
    torch.testing.assert_close(layer(x)[0], layer(x, None, zeros)[0], rtol=0, atol=0)


def always_one(hidden: int, dropout: float) -> SimpleRNN:
    """A layer whose output is h' = 1 + h U with U = 0.1 identity, so that what is dropped can be read from outputs."""
    layer = SimpleRNN(1, hidden, activation="relu", recurrent_dropout=dropout)
    with torch.no_grad():
        layer.weight_input.fill_(1)
        layer.weight_hidden.copy_(torch.eye(hidden) * 0.1)
    return layer


def test_recurrent_dropout_drops_the_same_units_at_every_step_of_a_sequence() -> None:
    layer = always_one(50, 0.3)
    outputs, _ = layer(torch.ones(8, 6, 1))
    dropped = outputs[:, 1:] == 1
    torch.testing.assert_close(dropped, dropped[:, :1].expand_as(dropped))
    assert 0.2 < float(dropped.float().mean()) < 0.4
    assert not (dropped[0] == dropped[1]).all()
    again, _ = layer(torch.ones(8, 6, 1))
    assert not torch.equal(again, outputs)


def test_recurrent_dropout_keeps_what_is_fed_back_on_average() -> None:
    outputs, _ = always_one(400, 0.3)(torch.ones(100, 2, 1))
    assert float(outputs[:, 1].detach().mean()) == pytest.approx(1.1, abs=0.002)
    kept = outputs[:, 1][outputs[:, 1] > 1]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 + 0.1 / 0.7))


@of_each_kind
def test_recurrent_dropout_rests_outside_of_training(kind: type[Recurrent]) -> None:
    layer, x = kind(3, 4, recurrent_dropout=0.9).eval(), torch.randn(2, 5, 3)
    plain = kind(3, 4).eval()
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=0)


@pytest.mark.parametrize("reset_after", [False, True])
def test_recurrent_dropout_of_a_gru_leaves_what_is_kept_of_the_memory_alone(reset_after: bool) -> None:
    layer = GRU(3, 4, recurrent_dropout=0.5, reset_after=reset_after)
    with torch.no_grad():
        layer.bias[4:8] = 1e4  # update gate open: everything is kept
    state = RNNState(torch.randn(2, 4))
    _, final = layer(torch.randn(2, 5, 3), None, state)
    torch.testing.assert_close(final.hidden, state.hidden)


@of_each_kind
def test_layer_norm_makes_a_gate_blind_to_the_scale_and_shift_of_its_own_product(kind: type[Recurrent]) -> None:
    layer, x = kind(3, 4, layer_norm=True).double(), torch.randn(2, 5, 3, dtype=torch.float64)
    before = layer(x)[0]
    for weight in (layer.weight_input, layer.weight_hidden):
        with torch.no_grad():
            weight[:, :4] = weight[:, :4] * 1000 + torch.randn(weight.shape[0], 1)
    torch.testing.assert_close(layer(x)[0], before, rtol=0, atol=2e-2)
    with torch.no_grad():
        layer.norm_input[-1] += 1
    assert not torch.allclose(layer(x)[0], before, rtol=0, atol=2e-2)


@of_each_kind
def test_without_bias_zeros_stay_zeros(kind: type[Recurrent]) -> None:
    outputs, _ = kind(3, 4, bias=False)(torch.zeros(2, 5, 3))
    assert not outputs.any()


def test_reset_after_moves_the_reset_behind_the_product() -> None:
    inside, outside = GRU(3, 4, reset_after=False), GRU(3, 4, reset_after=True)
    outside.load_state_dict(inside.state_dict() | {"bias_candidate": torch.zeros(4)})
    x = torch.randn(2, 1, 3)
    torch.testing.assert_close(inside(x)[0], outside(x)[0])  # no memory yet, so nothing to reset
    state = RNNState(torch.randn(2, 4))
    assert not torch.allclose(inside(x, None, state)[0], outside(x, None, state)[0])


def test_stack_dropout_falls_between_layers_only() -> None:
    layers = [always_one(20, 0.0), SimpleRNN(20, 20, activation="relu")]
    with torch.no_grad():
        layers[1].weight_input.copy_(torch.eye(20))
        layers[1].weight_hidden.zero_()
    stack = Stack(layers, dropout=0.5)
    outputs, state = stack(torch.ones(4, 3, 1))
    below = torch.stack([torch.ones(4, 20), torch.full((4, 20), 1.1), torch.full((4, 20), 1.11)], dim=1)
    kept = outputs != 0
    torch.testing.assert_close(outputs[kept], 2 * below[kept])  # dropped once, and not again at the top
    assert 0.3 < float(kept.float().mean()) < 0.7
    torch.testing.assert_close(state.layers[0].hidden, below[:, -1])
    assert not torch.equal(kept[:, 0], kept[:, 1])
    torch.testing.assert_close(stack.eval()(torch.ones(4, 3, 1))[0], below)


def test_one_layer_in_a_stack_has_nothing_to_drop_between() -> None:
    layer, x = GRU(3, 4), torch.randn(2, 5, 3)
    before = torch.get_rng_state()
    torch.testing.assert_close(Stack([layer], dropout=0.9)(x)[0], layer(x)[0], rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_residual_adds_the_input_of_each_layer_from_the_second_on() -> None:
    first, second, third = SimpleRNN(4, 4), LSTM(4, 4), GRU(4, 4)
    x = torch.randn(2, 5, 4)
    one, _ = first(x)
    two = second(one)[0] + one
    three = third(two)[0] + two
    torch.testing.assert_close(Stack([first, second, third], residual=True)(x)[0], three)


def test_each_layer_gives_its_own_kind_of_state() -> None:
    x = torch.randn(2, 3, 3)
    assert type(SimpleRNN(3, 4)(x)[1]) is RNNState
    assert type(GRU(3, 4)(x)[1]) is RNNState
    assert type(LSTM(3, 4)(x)[1]) is LSTMState
    both = Bidirectional(LSTM(3, 4))(x)[1]
    assert type(both) is BidirectionalState
    assert (type(both.forward), type(both.backward)) == (LSTMState, LSTMState)
    stacked = Stack([GRU(3, 4), Bidirectional(GRU(4, 2))])(x)[1]
    assert type(stacked) is StackState
    assert [type(layer) for layer in stacked.layers] == [RNNState, BidirectionalState]


def test_both_directions_start_with_weights_of_their_own() -> None:
    both = Bidirectional(LSTM(3, 4, layer_norm=True))
    assert not torch.equal(both.forward_layer.weight_input, both.backward_layer.weight_input)
    assert not torch.equal(both.forward_layer.weight_hidden, both.backward_layer.weight_hidden)
    assert both.forward_layer.weight_input.data_ptr() != both.backward_layer.weight_input.data_ptr()
