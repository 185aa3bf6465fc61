"""A language model that was stopped and goes on: the state it carries from window to window is kept to the last bit."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seqloom.bundle import Bundle
from seqloom.config import TrainingSettings
from seqloom.data import reviews
from seqloom.errors import Interrupted, TrainingError
from seqloom.models import LanguageModel
from seqloom.training import Event, Progress, Said, Validated
from seqloom.training.checkpoints import load_latest
from seqloom.training.state import TrainingState, learning_rate
from tests.training import kill, tiny
from tests.training.kill import assert_same_model

# All that must survive: every kind of dropout, a random first state, two layers, averaging.
SETTINGS: dict[str, Any] = {
    "model.num_layers": 2,
    "model.initial_state": "random",
    "model.recurrent_dropout": 0.2,
    "model.weight_dropout": 0.2,
    "model.variational_dropout": True,
    "model.word_dropout": 0.1,
    "model.tied_embeddings": True,
    "training.average": 0.9,
    "training.epochs": 2,
    "training.batch_size": 4,
    "training.window": 30,
    "training.checkpoint_minutes": 0.0,
}


class KilledError(BaseException):
    """Ends a training in this process where a kill would."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text("".join(f"{text}\n" for text, _ in reviews(15, seed=1)), encoding="utf-8")
    return path


def train(
    data: Path, out: Path, report: Callable[[Event], None] = lambda event: None, *, resume: bool = False, **more: Any
) -> Bundle:
    settings = SETTINGS | {name.replace("__", "."): value for name, value in more.items()}
    return tiny.train(data, out, settings, resume=resume, report=report)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "out"
    train(data, folder)
    return folder


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("ended", ["stopped", "killed"])
def test_ended_at_every_single_step_and_resumed_is_as_never_ended(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, ended: str
) -> None:
    expected, out = tmp_path / "expected", tmp_path / "out"
    train(data, expected, model__cell=cell)

    def end(event: Event) -> None:
        if isinstance(event, Progress) and ended == "stopped":
            signal.raise_signal(signal.SIGINT)

    learn, ends = TrainingState.learn, 0

    def learn_once(self: TrainingState, examples: Any) -> None:
        """One step, and its checkpoint, which is written every time; the next one finds the process gone."""
        if vars(self).setdefault("learned", 0) and ended == "killed":
            raise KilledError
        vars(self)["learned"] += 1
        learn(self, examples)

    monkeypatch.setattr(TrainingState, "learn", learn_once)
    while ends < 40:
        try:
            train(data, out, end, resume=ends > 0, model__cell=cell)
            break
        except (Interrupted, KilledError):
            ends += 1
    assert ends >= 2 * 4 - 1
    assert_same_model(out, expected)


def test_a_checkpoint_within_an_epoch_has_the_state_and_one_between_epochs_none(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and (event.epoch, event.batch) == (1, 2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(data, out, stop)
    found = load_latest(out)
    assert found is not None
    names = {f"{layer}.{path}" for layer in range(2) for path in ("hidden", "cell")}
    assert set(found.tensors["carried"]) == names
    assert found.tensors["carried"]["0.hidden"].shape == (4, 4)
    train(data, out, resume=True)
    found = load_latest(out)
    assert found is not None and found.tensors["carried"] == {}


def test_a_forgotten_state_would_be_noticed(data: Path, whole: Path, tmp_path: Path) -> None:
    """Else the tests above would say nothing of it."""
    out = tmp_path / "out"

    def forget(event: Event) -> None:
        if isinstance(event, Progress) and event.batch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(data, out, forget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingState, "_restored_state", lambda self, layers: None)
        train(data, out, resume=True)
    assert (out / "weights.safetensors").read_bytes() != (whole / "weights.safetensors").read_bytes()


def test_an_epoch_that_was_cut_for_lack_of_time_goes_on_in_its_middle(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(data, out, training__max_minutes=1e-9)
    train(data, out, resume=True)
    assert (out / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_the_state_begins_anew_with_each_epoch(data: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, bool]] = []
    original = LanguageModel.window_loss

    def watched(self: LanguageModel, batch: Any, targets: Any, state: Any, options: Any) -> Any:
        seen.append((len(seen), len(batch.lengths), state is None))
        return original(self, batch, targets, state, options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "window_loss", watched)
        train(data, tmp_path / "out")
    fresh = [step for step, _, new in seen if new]
    assert fresh == [0, len(seen) // 2]
    assert {rows for _, rows, _ in seen} == {4}


def test_numbers_that_are_not_finite_name_the_window(data: Path, tmp_path: Path) -> None:
    def spoil(event: Event) -> None:
        raise AssertionError(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", lambda self: None)
        patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, norm: torch.tensor(torch.nan))
        with pytest.raises(
            TrainingError, match=r"not finite at step 1, epoch 1 \(window 1 of the text\)\. No weight was"
        ):
            train(data, tmp_path / "out", lambda event: None if isinstance(event, Said) else spoil(event))


# SGD


def test_the_rate_is_halved_in_each_epoch_of_the_last_two_thirds() -> None:
    settings = TrainingSettings(learning_rate=1.0, decay="halving", warmup=0.0)
    rates = [learning_rate(settings, step=step, total=26, epochs=13) for step in range(0, 26, 2)]
    assert rates == [1.0] * 4 + [0.5**number for number in range(1, 10)]


def test_plain_sgd_learns_the_text(data: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    train(
        data,
        tmp_path / "out",
        lambda event: losses.append(event.train_loss) if isinstance(event, Validated) else None,
        training__optimizer="sgd",
        training__learning_rate=1.0,
        training__weight_decay=0.0,
        training__decay="halving",
        training__average=0.0,
        training__epochs=6,
        model__variational_dropout=False,
    )
    assert losses[-1] < losses[0]
    assert kill.history(tmp_path / "out")[-1]["epoch"] == 6
