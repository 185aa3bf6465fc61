"""The honest comparison: a model and its baselines on the same rows."""

import time
from typing import Any

import torch

from seqloom.bundle import Bundle
from seqloom.data import Example, Prepared
from seqloom.errors import MissingExtraError
from seqloom.inference import decide, logits_of
from seqloom.nn import summary
from seqloom.training.baselines import decide_constant, decide_linear
from seqloom.training.loop import Report, Said, in_own_unit
from seqloom.training.metrics import Scores, score
from seqloom.training.state import TrainingState


def final_metrics(bundle: Bundle, data: Prepared, state: TrainingState, *, report: Report) -> dict[str, Any]:
    """The honest comparison: model and baselines on the test rows, or on the validation rows if there are none."""
    started = time.perf_counter()
    split, rows = ("test", data.test) if data.test else ("valid", data.valid)
    linear = bundle.config.training.baselines
    if linear:
        report(Said("comparing with TF-IDF + a linear model"))
    scores = score_rows(bundle, rows)
    tokens = sum(len(example.ids) for example in data.train)
    return {
        "task": bundle.targets.task,
        "metrics": scores.metrics,
        "intervals": {name: list(ends) for name, ends in scores.intervals.items()},
        "baselines": compare(bundle, data.train, rows, linear=linear, report=report),
        "split": split,
        "rows": {
            "used": len(rows),
            "train": len(data.train),
            "valid": len(data.valid),
            "test": len(data.test),
            "rejected": len(data.rejected),
        },
        "seconds": round(state.seconds + time.perf_counter() - started, 3),
        "parameters": summary(bundle.model).total,
        "tokens_per_second": round(tokens * state.epoch / max(state.seconds, 1e-9)),
        "epochs": state.epoch,
    }


def compare(
    bundle: Bundle, train: list[Example], rows: list[Example], *, linear: bool, report: Report
) -> dict[str, dict[str, Any]]:
    """The baselines' scores on `rows`: the constant answer, and the linear model where scikit-learn is there."""
    targets = bundle.targets
    truth = in_own_unit(targets, torch.tensor([example.target for example in rows]))
    constant = decide_constant(targets, bundle.constant, rows=len(rows))
    scores = {"mean" if targets.problem == "squared" else "majority": score(targets, truth, constant)}
    if linear:
        try:
            name = "tfidf_ridge" if targets.problem == "squared" else "tfidf_logreg"
            scores[name] = score(targets, truth, decide_linear(targets, train, rows))
        except MissingExtraError as missing:
            report(Said(str(missing)))
    return {name: _plain(each) for name, each in scores.items()}


def score_rows(bundle: Bundle, rows: list[Example]) -> Scores:
    """The model's scores on rows that have targets."""
    truth = in_own_unit(bundle.targets, torch.tensor([example.target for example in rows]))
    probabilities = bundle.model.probabilities(logits_of(bundle.model, [example.ids for example in rows]))
    return score(bundle.targets, truth, decide(bundle.targets, probabilities))


def _plain(scores: Scores) -> dict[str, Any]:
    return {**scores.metrics, "intervals": {name: list(ends) for name, ends in scores.intervals.items()}}
