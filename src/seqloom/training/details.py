"""Where a model that answers once is right and wrong: by class, by length, what is taken for what, the worst rows.

Kept with the metrics, so that a report can be written without the data.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from seqloom.data import Example, Prepared
from seqloom.data.examples import KeptExamples, answers_of
from seqloom.data.targets import Targets
from seqloom.inference.labels import Row, name_of, read_of
from seqloom.training.baselines import targets_of
from seqloom.training.metrics import mean_interval, wilson_interval

SPANS = 5
CLASSES = 30
MATRIX = 20  # classes whose confusions are counted one by one
WORST = 10
SHOWN = 400  # characters of a text
EXAMPLES = 10


def details_of(targets: Targets, rows: Sequence[Row], logits: Tensor, truth: Tensor, decided: Tensor) -> dict[str, Any]:
    """What stands under `details` of a result, from the logits (rows, outputs) and the decisions of `metrics.score`.

    `by_length`: spans of tokens with about as many rows each, `by_target` of numbers the same of the true number; each
    with its rows and their score: accuracy, exact_match or mae. `by_class`: precision and recall of each label, the
    most frequent first. `confusion`: rows of each class (down) by the answer (across). `worst`: the rows with the
    highest loss.
    """
    name, each = _right(targets, truth, decided)
    lengths = torch.tensor(rows.lengths if isinstance(rows, KeptExamples) else [len(read_of(row)) for row in rows])
    found: dict[str, Any] = {"score": name, "by_length": _by_span(lengths, each, score=name)}
    if targets.problem == "squared":
        found["by_target"] = _by_span(truth, each, score=name)
    else:
        found["by_class"] = _by_class(targets, truth, decided)
    if targets.problem in ("binary", "multiclass") and len(targets.labels) <= MATRIX:
        pairs = truth * len(targets.labels) + decided
        counts = pairs.bincount(minlength=len(targets.labels) ** 2).reshape(len(targets.labels), -1)
        found["confusion"] = {"labels": list(targets.labels), "counts": counts.tolist()}
    found["worst"] = _worst(targets, rows, row_losses(targets, logits, rows), truth, decided)
    return found


def row_losses(targets: Targets, logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """The loss of each row (N): -ln p of its class or of all its labels, or the squared error in spreads."""
    wanted = targets_of(rows)
    if targets.problem == "squared":
        return (logits[:, 0] - wanted).square()
    if targets.problem == "multiclass":
        return cross_entropy(logits, wanted, reduction="none")
    if targets.problem == "multilabel":
        return binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype), reduction="none").sum(dim=1)
    return binary_cross_entropy_with_logits(logits[:, 0], wanted.to(logits.dtype), reduction="none")


def data_facts(data: Prepared) -> dict[str, Any]:
    """What the training rows are like: their lengths in tokens, and how many have each label."""
    lengths = np.asarray(data.lengths, dtype=np.int32)  # torch's quantiles end at 16 million rows
    shares = {"shortest": 0.0, "median": 0.5, "95 %": 0.95, "longest": 1.0}
    facts: dict[str, Any] = {
        "tokens": int(lengths.sum()),
        "lengths": {name: round(float(np.quantile(lengths, share)), 1) for name, share in shares.items()},
    }
    if isinstance(data.targets, Targets) and data.targets.labels:
        counts = dict.fromkeys(data.targets.labels, 0)
        for target in answers_of(data.train):
            for label in _labels(data.targets, target):
                counts[label] += 1
        facts["labels"] = dict(sorted(counts.items(), key=lambda item: -item[1])[:CLASSES])
    return facts


def examples_of(rows: Sequence[Example], written: Sequence[str]) -> dict[str, Any]:
    """The first rows with what should be written and what was, as `details` of a model that writes texts."""
    return {
        "examples": [
            {"text": short(row.text), "target": short(row.target_text or ""), "prediction": short(text)}
            for row, text in list(zip(rows, written, strict=True))[:EXAMPLES]
        ]
    }


def _right(targets: Targets, truth: Tensor, decided: Tensor) -> tuple[str, Tensor]:
    """The score that rows have one by one, and that of each."""
    if targets.problem == "squared":
        return "mae", (decided.double() - truth.double()).abs()
    if targets.problem == "multilabel":
        return "exact_match", (truth == decided).all(dim=1).double()
    return "accuracy", (truth == decided).double()


def _by_span(values: Tensor, each: Tensor, *, score: str) -> list[dict[str, Any]]:
    """The score of rows by spans of `values` that hold about as many of them; equal values are never parted."""
    order = values.argsort(stable=True)
    spans: list[dict[str, Any]] = []
    start = 0
    for number in range(1, SPANS + 1):
        end = min(len(order), -(-len(order) * number // SPANS))
        while 0 < end < len(order) and values[order[end]] == values[order[end - 1]]:
            end += 1
        if end > start:
            part = each[order[start:end]]
            mean = part.mean().item()
            interval = mean_interval(part) if score == "mae" else wilson_interval(int(part.sum()), len(part))
            ends = [values[order[place]].item() for place in (start, end - 1)]
            span = {"from": ends[0], "to": ends[1], "rows": end - start}
            spans.append(span | {"score": mean, "interval": list(interval)})
            start = end
    return spans


def _by_class(targets: Targets, truth: Tensor, decided: Tensor) -> list[dict[str, Any]]:
    """Rows, precision, recall and F1 of each label, the most frequent first."""
    if truth.dim() == 1:
        classes = torch.arange(len(targets.labels))
        truth, decided = truth[:, None] == classes, decided[:, None] == classes
    there, said = truth.bool(), decided.bool()
    sums = ((counted.sum(dim=0).tolist()) for counted in (there, said, there & said))
    found = [
        {
            "label": label,
            "rows": rows,
            "precision": hits / answered if answered else 0.0,
            "recall": hits / rows if rows else 0.0,
            "f1": 2 * hits / (rows + answered) if rows + answered else 0.0,
        }
        for label, rows, answered, hits in zip(targets.labels, *sums, strict=True)
    ]
    return sorted(found, key=lambda each: -each["rows"])[:CLASSES]


def _worst(
    targets: Targets, rows: Sequence[Row], losses: Tensor, truth: Tensor, decided: Tensor
) -> list[dict[str, Any]]:
    """The rows with the highest loss: what they are, what was answered, and where they stand."""
    return [
        {
            "line": rows[row].line,
            "text": short(name_of(rows[row])),
            "target": _told(targets, truth[row].tolist()),
            "prediction": _told(targets, decided[row].tolist()),
            "loss": losses[row].item(),
        }
        for row in losses.argsort(descending=True, stable=True)[:WORST].tolist()
    ]


def _told(targets: Targets, decision: Any) -> Any:
    """A decision as it is shown: a number, or labels."""
    return decision if targets.problem == "squared" else ", ".join(_labels(targets, decision))


def _labels(targets: Targets, decision: Any) -> list[str]:
    """The labels that a class number, or a list of zeros and ones, stands for."""
    if isinstance(decision, list):
        return [label for label, yes in zip(targets.labels, decision, strict=True) if yes]
    return [targets.labels[decision]]


def short(text: str) -> str:
    """A text as long as a report shows it."""
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
