"""The least that a layer's parts take, beside what else a layer does."""

import pytest

from benchmarks.cases import Case, Task
from benchmarks.parts import least_seconds
from seqloom.kernels import native
from tests.kernels.cases import needs_core


@needs_core
def test_parts_are_those_of_the_steps_in_both_directions_and_both_ways() -> None:
    of_one = least_seconds(Task(Case(64, 4, 64, 64), "GRU", "infer"))
    of_both = least_seconds(Task(Case(64, 4, 64, 64, directions=2), "GRU", "train"))
    assert of_one is not None and of_both is not None
    assert 0 < 3 * of_one < of_both  # six times the products, twice the activations


@needs_core
def test_threads_share_the_columns_of_a_single_row() -> None:
    case = Case(1, 20, 256, 256)
    alone, shared = (least_seconds(Task(case, "LSTM", "infer", threads)) for threads in (1, 4))
    assert alone is not None and shared is not None
    assert 0 < 2 * shared < alone


def test_without_a_core_there_are_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    assert least_seconds(Task(Case(64, 4, 64, 64), "GRU", "infer")) is None
