"""Series parted by time: nothing that is forecast for validation or test is ever learned from."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.config import load_config
from seqloom.data import PreparedSeries, Window, prepare
from seqloom.data.check import check
from seqloom.data.generators_series import seasonal
from seqloom.data.series_prepare import infer_season
from seqloom.errors import ConfigError, DataError


def write(path: Path, rows: Iterable[tuple[Any, ...]], header: tuple[str, ...] = ("series", "time", "value")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def prepared(path: Path, *overrides: str, **files: Path) -> PreparedSeries:
    found = prepare(load_config(None, overrides, named={"task": "forecast"}), path, **files)
    assert isinstance(found, PreparedSeries)
    return found


def spans(windows: list[Window], horizon: int, name: str = "a1") -> list[tuple[int, int]]:
    """From where to where each window of a series forecasts."""
    return [(window.at, window.at + horizon) for window in windows if window.series.name == name]


def test_parts_follow_each_other_in_time_and_never_overlap(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "s.csv", seasonal(2, steps=300, seed=1)), "horizon=12", "context=30")
    train, valid, test = (spans(part, 12) for part in (found.train, found.valid, found.test))
    assert max(stop for _, stop in train) == 240 <= min(start for start, _ in valid)
    assert max(stop for _, stop in valid) == 270 <= min(start for start, _ in test)
    assert max(stop for _, stop in test) == 300
    assert min(start for start, _ in train) == 30, "a whole context is read, as later on"
    assert all(window.start == max(0, window.at - 30) for window in found.train)
    assert {window.insample for window in found.valid} == {240}
    assert {window.insample for window in found.test} == {270}


def test_windows_of_a_short_series_read_half_of_it_at_least_and_a_season(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", seasonal(1, steps=300, seed=1))
    for context, first in ((228, 114), (300, 114), (100, 100)):
        found = prepared(path, "horizon=12", f"context={context}")
        assert min(window.at for window in found.train) == first, "half of the 240 steps before the last forecast"
    short = prepared(path, "horizon=12", "context=228", "season=150")
    assert min(window.at for window in short.train) == short.targets.reader.fewest == 150


def test_what_was_inferred_is_said(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "s.csv", seasonal(2, steps=400, seed=1)))
    said = "\n".join(found.notes)
    assert "frequency: 1 hour" in said
    assert "horizon: 48 steps (inferred); context: 168 (inferred); season: 24 (of steps of 1 hour)" in said
    assert "calendar: hour, weekday of each step" in said
    assert "2 series of 400 to 400 steps" in said
    assert "a training window at each step" in said
    undated = prepared(tmp_path / "s.csv", "calendar=false")
    assert "context: 336 (inferred)" in "\n".join(undated.notes), "no calendar tells the day: two weeks are read"


def test_forecasts_begin_in_every_phase_of_the_season(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "s.csv", seasonal(1, steps=2000, seed=1)), "horizon=24", "test_fraction=0.3")
    assert {window.at % 24 for window in found.test} == set(range(24))
    few = prepared(tmp_path / "s.csv", "horizon=24", "windows=50")
    assert len(few.train) <= 50
    assert {window.at % 24 for window in few.train} == set(range(24))
    assert "a training window begins at every 29. step" in "\n".join(few.notes)


def test_origins_are_as_many_as_asked_for_and_the_last_ends_the_part(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", seasonal(1, steps=300, seed=1))
    for origins, expected in ((1, [288]), (3, [270, 279, 288]), (500, list(range(270, 289)))):
        found = prepared(path, "horizon=12", f"origins={origins}")
        assert [window.at for window in found.test] == expected


def test_a_test_file_continues_the_series(tmp_path: Path) -> None:
    rows = seasonal(2, steps=320, seed=1)
    train = write(tmp_path / "train.csv", [row for number, row in enumerate(rows) if number % 320 < 300])
    test = write(tmp_path / "test.csv", [row for number, row in enumerate(rows) if number % 320 >= 300])
    found = prepared(train, test=test)
    assert found.targets.reader.horizon == 20
    assert spans(found.test, 20) == [(300, 320)]
    assert max(stop for _, stop in spans(found.valid, 20)) == 300
    whole = prepared(write(tmp_path / "whole.csv", rows), "horizon=20")
    assert np.array_equal(found.series[1].values, whole.series[1].values)
    assert "horizon: 20 steps (as many as the shortest continuation has)" in "\n".join(found.notes)


def test_a_row_a_series_continues_as_well(tmp_path: Path) -> None:
    """As in M4: files of other widths and other column names, without times."""
    head = tuple(f"V{number}" for number in range(202))
    lines = [
        (name, *(round(10 * math.sin(step / 2) + of, 3) for step in range(200)), "") for of, name in enumerate("ab")
    ]
    train = write(tmp_path / "train.csv", [(*line[:181], *[""] * 21) for line in lines], head)
    test = write(tmp_path / "test.csv", [(line[0], *line[181:201]) for line in lines], ("V0", *head[150:170]))
    found = prepared(train, test=test)
    assert [one.values.tolist() for one in found.series] == [list(line[1:201]) for line in lines]
    assert spans(found.test, 20, "a") == [(180, 200)]


@pytest.mark.parametrize(
    ("shift", "name", "said"),
    [
        (290, "a1", "series a1 begins 10 steps before the end of what it should continue"),
        (300, "a7", "series a7 is not in the training file"),
    ],
)
def test_a_test_file_that_continues_nothing_is_refused(tmp_path: Path, shift: int, name: str, said: str) -> None:
    rows = seasonal(1, steps=320, seed=1)
    train = write(tmp_path / "train.csv", rows[:300])
    test = write(tmp_path / "test.csv", [(name, *row[1:]) for row in rows[shift:]])
    with pytest.raises(DataError, match="none of its series continues one of train.csv") as refused:
        prepared(train, test=test)
    assert said in str(refused.value)


def test_a_series_that_is_too_short_is_reported_and_the_others_are_used(tmp_path: Path) -> None:
    rows = seasonal(2, steps=300, seed=1)[:360]
    found = prepared(write(tmp_path / "s.csv", rows), "horizon=24")
    assert [one.name for one in found.series] == ["a1"]
    [refused] = found.rejected
    assert (refused.line, "series a2 is too short: 60 steps" in refused.reason) == (302, True)


def test_a_horizon_longer_than_every_series_is_one_clear_error(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", seasonal(2, steps=100, seed=1))
    with pytest.raises(
        DataError, match=r"s.csv: no series is long enough\. The first, in line 2: series a1 is too short"
    ):
        prepared(path, "horizon=200")


def test_columns_beside_are_scaled_by_training_alone(tmp_path: Path) -> None:
    rows = [
        (time, value, number if number < 160 else 10**6)
        for number, (_, time, value) in enumerate(seasonal(1, steps=200, seed=1))
    ]
    path = write(tmp_path / "s.csv", rows, ("time", "y", "x"))
    found = prepared(path, "target=y", "input=x", "horizon=12")
    [beside] = found.targets.reader.beside
    assert (beside.name, beside.mean) == ("x", 79.5)
    assert beside.scale == pytest.approx(np.std(np.arange(160)))


@pytest.mark.parametrize("season", [4, 7, 12, 24])
def test_season_is_found_where_there_are_no_times(season: int) -> None:
    rows = [row[2] for row in seasonal(3, steps=240, season=season, seed=2)]
    assert infer_season([np.array(rows[start : start + 240]) for start in (0, 240, 480)]) == season


def test_no_season_is_found_in_noise() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 300))
    assert infer_season(list(noise)) == 1
    assert infer_season(list(noise.cumsum(axis=1))) == 1
    assert infer_season([np.ones(100), np.array([])]) == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.max_length=3", "max_length is a setting of texts, the task is forecast."),
        ("data.tokens=word", "tokens is a setting of texts, the task is forecast."),
        ("data.frequency=often", 'data.frequency is "often"'),
        ("forecast.quantiles=[0.9, 0.1]", "quantiles must rise"),
        ("forecast.quantiles=[0.1, 0.1]", "quantiles must rise"),
        ("forecast.quantiles=[]", "forecast.quantiles"),
        ("forecast.quantiles=[1.5]", "forecast.quantiles"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, override: str, said: str) -> None:
    path = write(tmp_path / "s.csv", seasonal(1, steps=200, seed=1))
    with pytest.raises(ConfigError) as refused:
        prepared(path, override)
    assert said in str(refused.value)


def test_check_reports_series(tmp_path: Path) -> None:
    rows = seasonal(2, steps=200, seed=1)
    rows[7] = (*rows[7][:2], "x")  # type: ignore[assignment]
    rows += [("flat", row[1], 3.0) for row in rows[:200]]
    report = check(load_config(None, [], named={"task": "forecast"}), write(tmp_path / "s.csv", rows))
    found = {finding.number: finding.text for finding in report.findings}
    assert found["D101"] == "600 rows read, 1 rows or series rejected"
    assert found["D701"] == "3 series of 200 to 200 steps, half of them to 200"
    assert found["D702"].startswith("1 steps (0.2%) have no value, most of them in series a1: 1")
    assert found["D703"].startswith("1 series never change, such as flat")
    assert "windows of up to 168 steps" in found["D704"] or "windows of up to" in found["D704"]
    short = check(load_config(None, ["horizon=900"], named={"task": "forecast"}), tmp_path / "s.csv")
    assert [finding.number for finding in short.findings if finding.level == "error"] == ["D601"]
