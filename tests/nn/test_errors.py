"""What a layer says of wrong arguments: what was given, what is allowed, how to fix it."""

import re

import pytest
import torch
from torch import nn

from seqloom.errors import ConfigError, LengthError, ShapeError
from seqloom.nn import (
    GRU,
    LSTM,
    Bidirectional,
    Last,
    OneHot,
    Recurrent,
    SimpleRNN,
    Stack,
    from_torch,
    summary,
    to_torch,
)
from seqloom.shapes import LSTMState, RNNState, StackState

pytestmark = pytest.mark.usefixtures("own_messages")
LAYERS = [SimpleRNN(3, 4), LSTM(3, 4), GRU(3, 4)]
of_each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
X = torch.zeros(2, 5, 3)


def says(message: str) -> str:
    return "^" + re.escape(message) + "$"


@of_each_layer
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(5, 3),
            "x has shape (5, 3), but must have three axes (batch, time, input 3). "
            "For one sequence add a batch axis: x.unsqueeze(0).",
        ),
        (torch.zeros(3), "x has shape (3,), but must have three axes (batch, time, input 3)."),
        (torch.zeros(1, 2, 5, 3), "x has shape (1, 2, 5, 3), but must have three axes (batch, time, input 3)."),
        (
            torch.zeros(2, 5, 7),
            "x has input size 7 (batch 2, time 5, input 7), but this layer was made with input_size=3. "
            "Give x of shape (batch, time, 3).",
        ),
        (
            torch.zeros(2, 5, 3, dtype=torch.float64),
            "x is torch.float64 but the weights are torch.float32. "
            "Convert it: .to(torch.float32) or layer.to(torch.float64).",
        ),
        (
            torch.zeros(2, 5, 3, dtype=torch.int64),
            "x is torch.int64 but the weights are torch.float32. Convert it: .to(torch.float32).",
        ),
        (
            torch.zeros(2, 5, 3, device="meta"),
            'x is on meta but the weights are on cpu. Move one of them: .to("cpu") or layer.to("meta").',
        ),
        (
            [[[0.0, 0.0, 0.0]]],
            "x is a list, but must be a tensor (batch, time, input 3). Make one with torch.as_tensor(x).",
        ),
    ],
    ids=["two_axes", "one_axis", "four_axes", "input_size", "float64", "integers", "device", "list"],
)
def test_a_wrong_input_is_named(layer: Recurrent, x: object, message: str) -> None:
    expected = says(f"{type(layer).__name__}: {message}")
    for read in (layer, layer.trace, Bidirectional(layer), Stack([layer])):
        with pytest.raises(ShapeError, match=expected):
            read(x)


@of_each_layer
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1, 2, 3], "lengths have shape (3,), but x has 2 rows (x: batch 2, time 5, input 3). Give one length a row."),
        ([[1, 2]], "lengths have shape (1, 2), but x has 2 rows (x: batch 2, time 5, input 3). Give one length a row."),
        (
            torch.tensor(3),
            "lengths have shape (), but x has 2 rows (x: batch 2, time 5, input 3). Give one length a row.",
        ),
        ([], "lengths have shape (0,), but x has 2 rows (x: batch 2, time 5, input 3). Give one length a row."),
        (
            torch.tensor([1.0, 2.0]),
            "lengths are torch.float32, but must be whole numbers (x: batch 2, time 5, input 3). Use lengths.long().",
        ),
        (
            torch.tensor([True, False]),
            "lengths are torch.bool, but must be whole numbers (x: batch 2, time 5, input 3). Use lengths.long().",
        ),
        (
            [5, 6],
            "lengths[1] is 6 but x has 5 time steps (x: batch 2, time 5, input 3). Lengths must lie in 0..5.",
        ),
        (
            [-1, 5],
            "lengths[0] is -1 but x has 5 time steps (x: batch 2, time 5, input 3). Lengths must lie in 0..5.",
        ),
        (
            "ab",
            "lengths are 'ab', but must be whole numbers (x: batch 2, time 5, input 3). Give one length a row.",
        ),
        (
            [[1], [2, 3]],
            "lengths are [[1], [2, 3]], but must be whole numbers (x: batch 2, time 5, input 3). "
            "Give one length a row.",
        ),
        (
            [3, None],
            "lengths are [3, None], but must be whole numbers (x: batch 2, time 5, input 3). Give one length a row.",
        ),
        (
            [3, 2**70],
            f"lengths are [3, {2**70}], but must be whole numbers (x: batch 2, time 5, input 3). "
            "Give one length a row.",
        ),
    ],
    ids=[
        "count", "two_axes", "no_axis", "none", "fractions", "truth", "too_long", "negative",
        "words", "ragged", "missing", "huge",
    ],
)  # fmt: skip
def test_wrong_lengths_are_named(layer: Recurrent, lengths: object, message: str) -> None:
    for read in (layer, layer.trace, Bidirectional(layer), Stack([layer])):
        with pytest.raises(LengthError, match=says(message)):
            read(X, lengths)


def test_lengths_of_an_empty_batch_may_be_an_empty_list() -> None:
    assert LSTM(3, 4)(X[:0], [])[0].shape == (0, 5, 4)


@of_each_layer
def test_a_state_of_another_kind_is_named(layer: Recurrent) -> None:
    name, expected = type(layer).__name__, layer.state_type.__name__
    wrong = RNNState(torch.zeros(2, 4)) if isinstance(layer, LSTM) else LSTMState(torch.zeros(2, 4), torch.zeros(2, 4))
    for state in (wrong, torch.zeros(2, 4), (torch.zeros(2, 4), torch.zeros(2, 4))):
        message = (
            f"{name}: state is a {type(state).__name__}, but must be an {expected} of tensors (batch, hidden). "
            f"Make one with seqloom.shapes.{expected}(...)."
        )
        with pytest.raises(ShapeError, match=says(message)):
            layer(X, None, state)


@of_each_layer
@pytest.mark.parametrize("shape", [(1, 4), (2, 5), (1, 2, 4)])
def test_a_state_of_another_shape_is_named(layer: Recurrent, shape: tuple[int, ...]) -> None:
    """One row would be broadcast silently, and torch's (layers, batch, hidden) is not our axes."""
    state = layer.state_type(*(torch.zeros(shape) for _ in layer.state_type._fields))
    message = (
        f"{type(layer).__name__}: state.hidden has shape {shape}, but must be (batch 2, hidden 4), "
        "one row for each row of x."
    )
    with pytest.raises(ShapeError, match=says(message)):
        layer(X, None, state)


@of_each_layer
def test_a_state_of_another_dtype_or_device_is_named(layer: Recurrent) -> None:
    last = layer.state_type._fields[-1]

    def state(**wrong: object) -> object:
        return layer.state_type(**{name: torch.zeros(2, 4, **wrong) for name in layer.state_type._fields})._replace(
            **({"hidden": torch.zeros(2, 4)} if last == "cell" else {})
        )

    message = (
        f"{type(layer).__name__}: state.{last} is torch.float64 but the weights are torch.float32. "
        "Convert it: .to(torch.float32) or layer.to(torch.float64)."
    )
    with pytest.raises(ShapeError, match=says(message)):
        layer(X, None, state(dtype=torch.float64))
    message = (
        f"{type(layer).__name__}: state.{last} is on meta but the weights are on cpu. "
        'Move one of them: .to("cpu") or layer.to("meta").'
    )
    with pytest.raises(ShapeError, match=says(message)):
        layer(X, None, state(device="meta"))


def test_wrappers_name_a_wrong_state() -> None:
    message = "Bidirectional: state is a RNNState, but must be a BidirectionalState(forward=..., backward=...)."
    with pytest.raises(ShapeError, match=says(message)):
        Bidirectional(GRU(3, 4))(X, None, RNNState(torch.zeros(2, 4)))
    stack = Stack([GRU(3, 4), GRU(4, 4)])
    for state in (RNNState(torch.zeros(2, 4)), StackState(layers=(RNNState(torch.zeros(2, 4)),))):
        for read in (stack, stack.trace):
            with pytest.raises(ShapeError, match=says("Stack: state must be a StackState of 2 layer states.")):
                read(X, None, state)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SimpleRNN(3, 4, activation="relo"),
            'SimpleRNN: activation is "relo", did you mean "relu"?',
        ),
        (
            lambda: SimpleRNN(3, 4, activation="sine"),
            'SimpleRNN: activation is "sine", allowed: tanh, relu, leaky_relu',
        ),
        (lambda: LSTM(3, 4, init="ortogonal"), 'LSTM: init is "ortogonal", did you mean "orthogonal"?'),
        (lambda: GRU(3, 4, init="ones"), 'GRU: init is "ones", allowed: uniform, orthogonal, identity, glorot'),
        (lambda: GRU(3, 4, initial_state="zero"), 'GRU: initial_state is "zero", did you mean "zeros"?'),
        (
            lambda: LSTM(3, 4, recurrent_dropout=1.0),
            "LSTM: recurrent_dropout is 1.0. It must lie in 0..1, 1 excluded.",
        ),
        (
            lambda: LSTM(3, 4, recurrent_dropout=-0.1),
            "LSTM: recurrent_dropout is -0.1. It must lie in 0..1, 1 excluded.",
        ),
        (
            lambda: LSTM(3, 4, recurrent_dropout="a"),
            "LSTM: recurrent_dropout is 'a'. It must lie in 0..1, 1 excluded.",
        ),
        (lambda: GRU(0, 4), "GRU: input_size is 0. It must be a whole number from 1 on."),
        (lambda: GRU(3, -1), "GRU: hidden_size is -1. It must be a whole number from 1 on."),
        (lambda: GRU(3, 2.0), "GRU: hidden_size is 2.0. It must be a whole number from 1 on."),
        (lambda: GRU(True, 2), "GRU: input_size is True. It must be a whole number from 1 on."),
        (
            lambda: Bidirectional(5),
            "Bidirectional: layer is 5, but must be a SimpleRNN, LSTM or GRU, as in Bidirectional(LSTM(5, 3)).",
        ),
        (
            lambda: Bidirectional(nn.LSTM(3, 4)),
            "Bidirectional: layer is LSTM(3, 4), but must be a SimpleRNN, LSTM or GRU, as in "
            "Bidirectional(LSTM(5, 3)).",
        ),
        (lambda: Stack([]), "Stack: no layers given. Give at least one."),
        (
            lambda: Stack([GRU(3, 3), 3]),
            "Stack: layer 1 is 3, but must be a SimpleRNN, LSTM, GRU or Bidirectional.",
        ),
        (
            lambda: Stack([GRU(3, 3), nn.Linear(3, 3, bias=False)]),
            "Stack: layer 1 is Linear(in_features=3, out_features=3, bias=False), but must be a SimpleRNN, LSTM, GRU "
            "or Bidirectional.",
        ),
        (
            lambda: Stack(GRU(3, 3)),
            "Stack: layers is a GRU, but must be a list of layers, as in Stack([LSTM(5, 3), LSTM(3, 3)]).",
        ),
        (
            lambda: Stack(GRU(3, 3) for _ in "12"),
            "Stack: layers is a generator, but must be a list of layers, as in Stack([LSTM(5, 3), LSTM(3, 3)]).",
        ),
        (lambda: Stack([GRU(3, 4), GRU(4, 4)], dropout="a"), "Stack: dropout is 'a'. It must lie in 0..1."),
        (lambda: OneHot("a"), "OneHot: vocabulary_size is 'a'. It must be a whole number from 1 on."),
        (lambda: summary(3), "summary: int given. Allowed: any torch module."),
        (lambda: Stack([GRU(3, 4), GRU(4, 4)], dropout=1.5), "Stack: dropout is 1.5. It must lie in 0..1."),
        (lambda: OneHot(0), "OneHot: vocabulary_size is 0. It must be a whole number from 1 on."),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(make, message: str) -> None:
    with pytest.raises(ConfigError, match=says(message)):
        make()


def test_layers_that_do_not_fit_on_each_other_are_named() -> None:
    message = "Stack: layer 1 reads input_size=4, but layer 0 gives outputs of size 8. Make layer 1 with input_size=8."
    with pytest.raises(ShapeError, match=says(message)):
        Stack([Bidirectional(GRU(3, 4)), GRU(4, 4)])
    message = (
        "Stack: residual adds the input of layer 2 (size 4) to its output (size 5). "
        "Give it equal sizes, or residual=False."
    )
    with pytest.raises(ShapeError, match=says(message)):
        Stack([GRU(3, 4), GRU(4, 4), GRU(4, 5)], residual=True)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_last_names_what_is_not_a_layers_answer(rows: int) -> None:
    with pytest.raises(ShapeError, match=says("Last: expected (outputs, state) of a recurrent layer, but was given one "
                                              "tensor.")):  # fmt: skip
        Last()(torch.zeros(rows, 5, 4))
    message = "Last: expected (outputs, state) of a recurrent layer, but the state is a tuple."
    with pytest.raises(ShapeError, match=says(message)):
        Last()(nn.LSTM(3, 4)(X))


@pytest.mark.parametrize("ids", [[[0, 5]], [[-1, 2]]])
def test_one_hot_names_ids_outside_the_vocabulary(ids: list[list[int]]) -> None:
    low, high = min(ids[0]), max(ids[0])
    message = (
        f"OneHot: ids lie in {low}..{high}, but the vocabulary has the ids 0..4. "
        "Make OneHot as large as the vocabulary that gave the ids."
    )
    with pytest.raises(ShapeError, match=says(message)):
        OneHot(5)(torch.tensor(ids))


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (LSTM(3, 4, layer_norm=True), "layer_norm"),
        (LSTM(3, 4, initial_state="learned"), "initial_state=learned"),
        (LSTM(3, 4, recurrent_dropout=0.1), "recurrent_dropout"),
        (SimpleRNN(3, 4, activation="leaky_relu"), "activation=leaky_relu"),
        (GRU(3, 4), "reset_after=False"),
        (Stack([LSTM(3, 4), SimpleRNN(4, 4)]), "layers of unlike kind, size or bias"),
        (Stack([LSTM(3, 4), LSTM(4, 5)]), "layers of unlike kind, size or bias"),
        (Stack([LSTM(3, 4), LSTM(4, 4, bias=False)]), "layers of unlike kind, size or bias"),
        (Stack([SimpleRNN(3, 4), SimpleRNN(4, 4, activation="relu")]), "layers of unlike activation"),
        (LSTM(3, 4, layer_norm=True, initial_state="random"), "layer_norm, initial_state=random"),
    ],
)
def test_to_torch_names_what_torch_does_not_have(layer: Recurrent | Stack, what: str) -> None:
    with pytest.raises(ConfigError, match=says(f"to_torch: torch.nn has no {what}.")):
        to_torch(layer)


def test_to_torch_names_wirings_that_torch_does_not_have() -> None:
    with pytest.raises(ConfigError, match=says("to_torch: torch.nn has no residual connections between layers.")):
        to_torch(Stack([LSTM(3, 4), LSTM(4, 4)], residual=True))
    with pytest.raises(ConfigError, match=says("to_torch: torch.nn reads in the same directions on every layer.")):
        to_torch(Stack([Bidirectional(LSTM(3, 4)), LSTM(8, 4)]))


def test_from_torch_names_what_it_cannot_take() -> None:
    message = "from_torch: proj_size=2 has no counterpart here. Use proj_size=0."
    with pytest.raises(ConfigError, match=says(message)):
        from_torch(nn.LSTM(3, 4, proj_size=2))
    message = "from_torch: Linear given. Allowed: nn.RNN, nn.LSTM, nn.GRU."
    with pytest.raises(ConfigError, match=says(message)):
        from_torch(nn.Linear(3, 4))
