"""Targets are learned from what was given and nothing is guessed."""

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data import Targets
from seqloom.data.targets import is_number, read_number
from seqloom.errors import DataError


def test_labels_are_sorted_and_numbers_as_numbers() -> None:
    assert Targets.learn(["b", "a", " b "], task="classify").labels == ("a", "b")
    learned = Targets.learn(["10", "9", "-1", "2.5"], task="classify")
    assert learned.labels == ("-1", "2.5", "9", "10")
    assert [learned.encode(value) for value in ("10", " 9 ")] == [3, 2]


def test_problem_follows_from_the_values() -> None:
    assert Targets.learn(["a", "b"], task="classify").problem == "binary"
    assert Targets.learn(["a", "b", "c"], task="classify").problem == "multiclass"
    assert Targets.learn(["a", ("a", "b")], task="classify").problem == "multilabel"
    assert Targets.learn(["a|b", "b"], task="classify", label_separator="|").problem == "multilabel"
    assert Targets.learn(["1", "2"], task="regress").problem == "squared"


def test_several_labels_become_one_number_each() -> None:
    targets = Targets.learn(["c|a", "b", ""], task="classify", label_separator="|")
    assert targets.labels == ("a", "b", "c")
    assert [targets.encode(value) for value in ("c | a", "b", "", ("b", "c"))] == [
        [1, 0, 1],
        [0, 1, 0],
        [0, 0, 0],
        [0, 1, 1],
    ]


def test_several_labels_where_training_had_one_are_refused() -> None:
    with pytest.raises(DataError, match=r"several labels \(a, b\) where one is needed"):
        Targets.learn(["a", "b"], task="classify").encode(("a", "b"))


@pytest.mark.parametrize(("problem", "values"), [("binary", ["a", "b"]), ("multilabel", [("a",), ("b",)])])
def test_unseen_label_is_named_with_the_known_ones(problem: str, values: list[str]) -> None:
    targets = Targets.learn(values, task="classify")
    assert targets.problem == problem
    with pytest.raises(DataError, match=r'label "neutral" does not occur in training \(known: a, b\)'):
        targets.encode("neutral")


@pytest.mark.parametrize("values", [[], ["a"], ["a", " a"], [("a",), ("a",)]])
def test_nothing_to_tell_apart_is_an_error(values: list[str]) -> None:
    with pytest.raises(DataError, match="there is nothing to tell apart"):
        Targets.learn(values, task="classify")


def test_one_number_for_all_is_an_error() -> None:
    with pytest.raises(DataError, match=r"have the target 2\.0: there is nothing to tell apart"):
        Targets.learn(["2", "2.0"], task="regress")


NOT_NUMBERS = [
    "1,5",
    "nan",
    "NaN",
    "inf",
    "-Infinity",
    "0x10",
    "1e999",
    "1_000",
    "\u0661",
    "1 2",
    "--1",
    "e5",
    ".",
    "",
    " ",
]


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_what_is_no_plain_finite_number_is_refused(value: str) -> None:
    with pytest.raises(DataError, match="is not a finite number|no number"):
        read_number(value)
    with pytest.raises(DataError):
        Targets.learn(["1", value, "2"], task="regress")


def test_decimal_comma_is_explained() -> None:
    with pytest.raises(DataError, match='"1,5" is not a finite number .write it with a decimal point.'):
        read_number("1,5")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_exactly(number: float) -> None:
    assert read_number(f" {number!r}\n") == number
    assert is_number(repr(number))


@given(st.lists(st.integers(-(10**6), 10**6).map(lambda n: n / 64), min_size=2, unique=True), st.randoms())
def test_numbers_are_standardised_whatever_the_order(numbers: list[float], random: object) -> None:
    targets = Targets.learn(map(repr, numbers), task="regress")
    shuffled = sorted(numbers, key=lambda _: random.random())
    assert targets == Targets.learn(map(repr, shuffled), task="regress")
    encoded = [targets.encode(repr(number)) for number in numbers]
    assert statistics.fmean(encoded) == pytest.approx(0, abs=1e-6)
    assert statistics.pstdev(encoded) == pytest.approx(1, rel=1e-6)


def test_numbers_beyond_computing_are_refused() -> None:
    with pytest.raises(DataError, match="the spread of the target numbers is beyond what can be computed"):
        Targets.learn(["1e300", "-1e300"], task="regress")


LEARNED = [
    Targets.learn(["a", "b"], task="classify"),
    Targets.learn(["a", "b", "c"], task="classify"),
    Targets.learn(["a;b", "c"], task="classify", label_separator=";"),
    Targets.learn(["1", "2.5"], task="regress"),
]


@pytest.mark.parametrize("targets", LEARNED)
def test_saved_targets_come_back_equal(targets: Targets) -> None:
    assert Targets.from_dict(targets.to_dict()) == targets


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "found: extra, label_separator"),
        ({"problem": "ternary"}, "the problem 'ternary'"),
        ({"problem": []}, "the problem"),
        ({"labels": "ab"}, "labels must be a list of texts"),
        ({"labels": ["a", 1]}, "labels must be a list of texts"),
        ({"labels": ["a", "a"]}, "do not fit the problem binary"),
        ({"labels": ["a", "b", "c"]}, "do not fit the problem binary"),
        ({"problem": "squared"}, "do not fit the problem squared"),
        ({"problem": "multiclass"}, "do not fit the problem multiclass"),
        ({"mean": float("nan")}, "mean is nan"),
        ({"mean": True}, "mean is True"),
        ({"scale": 0}, "scale is 0.0, but must be above 0"),
        ({"scale": "1"}, "scale is '1'"),
        ({"label_separator": ""}, "label_separator is ''"),
    ],
)
def test_tampered_targets_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Targets.from_dict(LEARNED[0].to_dict() | changes)
    with pytest.raises(DataError, match="saved targets have the keys"):
        Targets.from_dict({"problem": "binary"})


def test_numbers_far_above_their_spread_come_back_in_their_unit() -> None:
    """Points in time: in float32 all of them would be one."""
    times = [1.7e9 + 5 * step for step in range(-4, 5)]
    targets = Targets.learn(map(repr, times), task="regress")
    encoded = [targets.encode(repr(time)) for time in times]
    back = (
        [targets.to_unit(number) for number in encoded],
        targets.to_unit(np.array(encoded)).tolist(),
        targets.to_unit(torch.tensor(encoded, dtype=torch.float64)).tolist(),
    )
    assert all(numbers == pytest.approx(times, abs=1e-5, rel=0) for numbers in back)
