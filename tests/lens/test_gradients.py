"""The gradient by time step is autograd's, looking changes no bit, and the sentences say what the numbers say."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.config import ModelSettings
from seqloom.errors import ConfigError, ShapeError
from seqloom.lens import gradients as lens
from seqloom.lens.gradients import GradientFlow, LayerFlow, gradient_flow, half_lives, jacobian_norms
from seqloom.models import ManyToOne
from seqloom.nn import GRU, LSTM, Bidirectional, Last, Linear, Recurrent, SimpleRNN
from seqloom.shapes import Batch

B, T, INPUT, H = 3, 5, 3, 4
LENGTHS = [5, 2, 4]
LAYERS: dict[str, Callable[[], Recurrent]] = {
    "tanh": lambda: SimpleRNN(INPUT, H),
    "relu": lambda: SimpleRNN(INPUT, H, activation="relu", init="identity"),
    "lstm": lambda: LSTM(INPUT, H),
    "gru": lambda: GRU(INPUT, H),
}
each_layer = pytest.mark.parametrize("name", LAYERS)


class Reader(nn.Module):
    """A layer, and an answer from its last real step."""

    def __init__(self, layer: nn.Module, size: int = H) -> None:
        super().__init__()
        self.layer, self.last, self.head = layer, Last(), Linear(size, 2)

    def forward(self, x: Tensor, lengths: list[int]) -> Tensor:
        answer: Tensor = self.head(self.last(self.layer(x, lengths)))
        return answer


def made(name: str) -> Reader:
    torch.manual_seed(3)
    model = Reader(LAYERS[name]())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


def given(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.randn(B, T, INPUT, dtype=dtype), torch.tensor([1, 0, 1])


def loss_of(model: Reader, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    return lambda: functional.cross_entropy(model(x, LENGTHS), y)


# The reference: one row after the other, each cell written out, every state a tensor of its own.


def step(name: str, w: dict[str, Tensor], x: Tensor, s: list[Tensor]) -> list[Tensor]:
    W, U, b = w["layer.weight_input"], w["layer.weight_hidden"], w["layer.bias"]
    cut = [slice(n * H, (n + 1) * H) for n in range(4)]
    if name in ("tanh", "relu"):
        return [(torch.tanh if name == "tanh" else torch.relu)(x @ W + s[0] @ U + b)]
    if name == "lstm":
        i, f, g, o = (x @ W[:, c] + s[0] @ U[:, c] + b[c] for c in cut)
        cell = f.sigmoid() * s[1] + i.sigmoid() * g.tanh()
        return [o.sigmoid() * cell.tanh(), cell]
    r, u = ((x @ W[:, c] + s[0] @ U[:, c] + b[c]).sigmoid() for c in cut[:2])
    n = (x @ W[:, cut[2]] + (r * s[0]) @ U[:, cut[2]] + b[cut[2]]).tanh()
    return [u * s[0] + (1 - u) * n]


def reference(
    name: str, model: Reader, x: Tensor, y: Tensor
) -> tuple[float, list[list[list[float]]], dict[str, float]]:
    w = {each: weight.detach().clone().requires_grad_() for each, weight in model.named_parameters()}
    states: list[list[list[Tensor]]] = []
    logits = []
    for row, length in zip(x, LENGTHS, strict=True):
        s = [torch.zeros(H, dtype=x.dtype) for _ in range(2 if name == "lstm" else 1)]
        states.append([])
        for t in range(length):
            s = [path * 1.0 for path in step(name, w, row[t], s)]  # a copy, so that c is asked with h held fixed
            for path in s:
                path.retain_grad()
            states[-1].append(s)
        logits.append(s[0] @ w["head.weight"].t() + w["head.bias"])
    loss = functional.cross_entropy(torch.stack(logits), y)
    loss.backward()

    def norm(path: Tensor) -> float:
        return 0.0 if path.grad is None else float(path.grad.norm())

    paths = range(2 if name == "lstm" else 1)
    norms = [[[norm(s[path]) for s in row] for row in states] for path in paths]
    return float(loss.detach()), norms, {each: norm(weight) for each, weight in w.items()}


@each_layer
def test_gradient_by_step_and_by_weight_is_that_of_a_loop(name: str) -> None:
    model = made(name).double()
    loss, paths, weights = reference(name, model, *given())
    flow = gradient_flow(model, loss_of(model, *given()))
    [layer] = flow.layers
    assert flow.loss == pytest.approx(loss, abs=1e-12)
    assert (layer.name, layer.kind, layer.reverse) == ("layer", type(model.layer).__name__, False)
    assert [len(row) for row in layer.hidden] == LENGTHS
    for row, expected in zip(layer.hidden, paths[0], strict=True):
        assert row == pytest.approx(expected, rel=1e-9, abs=1e-13)
    assert (layer.cell is None) == (name != "lstm")
    for row, expected in zip(layer.cell or [], paths[-1] if name == "lstm" else [], strict=True):
        assert row == pytest.approx(expected, rel=1e-9, abs=1e-13)
    other = [norm for each, norm in weights.items() if each == "layer.bias"]
    split = {"input": weights["layer.weight_input"], "feedback": weights["layer.weight_hidden"], "other": other[0]}
    assert layer.weights == pytest.approx(split, rel=1e-9)
    assert flow.output == pytest.approx(math.hypot(weights["head.weight"], weights["head.bias"]), rel=1e-9)
    assert flow.vectors == 0


@each_layer
def test_the_compiled_core_is_followed_as_the_loop_is(name: str) -> None:
    model = made(name)
    x, y = given()
    _, paths, _ = reference(name, made(name).double(), x, y)
    [layer] = gradient_flow(model, loss_of(model, x.float(), y)).layers
    for row, expected in zip(layer.hidden, paths[0], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-6)


def settings(cell: str) -> ModelSettings:
    return ModelSettings.model_validate(
        {"cell": cell, "embedding_size": 3, "hidden_size": 4, "num_layers": 2, "dropout": 0.5, "recurrent_dropout": 0.5}
    )


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_looking_changes_no_bit_and_leaves_no_trace(cell: str) -> None:
    torch.manual_seed(0)
    model = ManyToOne(settings(cell), vocabulary_size=9, outputs=3, problem="multiclass")
    batch, y = Batch(torch.randint(1, 9, (3, 6)), torch.tensor([6, 0, 3])), torch.tensor([0, 2, 1])
    model.eval()
    with torch.no_grad():
        before = model(batch), model.batch_loss(batch, y)
    model.train()
    model.recurrent.eval()  # each part gets its own mode back
    chance = torch.get_rng_state()
    inside = []

    def loss() -> Tensor:
        inside.append(model(batch).detach())
        return model.batch_loss(batch, y)

    flow = gradient_flow(model, loss)
    assert torch.equal(inside[0], before[0])
    assert flow.loss == float(before[1])
    assert torch.equal(torch.get_rng_state(), chance)
    assert model.training
    assert not model.recurrent.training
    assert all(weight.grad is None for weight in model.parameters())
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(batch), before[0])
    assert not any(module._forward_hooks for module in model.modules())


def test_every_layer_and_direction_is_told_apart() -> None:
    torch.manual_seed(0)
    model = ManyToOne(settings("lstm"), vocabulary_size=9, outputs=3, problem="multiclass")
    batch = Batch(torch.randint(1, 9, (2, 6)), torch.tensor([6, 3]))
    flow = gradient_flow(model, lambda: model.batch_loss(batch, torch.tensor([0, 2])))
    ends = [(layer.name.rpartition(".")[2], layer.reverse) for layer in flow.layers]
    assert ends == [("forward_layer", False), ("backward_layer", True)] * 2
    assert len({layer.name for layer in flow.layers}) == 4
    assert all([len(row) for row in layer.hidden] == [6, 3] for layer in flow.layers)
    assert flow.vectors > 0
    assert flow.to_dict()["layers"][0]["carried"] == flow.layers[0].carried()


def test_a_backward_reading_ends_at_the_first_step() -> None:
    torch.manual_seed(0)
    both = Bidirectional(SimpleRNN(INPUT, H, init="uniform"))
    model = Reader(both, 2 * H)
    x = torch.randn(2, 6, INPUT)
    _, back = gradient_flow(model, lambda: model(x, [6, 6]).square().sum()).layers
    by_step = [math.sqrt((a**2 + b**2) / 2) for a, b in zip(*back.hidden, strict=True)]
    assert back.carried() == pytest.approx(by_step)
    assert by_step[0] > by_step[-1]


def test_rows_of_unlike_length_count_from_their_own_end() -> None:
    flow = LayerFlow("", "LSTM", False, [[1.0, 3.0], [5.0]], [[0.0, 4.0], [12.0]], {})
    assert flow.carried() == pytest.approx([math.sqrt((5**2 + 13**2) / 2), 1.0])


# Jacobians


@each_layer
def test_jacobian_norms_are_those_of_the_whole_function(name: str) -> None:
    layer = made(name).layer.double()
    assert isinstance(layer, Recurrent)
    x = torch.randn(T, INPUT, dtype=torch.float64)
    found = jacobian_norms(layer.float(), x.float())
    layer.double()
    states = [layer.first(batch=1)]
    for t in range(T):
        states.append(layer(x[None, t : t + 1], None, states[-1])[1])
    for t, state in enumerate(states):

        def last(*paths: Tensor, t: int = t) -> Tensor:
            return layer(x[None, t:].float().double(), None, type(states[0])(*paths))[1].hidden[0]

        parts = torch.autograd.functional.jacobian(last, tuple(path.detach() for path in state))
        whole = torch.cat([part[:, 0] for part in parts], dim=1)
        assert found[t] == pytest.approx(float(torch.linalg.svdvals(whole)[0]), rel=1e-4)
    assert found[-1] == 1


def test_a_linear_loop_multiplies_by_its_weight() -> None:
    layer = SimpleRNN(1, 1, activation="relu")
    with torch.no_grad():
        layer.weight_hidden.fill_(0.5)
        layer.weight_input.fill_(1.0)
    assert jacobian_norms(layer, torch.ones(3, 1)) == pytest.approx([0.125, 0.25, 0.5, 1])


# Half-lives


@pytest.mark.parametrize(("kind", "gate"), [(LSTM, 1), (GRU, 1)])
def test_half_life_is_that_of_the_gate_at_real_steps(kind: type[LSTM | GRU], gate: int) -> None:
    layer = kind(INPUT, 2)
    with torch.no_grad():
        layer.weight_input.zero_()
        layer.weight_hidden.zero_()
        layer.bias.zero_()
        layer.bias[gate * 2 : gate * 2 + 2] = torch.tensor([0.0, math.log(9)])  # the gates: 0.5 and 0.9
    x = torch.randn(2, 4, INPUT)
    assert half_lives(layer, x, [4, 1]) == pytest.approx([1, math.log(0.5) / math.log(0.9)], rel=1e-5)
    with torch.no_grad():
        layer.bias.fill_(100)
    assert half_lives(layer, x) == [math.inf, math.inf]


# What is said


def layer_flow(carried: list[float], kind: str = "SimpleRNN") -> LayerFlow:
    return LayerFlow("reader", kind, False, [carried[::-1]], None, {"input": 3.0, "feedback": 0.0, "other": 0.0})


@pytest.mark.parametrize(
    ("carried", "said"),
    [
        (
            [2.0, 1.0, 1.9e-6, 1e-9],
            "reader (SimpleRNN): the gradient falls below a millionth of its end after 2 steps, and next to nothing is "
            "learned from further back: try LSTM or GRU, or an identity start (init identity with activation relu).",
        ),
        (
            [1.0, 10.0, 2e3],
            "reader (SimpleRNN): the gradient grows to 2e+03 times its end within 2 steps: clip it "
            "(training.clip_norm), or try an orthogonal start (init orthogonal).",
        ),
        ([2.0, 1.0], "reader (SimpleRNN): the gradient carries: 1 steps back it has 0.5 of its end."),
        ([0.0, 0.0], "reader (SimpleRNN): no gradient reaches it."),
        (
            [1.0, math.nan],
            "reader (SimpleRNN): the gradient is not a number: lower the learning rate, or clip (training.clip_norm).",
        ),
    ],
)
def test_distance_is_told_from_the_numbers(carried: list[float], said: str) -> None:
    assert lens.distance_finding(layer_flow(carried)) == said


def test_advice_is_for_the_cell_that_has_the_trouble() -> None:
    assert "try attention" in lens.distance_finding(layer_flow([1.0, 1e-7], "LSTM"))
    assert "LSTM" not in lens.distance_finding(layer_flow([1.0, 1e-7], "GRU"))


def test_findings_tell_the_split() -> None:
    flow = GradientFlow(0.5, [layer_flow([1.0, 1.0])], output=1.0, vectors=0.0)
    assert lens.findings(flow) == [
        "reader (SimpleRNN): the gradient carries: 1 steps back it has 1 of its end.",
        "Of the squared gradient go to: input weights 90 %, output weights 10 %.",
    ]


def test_wrong_calls_say_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"gradient_flow: Linear has no layer of seqloom\.nn"):
        gradient_flow(Linear(2, 2), lambda: torch.tensor(0.0))
    model = made("tanh")
    with pytest.raises(ShapeError, match=r"the loss has shape \(3, 2\). Give one number: its mean."):
        gradient_flow(model, lambda: model(given(torch.float32)[0], LENGTHS))
    with pytest.raises(ConfigError, match="half_lives: a SimpleRNN has no gate that keeps. Give an LSTM or a GRU."):
        half_lives(SimpleRNN(2, 2), torch.zeros(1, 2, 2))
