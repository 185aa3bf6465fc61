"""The proof of the figures: equal to scikit-learn's and scipy's on anything."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, sem
from sklearn import metrics

from seqloom.data.targets import Targets
from seqloom.training.metrics import macro_f1, mean_interval, score, wilson_interval

pytestmark = pytest.mark.filterwarnings("ignore:.*single label.*:UserWarning")

LABELS = ("a", "b", "c", "d")


def pairs(of: st.SearchStrategy[Any], *, min_size: int = 1) -> st.SearchStrategy[list[tuple[Any, Any]]]:
    return st.lists(st.tuples(of, of), min_size=min_size, max_size=40)


@given(rows=pairs(st.integers(0, 3)))
def test_accuracy_and_macro_f1_of_classes_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    truth, decided = map(list, zip(*rows, strict=True))
    found = score(Targets("multiclass", LABELS), torch.tensor(truth), torch.tensor(decided))
    assert found.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(truth, decided))
    # Without labels= scikit-learn too leaves out a class that neither occurs nor is decided.
    assert found.metrics["macro_f1"] == pytest.approx(metrics.f1_score(truth, decided, average="macro"))
    assert found.intervals["accuracy"] == wilson_interval(sum(t == d for t, d in rows), len(rows))


@given(rows=pairs(st.tuples(*[st.integers(0, 1)] * 4)))
def test_exact_match_and_macro_f1_of_several_labels_are_scikit_learns(rows: list[tuple[Any, Any]]) -> None:
    truth, decided = (np.array(side) for side in zip(*rows, strict=True))
    found = score(Targets("multilabel", LABELS), torch.from_numpy(truth).float(), torch.from_numpy(decided))
    assert found.metrics["exact_match"] == pytest.approx(metrics.accuracy_score(truth, decided))
    present = [label for label in range(4) if truth[:, label].any() or decided[:, label].any()]
    expected = metrics.f1_score(truth, decided, labels=present, average="macro") if present else 0.0
    assert found.metrics["macro_f1"] == pytest.approx(expected)


@given(rows=pairs(st.floats(-1e6, 1e6, width=32)))
def test_errors_of_numbers_are_scikit_learns(rows: list[tuple[float, float]]) -> None:
    truth, decided = map(list, zip(*rows, strict=True))
    found = score(Targets("squared", ()), torch.tensor(truth), torch.tensor(decided))
    assert found.metrics["mae"] == pytest.approx(metrics.mean_absolute_error(truth, decided))
    assert found.metrics["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, decided))


@given(share=st.integers(1, 10_000).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_interval_of_a_share_is_wilsons(share: tuple[int, int]) -> None:
    right, rows = share
    expected = binomtest(right, rows).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(right, rows) == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_interval_of_a_mean_is_two_standard_errors_wide(values: list[float]) -> None:
    low, high = mean_interval(torch.tensor(values, dtype=torch.float64))
    assert (low + high) / 2 == pytest.approx(np.mean(values), abs=1e-6)
    assert high - low == pytest.approx(2 * 1.959964 * sem(values), abs=1e-6)


def test_one_value_has_an_interval_of_no_width() -> None:
    assert mean_interval(torch.tensor([3.0])) == (3.0, 3.0)


def test_a_class_nobody_speaks_of_does_not_count() -> None:
    nothing = torch.zeros(3, 2)
    assert macro_f1(nothing, nothing) == 0.0
    assert macro_f1(torch.tensor([[1, 0]]), torch.tensor([[1, 0]])) == 1.0
