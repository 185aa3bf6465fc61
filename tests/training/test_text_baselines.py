"""The proof of the answers to beat: counted again naively, one dictionary look-up at a time."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.training.text_baselines import DISCOUNTS, Ngrams, copied, majority, ngram_perplexity

VOCABULARY = 6
Rows = list[list[int]]

rows_of_ids = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=5), max_size=8)
of_each_order = pytest.mark.parametrize("order", [1, 2])


def naive_probability(train: Rows, before: object, token: object, *, order: int, discount: float) -> float:
    """Kneser-Ney from the lists of all pairs and tokens that occur; ends are the word "end"."""
    pairs = [pair for row in train for pair in zip(["end", *row], [*row, "end"], strict=True)]
    singles = [token for _, token in (pairs if order == 1 else set(pairs))]

    def mixed(events: list[object], event: object, lower: float) -> float:
        if not events:
            return lower
        kept = max(events.count(event) - discount, 0) / len(events)
        return kept + discount * len(set(events)) / len(events) * lower

    single = mixed(singles, token, 1 / (VOCABULARY + 1))
    return single if order == 1 else mixed([after for first, after in pairs if first == before], token, single)


def naive_perplexity(train: Rows, rows: Rows, *, order: int, discount: float) -> float:
    surprise = [
        -math.log(naive_probability(train, before, token, order=order, discount=discount))
        for row in rows
        for before, token in zip(["end", *row], [*row, "end"], strict=True)
    ]
    return math.exp(sum(surprise) / len(surprise))


def chain(count: int, *, seed: int) -> Rows:
    """Texts in which each token but for chance follows from the one before."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        text = [chance.randrange(VOCABULARY)]
        while chance.random() < 0.8:
            text.append((text[-1] + 1) % VOCABULARY if chance.random() < 0.9 else chance.randrange(VOCABULARY))
        texts.append(text)
    return texts


def test_the_copy_is_the_source() -> None:
    assert copied(("a b", "c")) == ["a b", "c"]


def test_the_majority_is_the_most_frequent_target_and_of_equals_the_first() -> None:
    assert majority(["no", "yes", "ok", "yes"], rows=2) == ["yes", "yes"]
    assert majority(["b", "a"], rows=1) == ["b"]


@of_each_order
@given(train=rows_of_ids, rows=rows_of_ids.filter(bool), discount=st.sampled_from(DISCOUNTS))
def test_perplexity_is_the_naive_ones(train: Rows, rows: Rows, discount: float, order: int) -> None:
    found = Ngrams(train, vocabulary_size=VOCABULARY, order=order).perplexity(rows, discount=discount)
    assert found == pytest.approx(naive_perplexity(train, rows, order=order, discount=discount), rel=1e-9)


@of_each_order
@given(train=rows_of_ids, discount=st.sampled_from(DISCOUNTS))
def test_probabilities_after_each_token_are_positive_and_sum_to_one(train: Rows, discount: float, order: int) -> None:
    model = Ngrams(train, vocabulary_size=VOCABULARY, order=order)
    before, tokens = np.divmod(np.arange((VOCABULARY + 1) ** 2), VOCABULARY + 1)
    shares = model.probabilities(before, tokens, discount=discount).reshape(VOCABULARY + 1, VOCABULARY + 1)
    assert (shares > 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)


@of_each_order
def test_without_training_every_token_and_the_end_are_equally_likely(order: int) -> None:
    assert ngram_perplexity([], [[0]], [[1, 2], []], vocabulary_size=9, order=order) == pytest.approx(10)


@of_each_order
def test_the_discount_is_the_best_on_the_validation_rows(order: int) -> None:
    """Few texts of training want another discount than many of one kind do."""
    chosen = set()
    for train in (chain(30, seed=0), [[0, 1]] * 30):
        for valid in (train, chain(30, seed=1), [[5, 4, 3]]):
            naive = {d: naive_perplexity(train, valid, order=order, discount=d) for d in DISCOUNTS}
            best = min(naive, key=naive.__getitem__)
            expected = naive_perplexity(train, [[2, 3], [1]], order=order, discount=best)
            found = ngram_perplexity(train, valid, [[2, 3], [1]], vocabulary_size=VOCABULARY, order=order)
            assert found == pytest.approx(expected, rel=1e-9)
            chosen.add(best)
    assert len(chosen) > 1


def test_order_two_knows_what_follows_and_order_one_only_what_is_frequent() -> None:
    train, valid, rows = (chain(count, seed=seed) for seed, count in enumerate((3000, 500, 500)))
    single, pairs = (ngram_perplexity(train, valid, rows, vocabulary_size=VOCABULARY, order=order) for order in (1, 2))
    counts = Counter(token for row in rows for token in [*row, "end"])
    entropy = -sum(count / counts.total() * math.log(count / counts.total()) for count in counts.values())
    assert single == pytest.approx(math.exp(entropy), rel=0.01)
    assert pairs < 0.7 * single


@of_each_order
def test_rows_may_come_one_by_one(order: int) -> None:
    train, valid, rows = (chain(20, seed=seed) for seed in range(3))
    expected = ngram_perplexity(train, valid, rows, vocabulary_size=VOCABULARY, order=order)
    streamed = ngram_perplexity(iter(train), iter(valid), iter(rows), vocabulary_size=VOCABULARY, order=order)
    assert streamed == expected


@pytest.mark.parametrize("row", [[VOCABULARY], [-1, 2]])
def test_ids_outside_the_vocabulary_are_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match=r"do not lie in 0\.\.5"):
        Ngrams([row], vocabulary_size=VOCABULARY, order=1)
    with pytest.raises(ValueError, match=r"do not lie in 0\.\.5"):
        ngram_perplexity([[0]], [[0]], [row], vocabulary_size=VOCABULARY, order=2)


def test_other_orders_and_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="order 3 is not one of 1, 2"):
        ngram_perplexity([[0]], [[0]], [[0]], vocabulary_size=VOCABULARY, order=3)
    with pytest.raises(ValueError, match="no rows"):
        ngram_perplexity([[0]], [[0]], [], vocabulary_size=VOCABULARY, order=1)
