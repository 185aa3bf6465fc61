"""What must be beaten: the answer of one who never looks, and a linear model that knows no order beyond two words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqloom.data import Example
from seqloom.data.examples import Answered, answers_of, texts_of
from seqloom.data.kept import in_parts, spread
from seqloom.data.targets import Target, Targets
from seqloom.errors import import_extra
from seqloom.training.events import Report, Said

STRENGTHS = (1.0, 10.0)
LEARNED_FROM = 28_000_000  # characters of texts up to which the linear model learns from all of them
SAMPLE = 14_000_000  # characters that it learns from where there are more: its pairs of words may take a gigabyte
ANSWERED = 10_000  # rows that it answers at once
NEEDS = ("sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.multiclass")


def constant_target(targets: Targets, train: Sequence[Answered]) -> Target:
    """The best answer without looking: the most frequent class, each label most rows have, or the mean number."""
    if targets.problem == "squared":
        return 0.0
    values = targets_of(train)
    if targets.problem == "multilabel":
        chosen: list[int] = (values.double().mean(dim=0) > 0.5).long().tolist()
        return chosen
    return int(values.bincount().argmax())


def targets_of(rows: Sequence[Answered], dtype: torch.dtype | None = None) -> Tensor:
    """What the rows should be answered with: class numbers (N,), zeros and ones (N, labels), or numbers (N,)."""
    parts = [torch.tensor(some, dtype=dtype) for some in in_parts(answers_of(rows), ANSWERED)]
    return torch.cat(parts) if parts else torch.tensor([], dtype=dtype)


def decide_constant(targets: Targets, constant: Target, *, rows: int) -> Tensor:
    """The constant answer for each of `rows`, as decisions."""
    if targets.problem == "squared":
        return torch.full((rows,), targets.mean, dtype=torch.float64)
    return torch.tensor(constant).expand(rows, *torch.tensor(constant).shape)


def decide_linear(
    targets: Targets,
    train: Sequence[Example],
    valid: Sequence[Example],
    rows: Sequence[Example],
    *,
    characters: bool = False,
    report: Report = lambda event: None,
) -> Tensor:
    """Decisions of TF-IDF over words and pairs of words with logistic regression (ridge regression for numbers).

    Over runs of up to four characters, the ends of words among them, where `characters` are what the model reads.
    Learned from `train`, its strength chosen on `valid`, as our own model's epoch is; where these have more than 28
    million characters, from a half of that in rows that are evenly spread, and `report` is told so.
    Raises MissingExtraError without scikit-learn.
    """
    text, linear, multi = (
        import_extra(name, extra="baselines", purpose="the comparison with a linear model") for name in NEEDS
    )
    terms: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
    if characters:
        terms = {"ngram_range": (1, 4), "analyzer": "char_wb"}
    rows_of_train = len(train)
    train, valid = (spread(part, map(len, texts_of(part)), LEARNED_FROM, sample=SAMPLE) for part in (train, valid))
    if len(train) < rows_of_train:
        report(Said(f"the linear model learns from {len(train):,} of {rows_of_train:,} training rows, evenly spread"))
    vectoriser = text.TfidfVectorizer(**terms)
    known = vectoriser.fit_transform([example.text for example in train])
    heldout = vectoriser.transform([example.text for example in valid])
    truth, heldout_truth = (np.array([example.target for example in part]) for part in (train, valid))

    def fit(strength: float) -> Any:
        if targets.problem == "squared":
            return linear.Ridge(alpha=1 / strength).fit(known, truth)
        model = linear.LogisticRegression(C=strength, max_iter=1000)
        return (multi.OneVsRestClassifier(model) if targets.problem == "multilabel" else model).fit(known, truth)

    best = max(map(fit, STRENGTHS), key=lambda model: model.score(heldout, heldout_truth))
    parts = (vectoriser.transform([example.text for example in some]) for some in in_parts(rows, ANSWERED))
    decided = np.concatenate([best.predict(asked) for asked in parts])
    return (
        targets.to_unit(torch.as_tensor(decided)) if targets.problem == "squared" else torch.as_tensor(decided).long()
    )
