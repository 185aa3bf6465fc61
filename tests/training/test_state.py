"""The proof of one training step: its learning rate, its decay, its mean of weights, and that no NaN moves a weight."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seqloom.config import Config, ModelSettings, TrainingSettings
from seqloom.data import Example
from seqloom.errors import TrainingError
from seqloom.models import LossOptions, ManyToOne
from seqloom.training.checkpoints import load_latest, save_checkpoint
from seqloom.training.state import (
    TrainingState,
    batch_size_for,
    enough_epochs,
    learning_rate,
    make_optimizer,
    step_seed,
)

TINY: dict[str, Any] = {"embedding_size": 4, "hidden_size": 3, "dropout": 0.0, "word_dropout": 0.0}
EXAMPLES = [Example(line, "", [2 + line % 5, 2 + line % 3], line % 2) for line in range(2, 14)]


def state_of(model: dict[str, Any] | None = None, **training: Any) -> TrainingState:
    config = Config(
        model=ModelSettings(**{**TINY, **(model or {})}),
        training=TrainingSettings(**{"epochs": 2, "average": 0.0, **training}),
    )
    torch.manual_seed(0)
    made = ManyToOne(config.model, vocabulary_size=8, outputs=2, problem="binary")
    return TrainingState(made, config, batches=10, loss_options=LossOptions())


def weights(state: TrainingState) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.model.state_dict().items()}


# Learning rate


def rates(**settings: Any) -> list[float]:
    chosen = TrainingSettings(learning_rate=1.0, **settings)
    return [learning_rate(chosen, step=step, total=8) for step in range(8)]


def test_learning_rate_rises_straight_to_its_peak_and_falls_as_asked() -> None:
    assert rates(warmup=0.0, decay="constant") == [1.0] * 8
    assert rates(warmup=0.0, decay="linear") == pytest.approx([1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert rates(warmup=0.5, decay="linear") == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 3 / 4, 2 / 4, 1 / 4])
    half = math.sqrt(0.5)
    cosine = [(1 + half) / 2, 1 / 2, (1 - half) / 2]
    assert rates(warmup=0.5, decay="cosine") == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, *cosine])
    assert rates(warmup=0.5, decay="constant") == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 1, 1])


def test_each_step_takes_the_learning_rate_of_its_turn() -> None:
    state = state_of(learning_rate=0.01, warmup=0.2, decay="linear")
    for step in range(6):
        state.learn(EXAMPLES)
        expected = learning_rate(state.config.training, step=step, total=20)
        assert {group["lr"] for group in state.optimizer.param_groups} == {expected}


def test_few_batches_are_read_more_often_where_the_epochs_are_not_given() -> None:
    assert [enough_epochs(batches) for batches in (1, 37, 38, 100, 299, 300, 301, 5000)] == [40, 40, 40, 15, 6, 5, 5, 5]
    unsaid, said = state_of(epochs=None), state_of(epochs=3)
    assert (unsaid.epochs, unsaid.total_steps) == (40, 400)
    assert (said.epochs, said.total_steps) == (3, 30)


# Optimizer


@pytest.mark.parametrize(
    "options",
    [{}, {"layer_norm": True, "pooling": "attention", "initial_state": "learned"}, {"embedding": "one_hot"}],
    ids=["plain", "norms and attention", "one_hot"],
)
def test_only_the_matrices_above_the_token_vectors_decay(options: dict[str, Any]) -> None:
    state = state_of(options, weight_decay=0.3)
    decays = {
        id(parameter): group["weight_decay"]
        for group in make_optimizer(state.model, state.config.training).param_groups
        for parameter in group["params"]
    }
    for name, parameter in state.model.named_parameters():
        matrix = "weight" in name and not name.startswith("embedding")
        assert decays.pop(id(parameter)) == (0.3 if matrix else 0.0), name
    assert decays == {}


def test_frozen_token_vectors_are_not_given_to_the_optimizer() -> None:
    state = state_of({"freeze_embedding": True})
    before = weights(state)
    state.learn(EXAMPLES)
    after = weights(state)
    assert {name for name in before if torch.equal(before[name], after[name])} == {"embedding.weight"}


def test_one_step_is_adamw_by_hand() -> None:
    state = state_of(learning_rate=0.01, warmup=0.0, decay="constant", weight_decay=0.1, clip_norm=1e-3)
    before = weights(state)
    state.learn(EXAMPLES)
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in state.model.parameters() if p.grad is not None))
    assert norm == pytest.approx(1e-3, rel=1e-3)  # clipped
    for name in ("head.weight", "head.bias"):
        parameter = state.model.get_parameter(name)
        assert parameter.grad is not None
        decay = 0.1 if name == "head.weight" else 0.0
        moved = before[name] * (1 - 0.01 * decay) - 0.01 * parameter.grad / (parameter.grad.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), moved, atol=1e-6, rtol=0)


def test_small_gradients_are_not_scaled_up_to_the_clip_norm() -> None:
    free, clipped = state_of(clip_norm=1e9), state_of(clip_norm=10.0)
    free.learn(EXAMPLES)
    clipped.learn(EXAMPLES)
    assert all(torch.equal(tensor, weights(clipped)[name]) for name, tensor in weights(free).items())


def test_average_is_the_running_mean_with_a_short_memory_at_first() -> None:
    state = state_of(average=0.5)
    assert state.averaged is not None
    expected = weights(state)
    for step in range(12):
        state.learn(EXAMPLES)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = {name: decay * expected[name] + (1 - decay) * tensor for name, tensor in weights(state).items()}
        for name, tensor in state.averaged.state_dict().items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=0)
    assert decay == 0.5
    assert state.judged is state.averaged
    weighed = state_of()
    assert weighed.judged is weighed.model


def test_the_seed_of_a_step_decides_its_dropout() -> None:
    first, again, other = (state_of({"dropout": 0.5}) for _ in range(3))
    other.step = 1
    for state in (first, again, other):
        state.learn(EXAMPLES)
    losses = [state.epoch_loss for state in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert len({step_seed(seed, step) for seed in range(50) for step in range(50)}) == 2500


def test_counters_tell_the_mean_loss_and_the_real_tokens_of_the_epoch() -> None:
    state = state_of()
    batches = EXAMPLES[:8], [EXAMPLES[8]._replace(ids=[2, 3, 4]), EXAMPLES[9]]
    losses = []
    for batch in batches:
        before = state.epoch_loss
        state.learn(batch)
        losses.append((state.epoch_loss - before) / len(batch))
    assert state.epoch_rows == 10 and losses[0] == pytest.approx(math.log(2), rel=0.2)
    assert (state.step, state.position, state.epoch_tokens, state.tokens) == (2, 2, 21, 21)
    state.start_epoch()
    assert state.tokens == 21
    assert (state.step, state.position, state.epoch, state.epoch_tokens, state.epoch_rows) == (2, 0, 1, 0, 0)


# What is not finite


def assert_refused_unmoved(state: TrainingState, match: str) -> None:
    before, optimizer = weights(state), str(state.optimizer.state_dict()["state"])
    with pytest.raises(TrainingError, match=match):
        state.learn(EXAMPLES)
    assert all(torch.equal(before[name].nan_to_num(7), t.nan_to_num(7)) for name, t in weights(state).items())
    assert str(state.optimizer.state_dict()["state"]) == optimizer
    assert state.step == state.position == 1
    assert state.epoch_rows == 12


def test_a_loss_that_is_not_finite_stops_before_a_weight_moves() -> None:
    state = state_of(learning_rate=0.002)
    state.learn(EXAMPLES)
    with torch.no_grad():
        state.model.embedding.weight[3] = torch.nan
    assert_refused_unmoved(
        state,
        r"^the loss is not finite at step 2, epoch 1 \(rows at lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more\)\. "
        r"No weight was changed by it\. Try --set training\.learning_rate=0\.0005, or a smaller training\.clip_norm",
    )


def test_a_gradient_that_is_not_finite_stops_before_a_weight_moves() -> None:
    state = state_of()
    state.learn(EXAMPLES)
    state.model.head.weight.register_hook(lambda gradient: gradient * torch.inf)
    assert_refused_unmoved(state, r"^the gradient is not finite at step 2, epoch 1 \(rows at lines 2, ")


# The best so far


def test_best_weights_are_kept_by_key_and_neither_ties_nor_nan_are_better() -> None:
    state = state_of()
    keys = [(0.5, -1.0), (0.5, -1.0), (0.5, -0.9), (0.4, 0.0), (math.nan, 0.0), (0.6, math.nan), (0.6, -9.0)]
    better, stale, kept = [], [], None
    for key in keys:
        state.learn(EXAMPLES)
        better.append(state.keep_if_best(key))
        stale.append(state.stale)
        kept = weights(state) if better[-1] else kept
        assert kept is not None
        assert all(torch.equal(state.best[name], tensor) for name, tensor in kept.items())
    assert better == [True, False, True, False, False, False, True]
    assert stale == [0, 1, 0, 1, 2, 3, 0]


def test_a_first_epoch_that_is_nan_is_kept_until_something_is_better() -> None:
    state = state_of()
    assert not state.keep_if_best((math.nan, math.nan))
    assert state.best.keys() == state.model.state_dict().keys()
    assert state.keep_if_best((-math.inf, -1e9))


def test_what_is_kept_as_best_does_not_move_with_training() -> None:
    state = state_of()
    state.keep_if_best((0.0, 0.0))
    before = {name: tensor.clone() for name, tensor in state.best.items()}
    state.learn(EXAMPLES)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.best.items())


@pytest.mark.parametrize(
    ("settings", "counters", "finished"),
    [
        ({"epochs": 3}, {"epoch": 2}, False),
        ({"epochs": 3}, {"epoch": 3}, True),
        ({"patience": 2}, {"stale": 1}, False),
        ({"patience": 2}, {"stale": 2}, True),
        ({"max_minutes": 0.5}, {"seconds": 29.0}, False),
        ({"max_minutes": 0.5}, {"seconds": 31.0}, True),
        ({"max_minutes": 0.5}, {"seconds": 31.0, "position": 4}, False),
    ],
)
def test_training_ends_by_epochs_patience_or_minutes_but_not_within_an_epoch(
    settings: dict[str, Any], counters: dict[str, Any], finished: bool
) -> None:
    state = state_of(**settings)
    for name, value in counters.items():
        setattr(state, name, value)
    assert state.finished is finished


# Going on


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_state_restored_from_its_checkpoint_goes_on_to_the_same_bits(tmp_path: Path, average: float) -> None:
    options = {"dropout": 0.3, "word_dropout": 0.3, "recurrent_dropout": 0.3, "initial_state": "random"}
    whole, restored = state_of(options, average=average), state_of(options, average=average)
    for _ in range(3):
        whole.learn(EXAMPLES)
    whole.keep_if_best((0.5, -1.0))
    whole.learn(EXAMPLES)
    whole.keep_if_best((0.4, -1.0))
    save_checkpoint(tmp_path, whole.checkpoint(note="x"), step=whole.step)
    checkpoint = load_latest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state["note"] == "x"
    restored.restore(checkpoint)
    for _ in range(3):
        assert whole.learn(EXAMPLES) == restored.learn(EXAMPLES)
    assert all(torch.equal(weights(restored)[name], tensor) for name, tensor in weights(whole).items())
    assert all(torch.equal(restored.best[name], tensor) for name, tensor in whole.best.items())
    after = whole.judged.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in restored.judged.state_dict().items())
    for name in ("step", "epoch", "position", "stale", "best_key", "epoch_loss", "epoch_rows", "epoch_tokens"):
        assert getattr(restored, name) == getattr(whole, name), name


@pytest.mark.parametrize(("rows", "size"), [(1, 8), (48, 8), (200, 16), (500, 32), (800, 64), (100_000, 64)])
def test_few_rows_make_small_batches(rows: int, size: int) -> None:
    assert batch_size_for(TrainingSettings(), rows) == size
    assert batch_size_for(TrainingSettings(batch_size=7), rows) == 7


@pytest.mark.parametrize(("batches", "epochs", "patience"), [(1, 40, 10), (100, 15, 3), (1053, 5, 3)])
def test_few_rows_are_read_more_often(batches: int, epochs: int, patience: int) -> None:
    config = Config(model=ModelSettings(**TINY))
    model = ManyToOne(config.model, vocabulary_size=8, outputs=2, problem="binary")
    state = TrainingState(model, config, batches=batches, loss_options=LossOptions())
    assert (state.epochs, state.patience, state.total_steps) == (epochs, patience, epochs * batches)
