"""How good forecasts are, as the field measures it, and the naive forecasts that must be beaten.

All figures are means over the steps that were forecast and have a value; what is missing is not scored.
"""

from collections.abc import Sequence

import numpy as np
import torch

from seqloom.data import SeriesTargets, Window
from seqloom.data.series import Numbers, ahead, season_before, seasonal_error
from seqloom.data.series_targets import MEDIAN
from seqloom.training.metrics import Scores, mean_interval

FEWEST_SERIES = 10  # below, an interval over series says nothing


def score_forecasts(windows: Sequence[Window], quantiles: Numbers, targets: SeriesTargets) -> Scores:
    """Compare forecast quantiles (N, K, levels) with what came.

    mae, rmse: of the median, in the unit of the series. smape: 200 |y - f| / (|y| + |f|), in percent (M4; 0 where both
    are 0). mase: errors over the mean error of the seasonal naive forecast within the steps before (Hyndman & Koehler
    2006), without series where that is 0. pinball: mean over the quantiles. coverage: the share of values between the
    lowest and the highest quantile, both included; only where there are two.
    """
    levels = targets.levels
    asked = [levels.index(level) for level in targets.quantiles]
    truth = _truth(windows, targets)
    scores = score_points(windows, quantiles[:, :, levels.index(MEDIAN)], targets)
    there = np.isfinite(truth)
    errors = (truth[:, :, None] - quantiles[:, :, asked])[there]
    wanted = np.array(targets.quantiles)
    pinball = np.maximum(wanted * errors, (wanted - 1) * errors).mean()
    found = {**scores.metrics, "pinball": float(pinball)}
    if len(asked) > 1:
        inside = (truth >= quantiles[:, :, asked[0]]) & (truth <= quantiles[:, :, asked[-1]])
        found["coverage"] = float(inside[there].mean())
    return Scores(found, scores.intervals)


def score_points(windows: Sequence[Window], forecasts: Numbers, targets: SeriesTargets) -> Scores:
    """mae, rmse, smape and mase of one number a step (N, K), as `score_forecasts` says.

    The interval of mase is over the series, each with its mean; there is none for few series.
    """
    truth = _truth(windows, targets)
    there = np.isfinite(truth)
    errors = np.abs(np.where(there, truth - forecasts, 0.0))
    size = np.where(there, np.abs(truth) + np.abs(forecasts), 0.0)
    relative = np.divide(200 * errors, size, out=np.zeros_like(errors), where=size > 0)
    found = {
        "mae": float(errors[there].mean()),
        "rmse": float(np.sqrt(np.square(errors[there]).mean())),
        "smape": float(relative[there].mean()),
    }
    scales = insample_errors(windows, targets.reader.season)
    scaled = there & (scales > 0)[:, None]
    if not scaled.any():
        return Scores(found, {})
    ratios = np.divide(errors, scales[:, None], out=np.zeros_like(errors), where=scaled)
    found["mase"] = float(ratios[scaled].mean())
    by_series: dict[str, list[float]] = {}
    for window, row, counted in zip(windows, ratios, scaled, strict=True):
        by_series.setdefault(window.series.name, []).extend(row[counted].tolist())
    means = [float(np.mean(row)) for row in by_series.values() if row]
    return Scores(found, {"mase": mean_interval(torch.tensor(means))} if len(means) >= FEWEST_SERIES else {})


def naive_forecasts(windows: Sequence[Window], targets: SeriesTargets) -> dict[str, Numbers]:
    """What one forecasts who knows the last value only, and who knows what was a season before: (N, K) each.

    Both know all steps before the origin, not only those that a window reads. Without a season there is only one.
    """
    seasons = {"naive": 1} | ({"seasonal_naive": targets.reader.season} if targets.reader.season > 1 else {})
    return {
        name: np.stack([season_before(_before(window), season, targets.reader.horizon) for window in windows])
        for name, season in seasons.items()
    }


def insample_errors(windows: Sequence[Window], season: int) -> Numbers:
    """The mean of |y_t - y_(t - season)| before each window's `insample`, (N,); 0 where there is none."""
    known: dict[tuple[int, int], float] = {}
    for window in windows:
        key = id(window.series), window.insample
        if key not in known:
            known[key] = seasonal_error(window.series.values[: window.insample], season)
    return np.array([known[id(window.series), window.insample] for window in windows])


def _truth(windows: Sequence[Window], targets: SeriesTargets) -> Numbers:
    return np.stack([ahead(window, targets.reader.horizon) for window in windows])


def _before(window: Window) -> Numbers:
    return window.series.values[: window.at]
