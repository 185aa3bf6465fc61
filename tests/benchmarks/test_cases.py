"""What the benchmarks compute is the same on every side, and is counted right."""

import itertools

import numpy as np
import pytest

from benchmarks.cases import CASES, GATES, MODES, Case, Task, fingerprint, numbers
from benchmarks.in_process import SIDES
from benchmarks.measure import AGREES
from benchmarks.timing import Absent, warm_up

SMALL = {
    "whole": Case(3, 5, 4, 6),
    "both directions": Case(2, 5, 4, 6, directions=2),
    "reviews": Case(4, 9, 4, 6, kind="reviews"),
    "step": Case(1, 1, 6, 6, kind="step"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("kind", SMALL)
def test_every_side_computes_what_torch_does(kind: str, cell: str, mode: str) -> None:
    if (kind, mode) == ("step", "train"):
        return
    task = Task(SMALL[kind], cell, mode, threads=1)
    truth = warm_up(SIDES["torch"](task)).fingerprint
    compared = 0
    for name, make in SIDES.items():
        if "int8" in name or name in ("torch", "torch.compile"):
            continue
        try:
            shown = warm_up(make(task)).fingerprint
        except Absent:
            continue
        assert shown == pytest.approx(truth, rel=AGREES / 10, abs=1e-6), name
        compared += 1
    assert compared == (3 if kind == "reviews" else 2)


@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_swapped_gates_are_seen(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(SMALL["whole"], cell, "infer", threads=1)
    right = warm_up(SIDES["torch"](task)).fingerprint
    swapped = numbers(task)
    for part in swapped.directions[0]:
        part[:12] = np.concatenate([part[6:12], part[:6]])
    monkeypatch.setattr("benchmarks.in_process.numbers", lambda _: swapped)
    assert warm_up(SIDES["torch"](task)).fingerprint != pytest.approx(right, rel=AGREES)


def test_reviews_are_209_words_on_average_and_400_at_most() -> None:
    [case] = [case for case in CASES if case.kind == "reviews"]
    assert (round(case.lengths.mean()), case.lengths.max(), case.lengths.min()) == (209, 400, 46)
    assert sorted(case.lengths) != list(case.lengths)
    assert Task(case, "GRU", "infer").tokens == case.lengths.sum()


def test_useful_work_is_two_flops_a_weight_and_token() -> None:
    case = Case(2, 3, 5, 7)
    weights = 3 * (5 + 7) * 7
    assert Task(case, "GRU", "infer").useful_flops == 2 * weights * 2 * 3
    assert Task(case, "GRU", "train").useful_flops == 3 * Task(case, "GRU", "infer").useful_flops
    both = Task(case._replace(directions=2), "GRU", "infer")
    assert both.useful_flops == 2 * Task(case, "GRU", "infer").useful_flops


def test_padding_has_no_part_in_a_fingerprint() -> None:
    task = Task(SMALL["reviews"], "GRU", "infer")
    y = np.random.default_rng(1).standard_normal((4, 9, 6))
    other = y.copy()
    for row, length in enumerate(task.case.lengths):
        other[row, length:] = 99
    assert fingerprint(task, y) == fingerprint(task, other)
    assert numbers(task).dy[np.arange(9)[None, :] >= task.case.lengths[:, None]].any() == 0


def test_names_tell_the_cases_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    for case, cell in itertools.product(CASES, GATES):
        task = Task(case, cell, "train", 1, 3)
        assert Task.read([list(case), cell, "train", 1, 3]) == task
