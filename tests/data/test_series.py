"""Windows: scaled by what they hold, gaps marked, the same numbers in any batch."""

import math
import random
from datetime import datetime

import numpy as np
import pytest
import torch

from seqloom.data.generators_series import seasonal
from seqloom.data.series import Beside, Reader, Series, ahead, level_and_scale, season_before
from seqloom.data.series_times import Clock, Frequency

HOUR = Frequency("microsecond", 3_600_000_000)


def series(values: list[float], *, beside: list[float] | None = None, clock: Clock | None = None) -> Series:
    columns = np.zeros((len(values), 0)) if beside is None else np.array([beside]).T
    return Series("s", 2, np.array(values), columns, clock)


def numbers(count: int, *, missing: float = 0.0, seed: int = 0) -> list[float]:
    chosen = random.Random(seed)
    return [math.nan if chosen.random() < missing else chosen.gauss(20, 7) for _ in range(count)]


@pytest.mark.parametrize("season", [1, 2, 3, 5, 24])
@pytest.mark.parametrize("horizon", [1, 4, 13])
@pytest.mark.parametrize("count", [3, 7, 40])
def test_season_before_is_the_latest_known_step_of_the_same_phase(season: int, horizon: int, count: int) -> None:
    """Against a search step by step."""
    values = [*numbers(count - 1, missing=0.3, seed=count), 5.0]
    expected = []
    for step in range(count, count + horizon):
        place = step - season if season > 1 else count - 1
        while place >= count or (place >= 0 and math.isnan(values[place])):
            place -= season
        expected.append(values[place] if place >= 0 else 5.0)
    assert season_before(np.array(values), season, horizon).tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0], (2.0, 1.0)),
        ([math.nan, 1.0, math.nan, 4.0, 1.0], (2.0, 4 / 3)),
        ([5.0, 5.0, 5.0], (5.0, 5.0)),
        ([-5.0], (-5.0, 5.0)),
        ([0.0, 0.0], (0.0, 1.0)),
        ([1e9, 1e9 + 1e-3], (1e9 + 5e-4, 1e9 + 5e-4)),
        ([1e100, -1e100], (0.0, 1e100)),
    ],
)
def test_level_and_scale(values: list[float], expected: tuple[float, float]) -> None:
    assert level_and_scale(np.array(values)) == pytest.approx(expected, rel=1e-12)


def test_a_step_read_is_value_mark_and_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    values, beside = numbers(30, missing=0.2), numbers(30, missing=0.2, seed=1)
    clock = Clock(datetime(2024, 5, 17, 5), HOUR)
    reader = Reader(12, 5, 3, (Beside("x", 4.0, 2.0),), ("hour", "weekday"))
    window = reader.window(series(values, beside=beside, clock=clock), 25)
    batch = reader.batch([window])
    level, scale = level_and_scale(np.array(values[13:25]))
    assert batch.values.shape == (1, 12, reader.input_size) == (1, 12, 8)
    for row, step in zip(batch.values[0].tolist(), range(13, 25), strict=True):
        time = clock.at(step)
        assert isinstance(time, datetime)
        there, also = not math.isnan(values[step]), not math.isnan(beside[step])
        day = time.hour / 24
        week = (time.weekday() + day) / 7
        expected = [(values[step] - level) / scale if there else 0, float(there)]
        expected += [(beside[step] - 4) / 2 if also else 0, float(also)]
        for turn in (day, week):
            expected += [math.sin(math.tau * turn), math.cos(math.tau * turn)]
        assert row == pytest.approx(expected, abs=1e-6)
    assert batch.recent[0].tolist() == batch.values[0, :, 0].tolist()
    assert batch.future.shape == (1, 5, 4)
    assert batch.future[0, 0].tolist() == pytest.approx(
        [math.sin(math.tau * 6 / 24), math.cos(math.tau * 6 / 24), *batch.future[0, 0, 2:].tolist()], abs=1e-6
    )


def test_targets_are_scaled_as_what_is_read_and_missing_ones_stay_so() -> None:
    values = [1.0, 3.0, 1.0, 3.0, 6.0, math.nan]
    reader = Reader(4, 3, 2)
    targets = reader.targets([reader.window(series(values), 4)])[0].tolist()
    assert targets[0] == 4.0
    assert [math.isnan(value) for value in targets] == [False, True, True]
    assert np.isnan(ahead(reader.window(series(values), 6), 3)).all()


def test_a_window_is_read_alone_whatever_stands_beside_it() -> None:
    reader = Reader(12, 5, 3)
    whole = series(numbers(60, missing=0.1))
    windows = [reader.window(whole, at) for at in (3, 60, 17, 9)]
    together, targets = reader.collate(windows)
    assert together.lengths.tolist() == [3, 12, 12, 9]
    for row, window in enumerate(windows):
        alone, target = reader.collate([window])
        length = window.length
        assert torch.equal(together.values[row, :length], alone.values[0])
        assert not together.values[row, length:].any()
        assert all(torch.equal(a[row], b[0]) for a, b in zip(together[2:], alone[2:], strict=True))
        assert torch.equal(targets[row].nan_to_num(9), target[0].nan_to_num(9))


def test_a_window_reads_nothing_from_its_end_on() -> None:
    values, reader = numbers(40), Reader(12, 5, 3)
    other = [*values[:20], *(value + 100 for value in values[20:])]
    first, second = (reader.batch([reader.window(series(each), 20)]) for each in (values, other))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_logarithms_are_read_and_forecasts_come_back() -> None:
    values = [math.exp(value / 10) for value in numbers(40, missing=0.1)]
    logs = [math.log(value) for value in values]
    plain, reader = Reader(12, 5, 3), Reader(12, 5, 3, log=True)
    window, other = reader.window(series(values), 30), plain.window(series(logs), 30)
    for mine, theirs in zip(reader.batch([window]), plain.batch([other]), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    back = reader.in_unit(window, reader.targets([window]).double().numpy()[0])
    assert back == pytest.approx(ahead(window, 5), rel=1e-5, nan_ok=True)
    assert reader.in_unit(window, np.array([1e6]))[0] == pytest.approx(1e100, rel=1e-9)
    assert not reader.usable(reader.window(series([1.0, 0.0, 2.0, 3.0]), 4))


def test_windows_without_a_value_or_too_short_are_not_usable() -> None:
    reader = Reader(4, 2, 3)
    gap = series([1.0, 2.0, 3.0, math.nan, math.nan, math.nan, math.nan, 5.0])
    usable = [at for at in range(9) if reader.usable(reader.window(gap, at))]
    assert usable == [3, 4, 5, 6, 8]


def test_generated_series_are_a_function_of_their_seed() -> None:
    rows = seasonal(2, steps=50, seed=3)
    assert rows == seasonal(2, steps=50, seed=3) != seasonal(2, steps=50, seed=4)
    assert [row[0] for row in rows[::50]] == ["a1", "a2"]
    assert rows[25][1] == "2024-01-02 01:00:00"
    with pytest.raises(ValueError, match="0 steps with a season of 24"):
        seasonal(1, steps=0, seed=1)
