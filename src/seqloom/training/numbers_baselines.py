"""What must be beaten where numbers are read: a linear model on what a series is in sum, without its order."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqloom.data import NumericExample
from seqloom.data.numbers import Steps
from seqloom.data.targets import Targets
from seqloom.errors import import_extra

STRENGTHS = (0.1, 1.0, 10.0)
MOST_ROWS = 10_000
NEEDS = ("sklearn.pipeline", "sklearn.preprocessing", "sklearn.linear_model", "sklearn.multiclass")
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def summary_features(steps: Steps) -> NDArray[np.float64]:
    """What a series (T, I) is in sum: of each channel the mean, standard deviation, quantiles from least to largest,
    slope, first and last value and mean change from step to step; and the number of steps, two at least.
    """
    values = steps.astype(np.float64)
    time = np.linspace(-1.0, 1.0, len(values))
    slope = time @ values / (time @ time)
    change = np.abs(np.diff(values, axis=0)).mean(axis=0)
    parts = [values.mean(axis=0), values.std(axis=0), *np.quantile(values, QUANTILES, axis=0), slope]
    return np.concatenate([*parts, values[0], values[-1], change, [len(values)]])


def decide_summaries(
    targets: Targets,
    train: Sequence[NumericExample],
    valid: Sequence[NumericExample],
    rows: Sequence[NumericExample],
) -> Tensor:
    """Decisions of logistic regression (ridge regression for numbers) on `summary_features`, each standardised.

    Learned from `train`, of many from evenly chosen ones, its strength chosen on `valid`, as our own model's epoch is.
    Raises MissingExtraError without scikit-learn.
    """
    pipeline, scaling, linear, multi = (
        import_extra(name, extra="baselines", purpose="the comparison with a linear model") for name in NEEDS
    )
    train = train[:: max(1, -(-len(train) // MOST_ROWS))]
    series = any(len(row.steps) > 1 for row in train)
    known, heldout, asked = (_table(part, series=series) for part in (train, valid, rows))
    truth, heldout_truth = (np.array([example.target for example in part]) for part in (train, valid))
    models = []
    for strength in STRENGTHS:
        model = (
            linear.Ridge(alpha=1 / strength)
            if targets.problem == "squared"
            else linear.LogisticRegression(C=strength, max_iter=1000)
        )
        model = multi.OneVsRestClassifier(model) if targets.problem == "multilabel" else model
        models.append(pipeline.make_pipeline(scaling.StandardScaler(), model).fit(known, truth))
    decided = torch.as_tensor(max(models, key=lambda each: each.score(heldout, heldout_truth)).predict(asked))
    return targets.to_unit(decided) if targets.problem == "squared" else decided.long()


def _table(rows: Sequence[NumericExample], *, series: bool) -> NDArray[np.float64]:
    """The features of each row: its numbers, or the summary of a `series`. One of a single step stood still."""
    if not series:
        return np.stack([row.steps[0] for row in rows])
    each = [row.steps if len(row.steps) > 1 else np.repeat(row.steps, 2, axis=0) for row in rows]
    return np.stack(list(map(summary_features, each)))
