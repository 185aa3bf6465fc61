"""The least that a layer's parts take, beside what else a layer does."""

import pytest

from benchmarks.cases import Case, Task
from benchmarks.parts import least_seconds
from seqloom.kernels import native


@pytest.mark.skipif(not native.available(), reason=f"no compiled core: {native.reason()}")
def test_parts_are_those_of_the_steps_in_both_directions_and_both_ways() -> None:
    of_one = least_seconds(Task(Case(64, 4, 64, 64), "GRU", "infer"))
    of_both = least_seconds(Task(Case(64, 4, 64, 64, directions=2), "GRU", "train"))
    assert of_one is not None and of_both is not None
    assert 0 < 3 * of_one < of_both  # six times the products, twice the activations


def test_too_few_rows_have_no_parts() -> None:
    assert least_seconds(Task(Case(1, 100, 128, 128), "LSTM", "infer")) is None
