"""The language model against loops in float64, and the promises that a carried state must keep."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.models import LanguageModel, LanguageWriter, LossOptions
from seqloom.nn import AdaptiveSoftmax, SequenceDropout
from seqloom.nn.adaptive import cutoffs_of
from seqloom.shapes import Batch, StackState

V = 11
PLAIN = {"embedding_size": 5, "hidden_size": 6, "dropout": 0.0, "word_dropout": 0.0}


def model(**settings: Any) -> LanguageModel:
    made = LanguageModel(ModelSettings(**{**PLAIN, **settings}), vocabulary_size=V)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)  # distinct weights, biases too
    return made


def batch(rows: int = 3, time: int = 7) -> tuple[Batch, Tensor]:
    ids = torch.randint(V, (rows, time + 1))
    return Batch(ids[:, :-1].contiguous(), torch.full((rows,), time)), ids[:, 1:].contiguous()


def by_hand(made: LanguageModel, ids: list[int], targets: list[int]) -> list[float]:
    """-ln p of each target after a plain LSTM of two layers, one step after the other in float64."""
    weights = {name: tensor.double() for name, tensor in made.state_dict().items()}
    states = [[torch.zeros(6, dtype=torch.float64) for _ in range(2)] for _ in range(2)]
    losses = []
    for read, wanted in zip(ids, targets, strict=True):
        x = weights["embedding.weight"][read]
        for number, state in enumerate(states):
            hidden, cell = state
            at = f"recurrent.layers.{number}."
            gates = x @ weights[at + "weight_input"] + hidden @ weights[at + "weight_hidden"] + weights[at + "bias"]
            i, f, g, o = gates.chunk(4)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            x = hidden = o.sigmoid() * cell.tanh()
            states[number] = [hidden, cell]
        if "projection.weight" in weights:
            x = weights["projection.weight"] @ x
        logits = weights["output.weight"] @ x + weights["output.bias"]
        losses.append(math.log(logits.exp().sum()) - logits[wanted].item())
    return losses


@pytest.mark.parametrize("tied", [False, True])
def test_losses_are_those_of_a_loop_over_the_equations(tied: bool) -> None:
    made = model(num_layers=2, tied_embeddings=tied)
    assert (made.projection is not None) == tied
    read, targets = batch()
    features, _ = made(read)
    found = made.losses(features.flatten(0, 1), targets.flatten()).reshape(3, 7)
    loss, _ = made.window_loss(read, targets, None)
    for row in range(3):
        expected = by_hand(made, read.values[row].tolist(), targets[row].tolist())
        torch.testing.assert_close(found[row].double(), torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)
    assert loss.item() == pytest.approx(found.mean().item(), abs=1e-6)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_windows_with_a_carried_state_are_the_text_read_whole(cell: str, softmax: str, either_path: str) -> None:
    made = model(cell=cell, softmax=softmax, num_layers=2).eval()
    read, targets = batch(time=9)
    features, _ = made(read)
    whole = made.losses(features.flatten(0, 1), targets.flatten()).reshape(3, 9)
    state: StackState | None = None
    for start, stop in ((0, 4), (4, 5), (5, 9)):
        part = Batch(read.values[:, start:stop].contiguous(), torch.full((3,), stop - start))
        features, state = made(part, state)
        found = made.losses(features.flatten(0, 1), targets[:, start:stop].flatten()).reshape(3, -1)
        if either_path == "fused_cpu":
            assert torch.equal(found, whole[:, start:stop])
        torch.testing.assert_close(found, whole[:, start:stop])
    cold, _ = made(Batch(read.values[:, 5:].contiguous(), torch.full((3,), 4)))
    assert not torch.allclose(cold, features), "the state made no difference"


def test_what_is_carried_takes_no_gradient_back() -> None:
    made = model()
    first, targets = batch()
    _, state = made.window_loss(first, targets, None)
    assert not any(path.requires_grad for layer in state.layers for path in layer)
    loss, _ = made.window_loss(*batch(), state)
    loss.backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_a_token_hangs_on_those_before_it_and_on_no_later_one() -> None:
    made = model(num_layers=2).eval()
    read, _ = batch(rows=1)
    features, _ = made(read)
    moved = read.values.clone()
    moved[0, 3] = (moved[0, 3] + 1) % V
    other, _ = made(read._replace(values=moved))
    changed = (features != other).any(dim=-1)[0].tolist()
    assert changed == [False] * 3 + [True] * 4


def test_padding_reaches_neither_loss_nor_state() -> None:
    made = model()
    read, targets = batch()
    short = Batch(read.values, torch.tensor([7, 4, 0]))
    loss, state = made.window_loss(short, targets, None)
    garbled = torch.where(torch.arange(7) < short.lengths[:, None], read.values, (read.values + 3) % V)
    other, again = made.window_loss(Batch(garbled, short.lengths), targets, None)
    assert torch.equal(loss, other)
    assert all(
        torch.equal(a, b) for x, y in zip(state.layers, again.layers, strict=True) for a, b in zip(x, y, strict=True)
    )


# Dropout


def test_variational_dropout_takes_the_same_units_at_all_steps_of_a_row() -> None:
    dropout = SequenceDropout(0.5)
    found = dropout(torch.ones(8, 5, 20))
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert not torch.equal(found[0], found[1])
    assert torch.equal(dropout.eval()(torch.ones(8, 5, 20)), torch.ones(8, 5, 20))
    plain, locked = model(dropout=0.5), model(dropout=0.5, variational_dropout=True)
    read, _ = batch(rows=1)
    masks = [(made.train()(read)[0] == 0)[0] for made in (plain, locked)]
    assert [bool((mask == mask[:1]).all()) for mask in masks] == [False, True]


def test_weight_dropout_takes_feedback_weights_and_nothing_else_and_only_in_training() -> None:
    made = model(weight_dropout=0.5)
    [layer] = made.recurrent.parts
    kept = layer.parameters_of_cell(batch=1)  # type: ignore[union-attr]
    dropped = kept.weight_hidden == 0
    assert 0.2 < dropped.float().mean() < 0.8
    assert torch.equal(kept.weight_hidden[~dropped], 2 * layer.weight_hidden[~dropped])  # type: ignore[union-attr]
    assert kept.weight_input is layer.weight_input  # type: ignore[union-attr]
    read, targets = batch()
    torch.manual_seed(1)
    one, _ = made.window_loss(read, targets, None)
    torch.manual_seed(2)
    other, _ = made.window_loss(read, targets, None)
    assert one != other
    assert made.eval().window_loss(read, targets, None)[0] == made.window_loss(read, targets, None)[0]


# Adaptive softmax


def test_adaptive_softmax_is_torchs_and_a_row_does_not_hang_on_the_others() -> None:
    made = AdaptiveSoftmax(32, 1500)
    assert made.cutoffs == [760, 1500]
    features, targets = torch.randn(70, 32), torch.randint(1500, (70,))
    theirs = nn.AdaptiveLogSoftmaxWithLoss(32, 1500, [760], div_value=4, head_bias=True)
    theirs.load_state_dict(made.state_dict())
    found = made.log_likelihoods(features, targets)
    torch.testing.assert_close(found, theirs(features, targets).output)
    torch.testing.assert_close(made.log_prob(features).exp().sum(1), torch.ones(70))
    torch.testing.assert_close(made.mean_loss(features, targets), -found.mean())
    with torch.no_grad():
        alone = torch.cat([made.log_likelihoods(features[row, None], targets[row, None]) for row in range(70)])
        torch.testing.assert_close(alone, found)


@pytest.mark.parametrize(("size", "cutoffs"), [(3, [1]), (11, [5]), (10_000, [2000]), (250_000, [10_000, 50_000])])
def test_cutoffs_follow_the_vocabulary(size: int, cutoffs: list[int]) -> None:
    assert cutoffs_of(size, 64) == cutoffs


# Writing


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_a_writer_goes_on_as_the_text_read_whole_and_bars_what_it_must(softmax: str) -> None:
    made = model(num_layers=2, softmax=softmax).eval()
    ids = torch.randint(2, V, (2, 6))
    lengths = torch.tensor([4, 6])
    writer = LanguageWriter(made, Batch(ids, lengths), barred=(1, 0))
    with torch.no_grad():
        logs, _, state = writer.step(torch.zeros(2, dtype=torch.int64), writer.start)
        for row, length in enumerate(lengths.tolist()):
            features, _ = made(Batch(ids[row, None, :length], lengths[row, None]))
            free = made.log_probabilities(features[0, -1:])[0, 2:].log_softmax(-1)
            torch.testing.assert_close(logs[row, 2:], free)
        assert torch.isneginf(logs[:, :2]).all()
        swapped = writer.select(state, torch.tensor([1, 0]))
        one, _, _ = writer.step(torch.tensor([3, 4]), state)
        other, _, _ = writer.step(torch.tensor([4, 3]), swapped)
    torch.testing.assert_close(one, other.flip(0))


def test_label_smoothing_gives_a_share_to_all_tokens() -> None:
    made = model()
    read, targets = batch()
    plain, _ = made.window_loss(read, targets, None)
    smooth, _ = made.window_loss(read, targets, None, LossOptions(label_smoothing=0.3))
    features, _ = made(read)
    mean = -made.log_probabilities(features.flatten(0, 1)).mean()
    assert smooth.item() == pytest.approx(0.7 * plain.item() + 0.3 * mean.item(), abs=1e-5)
