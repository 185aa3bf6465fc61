"""The order is a function of seed and epoch, nothing is left out, and little of a batch is padding."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data import Example, batch_order, collate, evaluation_order, pad, spell
from seqloom.data.tagged import Spelled
from seqloom.shapes import Batch

LENGTHS = st.lists(st.integers(1, 300), max_size=400)


def example(ids: list[int], target: object = None) -> Example:
    return Example(line=2, text="", ids=ids, target=target)


def padding(lengths: list[int], batches: list[list[int]]) -> float:
    cells = sum(max(lengths[row] for row in batch) * len(batch) for batch in batches)
    return 1 - sum(lengths) / cells


@given(LENGTHS, st.integers(1, 70), st.integers(0, 3), st.integers(0, 3))
def test_each_row_is_in_exactly_one_batch(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    for batches in (
        batch_order(lengths, batch_size=batch_size, seed=seed, epoch=epoch),
        evaluation_order(lengths, batch_size=batch_size),
    ):
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= batch_size for batch in batches)
        assert len(batches) == -(-len(lengths) // batch_size)


def test_order_is_a_function_of_seed_and_epoch_alone() -> None:
    lengths = [n % 50 + 1 for n in range(1000)]
    first = batch_order(lengths, batch_size=8, seed=3, epoch=5)
    np.random.seed(1)
    torch.manual_seed(1)
    assert batch_order(tuple(lengths), batch_size=8, seed=3, epoch=5) == first
    assert batch_order(lengths, batch_size=8, seed=3, epoch=6) != first
    assert batch_order(lengths, batch_size=8, seed=4, epoch=5) != first
    assert batch_order(lengths, batch_size=8, seed=5, epoch=3) != first


def test_little_is_padding() -> None:
    """Lengths as skewed as those of reviews; without regard to length most would be padding."""
    lengths = np.random.default_rng(0).lognormal(5, 0.7, 5000).astype(int).clip(1).tolist()
    unsorted = [list(range(start, start + 32)) for start in range(0, 4992, 32)]
    assert padding(lengths, unsorted) > 0.6
    assert padding(lengths, batch_order(lengths, batch_size=32, seed=0, epoch=0)) < 0.1
    assert padding(lengths, evaluation_order(lengths, batch_size=32)) < 0.03


def test_batches_do_not_come_in_order_of_length() -> None:
    lengths = [n // 10 + 1 for n in range(500)]
    batches = batch_order(lengths, batch_size=10, seed=0, epoch=0)
    means = np.array([np.mean([lengths[row] for row in batch]) for batch in batches])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_rows_meet_others_in_each_epoch() -> None:
    lengths = [n % 10 + 1 for n in range(3000)]
    met = {frozenset(b) for epoch in range(3) for b in batch_order(lengths, batch_size=10, seed=0, epoch=epoch)}
    assert len(met) > 890


def test_little_of_either_side_is_padding() -> None:
    """Targets about as long as their sources; ordered by these alone, a third of the targets would be padding."""
    random = np.random.default_rng(0)
    lengths = random.lognormal(2.6, 0.4, 8000).astype(int).clip(1).tolist()
    targets = (np.array(lengths) * random.lognormal(0, 0.25, 8000)).astype(int).clip(1).tolist()
    both = {"batch_size": 64, "target_lengths": targets}
    alone = batch_order(lengths, batch_size=64, seed=0, epoch=0)
    assert padding(lengths, alone) < 0.05 and padding(targets, alone) > 0.33
    for order in (batch_order(lengths, seed=0, epoch=0, **both), evaluation_order(lengths, **both)):
        assert sorted(row for batch in order for row in batch) == list(range(8000))
        assert padding(lengths, order) < 0.1 and padding(targets, order) < 0.22


@given(LENGTHS, st.integers(1, 70))
def test_target_lengths_lose_no_row(lengths: list[int], batch_size: int) -> None:
    targets = [length * 7 % 31 for length in lengths]
    for batches in (
        batch_order(lengths, batch_size=batch_size, seed=0, epoch=0, target_lengths=targets),
        evaluation_order(lengths, batch_size=batch_size, target_lengths=targets),
    ):
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= batch_size for batch in batches)


def test_texts_as_targets_are_a_batch_of_their_own() -> None:
    pairs = [Example(2, "a", [4, 5], [7], "x"), Example(3, "b", [6], [8, 9, 3], "y z w")]
    sources, targets = collate(pairs)
    assert isinstance(targets, Batch)
    assert (sources.values.tolist(), sources.lengths.tolist()) == ([[4, 5], [6, 0]], [2, 1])
    assert (targets.values.tolist(), targets.lengths.tolist()) == ([[7, 0, 0], [8, 9, 3]], [1, 3])


@given(st.lists(st.lists(st.sampled_from(["a", "The", "the", "of"]), min_size=1, max_size=5), max_size=5))
def test_each_different_word_of_a_batch_is_spelled_once_and_found_at_its_places(sentences: list[list[str]]) -> None:
    def row(words: list[str]) -> Example:
        characters = tuple(tuple(map(ord, word)) for word in words)
        spelled = Spelled(tuple(words), tuple(words), characters, (True,) * len(words))
        return Example(2, "", [len(word) for word in words], [1] * len(words), spelled=spelled)

    batch = spell([row(words) for words in sentences])
    of_rows = zip(batch.spelled.values.tolist(), batch.spelled.lengths.tolist(), strict=True)
    words = ["".join(map(chr, ids[:length])) for ids, length in of_rows]
    assert sorted(words) == sorted({word for sentence in sentences for word in sentence})
    for sentence, places in zip(sentences, batch.places.tolist(), strict=True):
        assert [words[place] for place in places[: len(sentence)]] == sentence
        assert not any(places[len(sentence) :])
    assert batch.lengths.tolist() == list(map(len, sentences))


@given(st.lists(st.lists(st.integers(1, 9), max_size=7), max_size=6))
def test_padding_is_zero_after_the_ids_and_nowhere_else(sequences: list[list[int]]) -> None:
    batch = pad(sequences)
    width = max(map(len, sequences), default=0)
    assert batch.values.tolist() == [ids + [0] * (width - len(ids)) for ids in sequences]
    assert batch.values.shape == (len(sequences), width)
    assert batch.lengths.tolist() == [len(ids) for ids in sequences]
    assert batch.values.dtype == batch.lengths.dtype == torch.int64


@pytest.mark.parametrize(
    ("targets", "dtype"),
    [([1, 0], torch.int64), ([[1, 0, 1], [0, 0, 1]], torch.float32), ([0.25, -1.5], torch.float32)],
)
def test_targets_have_the_type_their_loss_needs(targets: list[object], dtype: torch.dtype) -> None:
    batch, collated = collate([example([4, 5], targets[0]), example([6], targets[1])])
    assert batch.values.tolist() == [[4, 5], [6, 0]]
    assert collated.tolist() == targets
    assert collated.dtype == dtype
