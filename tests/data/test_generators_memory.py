"""The memory tasks hold what their papers say: where what counts stands, what is asked, and what a guess scores."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqloom.data import generators_memory as memory
from seqloom.data.generators_memory import adding, copy_guess, copy_memory, temporal_order
from seqloom.shapes import Batch

TASKS: dict[str, Callable[..., tuple[Batch, Tensor]]] = {"adding": adding, "copy": copy_memory, "order": temporal_order}
each_task = pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)


@each_task
def test_rows_are_a_function_of_the_seed(make: Callable[..., Any]) -> None:
    first, again, other = (make(5, steps=12, seed=seed) for seed in ([1, 2], [1, 2], [2, 1]))
    assert all(torch.equal(a, b) for a, b in zip([*first[0], first[1]], [*again[0], again[1]], strict=True))
    assert not torch.equal(first[0].values, other[0].values)
    assert first[0].values.dtype == torch.float32
    assert first[0].lengths.tolist() == [first[0].values.shape[1]] * 5


@pytest.mark.parametrize("steps", [2, 3, 50])
def test_two_numbers_are_marked_one_in_each_half_and_their_sum_is_asked(steps: int) -> None:
    batch, sums = adding(200, steps=steps, seed=0)
    assert batch.values.shape == (200, steps, memory.ADDING_INPUTS)
    places = set()
    for row, total in zip(batch.values.tolist(), sums.tolist(), strict=True):
        marked = [t for t, (_, mark) in enumerate(row) if mark]
        assert all(mark in (0, 1) and 0 <= value < 1 for value, mark in row)
        assert marked[0] < steps // 2 <= marked[1]
        assert len(marked) == 2
        assert total == pytest.approx(row[marked[0]][0] + row[marked[1]][0], abs=1e-6)
        places.update(marked)
    assert steps > 3 or places == set(range(steps))


def test_always_answering_one_has_the_known_error() -> None:
    _, sums = adding(200_000, steps=2, seed=0)
    assert float((sums - 1).square().mean()) == pytest.approx(memory.ADDING_GUESS, abs=0.002)
    assert math.isclose(memory.ADDING_GUESS, 0.1667, abs_tol=1e-4)


@pytest.mark.parametrize("steps", [1, 30])
def test_letters_are_asked_for_after_the_steps_and_told_in_order(steps: int) -> None:
    batch, targets = copy_memory(40, steps=steps, seed=0)
    assert batch.values.shape == (40, steps + 20, memory.COPY_SYMBOLS)
    for row, wanted in zip(batch.values.argmax(-1).tolist(), targets.tolist(), strict=True):
        letters = row[:10]
        assert set(letters) <= set(range(memory.LETTERS))
        assert row[10:] == [memory.BLANK] * (steps - 1) + [memory.ASK] + [memory.BLANK] * 10
        assert wanted == [memory.BLANK] * (steps + 10) + letters
    assert set(batch.values.argmax(-1)[:, :10].flatten().tolist()) == set(range(memory.LETTERS))
    assert torch.equal(batch.values.sum(-1), torch.ones(40, steps + 20))


def test_who_knows_when_but_not_what_scores_the_known_cross_entropy() -> None:
    steps = 100
    _, targets = copy_memory(10, steps=steps, seed=0)
    logits = torch.full((10, steps + 20, memory.COPY_SYMBOLS), -100.0)
    logits[:, :-10, memory.BLANK] = 100.0
    logits[:, -10:, : memory.LETTERS] = 0.0
    found = float(functional.cross_entropy(logits.flatten(0, 1), targets.flatten()))
    assert found == pytest.approx(copy_guess(steps), rel=1e-5)
    assert copy_guess(steps) == 10 * math.log(8) / (steps + 20)


@pytest.mark.parametrize("steps", [10, 37, 100])
def test_two_letters_stand_in_their_tenths_and_their_order_is_asked(steps: int) -> None:
    batch, targets = temporal_order(400, steps=steps, seed=0)
    at: tuple[set[int], set[int]] = (set(), set())
    for row, target in zip(batch.values.argmax(-1).tolist(), targets.tolist(), strict=True):
        found = [(t, "XY"[symbol - memory.X]) for t, symbol in enumerate(row) if symbol in (memory.X, memory.X + 1)]
        assert memory.ORDERS[target] == "".join(letter for _, letter in found)
        assert (row[0], row[-1]) == (memory.START, memory.END)
        assert set(row[1:-1]) <= set(range(memory.DISTRACTORS + 2))
        for seen, (place, _) in zip(at, found, strict=True):
            seen.add(place)
    assert at == tuple(set(range(k * steps // 10, (k + 1) * steps // 10)) for k in (1, 5))
    assert min(Counter(targets.tolist()).values()) > 400 * memory.ORDER_GUESS * 0.7


def test_rows_of_unlike_length_hold_the_task_within_their_length() -> None:
    batch, targets = temporal_order(600, steps=80, seed=0, shortest=10)
    lengths = batch.lengths.tolist()
    assert (min(lengths), max(lengths)) == (10, 80)
    assert sum(length < 28 for length in lengths) == pytest.approx(300, abs=60)  # sqrt(10 · 80)
    for row, length, target in zip(batch.values, lengths, targets.tolist(), strict=True):
        symbols = row[:length].argmax(-1).tolist()
        assert symbols[-1] == memory.END
        assert not row[length:].any()
        assert "".join("XY"[s - memory.X] for s in symbols if memory.X <= s <= memory.X + 1) == memory.ORDERS[target]


@pytest.mark.parametrize(
    ("make", "options", "fewest"),
    [
        (adding, {"steps": 1}, 2),
        (copy_memory, {"steps": 0}, 1),
        (temporal_order, {"steps": 9}, 10),
        (temporal_order, {"steps": 20, "shortest": 9}, 10),
    ],
)
def test_too_few_steps_are_refused(make: Callable[..., Any], options: dict[str, int], fewest: int) -> None:
    with pytest.raises(ValueError, match=f"steps: this task needs {fewest} or more"):
        make(1, seed=0, **options)
