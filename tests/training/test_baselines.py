"""The proof of the comparison: the constant and the linear answer are the ones that one would reach by hand."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from seqloom import errors
from seqloom.data import Example, kept
from seqloom.data.examples import KeptExamples, keep_examples
from seqloom.data.targets import Targets
from seqloom.errors import MissingExtraError
from seqloom.training.baselines import constant_target, decide_constant, decide_linear

CLASSES = Targets("multiclass", ("bad", "fair", "good"))
SEVERAL = Targets("multilabel", ("funny", "sad"))
NUMBERS = Targets("squared", (), mean=10.0, scale=4.0)

TEXTS = ["a good film", "a bad film", "Fair, I say", "not good", "not bad at all", "a film", "good good good"]
ASKED = ["a good film", "bad", "so fair", "unheard words", "not a film"]


def examples(texts: list[str], targets: list[Any]) -> list[Example]:
    return [
        Example(line, text, [2] * len(text.split()), target)
        for line, (text, target) in enumerate(zip(texts, targets, strict=True), start=2)
    ]


def tfidf(train: list[str], texts: list[str]) -> np.ndarray:
    """Words and pairs of words: count x (1 + ln((1 + n) / (1 + rows with it))), each row of length 1."""

    def terms(text: str) -> list[str]:
        words = text.lower().replace(",", "").split()
        return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]

    rows_with = Counter(term for text in train for term in set(terms(text)))
    known = sorted(rows_with)
    weights = np.array([1 + math.log((1 + len(train)) / (1 + rows_with[term])) for term in known])
    counts = np.array([[terms(text).count(term) for term in known] for text in texts]) * weights
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


def test_the_constant_class_is_the_most_frequent_in_training() -> None:
    train = examples(["x"] * 5, [0, 2, 2, 1, 2])
    assert constant_target(CLASSES, train) == 2
    assert decide_constant(CLASSES, 2, rows=3).tolist() == [2, 2, 2]


def test_the_constant_labels_are_those_of_more_than_half_the_rows() -> None:
    train = examples(["x"] * 4, [[1, 0], [1, 1], [1, 1], [0, 0]])
    assert constant_target(SEVERAL, train) == [1, 0]
    assert decide_constant(SEVERAL, [1, 0], rows=2).tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("targets", "answers", "constant"),
    [(CLASSES, [0, 2, 2, 1, 2], 2), (SEVERAL, [[1, 0], [1, 1], [1, 1], [0, 0], [0, 0]], [1, 0])],
    ids=["class", "labels"],
)
def test_it_is_the_same_of_rows_that_are_kept_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, targets: Targets, answers: list[Any], constant: Any
) -> None:
    monkeypatch.setattr(kept, "FEW", -1)
    train = keep_examples(examples(["x"] * 5, answers))
    assert isinstance(train, KeptExamples)
    assert constant_target(targets, train) == constant


def test_the_constant_number_is_the_mean_of_training_in_its_own_unit() -> None:
    assert constant_target(NUMBERS, examples(["x"] * 2, [-1.0, 1.0])) == 0.0
    assert decide_constant(NUMBERS, 0.0, rows=2).tolist() == [10.0, 10.0]


def test_the_linear_classes_are_those_of_logistic_regression_on_tfidf() -> None:
    targets = [2, 0, 1, 0, 2, 1, 2]
    model = LogisticRegression(max_iter=1000).fit(tfidf(TEXTS, TEXTS), targets)
    expected = model.predict(tfidf(TEXTS, ASKED)).tolist()
    valid = examples(ASKED, expected)
    found = decide_linear(CLASSES, examples(TEXTS, targets), valid, examples(ASKED, [0] * 5))
    assert found.tolist() == expected
    assert len(set(expected)) > 1


def test_runs_of_characters_are_its_terms_where_characters_are_read() -> None:
    """Names whose ends alone tell them apart: no word of the asked ones is known."""
    known, asked = ["ivanov", "petrov", "smirnov", "rossi", "bianchi", "ricci"], ["Volkov", "Conti"]
    train, rows = examples(known, [0, 0, 0, 1, 1, 1]), examples(asked, [0, 1])
    assert decide_linear(CLASSES, train, rows, rows, characters=True).tolist() == [0, 1]
    assert len(set(decide_linear(CLASSES, train, rows, rows).tolist())) == 1


def test_the_strength_of_the_linear_model_is_chosen_on_the_validation_rows() -> None:
    """Rows that only one strength gets right choose that one: here where ridge regressions differ most."""
    targets = [1.5, -1.5, 0.2, -0.7, 0.8, 0.0, 1.9]
    for strength in (1.0, 10.0):
        model = Ridge(alpha=1 / strength).fit(tfidf(TEXTS, TEXTS), targets)
        standardised = model.predict(tfidf(TEXTS, ASKED))
        valid = examples(ASKED, standardised.tolist())
        found = decide_linear(NUMBERS, examples(TEXTS, targets), valid, examples(ASKED, [0.0] * 5))
        np.testing.assert_allclose(found, standardised * 4.0 + 10.0, rtol=1e-4)


def test_the_linear_labels_are_those_of_one_regression_a_label() -> None:
    targets = [[1, 0], [0, 0], [1, 1], [0, 1], [1, 0], [0, 1], [1, 0]]
    model = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(tfidf(TEXTS, TEXTS), np.array(targets))
    expected = model.predict(tfidf(TEXTS, ASKED)).tolist()
    valid = examples(ASKED, expected)
    found = decide_linear(SEVERAL, examples(TEXTS, targets), valid, examples(ASKED, [[0, 0]] * 5))
    assert found.tolist() == expected


def test_a_missing_scikit_learn_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name="sklearn")

    monkeypatch.setattr(errors.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"comparison with a linear model needs .*'seqloom\[baselines\]'"):
        decide_linear(CLASSES, examples(TEXTS, [0] * 7), [], [])
