"""The honest comparison of forecasts: a model and the naive forecasts, from the same origins."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from seqloom.bundle import SeriesBundle
from seqloom.data import SeriesTargets, Window, evaluation_order, read_table
from seqloom.data.series_prepare import joined, scored_windows_of
from seqloom.errors import DataError
from seqloom.inference import forecasts_of, series_of
from seqloom.inference.forecasting import BATCH
from seqloom.models import Forecaster
from seqloom.training.metrics import Scores
from seqloom.training.series_metrics import insample_errors, naive_forecasts, score_forecasts, score_points


def evaluate_series(bundle: SeriesBundle, path: str | Path, *, history: str | Path | None = None) -> dict[str, Any]:
    """The metrics of a trained forecaster on the end of each series of a file, beside the naive forecasts.

    As many steps are scored as a test part of the training has; with `history`, a file that has the steps before, all
    steps of `path`. Raises DataError where no series can be scored.
    """
    started = time.perf_counter()
    files = [read_table(each) for each in ([] if history is None else [history]) + [path]]
    reads = [series_of(bundle, table) for table in files]
    rejected = [row._asdict() for row in reads[-1].rejected]
    series, before = reads[-1].series, dict[str, int]()
    if history is not None:
        before = {one.name: one.steps for one in reads[0].series}
        series = []
        for one in reads[-1].series:
            try:
                series.append(joined(next((each for each in reads[0].series if each.name == one.name), None), one))
            except DataError as error:
                rejected.append({"line": one.line, "reason": str(error)})
    windows, refused = scored_windows_of(series, bundle.targets, bundle.config, history=before)
    rejected += [{"line": one.line, "reason": why} for one, why in refused]
    if not windows:
        why = f": line {rejected[0]['line']}: {rejected[0]['reason']}" if rejected else ""
        raise DataError(f"{path}: no series can be scored{why}")
    scores = judge_windows(bundle.model, bundle.targets, windows).to_dict()
    return {
        "task": bundle.targets.task,
        "intervals": scores.pop("intervals"),
        "metrics": scores,
        **about_windows(bundle.targets, windows),
        "baselines": compare_windows(bundle.targets, windows),
        "rows": {"used": len(windows), "rejected": len(rejected)},
        "rejected": rejected,
        "seconds": round(time.perf_counter() - started, 3),
    }


def judge_windows(model: Forecaster, targets: SeriesTargets, windows: Sequence[Window]) -> Scores:
    """The model's scores on windows, and its loss in the unit of what it reads."""
    quantiles = forecasts_of(model, targets, windows)
    return score_forecasts(windows, quantiles, targets)._replace(loss=mean_loss(model, targets, windows))


def compare_windows(targets: SeriesTargets, windows: Sequence[Window]) -> dict[str, dict[str, Any]]:
    """The scores of the naive forecasts from the same origins."""
    naive = naive_forecasts(windows, targets)
    return {name: score_points(windows, forecasts, targets).to_dict() for name, forecasts in naive.items()}


def judged_by_windows(targets: SeriesTargets, windows: Sequence[Window]) -> tuple[str, int]:
    """The metric that says which model is better, and whether more of it is: mase, or mae where all is constant."""
    return ("mase" if (insample_errors(windows, targets.reader.season) > 0).any() else "mae"), -1


def about_windows(targets: SeriesTargets, windows: Sequence[Window]) -> dict[str, Any]:
    """What the figures are of: how far ahead, how many forecasts of how many series, and the share of the band."""
    reader = targets.reader
    about: dict[str, Any] = {
        "horizon": reader.horizon,
        "season": reader.season,
        "series": len({window.series.name for window in windows}),
        "origins": len(windows),
    }
    return about | ({"nominal_coverage": round(targets.band, 6)} if len(targets.quantiles) > 1 else {})


@torch.inference_mode()
def mean_loss(model: Forecaster, targets: SeriesTargets, windows: Sequence[Window]) -> float:
    """The mean pinball loss of the windows in the unit of what is read, each window alike."""
    device, training = next(model.parameters()).device, model.training
    model.eval()
    losses = [0.0] * len(windows)
    for rows in evaluation_order([window.length for window in windows], batch_size=BATCH):
        batch, wanted = targets.reader.collate([windows[row] for row in rows])
        forecasts = model(batch.to(device)).cpu()
        for row, *parts in zip(rows, forecasts, wanted, batch.spread, strict=True):
            losses[row] = float(model.loss(*(part[None] for part in parts)))
    model.train(training)
    return sum(losses) / len(losses)
