"""How good decisions are, as the field measures it, with the interval that so few rows allow."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.data.targets import Targets

CONFIDENT = 1.959964  # standard deviations around the mean that hold 95 % of a normal distribution

# The metric that says which epoch is best, and whether more of it is better. For texts: `text_evaluation.judged_by`.
MONITORED = {
    "binary": ("accuracy", 1),
    "multiclass": ("accuracy", 1),
    "multilabel": ("macro_f1", 1),
    "squared": ("rmse", -1),
}


class Scores(NamedTuple):
    """Metrics by name, the 95 % interval of those that have one, the mean loss where a model gave the decisions, and
    what else `evaluate` shows of these by name.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    loss: float = math.nan
    details: Mapping[str, Any] = MappingProxyType({})

    def to_dict(self) -> dict[str, Any]:
        """The metrics with their intervals under "intervals", as plain values."""
        return {**self.metrics, "intervals": {name: list(ends) for name, ends in self.intervals.items()}}


def beside_baselines(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The scores of a result's model and of each baseline by name: the rows of a table, or the bars of a figure."""
    own = {**result["metrics"], "intervals": result.get("intervals", {})}
    return {"this model": own, **result.get("baselines", {})}


def with_interval(scores: Mapping[str, Any], metric: str, *, digits: int = 3) -> str:
    """A metric with its interval: `0.835 (0.809 to 0.858)`; nothing where it was not measured."""
    if metric not in scores:
        return ""
    value = scores[metric]
    shown = f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"  # a perplexity has no end
    if metric in scores.get("intervals", {}):
        low, high = scores["intervals"][metric]
        shown += f" ({low:.{digits}f} to {high:.{digits}f})"
    return shown


def score(targets: Targets, truth: Tensor, decided: Tensor) -> Scores:
    """Compare decisions with the truth, row by row.

    Both are class numbers (N,), zeros and ones (N, labels), or numbers (N,) in their own unit.
    Classes: accuracy, macro_f1. Several labels: exact_match, macro_f1. Numbers: mae, rmse.
    """
    rows = len(truth)
    if targets.problem == "squared":
        errors = (decided.double() - truth.double()).abs()
        return Scores(
            {"mae": errors.mean().item(), "rmse": errors.square().mean().sqrt().item()},
            {"mae": mean_interval(errors)},
        )
    if targets.problem == "multilabel":
        right = int((truth == decided).all(dim=1).sum())
        return Scores(
            {"exact_match": right / rows, "macro_f1": macro_f1(truth, decided)},
            {"exact_match": wilson_interval(right, rows)},
        )
    right = int((truth == decided).sum())
    classes = torch.arange(len(targets.labels))
    return Scores(
        {"accuracy": right / rows, "macro_f1": macro_f1(truth[:, None] == classes, decided[:, None] == classes)},
        {"accuracy": wilson_interval(right, rows)},
    )


def macro_f1(truth: Tensor, decided: Tensor) -> float:
    """The mean over the classes of F1 = 2 hits / (2 hits + misses + false alarms), from (N, classes) of yes and no.

    A class that neither occurs nor is decided has no part in the mean.
    """
    truth, decided = truth.bool(), decided.bool()
    hits = (truth & decided).sum(dim=0).double()
    either = truth.sum(dim=0) + decided.sum(dim=0)
    present = either > 0
    return (2 * hits[present] / either[present]).mean().item() if bool(present.any()) else 0.0


def wilson_interval(right: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share of `rows` (Wilson 1927): within 0..1, also where all or none is right."""
    share, z = right / rows, CONFIDENT
    middle = share + z * z / (2 * rows)
    spread = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    scale = 1 + z * z / rows
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def mean_interval(values: Tensor) -> tuple[float, float]:
    """The 95 % interval of a mean, by its standard error."""
    mean = values.mean().item()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean - CONFIDENT * error, mean + CONFIDENT * error
