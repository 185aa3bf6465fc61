"""The proof of the loop: it ends when told to, chooses by what it says, and lets nothing broken reach the disk."""

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from seqloom.bundle import load_bundle
from seqloom.errors import Interrupted, TrainingError
from seqloom.inference import logits_of
from seqloom.training import Event, Progress, Said, Validated, loop
from seqloom.training.metrics import Scores
from tests.training.tiny import train, write_rows


def events_of(data: Path, folder: Path, changed: dict[str, Any]) -> list[Event]:
    events: list[Event] = []
    train(data, folder, changed, report=events.append)
    return events


def validated(events: list[Event]) -> list[Validated]:
    return [event for event in events if isinstance(event, Validated)]


def steps(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.epoch, event.batch) for event in events if isinstance(event, Progress)]


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_nothing_broken_on_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.suffix == ".safetensors":
            for name, tensor in safetensors.torch.load_file(path).items():
                assert torch.isfinite(tensor).all(), f"{path}: {name}"
        elif path.suffix in (".json", ".jsonl"):
            text = path.read_text(encoding="utf-8")
            assert "NaN" not in text, path
            assert "Infinity" not in text, path


# When it ends


def test_training_takes_the_epochs_it_was_given(data: Path, tmp_path: Path) -> None:
    events = events_of(data, tmp_path / "out", {"training.epochs": 3})
    assert steps(events) == [(epoch, batch) for epoch in (1, 2, 3) for batch in (1, 2, 3)]
    assert [row.epoch for row in validated(events)] == [1, 2, 3]


def test_training_ends_when_its_minutes_are_over_and_has_a_model_by_then(data: Path, tmp_path: Path) -> None:
    events = events_of(data, tmp_path / "out", {"training.max_minutes": 1e-9})
    assert steps(events) == [(1, 1)]
    assert load_bundle(tmp_path / "out").metrics["epochs"] == 1
    assert Said("stopped after epoch 1 of 2: the time is up (best: epoch 1)") in events


def test_training_ends_after_patience_epochs_that_were_not_better(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Better twice (the second time by its loss alone), then a tie and worse ones: two in a row are enough.
    measured = iter([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.6, 2.0), (0.6, 3.0), (0.1, 0.1), (0.9, 0.0)])

    def measure(model: Any, targets: Any, rows: Any) -> Scores:
        accuracy, loss = next(measured)
        return Scores({"accuracy": accuracy}, {}, loss)

    monkeypatch.setattr(loop, "judge", measure)
    events = events_of(data, tmp_path / "out", {"training.epochs": 9, "training.patience": 2})
    assert [row.best for row in validated(events)] == [True, True, False, True, False, False]
    assert [row["best"] for row in history(tmp_path / "out")] == [True, True, False, True, False, False]
    assert Said("stopped after epoch 6 of 9: no better validation for 2 epochs (best: epoch 4)") in events


def test_each_epoch_sees_each_row_once_and_in_an_order_of_its_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[int]] = {}
    learn = loop.TrainingState.learn

    def watched(state: Any, examples: Any) -> Any:
        seen.setdefault(state.epoch, []).extend(example.line for example in examples)
        return learn(state, examples)

    monkeypatch.setattr(loop.TrainingState, "learn", watched)
    train(data, tmp_path / "out", {"training.epochs": 3})
    assert [len(lines) for lines in seen.values()] == [48, 48, 48]
    assert {tuple(sorted(lines)) for lines in seen.values()} == {tuple(sorted(set(seen[0])))}
    assert len({tuple(lines) for lines in seen.values()}) == 3


# What is kept


def test_the_model_of_the_best_epoch_is_the_one_that_stays(data: Path, tmp_path: Path) -> None:
    """A learning rate so large that later epochs lose what an early one had."""
    short, long = tmp_path / "short", tmp_path / "long"
    changed = {"training.learning_rate": 0.3, "training.decay": "constant", "training.warmup": 0.0, "device": "cpu"}
    changed |= {"model.dropout": 0.0, "model.word_dropout": 0.0}  # what is lost when, random numbers would decide
    rows = validated(events_of(data, long, {**changed, "training.epochs": 4, "training.patience": 9}))
    best = max(row.epoch for row in rows if row.best)
    assert best < 4, "choose another learning rate: the last epoch must not be the best here"
    events_of(data, short, {**changed, "training.epochs": best})
    kept, expected = (safetensors.torch.load_file(folder / "weights.safetensors") for folder in (long, short))
    assert all(torch.equal(kept[name], tensor) for name, tensor in expected.items())
    assert rows[best - 1].metrics["accuracy"] == max(row.metrics["accuracy"] for row in rows)


def test_numbers_are_judged_by_their_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_rows(tmp_path / "n.csv", [(f"word{n % 7} and {n}", str(n % 7 + n / 100)) for n in range(60)])
    changed = {"task": "regress", "training.epochs": 3}
    errors = iter([3.0, 2.0, 2.5])
    monkeypatch.setattr(loop, "judge", lambda model, targets, rows: Scores({"rmse": next(errors)}, {}, 1.0))
    assert [row.best for row in validated(events_of(data, tmp_path / "out", changed))] == [True, True, False]


def test_history_has_one_line_an_epoch_equal_to_what_was_shown(data: Path, tmp_path: Path) -> None:
    rows = validated(events_of(data, tmp_path / "out", {"training.epochs": 3}))
    assert history(tmp_path / "out") == [row._asdict() for row in rows]
    assert [row["epoch"] for row in history(tmp_path / "out")] == [1, 2, 3]


def test_the_losses_of_the_table_are_those_of_training_and_validation(data: Path, tmp_path: Path) -> None:
    """Without learning or dropout both are the loss of the first weights, the one over 48 rows, the other over 6."""
    still = {"training.learning_rate": 1e-30, "model.dropout": 0.0, "model.word_dropout": 0.0, "training.epochs": 2}
    first, second = validated(events_of(data, tmp_path / "out", still))
    assert first.train_loss == pytest.approx(second.train_loss, rel=1e-5)
    assert first.valid_loss == second.valid_loss
    assert first.train_loss != first.valid_loss


def test_balanced_class_weights_let_each_class_weigh_the_same(tmp_path: Path) -> None:
    """Where the model can tell nothing apart, the balanced loss is at its least with even odds."""
    data = write_rows(tmp_path / "rare.csv", [(f"same {n}", "often" if n % 10 else "rare") for n in range(200)])
    changed = {"data.max_length": 1, "training.epochs": 12, "training.learning_rate": 0.05, "training.average": 0.0}
    chances = {}
    for weights in ("none", "balanced"):
        events_of(data, tmp_path / weights, {**changed, "training.class_weights": weights})
        bundle = load_bundle(tmp_path / weights)
        model = bundle.model
        logits = logits_of(model, [bundle.vocabulary.encode(["same"])])
        chances[weights] = model.probabilities(logits)[0, bundle.targets.labels.index("rare")].item()
    assert chances["none"] == pytest.approx(0.1, abs=0.06)
    assert chances["balanced"] == pytest.approx(0.5, abs=0.1)


# What is not finite


@pytest.mark.parametrize(("rate", "batch_size"), [(1e30, 16), (1e39, 16), (1e30, 100), (1e39, 100)])
def test_a_training_that_bursts_stops_with_advice_and_leaves_nothing_broken(
    data: Path, tmp_path: Path, rate: float, batch_size: int
) -> None:
    """Within an epoch, and (one batch an epoch) in the validation that follows the only step."""
    changed = {"training.learning_rate": rate, "training.batch_size": batch_size, "training.checkpoint_minutes": 0.0}
    with pytest.raises(TrainingError) as caught:
        train(data, tmp_path / "out", {**changed, "training.clip_norm": 1e30, "training.warmup": 0.0})
    assert "not finite" in str(caught.value) or "holds a NaN or an infinity" in str(caught.value)
    assert "learning rate" in str(caught.value) or "learning_rate" in str(caught.value)
    assert_nothing_broken_on_disk(tmp_path / "out")


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_stops_before_anything_is_saved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    monkeypatch.setattr(loop, "judge", lambda model, targets, rows: Scores({"accuracy": 0.5}, {}, loss))
    match = (
        r"^the validation loss is not finite after step 3, epoch 1: the weights have grown too large\. "
        r"Try --set training\.learning_rate=0\.0005, or a smaller training\.clip_norm; what was saved before is whole\."
    )
    with pytest.raises(TrainingError, match=match):
        train(data, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_a_later_burst_leaves_the_model_and_checkpoint_of_before(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    learn = loop.TrainingState.learn

    def burst(state: Any, examples: Any) -> Any:
        if state.step == 4:
            with torch.no_grad():
                state.model.head.weight.fill_(torch.nan)
        return learn(state, examples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.TrainingState, "learn", burst)
        with pytest.raises(TrainingError, match=r"the loss is not finite at step 5, epoch 2 \(rows at lines \d+, "):
            train(data, out)
    assert load_bundle(out).metrics["split"] == "valid"
    assert len(history(out)) == 1
    assert_nothing_broken_on_disk(out)
    train(data, out, resume=True)
    assert len(history(out)) == 2


# When it is asked to stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_with_all_saved(data: Path, tmp_path: Path, number: signal.Signals) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress) and (event.epoch, event.batch) == (2, 2):
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"^stopped at step 5, in epoch 2; all is saved\.$"):
        train(data, tmp_path / "out", report=stop)
    assert signal.getsignal(number) is before
    assert (tmp_path / "out" / "checkpoints" / "latest").read_text(encoding="utf-8") == "step-00000005\n"


def test_a_second_signal_stops_at_once(data: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "out", report=stop)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_during_validation_stops_after_it(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = loop.judge

    def interrupted(model: Any, targets: Any, rows: Any) -> Scores:
        signal.raise_signal(signal.SIGINT)
        return judge(model, targets, rows)

    monkeypatch.setattr(loop, "judge", interrupted)
    with pytest.raises(Interrupted, match=r"^stopped after epoch 1; all is saved\.$"):
        train(data, tmp_path / "out")
    assert len(history(tmp_path / "out")) == 1


def test_a_signal_in_the_last_epoch_stops_too_and_what_is_left_is_done_when_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = loop.judge

    def interrupted(model: Any, targets: Any, rows: Any) -> Scores:
        if (tmp_path / "out" / "history.jsonl").exists():  # after the first of two epochs
            signal.raise_signal(signal.SIGINT)
        return judge(model, targets, rows)

    monkeypatch.setattr(loop, "judge", interrupted)
    with pytest.raises(Interrupted, match=r"^stopped after epoch 2; all is saved\.$"):
        train(data, tmp_path / "out")
    assert "epochs" not in load_bundle(tmp_path / "out").metrics
    assert train(data, tmp_path / "out", resume=True).metrics["epochs"] == 2
