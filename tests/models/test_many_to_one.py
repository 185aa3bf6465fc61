"""The proof of the many-to-one model: the equations in plain numpy, blind to padding, losses by the book."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_squared_error
from torch import Tensor

from seqloom.config import ModelSettings
from seqloom.data import pad
from seqloom.models import LossOptions, ManyToOne
from seqloom.shapes import Batch
from seqloom.text import UNKNOWN

VOCABULARY = 9
POOLINGS = ("last", "mean", "max", "attention")
CELLS = ("simple_rnn", "lstm", "gru")
PLAIN: dict[str, Any] = {"embedding_size": 5, "hidden_size": 4, "dropout": 0.0, "word_dropout": 0.0}
SEQUENCES = [[2, 3, 4, 5, 6], [7], [8, 1, 2], [3, 3]]

of_each_cell_and_pooling = pytest.mark.parametrize(
    ("cell", "pooling"), [(cell, pooling) for cell in CELLS for pooling in POOLINGS]
)


def model_of(problem: Any = "multiclass", *, outputs: int = 3, **settings: Any) -> ManyToOne:
    """A model whose weights, biases included, are all distinct."""
    torch.manual_seed(1)
    chosen = ModelSettings(**{**PLAIN, **settings})
    model = ManyToOne(chosen, vocabulary_size=VOCABULARY, outputs=outputs, problem=problem)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
        if settings.get("embedding") != "one_hot":
            model.embedding.weight[0] = 0
    return model.eval()


# Forward


def numpy_logits(model: ManyToOne, ids: list[int], *, pooling: str, layers: int, residual: bool = False) -> np.ndarray:
    """The logits of one row by the equations, for simple_rnn reading from both sides, in float64."""
    weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    steps = [weights["embedding.weight"][token] for token in ids]
    for layer in range(layers):
        ahead = numpy_rnn(steps, weights, f"recurrent.layers.{layer}.forward_layer.")
        back = numpy_rnn(steps[::-1], weights, f"recurrent.layers.{layer}.backward_layer.")
        below = steps
        steps = [np.concatenate(pair) for pair in zip(ahead, back[::-1], strict=True)]
        if residual and layer > 0:
            steps = [one + other for one, other in zip(steps, below, strict=True)]
    outputs = np.stack(steps)
    if pooling == "mean":
        pooled = outputs.mean(axis=0)
    elif pooling == "max":
        pooled = outputs.max(axis=0)
    elif pooling == "last":
        half = len(steps[0]) // 2
        pooled = np.concatenate([steps[-1][:half], steps[0][half:]])
    else:
        projected = np.tanh(outputs @ weights["attention.project.weight"].T + weights["attention.project.bias"])
        scores = np.exp(projected @ weights["attention.score.weight"][0])
        pooled = (scores / scores.sum()) @ outputs
    return weights["head.weight"] @ pooled + weights["head.bias"]


def numpy_rnn(steps: list[np.ndarray], weights: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    hidden = np.zeros(4)
    outputs = []
    for x in steps:
        hidden = np.tanh(
            x @ weights[f"{prefix}weight_input"] + hidden @ weights[f"{prefix}weight_hidden"] + weights[f"{prefix}bias"]
        )
        outputs.append(hidden)
    return outputs


@pytest.mark.parametrize(("pooling", "layers"), [(pooling, layers) for pooling in POOLINGS for layers in (1, 2)])
def test_logits_are_those_of_the_equations(pooling: str, layers: int) -> None:
    model = model_of(cell="simple_rnn", pooling=pooling, num_layers=layers)
    expected = [numpy_logits(model, ids, pooling=pooling, layers=layers) for ids in SEQUENCES]
    np.testing.assert_allclose(model(pad(SEQUENCES)).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_residuals_reach_the_logits_by_every_pooling(pooling: str) -> None:
    model = model_of(cell="simple_rnn", pooling=pooling, num_layers=2, residual=True)
    expected = [numpy_logits(model, ids, pooling=pooling, layers=2, residual=True) for ids in SEQUENCES]
    np.testing.assert_allclose(model(pad(SEQUENCES)).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("residual", [False, True])
def test_the_last_step_of_one_reading_is_that_of_the_top_layer(residual: bool) -> None:
    model = model_of(cell="gru", pooling="last", num_layers=2, bidirectional=False, residual=residual)
    batch = pad(SEQUENCES)
    outputs, _ = model.recurrent(model.embed(batch), batch.lengths)
    last = torch.stack([outputs[row, len(ids) - 1] for row, ids in enumerate(SEQUENCES)])
    torch.testing.assert_close(model(batch), model.head(last))


@given(
    cell=st.sampled_from(CELLS),
    pooling=st.sampled_from(POOLINGS),
    sequences=st.lists(st.lists(st.integers(1, VOCABULARY - 1), max_size=6), min_size=2, max_size=5),
)
def test_logits_of_a_row_do_not_depend_on_its_neighbours(cell: str, pooling: str, sequences: list[list[int]]) -> None:
    model = model_of(cell=cell, pooling=pooling, num_layers=2)
    together = model(pad(sequences))
    for row, ids in enumerate(sequences):
        torch.testing.assert_close(model(pad([ids]))[0], together[row], atol=1e-6, rtol=0)


@of_each_cell_and_pooling
def test_padding_is_never_read(cell: str, pooling: str) -> None:
    """NaN as the vector of a token that stands only in padding: it must reach neither logits nor gradients."""
    model = model_of(cell=cell, pooling=pooling)
    clean = pad([[2, 3, 4, 5], [6, 7]])
    expected = model(clean)
    with torch.no_grad():
        model.embedding.weight[8] = torch.nan
    dirty = clean._replace(values=torch.where(clean.values == 0, 8, clean.values))
    logits = model(dirty)
    assert torch.equal(logits, expected)
    model.loss(logits, torch.tensor([0, 2])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@of_each_cell_and_pooling
@pytest.mark.parametrize("sequences", [[[], [2, 3]], [[], []]], ids=["one row", "all rows"])
def test_a_row_without_steps_answers_with_the_bias_of_the_head(
    cell: str, pooling: str, sequences: list[list[int]]
) -> None:
    model = model_of(cell=cell, pooling=pooling)
    logits = model(pad(sequences))
    assert torch.equal(logits[0], model.head.bias)
    model.loss(logits, torch.tensor([0, 2])).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_one_hot_is_a_learned_table_that_is_the_identity() -> None:
    one_hot = model_of(embedding="one_hot")
    learned = model_of(embedding_size=VOCABULARY)
    identity = torch.eye(VOCABULARY)
    identity[0] = 0
    learned.load_state_dict({**one_hot.state_dict(), "embedding.weight": identity})
    batch = pad(SEQUENCES)
    torch.testing.assert_close(one_hot(batch), learned(batch), atol=1e-6, rtol=0)


@pytest.mark.parametrize("embedding", ["one_hot", "learned"])
def test_a_model_made_without_memory_and_given_its_weights_can_be_moved_and_asked(embedding: str) -> None:
    whole, batch = model_of(embedding=embedding), pad(SEQUENCES)
    with torch.device("meta"):
        empty = ManyToOne(
            ModelSettings(**PLAIN, embedding=embedding), vocabulary_size=VOCABULARY, outputs=3, problem="multiclass"
        )
    empty.load_state_dict(whole.state_dict(), assign=True)
    torch.testing.assert_close(empty.to("cpu").eval()(batch), whole(batch), rtol=0, atol=0)


@pytest.mark.parametrize("embedding", ["one_hot", "learned"])
def test_a_model_of_doubles_answers_in_doubles(embedding: str) -> None:
    model, batch = model_of(embedding=embedding), pad(SEQUENCES)
    single = model(batch)
    torch.testing.assert_close(model.double()(batch), single.double(), atol=1e-5, rtol=0)


def test_a_model_made_without_memory_loads_no_compiler() -> None:
    """Random numbers on the meta device would import torch's compiler, a second of nothing at every start."""
    script = """if True:
        import sys, torch
        from seqloom.config import ModelSettings
        from seqloom.models import ManyToOne
        with torch.device("meta"):
            for init in ("uniform", "orthogonal", "identity", "glorot"):
                for cell in ("simple_rnn", "lstm", "gru"):
                    settings = ModelSettings(cell=cell, init=init, pooling="attention", layer_norm=True)
                    ManyToOne(settings, vocabulary_size=9, outputs=3, problem="multiclass")
        print("torch._dynamo" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("freeze", [False, True])
def test_learned_vectors_start_at_length_one_with_none_for_padding_and_can_be_kept(freeze: bool) -> None:
    settings = ModelSettings(embedding_size=64, freeze_embedding=freeze)
    table = ManyToOne(settings, vocabulary_size=2000, outputs=3, problem="multiclass").embedding.weight
    assert not table[0].any()
    assert float(table[1:].detach().norm(dim=1).mean()) == pytest.approx(1, rel=0.02)
    assert table.requires_grad is not freeze


def test_residual_adds_the_layer_below_from_the_second_layer_on() -> None:
    plain, residual = model_of(num_layers=2), model_of(num_layers=2, residual=True)
    below, above = residual.recurrent.parts
    x, lengths = residual.embed(pad(SEQUENCES)), pad(SEQUENCES).lengths
    first, _ = below(x, lengths)
    second, _ = above(first, lengths)
    torch.testing.assert_close(residual.recurrent(x, lengths)[0], first + second)
    torch.testing.assert_close(plain.recurrent(x, lengths)[0], second)


# Dropout


def test_word_dropout_reads_its_share_of_real_tokens_as_unknown_while_training() -> None:
    model = model_of(word_dropout=0.3)
    batch = Batch(torch.full((100, 120), 5), torch.full((100,), 100))
    unknown, word = model.embedding.weight[UNKNOWN], model.embedding.weight[5]
    vectors = model.train().embed(batch).spelled_out()
    is_unknown, is_word = (vectors == unknown).all(dim=-1), (vectors == word).all(dim=-1)
    assert (is_unknown ^ is_word)[:, :100].all()
    assert is_unknown[:, :100].double().mean().item() == pytest.approx(0.3, abs=0.02)
    assert not vectors[:, 100:].any()
    assert (model.eval().embed(batch).spelled_out()[:, :100] == word).all()


def test_dropout_takes_the_same_numbers_from_a_word_wherever_it_stands_and_falls_before_the_head() -> None:
    model = model_of(dropout=0.5, embedding_size=200)
    batch = pad([[5, 6, 5], [5, 5, 5]])
    vectors = model.train().embed(batch).spelled_out()
    assert (vectors[0] == 0).double().mean().item() == pytest.approx(0.5, abs=0.1)
    assert torch.equal(vectors[vectors != 0], 2 * model.embedding(batch.values)[vectors != 0])
    assert torch.equal(vectors[1], vectors[0, :1].expand(3, -1))
    assert not torch.equal(vectors[0, 0] == 0, vectors[0, 1] == 0)
    with torch.no_grad():
        model.embedding.weight.zero_()
    batch = pad([[5] * 50] * 50)
    assert len(model.train()(batch).unique(dim=0)) > 1
    assert len(model.eval()(batch).unique(dim=0)) == 1


# Loss


def logits_and_classes(classes: int, *, rows: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    return torch.randn(rows, classes, generator=generator) * 2, torch.arange(rows) * 7 % max(classes, 2)


CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 3.5])


@pytest.mark.parametrize("weights", [None, CLASS_WEIGHTS], ids=["plain", "weighted"])
def test_loss_of_classes_is_the_log_loss(weights: Tensor | None) -> None:
    logits, classes = logits_and_classes(3)
    found = model_of("multiclass").loss(logits, classes, LossOptions(weights))
    each = None if weights is None else weights[classes].numpy()
    expected = log_loss(classes.numpy(), logits.double().softmax(dim=1).numpy(), sample_weight=each)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weights", [None, CLASS_WEIGHTS[:2]], ids=["plain", "weighted"])
def test_loss_of_two_classes_is_the_log_loss_of_the_second(weights: Tensor | None) -> None:
    logits, classes = logits_and_classes(1)
    found = model_of("binary", outputs=2).loss(logits, classes, LossOptions(weights))
    each = None if weights is None else weights[classes].numpy()
    expected = log_loss(classes.numpy(), logits.double().sigmoid().numpy()[:, 0], sample_weight=each)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_two_classes_lose_the_same_with_one_logit_as_with_two() -> None:
    logits, classes = logits_and_classes(1)
    options = LossOptions(CLASS_WEIGHTS[:2])
    both = torch.cat([torch.zeros_like(logits), logits], dim=1)
    one, two = (
        model_of("binary").loss(logits, classes, options),
        model_of("multiclass", outputs=2).loss(both, classes, options),
    )
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_label_smoothing_gives_a_share_of_the_target_to_all_classes(problem: str) -> None:
    classes_count = 2 if problem == "binary" else 3
    logits, classes = logits_and_classes(1 if problem == "binary" else 3)
    model = model_of(problem, outputs=classes_count)
    chances = model.probabilities(logits).double().numpy()
    smoothed = np.eye(classes_count)[classes] * 0.8 + 0.2 / classes_count
    expected = -(smoothed * np.log(chances)).sum(axis=1).mean()
    assert model.loss(logits, classes, LossOptions(None, 0.2)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_of_several_labels_is_the_mean_log_loss_of_each(smoothing: float) -> None:
    logits, _ = logits_and_classes(3)
    truth = (torch.arange(36).reshape(12, 3) % 5 < 2).float()
    smoothed = truth.numpy() * (1 - smoothing) + smoothing / 2
    chances = 1 / (1 + np.exp(-logits.double().numpy()))
    expected = -(smoothed * np.log(chances) + (1 - smoothed) * np.log(1 - chances)).mean()
    found = model_of("multilabel").loss(logits, truth, LossOptions(None, smoothing))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_loss_of_numbers_is_the_squared_error() -> None:
    logits, _ = logits_and_classes(1)
    truth = torch.linspace(-2, 2, 12)
    found = model_of("squared", outputs=0).loss(logits, truth)
    assert found.item() == pytest.approx(mean_squared_error(truth.numpy(), logits.numpy()[:, 0]), rel=1e-5)


# Answers


def test_probabilities_add_up_to_one_over_classes_and_stand_alone_for_labels() -> None:
    logits, _ = logits_and_classes(3)
    exponentials = np.exp(logits.double().numpy())
    np.testing.assert_allclose(
        model_of("multiclass").probabilities(logits),
        exponentials / exponentials.sum(axis=1, keepdims=True),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        model_of("multilabel").probabilities(logits), exponentials / (1 + exponentials), rtol=1e-5
    )
    one = logits[:, :1]
    np.testing.assert_allclose(
        model_of("binary").probabilities(one),
        np.concatenate([1 / (1 + exponentials[:, :1]), exponentials[:, :1] / (1 + exponentials[:, :1])], axis=1),
        rtol=1e-5,
    )
    assert torch.equal(model_of("squared").probabilities(one), one)
