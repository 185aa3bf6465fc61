"""Turns are taken one after the other, disturbed samples do not count, and a peer that fails stops nobody."""

import json
import sys
from collections.abc import Iterator

import pytest

from benchmarks import memory
from benchmarks.cases import Case, Task
from benchmarks.measure import Limits, compare, peak_gflops, summarise
from benchmarks.sides import Elsewhere, Here
from benchmarks.timing import Absent, Ready, Sample, Work, take_sample, waited_seconds, warm_up

TASK = Task(Case(3, 5, 4, 6), "GRU", "train", threads=1)


class Scripted:
    """A side whose samples are given."""

    def __init__(self, name: str, samples: Iterator[Sample], turns: list[str], shown: float = 1.0) -> None:
        self.name, self._samples, self._turns, self._shown = name, samples, turns, shown

    def prepare(self, task: Task) -> Ready:
        return Ready(1, [self._shown, 2.0], {})

    def sample(self, repeats: int) -> Sample:
        self._turns.append(self.name)
        return next(self._samples)

    def close(self) -> None:
        pass


class Missing(Scripted):
    """A side that is not there."""

    def prepare(self, task: Task) -> Ready:
        raise Absent("not installed")


def steady(seconds: float, waited: float = 0.0) -> Iterator[Sample]:
    while True:
        yield Sample(seconds, waited)


def disturbed(seconds: float) -> Iterator[Sample]:
    while True:
        yield Sample(seconds, 0.0)
        yield Sample(50 * seconds, 0.5)


def test_sides_take_turns_and_disturbed_samples_do_not_count() -> None:
    turns: list[str] = []
    sides = [Scripted("seqloom", disturbed(0.01), turns), Scripted("torch", steady(0.03), turns)]
    result = compare(TASK, sides, limits=Limits(runs=6, seconds=99, tries=20), peak=TASK.useful_flops / 1e9 / 0.005)
    ours, theirs = result["sides"]["seqloom"], result["sides"]["torch"]
    assert turns[:12] == ["seqloom", "torch"] * 6
    assert (ours["samples"], ours["clean"], ours["median"]) == (11, 6, 0.01)
    assert theirs["ratio"] == 3.0
    assert theirs["samples"] == 6
    assert ours["percent_of_peak"] == 50.0


def test_an_absent_side_is_noted_and_the_others_go_on() -> None:
    turns: list[str] = []
    sides = [Scripted("seqloom", steady(0.01), turns), Missing("torch", steady(1), turns)]
    result = compare(TASK, sides, limits=Limits(runs=2, tries=5), peak=100.0)
    assert result["sides"]["torch"] == {"absent": "not installed"}
    assert turns == ["seqloom", "seqloom"]


def test_a_side_with_other_results_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    sides = [Scripted("seqloom", steady(0.01), []), Scripted("torch", steady(0.01), [], shown=1.1)]
    result = compare(TASK, sides, limits=Limits(runs=2, tries=5), peak=100.0)
    assert result["sides"]["seqloom"]["difference"] == pytest.approx(0.05)
    assert "seqloom computes something else" in capsys.readouterr().err


def test_a_slow_side_has_enough_sooner_and_a_noisy_one_gives_up() -> None:
    limits = Limits(runs=15, seconds=2.0, tries=45)
    assert not limits.enough([Sample(0.5, 0)] * 4, repeats=1)
    assert limits.enough([Sample(0.5, 0)] * 5, repeats=1)
    assert not limits.enough([Sample(0.001, 0)] * 14, repeats=10)
    assert limits.enough([Sample(0.001, 0)] * 15, repeats=10)
    assert limits.enough([Sample(0.001, 0.9)] * 45, repeats=10)
    assert not limits.enough([Sample(1.5, 0.9)] * 6, repeats=1)
    assert limits.enough([Sample(1.5, 0.9)] * 7, repeats=1)


def test_with_few_clean_samples_all_are_used_and_it_shows() -> None:
    summary = summarise([Sample(1.0, 0), *[Sample(3.0, 0.5)] * 3], repeats=2)
    assert (summary["median"], summary["least"], summary["clean"], summary["samples"]) == (3.0, 1.0, 1, 4)


def test_short_calls_are_repeated_until_they_can_be_timed() -> None:
    calls = 0

    def run() -> int:
        nonlocal calls
        calls += 1
        return sum(range(20_000))

    work = Work(run, lambda value: [float(value)])
    ready = warm_up(work)
    assert ready.repeats > 1
    assert ready.fingerprint == [sum(range(20_000))]
    before = calls
    sample = take_sample(work, 4)
    assert calls == before + 5
    assert 0 < sample.seconds < 1
    assert waited_seconds() >= 0


def test_peers_without_a_python_are_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQLOOM_PEERS", raising=False)
    with pytest.raises(Absent, match=r"not installed: SEQLOOM_PEERS .*benchmarks/peers\.txt"):
        Elsewhere("ONNX Runtime", threads=1).prepare(TASK)


def test_a_peer_in_its_own_process_answers_again_after_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_PEERS", sys.executable)
    peer = Elsewhere("Keras on JAX", threads=1)
    try:
        for _ in range(2):
            with pytest.raises(Absent, match=r"ModuleNotFoundError: No module named '(jax|keras)'"):
                peer.prepare(TASK)
    finally:
        peer.close()


def test_a_peer_whose_process_ends_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_PEERS", sys.executable)
    peer = Elsewhere("no such peer", threads=1)
    with pytest.raises(Absent, match="its process ended"):
        peer.prepare(TASK)


@pytest.mark.parametrize(
    "in_children", [{"seqloom"}, pytest.param(set(memory.MEASURED), marks=pytest.mark.long)], ids=["ours", "all"]
)
def test_memory_is_measured_in_a_child_and_grows_with_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, in_children: set[str]
) -> None:
    """In the short run only our side starts a child; the others are measured by the same step in this process."""
    real = memory._in_a_child
    monkeypatch.setattr(
        memory, "_in_a_child", lambda name, task: (real if name in in_children else memory.step)(name, task)
    )
    result = memory.measure(TASK._replace(case=Case(8, 40, 16, 64)))
    sides = result["sides"]
    assert sides["torch packed"] == {"absent": "all rows are equally long"}
    for name in ("seqloom", "torch"):
        # What a step needs may be there already in a process that has done more than this one step.
        assert sides[name]["peak_bytes"] > 0 or name not in in_children
        assert sides[name]["saved_bytes_a_token"] >= 4 * 64, name  # at least the states of H = 64, four bytes each
    assert json.loads(json.dumps(result)) == result


def test_peak_is_that_of_the_processor_and_of_a_product() -> None:
    peaks = peak_gflops(1)
    assert peaks["torch_matmul"] > 0
    assert all(0 < peak < 1e5 for peak in peaks.values())


def test_a_side_in_this_process_is_made_and_timed() -> None:
    side = Here("same", lambda task: Work(lambda: task.tokens, lambda value: [float(value)]))
    assert side.prepare(TASK).fingerprint == [15.0]
    assert side.sample(2).seconds > 0
