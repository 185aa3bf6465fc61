"""The proof of resuming: stopped or killed wherever it may be, a training ends in the bits of the uninterrupted one."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqloom import files
from seqloom.bundle import Bundle, load_bundle
from seqloom.errors import BundleError, Interrupted, TrainingError
from seqloom.files import TEMPORARY
from seqloom.training import Event, Progress, Said, Validated, loop, run
from tests.training import kill, tiny
from tests.training.kill import assert_same_model

# All that must survive: dropout of each kind, a random first state, layers, averaging, a checkpoint after each step.
SETTINGS = {
    "model.num_layers": 2,
    "model.initial_state": "random",
    "model.recurrent_dropout": 0.2,
    "training.average": 0.9,
    "training.epochs": 3,
    "training.checkpoint_minutes": 0.0,
}


class KilledError(BaseException):
    """Ends a training in this process where a kill would; nothing catches it."""


def nothing(event: Event) -> None:
    pass


def train(
    data: Path, out: Path, *, resume: bool = False, report: Callable[[Event], None] = nothing, **changed: Any
) -> Bundle:
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changed.items()}
    return tiny.train(data, out, settings, resume=resume, report=report)


# What a translation has besides: tokens of its own that it reads, and weights that both sides share.
TRANSLATES = {
    "task": "translate",
    "data.joint_vocabulary": True,
    "model.tied_embeddings": True,
    "training.scheduled_sampling": 0.5,
}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_reviews(tmp_path_factory.mktemp("data") / "reviews.csv")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of this process that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    train(data, folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.csv")


@pytest.fixture(scope="module")
def whole_translation(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of a translation that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    train(pairs, folder, **TRANSLATES)
    return folder


# In this process, at chosen moments


@pytest.mark.parametrize("moment", [(1, 1), (1, 3), (2, 1), (3, 2), (3, 3)], ids=str)
def test_stopped_by_a_signal_and_resumed_is_as_never_stopped(
    data: Path, whole: Path, tmp_path: Path, moment: tuple[int, int]
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress) and (event.epoch, event.batch) == moment:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(data, tmp_path / "out", report=stop)
    train(data, tmp_path / "out", resume=True)
    assert_same_model(tmp_path / "out", whole)


def test_a_translation_stopped_and_killed_and_resumed_is_as_never_stopped(
    pairs: Path, whole_translation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a signal in the second epoch, then by a kill between the last checkpoint and its model."""
    out = tmp_path / "out"

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and (event.epoch, event.batch) == (2, 2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(pairs, out, report=stop, **TRANSLATES)
    save, saved = run._save, []

    def die(*given: Any) -> None:
        saved.append(given)
        if len(saved) == 2:
            raise KilledError
        save(*given)

    with monkeypatch.context() as patch:
        patch.setattr(run, "_save", die)
        with pytest.raises(KilledError):
            train(pairs, out, resume=True, **TRANSLATES)
    train(pairs, out, resume=True, **TRANSLATES)
    assert_same_model(out, whole_translation)


def test_without_scheduled_sampling_a_translation_is_another(
    pairs: Path, whole_translation: Path, tmp_path: Path
) -> None:
    """Else the test above would say nothing of it."""
    train(pairs, tmp_path / "out", **TRANSLATES | {"training.scheduled_sampling": 0.0})
    weights = [folder / "weights.safetensors" for folder in (tmp_path / "out", whole_translation)]
    assert weights[0].read_bytes() != weights[1].read_bytes()


def test_stopped_after_every_single_step_is_as_never_stopped(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(event: Event) -> None:
        if isinstance(event, Progress):
            signal.raise_signal(signal.SIGINT)

    stops = 0
    while stops < 20:
        try:
            train(data, out, resume=stops > 0, report=stop)
            break
        except Interrupted:
            stops += 1
    assert stops == 9
    assert_same_model(out, whole)


def killed(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, *, call: int) -> None:
    """Train until the function `name` of `place` is called for the `call`-th time."""
    original, calls = getattr(place, name), []

    def die(*given: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise KilledError
        return original(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, die)
        with pytest.raises(KilledError):
            train(data, out)


MOMENTS = [
    pytest.param(loop, "judge", 2, id="before a validation"),
    pytest.param(loop, "save_checkpoint", 8, id="between validation and checkpoint"),
    pytest.param(run, "_save", 1, id="between the first checkpoint of an epoch and the first model"),
    pytest.param(run, "_save", 3, id="between the last checkpoint and its model"),
    pytest.param(run, "final_metrics", 1, id="in the final evaluation"),
    pytest.param(run, "_save", 4, id="between the final evaluation and the model"),
    pytest.param(run, "load_bundle", 1, id="after all is saved"),
]


@pytest.mark.parametrize(("place", "name", "call"), MOMENTS)
def test_killed_between_two_writes_and_resumed_is_as_never_killed(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, call: int
) -> None:
    out = tmp_path / "out"
    killed(data, out, monkeypatch, place, name, call=call)
    with pytest.raises(TrainingError, match="Go on with --resume"):
        train(data, out)
    train(data, out, resume=True)
    assert_same_model(out, whole)


@pytest.mark.parametrize(
    ("place", "name"), [(run, "start_training"), (loop, "batch_order"), (loop, "save_checkpoint")], ids=str
)
def test_killed_before_there_is_a_checkpoint_is_trained_again_from_the_start(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    out = tmp_path / "out"
    killed(data, out, monkeypatch, place, name, call=1)
    with pytest.raises(TrainingError, match=r"out holds no checkpoint to resume from\. Train without --resume first\."):
        train(data, out, resume=True)
    train(data, out)
    assert_same_model(out, whole)


def test_a_kill_within_the_very_first_checkpoint_does_not_lock_the_folder_up(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    """All that such a kill leaves is a folder of checkpoints with something unfinished in it."""
    unfinished = tmp_path / "out" / "checkpoints" / f"{TEMPORARY}0123456789abcdef"
    unfinished.mkdir(parents=True)
    (unfinished / "weights.safetensors").write_bytes(b"half")
    train(data, tmp_path / "out")
    assert_same_model(tmp_path / "out", whole)
    assert not unfinished.exists()


def test_a_damaged_newest_checkpoint_costs_one_interval_and_is_told(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and (event.epoch, event.batch) == (2, 2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(data, out, report=stop)
    damaged = out / "checkpoints" / "step-00000005" / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    events: list[Event] = []
    train(data, out, resume=True, report=events.append)
    said = [event.text for event in events if isinstance(event, Said)]
    assert "resumed at step 4, in epoch 2" in said
    assert any(str(damaged) in text and "is cut short" in text for text in said)
    assert_same_model(out, whole)


# What a resumed training must be


def test_a_training_killed_while_its_last_files_go_into_place_has_them_there_when_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, placed = files._put_into_place, []

    def counted(folder: Path, found: dict[str, bytes]) -> None:
        placed.append(folder)
        put(folder, found)

    monkeypatch.setattr(files, "_put_into_place", counted)
    train(data, tmp_path / "expected")
    left = len(placed)

    def killed(folder: Path, found: dict[str, bytes]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KilledError
        put(folder, found)

    monkeypatch.setattr(files, "_put_into_place", killed)
    with pytest.raises(KilledError):
        train(data, tmp_path / "out")
    monkeypatch.setattr(files, "_put_into_place", put)
    assert (tmp_path / "out" / files.NEXT).exists()
    train(data, tmp_path / "out", resume=True)
    assert not (tmp_path / "out" / files.NEXT).exists()
    assert_same_model(tmp_path / "out", tmp_path / "expected")


def test_a_finished_training_says_so_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = train(data, out)
    before = contents(out)
    events: list[Event] = []
    again = train(data, out, resume=True, report=events.append)
    assert contents(out) == before
    assert again.metrics == first.metrics
    assert f"the training in {out} has finished already, and nothing was changed" in [
        event.text for event in events if isinstance(event, Said)
    ]
    assert not [event for event in events if isinstance(event, Progress | Validated)]


def test_a_finished_training_whose_model_was_damaged_is_made_whole_again(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    train(data, out)
    (out / "weights.safetensors").write_bytes(b"")
    train(data, out, resume=True)
    assert_same_model(out, whole)


def test_a_training_whose_time_was_over_goes_on_when_given_more(data: Path, whole: Path, tmp_path: Path) -> None:
    """The rest of the epoch that was cut comes first, so that it ends as one that was never short of time."""
    out = tmp_path / "out"
    train(data, out, training__max_minutes=1e-9)
    assert [row["epoch"] for row in kill.history(out)] == [1]
    before = contents(out)
    train(data, out, resume=True, training__max_minutes=1e-9)
    assert contents(out) == before
    bundle = train(data, out, resume=True)
    assert [row["epoch"] for row in kill.history(out)] == [1, 2, 3]
    assert (bundle.metrics["epochs"], "baselines" in bundle.metrics) == (3, True)
    assert (out / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_other_settings_or_data_are_refused_with_the_difference(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(data, out)
    before = contents(out)
    with pytest.raises(TrainingError) as caught:
        train(data, out, resume=True, model__hidden_size=5, training__epochs=9)
    assert str(caught.value) == (
        "this is not the training that the checkpoint belongs to: model.hidden_size was 4, now 5; "
        "training.epochs was 3, now 9. Resume with the same data and settings, or train anew with another --out."
    )
    changed = tmp_path / "reviews.csv"
    changed.write_bytes(data.read_bytes().replace(b"good", b"bad", 1))
    with pytest.raises(TrainingError, match=r"belongs to: file reviews\.csv was '[0-9a-f]{64}', now '[0-9a-f]{64}'\. "):
        train(changed, out, resume=True)
    assert contents(out) == before


def test_resuming_where_nothing_is_says_how_to_begin(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"nowhere holds no checkpoint to resume from\. Train without --resume first"
    ):
        train(data, tmp_path / "nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()


# Killed for good


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, list[str]]:
    """A training in a process of its own, with how often it was loaded meanwhile, and what went wrong then."""
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    training = kill.fork(data, out)
    loads, failures = 0, []
    while training.poll() is None:
        try:
            load_bundle(out)
            loads += 1
        except BundleError as error:
            if loads:
                failures.append(str(error))
        time.sleep(0.01)
    code, said = kill.finish(training)
    assert code == 0, said
    return out, loads, failures


def test_a_training_folder_can_be_loaded_at_any_time_from_the_first_validation_on(
    uninterrupted: tuple[Path, int, list[str]],
) -> None:
    _, loads, failures = uninterrupted
    assert failures == []
    assert loads >= 1  # as often as this machine found the time


def resumed_until_done(data: Path, out: Path, chance: random.Random, *, longest: float, kills: int) -> list[str]:
    """Train, kill at a random time `kills` times, and resume as a user would. What was done, to be told on failure."""
    log = []
    for _ in range(kills):
        again = ["--resume"] if kill.has_checkpoint(out) else []
        after = chance.uniform(0, longest)
        alive = kill.kill(kill.start(data, out, *again), after=after)
        log.append(f"{'--resume ' if again else ''}killed after {after:.3f} s{'' if alive else ' (had ended)'}")
    again = ["--resume"] if kill.has_checkpoint(out) else []
    code, said = kill.finish(kill.start(data, out, *again))
    assert code == 0, f"{log}: {said}"
    return log


def killed_while_it_learns(training: subprocess.Popen[str] | kill.Fork, out: Path, *, after: float) -> None:
    """Wait for the first checkpoint of a training, and kill it so many seconds later."""
    while not kill.has_checkpoint(out):
        assert training.poll() is None, kill.finish(training)
        time.sleep(0.002)
    kill.kill(training, after=after)


def test_killed_while_it_learns_and_resumed_is_as_never_killed(
    data: Path, uninterrupted: tuple[Path, int, list[str]], tmp_path: Path
) -> None:
    """In forks of this process, which are soon there; the long tests start each training anew, as a user does."""
    after = random.uniform(0, 0.3)
    killed_while_it_learns(kill.fork(data, tmp_path / "out"), tmp_path / "out", after=after)
    code, said = kill.finish(kill.fork(data, tmp_path / "out", "--resume"))
    story = f"killed {after:.3f} s after the first checkpoint: {said}"
    assert code == 0, story
    assert_same_model(tmp_path / "out", uninterrupted[0], story=story)


@pytest.mark.long  # the tests before it are killed at chosen moments, this one perhaps while it still imports
def test_killed_at_any_time_and_resumed_is_as_never_killed(
    data: Path, uninterrupted: tuple[Path, int, list[str]], tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    log = resumed_until_done(data, tmp_path / "out", random.Random(seed), longest=4, kills=1)
    assert_same_model(tmp_path / "out", uninterrupted[0], story=f"seed {seed}: {log}")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_killed_again_and_again_at_random_times_is_as_never_killed(
    data: Path, uninterrupted: tuple[Path, int, list[str]], tmp_path: Path, seed: int
) -> None:
    """Each seed: one kill after the first checkpoint, where it hurts most, then two at any time."""
    chance = random.Random(seed)
    killed_while_it_learns(kill.start(data, tmp_path / "out"), tmp_path / "out", after=chance.uniform(0, 0.5))
    log = resumed_until_done(data, tmp_path / "out", chance, longest=6, kills=2)
    assert_same_model(tmp_path / "out", uninterrupted[0], story=f"seed {seed}: {log}")
