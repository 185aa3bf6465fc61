"""Figures of forecasts against sums by hand."""

import math

import numpy as np
import pytest

from seqloom.data.series import Reader, Series, Window
from seqloom.data.series_layout import Layout
from seqloom.data.series_targets import SeriesTargets
from seqloom.training.series_metrics import insample_errors, naive_forecasts, score_forecasts, score_points

NAN = math.nan


def targets(*, season: int = 2, horizon: int = 3, quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)) -> SeriesTargets:
    return SeriesTargets(Layout("columns", None, None, ("y",)), None, Reader(4, horizon, season), quantiles)


def window(values: list[float], at: int, name: str = "s") -> Window:
    return Window(Series(name, 2, np.array(values), np.zeros((len(values), 0))), max(0, at - 4), at, at)


def test_figures_by_hand() -> None:
    """In the steps before: |3-1|, |4-2|, |6-3| of two steps apart, 7/3 on average."""
    one = window([1, 2, 3, 4, 6, 10, NAN, 4], 5)
    scores = score_points([one], np.array([[8.0, 99.0, 5.0]]), targets()).metrics
    assert scores["mae"] == pytest.approx((2 + 1) / 2)
    assert scores["rmse"] == pytest.approx(math.sqrt((4 + 1) / 2))
    assert scores["smape"] == pytest.approx((200 * 2 / 18 + 200 * 1 / 9) / 2)
    assert scores["mase"] == pytest.approx((2 + 1) / 2 / (7 / 3))


def test_quantile_figures_by_hand() -> None:
    one = window([1, 2, 3, 4, 6, 10, 5, NAN], 5)
    quantiles = np.array([[[9.0, 9.5, 10.0], [5.5, 6.0, 7.0], [0.0, 0.0, 0.0]]])
    scores = score_forecasts([one], quantiles, targets()).metrics
    losses = [0.1 * 1, 0.5 * 0.5, 0, 0.9 * 0.5, 0.5 * 1, 0.1 * 2]
    assert scores["pinball"] == pytest.approx(sum(losses) / 6)
    assert scores["coverage"] == 0.5  # 10 lies on the edge of its band, 5 below its own
    assert scores["mae"] == pytest.approx((0.5 + 1) / 2)
    alone = targets(quantiles=(0.9,))
    assert "coverage" not in score_forecasts([one], quantiles[:, :, 1:], alone).metrics


def test_zero_forecast_as_zero_is_no_error_for_smape() -> None:
    one = window([0, 0, 0, 0, 0, 0, 0], 4)
    scores = score_points([one], np.zeros((1, 3)), targets()).metrics
    assert scores == {"mae": 0.0, "rmse": 0.0, "smape": 0.0}, "mase of a series that never changes is no number"


def test_mase_leaves_out_series_that_never_changed() -> None:
    flat, other = window([5, 5, 5, 5, 6, 6, 6], 4, "flat"), window([1, 2, 3, 4, 9, 9, 9], 4, "other")
    scores = score_points([flat, other], np.full((2, 3), 7.0), targets()).metrics
    assert scores["mase"] == pytest.approx(2 / 2)
    assert scores["mae"] == pytest.approx(1.5)


def test_insample_errors_know_nothing_of_what_is_scored() -> None:
    values = [1.0, NAN, 3.0, 7.0, 4.0, 100.0, 200.0, 300.0]
    assert insample_errors([window(values, 5)], 2).tolist() == [pytest.approx((2 + 1) / 2)]
    assert insample_errors([window(values, 5)], 7).tolist() == [0.0]


def test_naive_forecasts_know_all_that_came_before() -> None:
    """A window reads four steps, a season has five."""
    one = window([1, 2, 3, 4, 5, 6, 7, NAN, 9], 7)
    found = naive_forecasts([one], targets(season=5))
    assert found["naive"].tolist() == [[7, 7, 7]]
    assert found["seasonal_naive"].tolist() == [[3, 4, 5]]
    assert set(naive_forecasts([one], targets(season=1))) == {"naive"}


def test_seasonal_naive_has_a_mase_of_its_own_errors() -> None:
    """Scored on the steps that the scale is of, the mean ratio is 1."""
    values = np.random.default_rng(0).normal(size=200).tolist()
    windows = [Window(window(values, at).series, at - 2, at, 200) for at in range(2, 200, 2)]
    forecasts = np.array([values[one.at - 2 : one.at] for one in windows])
    scores = score_points(windows, forecasts, targets(horizon=2))
    assert scores.metrics["mase"] == pytest.approx(1.0)


def test_interval_of_mase_is_over_series() -> None:
    many = [window([1, 2, 3, 4, 5 + n, 6, 7], 4, f"s{n}") for n in range(12)]
    assert set(score_points(many, np.zeros((12, 3)), targets()).intervals) == {"mase"}
    assert score_points(many[:5], np.zeros((5, 3)), targets()).intervals == {}
