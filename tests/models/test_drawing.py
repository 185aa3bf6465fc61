"""The proof of drawn texts, by their frequencies, and of what is suggested out of several."""

import itertools
from collections import Counter
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from seqloom.config import DecodingSettings
from seqloom.models.decoding import SMALL_NUCLEUS, Hypothesis, diverse, write
from tests.models.tables import Table, assert_same, plain_table, random_table, texts_of

NOT_WORDS = 100

# Drawing


def frequencies_fit(texts: list[list[int]], expected: dict[tuple[int, ...], float]) -> None:
    counts = Counter(map(tuple, texts))
    assert counts.keys() <= expected.keys()
    seen = [counts[text] for text in expected]
    if len(expected) > 1:
        share = chisquare(seen, [each * len(texts) for each in expected.values()]).pvalue
        assert share > 1e-3, (seen, expected)


def tempered(probabilities: list[float], temperature: float = 1.0, kept: tuple[int, ...] = (0, 1, 2, 3)) -> list[float]:
    raised = [each ** (1 / temperature) if token in kept else 0.0 for token, each in enumerate(probabilities)]
    return [each / sum(raised) for each in raised]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, (0, 1, 2, 3)),
        ({"temperature": 0.5}, (0, 1, 2, 3)),
        ({"temperature": 2.0}, (0, 1, 2, 3)),
        ({"top_k": 2}, (1, 3)),
        ({"top_k": 1}, (3,)),
        ({"top_p": 0.6}, (1, 3)),
        ({"top_p": 0.85}, (0, 1, 3)),
        ({"top_p": 1e-9}, (3,)),
        ({"top_k": 3, "top_p": 0.7}, (1, 3)),  # of what top_k left, 0.4 and 0.3 have 0.78
        ({"temperature": 3.0, "top_k": 3}, (0, 1, 3)),
    ],
    ids=str,
)
def test_texts_are_drawn_by_their_probabilities(options, kept):
    probabilities = [0.2, 0.3, 0.1, 0.4]
    table = plain_table(probabilities)
    settings = DecodingSettings(**{"temperature": 1.0, **options})
    end, *words = tempered(probabilities, settings.temperature, kept)
    share = dict(enumerate(words, 1))
    expected = {(): end} | {(a,): share[a] * end for a in share}
    expected |= {(a, b): share[a] * share[b] for a, b in itertools.product(share, share)}
    whole = {text: each for text, each in expected.items() if each}
    sentences = write(table, table.start([0] * 4000), [2] * 4000, settings, seed=5)
    frequencies_fit([texts[0].tokens for texts in sentences], whole)
    alternatives = write(table, table.start([0]), [2], settings, seed=6, alternatives=4000)
    frequencies_fit([text.tokens for text in alternatives[0]], whole)


@pytest.mark.parametrize("top_p", [0.2, 0.9])
def test_top_p_keeps_the_same_tokens_of_a_large_vocabulary(top_p):
    probabilities = torch.rand(2000, generator=torch.Generator().manual_seed(0)).double() ** 3
    probabilities /= probabilities.sum()
    ranked = sorted(range(2000), key=lambda token: -float(probabilities[token]))
    before = [0.0, *probabilities[ranked].cumsum(0).tolist()]
    kept = sum(share < top_p for share in before)
    assert (kept < SMALL_NUCLEUS) == (top_p == 0.2)
    table = Table(probabilities.log().expand(1, 2000, -1), markov=True)
    nucleus, likeliest = (
        write(table, table.start(), [1], DecodingSettings(temperature=1.0, **options), alternatives=1000)[0]
        for options in ({"top_p": top_p}, {"top_k": kept})
    )
    assert_same(nucleus, likeliest)
    assert {text.tokens[0] for text in nucleus if text.tokens} <= set(ranked[:kept])


def test_near_temperature_0_the_best_is_drawn():
    table = random_table(sentences=30, V=9)
    best = write(table, table.start(), [8] * 30, DecodingSettings(beam=1))
    for temperature in (1e-6, 1e-300, 5e-324):
        drawn = write(table, table.start(), [8] * 30, DecodingSettings(temperature=temperature))
        assert texts_of(drawn) == texts_of(best)


def test_seed_number_and_place_among_alternatives_decide_what_is_drawn():
    table = plain_table([0.01, 0.33, 0.33, 0.33])
    settings = DecodingSettings(temperature=1.0)

    def drawn(**options: Any) -> list[list[list[int]]]:
        return texts_of(write(table, table.start([0, 0]), [30, 30], settings, **options))

    assert drawn(seed=1) == drawn(seed=1, numbers=[0, 1]) == drawn(seed=1, numbers=[1, 0])[::-1]
    first, second = drawn(seed=1)
    assert first != second
    assert drawn(seed=2)[0] != first
    assert first[0] in drawn(seed=1, alternatives=3)[0]  # more alternatives come on top
    assert len({tuple(tokens) for tokens in drawn(seed=1, alternatives=3)[0]}) == 3


def test_drawn_alternatives_stand_best_first():
    table = random_table(sentences=2, V=6)
    settings = DecodingSettings(temperature=1.0, length_penalty=0.8)
    for texts in write(table, table.start(), [6, 6], settings, alternatives=20):
        worths = [text.score / (len(text.tokens) + 1) ** 0.8 for text in texts]
        assert worths == sorted(worths, reverse=True) and len(set(worths)) > 3


# Suggestions


def without_marks(tokens: list[int]) -> list[int]:
    return [token % 50 for token in tokens if token < NOT_WORDS]  # 50 + n is n in capitals


def test_suggestions_differ_in_what_matters():
    texts = [[1, 2], [51, 2], [1, 2, 100], [1, 2, 3], [101], [], [4, 5]]
    ranked = [Hypothesis(tokens, -1.0 - place * 0.1) for place, tokens in enumerate(texts)]
    chosen = diverse(ranked, 3, key=without_marks)
    assert [text.tokens for text in chosen] == [[1, 2], [4, 5], [1, 2, 3]]
    assert [text.tokens for text in diverse(ranked, 9, key=without_marks)] == [[1, 2], [4, 5], [1, 2, 3]]
    assert [text.tokens for text in diverse(ranked, 2)] != [[1, 2], [51, 2]]
    assert diverse(ranked, 0) == diverse([], 3) == []


def test_suggestions_weigh_likelihood_against_likeness():
    ranked = [Hypothesis([1, 2, 3], -1.0), Hypothesis([1, 2, 4], -1.1), Hypothesis([5, 6, 7], -5.0)]
    assert diverse(ranked, 2, weight=0.1)[1].tokens == [1, 2, 4]
    assert diverse(ranked, 2, weight=5.0)[1].tokens == [5, 6, 7]
    assert diverse(ranked, 2, weight=5.0)[0] is ranked[0]


def test_long_suggestions_come_last():
    ranked = [Hypothesis([1, 2, 3, 4], -1.0), Hypothesis([5], -3.0), Hypothesis([6], -4.0)]
    assert [text.tokens for text in diverse(ranked, 3, longest=2)] == [[5], [6], [1, 2, 3, 4]]
    assert diverse(ranked, 1)[0] is ranked[0]
