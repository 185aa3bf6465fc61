"""The proof of the encoder-decoder: the equations in plain numpy, gradients by differences, blind to padding."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqloom.config import ModelSettings
from seqloom.data import pad
from seqloom.models import LossOptions, Seq2Seq
from seqloom.models.text_decoder import wanted
from seqloom.shapes import Batch, LSTMState

SOURCE_WORDS, TARGET_WORDS = 9, 7
PLAIN: dict[str, Any] = {"embedding_size": 5, "hidden_size": 4, "dropout": 0.0, "word_dropout": 0.0}
SOURCES = [[2, 3, 4, 5, 6], [7], [8, 1, 2], [3, 3]]
TARGETS = [[2, 3], [6, 5, 4, 1], [2], [4, 4, 3]]
Weights = dict[str, np.ndarray]


def model_of(*, joint: bool = False, **settings: Any) -> Seq2Seq:
    """A model whose weights, biases included, are all distinct."""
    torch.manual_seed(1)
    words = SOURCE_WORDS if joint else TARGET_WORDS
    model = Seq2Seq(
        ModelSettings(**{**PLAIN, **settings}), vocabulary_size=SOURCE_WORDS, target_size=words, joint=joint
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model.eval()


# The equations, a row at a time, in float64


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(drive: np.ndarray, state: tuple[np.ndarray, np.ndarray], hidden_weights: np.ndarray) -> Any:
    i, f, g, o = np.split(drive + state[0] @ hidden_weights, 4)
    cell = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def read(vectors: list[np.ndarray], w: Weights, name: str) -> list[Any]:
    zero = np.zeros(w[name + "weight_hidden"].shape[0])
    state, states = (zero, zero), []
    for x in vectors:
        state = lstm(x @ w[name + "weight_input"] + w[name + "bias"], state, w[name + "weight_hidden"])
        states.append(state)
    return states


def dense(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def attention(h: np.ndarray, memory: np.ndarray, w: Weights, kind: str) -> np.ndarray:
    """The context: each step of the memory by how well it fits the state."""
    if kind == "additive":
        keys = dense(memory, w, "decoder.key")
        scores = np.array([np.tanh(key + h @ w["decoder.weight_query"]) @ w["decoder.score"] for key in keys])
    else:
        query = h if kind == "dot" else h @ w["decoder.weight_query"]
        scores = np.array([step @ query for step in memory])
    weights = np.exp(scores) / np.exp(scores).sum()
    return sum(weight * step for weight, step in zip(weights, memory, strict=True))


def numpy_log_likelihood(model: Seq2Seq, source: list[int], target: list[int], kind: str) -> float:
    w = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    vectors = [w["embedding.weight"][token] for token in source]
    if kind == "dot":  # reads forward only, so that memory and state have one size
        states = read(vectors, w, "encoder.layers.0.")
        memory = np.stack([h for h, _ in states])
        h, c = states[-1]
    else:
        ahead = read(vectors, w, "encoder.layers.0.forward_layer.")
        back = read(vectors[::-1], w, "encoder.layers.0.backward_layer.")
        memory = np.stack([np.concatenate([a, b]) for (a, _), (b, _) in zip(ahead, back[::-1], strict=True)])
        last = [np.concatenate(pair) for pair in zip(ahead[-1], back[-1], strict=True)]
        h, c = np.tanh(dense(last[0], w, "bridge.0.hidden")), dense(last[1], w, "bridge.0.cell")
    name = "decoder." if kind == "none" else "decoder.layer."
    total = 0.0
    for before, token in itertools.pairwise([0, *target, 0]):
        drive = w["target_embedding.weight"][before] @ w[name + "weight_input"] + w[name + "bias"]
        seen = []
        if kind != "none":
            seen = [attention(h, memory, w, kind)]
            drive = drive + seen[0] @ w["decoder.weight_context"]
        h, c = lstm(drive, (h, c), w[name + "weight_hidden"])
        logits = dense(np.tanh(dense(np.concatenate([h, *seen]), w, "readout")), w, "output")
        total += logits[token] - np.log(np.exp(logits).sum())
    return total


@pytest.mark.parametrize("kind", ["additive", "general", "dot", "none"])
def test_log_likelihood_equals_the_equations(kind: str, either_path: str) -> None:
    model = model_of(attention=kind, bidirectional=kind != "dot")
    found = model.log_likelihood(pad(SOURCES), pad(TARGETS))
    expected = [numpy_log_likelihood(model, *pair, kind) for pair in zip(SOURCES, TARGETS, strict=True)]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5)


SHAPES: list[dict[str, Any]] = [
    {},
    {"cell": "gru", "num_layers": 2, "attention": "general"},
    {"cell": "simple_rnn", "attention": "none"},
    {"reverse_source": True, "bidirectional": False, "attention": "dot"},
    {"tied_embeddings": True, "num_layers": 3, "residual": True},
    {"readout": "direct", "embedding": "one_hot"},
]


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_loss_is_the_mean_over_tokens_and_ends(settings: dict[str, Any]) -> None:
    model = model_of(**settings)
    logits, tokens = model(pad(SOURCES), pad(TARGETS)), wanted(pad(TARGETS))
    assert tokens.tolist() == [2, 3, 0, 6, 5, 4, 1, 0, 2, 0, 4, 4, 3, 0]
    for smoothing in (0.0, 0.1):
        loss = model.batch_loss(pad(SOURCES), pad(TARGETS), LossOptions(None, smoothing))
        torch.testing.assert_close(loss, functional.cross_entropy(logits, tokens, label_smoothing=smoothing))
    likelihood = model.log_likelihood(pad(SOURCES), pad(TARGETS))
    torch.testing.assert_close(-likelihood.sum() / len(tokens), functional.cross_entropy(logits, tokens))


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_gradients_equal_differences(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)  # for one-hot vectors
    model = model_of(**settings).double()
    parameters = list(model.parameters())

    def loss(*values: Tensor) -> Tensor:
        names = [name for name, _ in model.named_parameters()]
        return (
            torch.func.functional_call(model, dict(zip(names, values, strict=True)), (pad(SOURCES), pad(TARGETS)))
            .log_softmax(-1)[torch.arange(14), wanted(pad(TARGETS))]
            .sum()
        )

    model.zero_grad()
    (-loss(*parameters) / 14).backward()
    expected = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    model.zero_grad()
    model.batch_loss(pad(SOURCES), pad(TARGETS)).backward()
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    with torch.no_grad():  # and both equal what a small step of one weight changes
        weight = model.decoder.weight_context if settings.get("attention") != "none" else model.decoder.weight_input  # type: ignore[union-attr]
        assert weight.grad is not None
        before = -loss(*parameters) / 14
        weight[1, 2] += 1e-6
        after = -loss(*parameters) / 14
    assert (after - before).item() / 1e-6 == pytest.approx(weight.grad[1, 2].item(), rel=1e-4)


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_a_row_does_not_depend_on_its_batch_nor_on_what_stands_at_padding(
    settings: dict[str, Any], either_path: str
) -> None:
    model = model_of(**settings)
    together = model.log_likelihood(pad(SOURCES), pad(TARGETS))
    source, target = pad(SOURCES), pad(TARGETS)
    source.values[source.values == 0], target.values[target.values == 0] = 5, 3
    alone = [model.log_likelihood(pad([s]), pad([t])) for s, t in zip(SOURCES, TARGETS, strict=True)]
    if either_path == "fused_cpu":
        assert torch.equal(model.log_likelihood(source, target), together)
        assert torch.equal(torch.cat(alone), together)
    else:
        torch.testing.assert_close(model.log_likelihood(source, target), together)
        torch.testing.assert_close(torch.cat(alone), together)


@pytest.mark.parametrize("kind", ["additive", "none"])
def test_a_token_depends_on_the_whole_source_and_on_the_target_before_it(kind: str) -> None:
    model = model_of(attention=kind)
    source, target = [[2, 3, 4, 5]], [[2, 3, 4]]
    before = model(pad(source), pad(target))
    for place in range(4):
        moved = [[*source[0][:place], 8, *source[0][place + 1 :]]]
        assert bool((model(pad(moved), pad(target)) != before).any(dim=1).all())
    for place in range(3):
        moved = [[*target[0][:place], 6, *target[0][place + 1 :]]]
        changed = (model(pad(source), pad(moved)) != before).any(dim=1)
        assert changed.tolist() == [step > place for step in range(4)]


def test_reversing_the_source_is_reading_it_back_to_front() -> None:
    plain = model_of(attention="none", bidirectional=False)
    turned = model_of(attention="none", bidirectional=False, reverse_source=True)
    turned.load_state_dict(plain.state_dict())
    back = [source[::-1] for source in SOURCES]
    torch.testing.assert_close(turned(pad(SOURCES), pad(TARGETS)), plain(pad(back), pad(TARGETS)))


def test_attention_of_a_reversed_source_stands_at_the_tokens_as_they_were_given() -> None:
    plain = model_of(bidirectional=False)
    turned = model_of(bidirectional=False, reverse_source=True)
    turned.load_state_dict(plain.state_dict())
    ahead = plain.encode(pad([SOURCES[0][::-1]])).source
    back = turned.encode(pad([SOURCES[0]])).source
    assert ahead is not None and back is not None
    torch.testing.assert_close(ahead.memory.flip(1), back.memory)


def test_joint_and_tied_share_their_vectors() -> None:
    model = model_of(joint=True, tied_embeddings=True)
    assert model.embedding.weight is model.target_embedding.weight is model.output.weight
    names = [name for name, _ in model.named_parameters()]
    assert "output.weight" not in names and "target_embedding.weight" not in names
    apart = model_of(joint=True)
    assert apart.output.weight is not apart.target_embedding.weight


def test_scheduled_sampling_reads_what_the_model_would_write() -> None:
    model = model_of().train()
    with torch.no_grad():
        model.output.bias[0] = 0.7  # so that it would end some texts early, and not others
    given, options = Batch(*pad(TARGETS)), LossOptions(own_tokens=1.0)
    best = iter(model(pad(SOURCES), pad(TARGETS)).argmax(dim=-1).tolist())
    own = [[next(best) for _ in [*row, 0]][:-1] for row in TARGETS]
    # An end in the middle would leave nothing to go on from: there the given token stays.
    read = [[mine or token for mine, token in zip(o, t, strict=True)] for o, t in zip(own, TARGETS, strict=True)]
    assert read != TARGETS and any(0 in row for row in own)
    features = model.features(pad(SOURCES), pad(read))
    expected = functional.cross_entropy(model.output(features), wanted(pad(TARGETS)))
    torch.testing.assert_close(model.batch_loss(pad(SOURCES), given, options), expected)
    assert model.batch_loss(pad(SOURCES), given, LossOptions(own_tokens=1e-9)) != expected


def test_a_residual_is_added_above_the_lowest_layer() -> None:
    model = model_of(num_layers=2, residual=True)
    below, first = torch.randn(3, 5, 4), [LSTMState(torch.randn(3, 4), torch.randn(3, 4))]
    plain, states = model.upper[0](below, None, first[0])
    outputs, after = model.read_above(below, first, None)
    torch.testing.assert_close(outputs, plain + below)
    assert torch.equal(after[0].hidden, states.hidden)  # the state is what the layer itself has


def test_learns_to_copy() -> None:
    torch.manual_seed(0)
    model = Seq2Seq(
        ModelSettings(embedding_size=16, hidden_size=16, dropout=0, word_dropout=0), vocabulary_size=8, target_size=8
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        rows = torch.randint(2, 8, (32, 3)).tolist()
        optimizer.zero_grad()
        model.batch_loss(pad(rows), pad(rows)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    rows = torch.randint(2, 8, (100, 3)).tolist()
    assert model.eval().log_likelihood(pad(rows), pad(rows)).mean() > -0.1
