"""Ids depend on the texts alone, and nothing a user writes collides with the reserved ones."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.errors import ConfigError, DataError
from seqloom.text.vocabulary import PADDING, UNKNOWN, Vocabulary

tokens = st.one_of(st.sampled_from(["a", "b", "<unknown>", "<padding>", ""]), st.text(max_size=3))
rows = st.lists(st.lists(tokens))


@given(rows, st.randoms(use_true_random=False), st.integers(1, 3), st.integers(1, 10))
def test_row_order_does_not_matter(rows: list[list[str]], chance: random.Random, min_count: int, max_size: int) -> None:
    shuffled = chance.sample(rows, len(rows))
    expected = Vocabulary.build(rows, min_count=min_count, max_size=max_size)
    assert Vocabulary.build(shuffled, min_count=min_count, max_size=max_size) == expected


@given(rows, st.integers(1, 3), st.integers(1, 10))
def test_the_most_frequent_are_known_and_no_others(rows: list[list[str]], min_count: int, max_size: int) -> None:
    counts = Counter(token for row in rows for token in row)
    vocabulary = Vocabulary.build(rows, min_count=min_count, max_size=max_size)
    worst_known = min((counts[token] for token in vocabulary.known), default=0)
    for token, count in counts.items():
        if token in vocabulary:
            assert count >= min_count
        else:
            assert count < min_count or (len(vocabulary.known) == max_size and count <= worst_known)


def test_ties_are_in_order_of_spelling() -> None:
    assert Vocabulary.build([["b", "c", "a", "c"]]).tokens == ("<padding>", "<unknown>", "c", "a", "b")
    assert Vocabulary.build([["b", "c", "a", "c"]], max_size=2).known == ("c", "a")


@given(rows)
def test_known_tokens_survive_encoding(rows: list[list[str]]) -> None:
    vocabulary = Vocabulary.build(rows)
    for row in rows:
        ids = vocabulary.encode(row)
        assert vocabulary.decode(ids) == row
        assert all(UNKNOWN < number < len(vocabulary) for number in ids)


def test_reserved_spellings_in_a_text_are_ordinary_tokens() -> None:
    empty = Vocabulary.build([])
    assert (PADDING, UNKNOWN, len(empty)) == (0, 1, 2)
    assert empty.encode(["<padding>", "<unknown>"]) == [UNKNOWN, UNKNOWN]
    assert "<unknown>" not in empty
    assert Vocabulary.build([["<padding>"]]).encode(["<padding>", "x"]) == [2, UNKNOWN]


def test_ids_that_do_not_exist_are_an_error() -> None:
    for number in (-1, 3):
        with pytest.raises(DataError, match=rf"no token with the id {number}\. Ids lie in 0\.\.2"):
            Vocabulary(("a",)).decode([number])


@pytest.mark.parametrize("setting", [{"min_count": 0}, {"max_size": 0}])
def test_numbers_below_one_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} is 0. It must be at least 1"):
        Vocabulary.build([["a"]], **setting)


@given(rows)
def test_a_saved_vocabulary_comes_back_equal(rows: list[list[str]]) -> None:
    vocabulary = Vocabulary.build(rows)
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "one JSON object"),
        ("{}", "one JSON object"),
        ('{"known": {}}', "one JSON object"),
        ('{"known": [], "more": 1}', "one JSON object"),
        ('{"known": ["a", 1]}', "token 1 of the vocabulary is 1. Every token must be text"),
        ('{"known": ["a", "b", "b"]}', 'holds "b" 2 times. Every token must occur once'),
    ],
)
def test_a_damaged_vocabulary_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        Vocabulary.from_json(text)
    assert message in str(error.value)


def test_saved_tokens_can_be_read_by_eye() -> None:
    saved = Vocabulary(("été", "我")).to_json()
    assert '\n"été",\n"我"\n' in saved
    assert json.loads(saved) == {"known": ["été", "我"]}
