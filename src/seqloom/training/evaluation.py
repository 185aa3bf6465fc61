"""The honest comparison: a model and its baselines on the same rows."""

import time
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from seqloom.bundle import AnyBundle, NumbersBundle, SeriesBundle
from seqloom.data import (
    AnyPrepared,
    Example,
    NextTargets,
    NumericExample,
    Prepared,
    PreparedNumbers,
    PreparedSeries,
    PreparedStreams,
    SeriesTargets,
    TokenStream,
    Window,
)
from seqloom.data.examples import KeptExamples
from seqloom.data.kept import each
from seqloom.data.tag_targets import TagTargets
from seqloom.data.targets import Target, Targets
from seqloom.data.text_targets import AnyTargets, TextTargets
from seqloom.errors import MissingExtraError
from seqloom.inference import decide, logits_of
from seqloom.inference.labels import read_of
from seqloom.models import AnyModel, Forecaster, LanguageModel, OneAnswer, Tagger, TextDecoder
from seqloom.nn import summary
from seqloom.training.baselines import decide_constant, decide_linear, targets_of
from seqloom.training.details import data_facts, details_of
from seqloom.training.events import Report, Said
from seqloom.training.metrics import MONITORED, Scores, score
from seqloom.training.numbers_baselines import decide_summaries
from seqloom.training.series_evaluation import about_windows, compare_windows, judge_windows, judged_by_windows
from seqloom.training.state import TrainingState
from seqloom.training.stream_evaluation import compare_stream, judge_stream, score_stream, size_of
from seqloom.training.tag_evaluation import compare_tags, score_tag_rows, tags_judged_by
from seqloom.training.text_evaluation import compare_texts, judge_texts, judged_by, score_text_rows, signatures_of

Answered = Sequence[Example] | Sequence[NumericExample]
Rows = Answered | Sequence[Window] | TokenStream

REJECTED_KEPT = 1000
FEW_ROWS = 30
FLATTERING = "scored on the validation rows, which also chose the epoch: the model's score flatters a little"


def final_metrics(bundle: AnyBundle, data: AnyPrepared, state: TrainingState, *, report: Report) -> dict[str, Any]:
    """Model and baselines on the test rows, or on the validation rows if there are none: what metrics.json holds."""
    started = time.perf_counter()
    rows: Rows
    split, rows = ("test", data.test) if data.test else ("valid", data.valid)
    if split == "valid":
        report(Said(f"no test rows: {FLATTERING}"))
    learned = bundle.config.training.baselines
    if learned and isinstance(bundle.targets, Targets):
        features = "summaries of the numbers" if isinstance(bundle, NumbersBundle) else "TF-IDF"
        report(Said(f"comparing with {features} + a linear model"))
    if learned and isinstance(bundle.targets, TagTargets):
        report(Said("comparing with a linear model of the words and their neighbours"))
    found = score_rows(bundle, rows)
    scores = found.to_dict()
    if isinstance(bundle, SeriesBundle):
        baselines = compare_windows(bundle.targets, _windows(rows))
    else:
        learn_from = data if learned and not isinstance(data, PreparedSeries) else None
        baselines = compare(bundle.targets, bundle.constant, rows, learn_from=learn_from, report=report)
    # Some baselines write texts, others only say how likely one is.
    writes = isinstance(bundle.targets, TextTargets | NextTargets)
    judged = [("error_rate", -1), ("perplexity", -1)] if writes else [monitored(bundle.targets, rows)]
    _warn(scores, baselines, judged=judged, rows=len(rows), report=report)
    counts = {"train": _texts(data.train), "valid": _texts(data.valid), "test": _texts(data.test)}
    return {
        "task": bundle.targets.task,
        "intervals": scores.pop("intervals"),
        "metrics": scores,
        **about(bundle.targets, rows),
        **found.details,
        "baselines": baselines,
        "split": split,
        "fingerprint": data.split_files.get(split),
        **({"data": data_facts(data)} if isinstance(data, Prepared) else {}),
        "rows": {"used": _texts(rows), **counts, "rejected": len(data.rejected)},
        "rejected": [row._asdict() for row in data.rejected[:REJECTED_KEPT]],
        "seconds": round(state.seconds + time.perf_counter() - started, 3),
        "parameters": summary(bundle.model).total,
        "tokens_per_second": round(state.tokens / max(state.learn_seconds, 1e-9)),
        "epochs": state.epoch,
    }


def about(targets: AnyTargets | SeriesTargets, rows: Rows) -> dict[str, Any]:
    """What else a figure needs to be compared with others: how BLEU was computed, how many tokens there were."""
    if isinstance(rows, TokenStream):
        return {"tokens": size_of(rows)}
    if isinstance(targets, SeriesTargets):
        return about_windows(targets, _windows(rows))
    return {"signatures": signatures_of(_examples(rows))} if isinstance(targets, TextTargets) else {}


def _texts(rows: Rows) -> int:
    return rows.texts if isinstance(rows, TokenStream) else len(rows)


def monitored(targets: AnyTargets | SeriesTargets, rows: Rows) -> tuple[str, int]:
    """The metric that says which model is better on `rows`, and whether more of it is."""
    if isinstance(targets, NextTargets):
        return "perplexity", -1
    if isinstance(targets, SeriesTargets):
        return judged_by_windows(targets, _windows(rows))
    if isinstance(targets, TagTargets):
        return tags_judged_by(targets)
    rows = _examples(rows)
    return judged_by(rows) if isinstance(targets, TextTargets) else MONITORED[targets.problem]


def _warn(
    scores: dict[str, Any],
    baselines: dict[str, dict[str, Any]],
    *,
    judged: Sequence[tuple[str, int]],
    rows: int,
    report: Report,
) -> None:
    """Say where the figures mean little, or are no better than those of a baseline."""
    if rows < FEW_ROWS:
        report(Said(f"scored on {rows} rows only: these figures say little"))
    for name, baseline in baselines.items():
        for metric, sign in judged:
            if metric in baseline and sign * scores[metric] <= sign * baseline[metric]:
                report(Said(f"this model is not better than the baseline {name} ({metric} {baseline[metric]:.3f})"))


def compare(
    targets: AnyTargets,
    constant: Target | str,
    rows: Rows,
    *,
    learn_from: Prepared | PreparedNumbers | PreparedStreams | None,
    report: Report,
) -> dict[str, dict[str, Any]]:
    """The baselines' scores on `rows`: the constant answer and, with data to learn from, the linear model.

    Where texts are written: `compare_texts`; where words are tagged: `compare_tags`.
    """
    if isinstance(rows, TokenStream):
        assert not isinstance(learn_from, Prepared | PreparedNumbers)
        return compare_stream(rows, learn_from=learn_from, report=report)
    assert not isinstance(learn_from, PreparedStreams)
    if isinstance(targets, Targets):
        assert not isinstance(constant, str)
        return _compare_answers(targets, constant, cast("Answered", rows), learn_from=learn_from, report=report)
    assert not isinstance(learn_from, PreparedNumbers)
    rows = _examples(rows)
    if isinstance(targets, TextTargets):
        return compare_texts(targets, str(constant), rows, learn_from=learn_from)
    assert isinstance(targets, TagTargets) and isinstance(constant, int)
    return compare_tags(targets, constant, rows, learn_from=learn_from, report=report)


def _compare_answers(
    targets: Targets,
    constant: Target,
    rows: Answered,
    *,
    learn_from: Prepared | PreparedNumbers | None,
    report: Report,
) -> dict[str, dict[str, Any]]:
    """The scores of the constant answer and of the linear model, where rows are answered once."""
    truth = _truth(targets, rows)
    decided = decide_constant(targets, constant, rows=len(rows))
    scores = {"mean" if targets.problem == "squared" else "majority": score(targets, truth, decided)}
    if learn_from is not None:
        linear = "ridge" if targets.problem == "squared" else "logreg"
        try:
            if isinstance(learn_from, PreparedNumbers):
                name = linear if learn_from.reader.layout.dense else f"summary_{linear}"
                decided = decide_summaries(
                    targets, learn_from.train, learn_from.valid, cast("Sequence[NumericExample]", rows)
                )
            else:
                name = f"tfidf_{linear}"
                decided = decide_linear(
                    targets,
                    learn_from.train,
                    learn_from.valid,
                    _examples(rows),
                    characters=learn_from.tokeniser.kind in ("character", "byte"),
                    report=report,
                )
            scores[name] = score(targets, truth, decided)
        except MissingExtraError as missing:
            report(Said(str(missing)))
    return {name: found.to_dict() for name, found in scores.items()}


def score_rows(bundle: AnyBundle, rows: Rows) -> Scores:
    """The model's scores and loss on rows that have targets, on windows, or on a text."""
    if isinstance(rows, TokenStream):
        assert isinstance(bundle.model, LanguageModel)
        return score_stream(bundle.model, rows)
    if isinstance(bundle, SeriesBundle):
        return judge_windows(bundle.model, bundle.targets, _windows(rows))
    if isinstance(bundle, NumbersBundle):
        return _score_answers(bundle.model, bundle.targets, cast("Answered", rows))
    rows = _examples(rows)
    if isinstance(bundle.model, TextDecoder):
        return score_text_rows(bundle, rows)
    if isinstance(bundle.model, Tagger):
        assert isinstance(bundle.targets, TagTargets)
        return score_tag_rows(bundle.model, bundle.targets, rows)
    assert isinstance(bundle.model, OneAnswer) and isinstance(bundle.targets, Targets)
    return _score_answers(bundle.model, bundle.targets, rows, detailed=True)


def judge(model: AnyModel, targets: AnyTargets | SeriesTargets, rows: Rows) -> Scores:
    """What one epoch is told from another by: as `score_rows`, but texts are written or read in the quickest way."""
    if isinstance(rows, TokenStream):
        assert isinstance(model, LanguageModel)
        return judge_stream(model, rows)
    if isinstance(model, Forecaster):
        assert isinstance(targets, SeriesTargets)
        return judge_windows(model, targets, _windows(rows))
    rows = _examples(rows)
    if isinstance(model, TextDecoder):
        assert isinstance(targets, TextTargets)
        return judge_texts(model, targets, rows)
    if isinstance(model, Tagger):
        assert isinstance(targets, TagTargets)
        return score_tag_rows(model, targets, rows)
    assert isinstance(targets, Targets) and isinstance(model, OneAnswer)
    return _score_answers(model, targets, rows)


def _score_answers(model: OneAnswer, targets: Targets, rows: Answered, *, detailed: bool = False) -> Scores:
    sequences = each(cast("Sequence[Example | NumericExample]", rows), read_of)
    logits = logits_of(model, sequences, lengths=rows.lengths if isinstance(rows, KeptExamples) else None)
    encoded = targets_of(rows)
    with torch.inference_mode():
        loss = model.loss(logits, encoded.float() if targets.problem in ("multilabel", "squared") else encoded)
        decided = decide(targets, model.probabilities(logits))
    truth = _truth(targets, rows)
    details = {"details": details_of(targets, rows, logits, truth, decided)} if detailed else {}
    return score(targets, truth, decided)._replace(loss=loss.item(), details=details)


def _windows(rows: Rows) -> Sequence[Window]:
    return cast("Sequence[Window]", rows)


def _examples(rows: Rows) -> Sequence[Example]:
    return cast("Sequence[Example]", rows)


def _truth(targets: Targets, rows: Answered) -> Tensor:
    """The targets as decisions are: a number in its own unit, in float64 as it was read."""
    if targets.problem == "squared":
        return targets.to_unit(targets_of(rows, torch.float64))
    return targets_of(rows)
