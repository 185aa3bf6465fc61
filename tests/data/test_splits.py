"""No text on two sides, no label lost, no row twice, and the same split for the same seed anywhere."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data import Split, split_rows
from seqloom.errors import DataError

ROWS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("aabbbbcd")), min_size=12, max_size=120)


def split(rows: list[tuple[int, str]], *, seed: int = 0) -> Split:
    texts, labels = [str(text) for text, _ in rows], [label for _, label in rows]
    return split_rows(texts, labels, valid_fraction=0.2, test_fraction=0.1, seed=seed)


def splittable(rows: list[tuple[int, str]]) -> bool:
    per_label = {label: {text for text, own in rows if own == label} for _, label in rows}
    return len({text for text, _ in rows}) >= 8 and sum(len(texts) > 3 for texts in per_label.values()) >= 1


@given(ROWS.filter(splittable), st.integers(0, 5))
def test_each_row_is_in_exactly_one_part(rows: list[tuple[int, str]], seed: int) -> None:
    parts = split(rows, seed=seed)
    assert sorted(parts.train + parts.valid + parts.test) == list(range(len(rows)))
    assert all(parts)


@given(ROWS.filter(splittable), st.integers(0, 5))
def test_equal_texts_stay_on_one_side(rows: list[tuple[int, str]], seed: int) -> None:
    train, valid, test = ({rows[index][0] for index in part} for part in split(rows, seed=seed))
    assert not train & valid and not train & test and not valid & test


@given(ROWS.filter(splittable), st.integers(0, 5))
def test_no_label_is_lost_to_training(rows: list[tuple[int, str]], seed: int) -> None:
    assert {rows[index][1] for index in split(rows, seed=seed).train} == {label for _, label in rows}


@given(st.integers(40, 400), st.integers(2, 12), st.integers(0, 5))
def test_sizes_and_shares_are_as_asked_where_texts_differ(count: int, classes: int, seed: int) -> None:
    labels = [f"{n % classes}" for n in range(count)]
    parts = split_rows(range(count), labels, valid_fraction=0.2, test_fraction=0.25, seed=seed)
    assert abs(len(parts.valid) - 0.2 * count) <= 1
    assert abs(len(parts.test) - 0.25 * count) <= 1
    everywhere = Counter(labels)
    for part, fraction in ((parts.valid, 0.2), (parts.test, 0.25)):
        here = Counter(labels[index] for index in part)
        assert all(abs(here[label] - fraction * everywhere[label]) <= 2 for label in everywhere)


def test_sizes_hold_with_many_copies_and_many_small_classes() -> None:
    """2,000 rows of 100 texts in one class, and 200 classes of five rows."""
    rows = [(n % 100, "copied") for n in range(2000)] + [(1000 + n, f"small {n % 200}") for n in range(1000)]
    parts = split(rows)
    assert abs(len(parts.valid) - 600) <= 20
    assert abs(len(parts.test) - 300) <= 20


def test_sorted_rows_are_not_split_by_position() -> None:
    parts = split([(n, "a" if n < 500 else "b") for n in range(1000)])
    assert {n // 100 for n in parts.valid} == set(range(10))


def test_seed_decides() -> None:
    rows = [(n, "ab"[n % 2]) for n in range(100)]
    assert split(rows, seed=1) == split(rows, seed=1)
    assert split(rows, seed=1) != split(rows, seed=2)


def test_numbers_need_no_strata() -> None:
    parts = split_rows(range(100), None, valid_fraction=0.1, test_fraction=0.0, seed=0)
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (90, 10, 0)


def test_each_of_several_labels_stays_in_training() -> None:
    labels = [("a", "b"), ("a",), ("c",), ("b", "c"), ("d",), ("a", "c"), (), ("b",), ("a",), ("a", "b", "d")]
    for seed in range(20):
        parts = split_rows(range(10), labels, valid_fraction=0.2, test_fraction=0.2, seed=seed)
        assert {label for row in parts.train for label in labels[row]} == set("abcd")


def test_label_that_stands_only_beside_another_is_kept() -> None:
    """One text has both labels of a contradiction, and one of them occurs nowhere else."""
    rows = [(0, "rare"), (0, "common"), *((n, "common") for n in range(1, 30))]
    for seed in range(30):
        assert 0 in split(rows, seed=seed).train


def test_split_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from seqloom.data import split_rows\n"
        "print(split_rows([str(n % 37) for n in range(80)], [str(n % 3) for n in range(80)],"
        " valid_fraction=0.2, test_fraction=0.2, seed=7).valid)"
    )
    here = split_rows(
        [str(n % 37) for n in range(80)], [str(n % 3) for n in range(80)], valid_fraction=0.2, test_fraction=0.2, seed=7
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(here.valid)


def test_impossible_fractions_and_too_few_texts_are_errors() -> None:
    with pytest.raises(DataError, match="leave no rows to train on"):
        split_rows(range(10), None, valid_fraction=0.5, test_fraction=0.5, seed=0)
    with pytest.raises(DataError, match="2 different texts cannot be parted into 3 sets"):
        split_rows(["a", "a", "b"], None, valid_fraction=0.1, test_fraction=0.1, seed=0)
    with pytest.raises(DataError, match="each label must occur in two different texts at least"):
        split_rows(["a", "b", "c"], ["x", "y", "z"], valid_fraction=0.1, test_fraction=0.1, seed=0)
