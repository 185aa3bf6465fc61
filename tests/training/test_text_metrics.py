"""The proof of the figures for texts: equal to the plain table of edits, to sacreBLEU, and to drawing texts anew."""

import random
from collections.abc import Hashable, Sequence

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from seqloom import errors
from seqloom.errors import MissingExtraError
from seqloom.training.metrics import wilson_interval
from seqloom.training.text_metrics import bootstrap_interval, corpus_metrics, edit_distance, score_texts, signatures

SENTENCES = [
    "Two young, White males are outside near many bushes.",
    "Several men in hard hats are operating a giant pulley system.",
    "A little girl climbing into a wooden playhouse.",
    "A man in a blue shirt is standing on a ladder cleaning a window.",
    "Two men are at the stove preparing food; it's hot!",
]


def table_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Levenshtein's table, cell by cell."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        above, row = row, [i]
        for j, right in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right)))
    return row[-1]


def damaged(texts: list[str], *, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(word for word in text.split() if chance.random() > 0.2) for text in texts]


few = st.lists(st.integers(0, 2), max_size=12)
many = st.lists(st.integers(0, 4), min_size=50, max_size=150)  # more units than a machine word has bits


@given(a=few, b=few)
def test_edits_of_short_lists_are_those_of_the_table(a: list[int], b: list[int]) -> None:
    assert edit_distance(a, b) == table_distance(a, b)


@given(a=many, b=many)
def test_edits_of_long_lists_are_those_of_the_table(a: list[int], b: list[int]) -> None:
    assert edit_distance(a, b) == table_distance(a, b)


@given(a=many, places=st.lists(st.integers(0, 49), max_size=10), shift=st.integers(0, 9))
def test_edits_of_like_lists_are_those_of_the_table(a: list[int], places: list[int], shift: int) -> None:
    b = a[shift:] + [9] * shift
    for place in places:
        b[place] = 7
    assert edit_distance(a, b) == edit_distance(b, a) == table_distance(a, b)


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        (["AH0", "B"], ["AH1", "B"], 1),
        ([("a", 1), None], [None], 1),
    ],
)
def test_edits_of_any_units(a: Sequence[Hashable], b: Sequence[Hashable], edits: int) -> None:
    assert edit_distance(a, b) == edits


def test_error_rate_is_edits_by_units_over_the_whole_corpus() -> None:
    """Not the mean of the rows' rates, 0.5: a long row weighs as much as it has units."""
    scores = score_texts(["a x c d e f g h", "x"], ["a b c d e f g h", "y"], units=str.split)
    assert scores.metrics["error_rate"] == 2 / 9
    assert score_texts(["abcd"], ["abxd"], units=list).metrics["error_rate"] == 1 / 4


def test_rows_are_compared_with_their_own_reference() -> None:
    scores = score_texts(["one", "two", "six"], ["one", "six", "two"], units=list)
    assert scores.metrics["exact_match"] == 1 / 3
    assert scores.intervals["exact_match"] == wilson_interval(1, 3)
    assert scores.metrics["error_rate"] == (0 + 3 + 3) / 9


def test_the_best_of_several_references_counts() -> None:
    others = [["a b c d"], [], ["p q r s", "p q"]]
    scores = score_texts(["a b x d", "k", "p q"], ["x y", "l m", "z"], units=str.split, other_references=others)
    assert scores.metrics["exact_match"] == 1 / 3
    assert scores.metrics["error_rate"] == (1 + 2 + 0) / (4 + 2 + 2)


def test_an_empty_reference_costs_what_is_written() -> None:
    assert score_texts(["", "a b"], ["", ""], units=str.split).metrics["error_rate"] == 2
    assert score_texts([""], [""], units=list).metrics == {"exact_match": 1, "error_rate": 0}


@pytest.mark.parametrize(("written", "references"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_lists_that_do_not_match_are_refused(written: list[str], references: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        score_texts(written, references, units=list)


def test_lists_of_other_references_must_be_one_a_row() -> None:
    with pytest.raises(ValueError, match="2 references cannot have 1 lists of others"):
        score_texts(["a", "b"], ["a", "b"], units=list, other_references=[[]])


def test_bleu_and_chrf_are_sacrebleus() -> None:
    written = damaged(SENTENCES)
    scores = score_texts(written, SENTENCES, units=str.split)
    assert scores.metrics["bleu"] == sacrebleu.corpus_bleu(written, [SENTENCES]).score
    assert scores.metrics["chrf"] == sacrebleu.corpus_chrf(written, [SENTENCES]).score
    assert 20 < scores.metrics["bleu"] < scores.metrics["chrf"] < 95


def test_bleu_without_four_words_in_common_is_smoothed_as_sacrebleu_does() -> None:
    written = ["Two young men go there", "men in hard times", "", "a ladder window", "preparing Food"]
    expected = sacrebleu.corpus_bleu(written, [SENTENCES]).score
    assert score_texts(written, SENTENCES, units=str.split).metrics["bleu"] == expected > 0


def test_bleu_and_chrf_of_several_references_are_sacrebleus() -> None:
    written, others = damaged(SENTENCES), [[other] for other in damaged(SENTENCES, seed=1)]
    others[2], others[3] = [], [*others[3], "A window is cleaned by a man in a blue shirt."]
    scores = score_texts(written, SENTENCES, units=str.split, other_references=others)
    second = [more[0] if more else None for more in others]
    third = [None, None, None, others[3][1], None]
    assert scores.metrics["bleu"] == sacrebleu.corpus_bleu(written, [SENTENCES, second, third]).score
    assert scores.metrics["chrf"] == sacrebleu.corpus_chrf(written, [SENTENCES, second, third]).score
    assert scores.metrics["bleu"] > score_texts(written, SENTENCES, units=str.split).metrics["bleu"]


def test_signatures_are_sacrebleus() -> None:
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    bleu.corpus_score(SENTENCES, [SENTENCES])
    chrf.corpus_score(SENTENCES, [SENTENCES])
    found = signatures(SENTENCES)
    assert found == {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}
    assert found["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_signatures_tell_how_many_references_there_are() -> None:
    assert signatures(SENTENCES, other_references=[["x"]] * 5)["bleu"].startswith("nrefs:2|")
    assert signatures(SENTENCES, other_references=[["x"], [], [], [], []])["chrf"].startswith("nrefs:var|")


@pytest.mark.parametrize(
    ("references", "metrics"),
    [
        (SENTENCES, ("bleu", "chrf")),
        (["one two three", "one two three four five"], ("bleu", "chrf")),
        (["one two three", "one two three four"], ("chrf",)),
        (["AH0 B AW1 T", "K AH0 Z AH0 L"], ("chrf",)),
        (["2021-03-03", "1999-12-31"], ("chrf",)),
        (["abbe", "arlen"], ("chrf",)),
        (["a", "b"], ()),
    ],
)
def test_bleu_is_for_sentences_and_chrf_for_more_than_a_character(references: list[str], metrics: tuple[str]) -> None:
    assert corpus_metrics(references) == metrics
    scores = score_texts(references, references, units=list)
    assert set(scores.metrics) == {"exact_match", "error_rate", *metrics}
    assert tuple(signatures(references)) == metrics


def test_without_sacrebleu_its_figures_are_left_out_and_the_signature_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name="sacrebleu")

    monkeypatch.setattr(errors.importlib, "import_module", missing)
    scores = score_texts(SENTENCES, SENTENCES, units=str.split)
    assert scores.metrics == {"exact_match": 1, "error_rate": 0}
    assert set(scores.intervals) == set(scores.metrics)
    with pytest.raises(MissingExtraError, match=r"BLEU and chrF needs .* sacrebleu.*'seqloom\[text\]'"):
        signatures(SENTENCES)


def test_interval_of_an_error_rate_is_that_of_a_share() -> None:
    """Rows of one unit: the rate is a share of the rows, whose interval Wilson gives."""
    low, high = score_texts(["a"] * 1000, ["a"] * 800 + ["b"] * 200, units=list).intervals["error_rate"]
    assert (low, high) == pytest.approx(wilson_interval(200, 1000), abs=0.003)


def test_interval_of_bleu_is_that_of_scoring_texts_drawn_anew() -> None:
    written, references = damaged(SENTENCES * 12), SENTENCES * 12
    chance, again = np.random.default_rng(1), []
    for _ in range(200):
        drawn = chance.integers(60, size=60)
        again.append(sacrebleu.corpus_bleu([written[i] for i in drawn], [[references[i] for i in drawn]]).score)
    low, high = score_texts(written, references, units=str.split).intervals["bleu"]
    assert (low, high) == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=1.5)
    assert high - low > 5


def test_intervals_are_the_same_every_time_and_of_no_width_where_rows_are_alike() -> None:
    statistics = np.random.default_rng(2).random((50, 2))
    first = bootstrap_interval(statistics, lambda sums: sums[0] / sums[1])
    assert first == bootstrap_interval(statistics, lambda sums: sums[0] / sums[1])
    assert first[0] < statistics[:, 0].sum() / statistics[:, 1].sum() < first[1]
    assert bootstrap_interval(statistics[:1], lambda sums: sums[0]) == (statistics[0, 0], statistics[0, 0])
