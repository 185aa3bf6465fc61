"""Series of numbers and the windows that are read of them: scaled by what a window itself holds, gaps marked as gaps.

A window is read alone, in float64, whatever batch it is in: its numbers cannot depend on its neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqloom.data.series_times import Clock

Numbers = NDArray[np.float64]

LARGEST = 1e100  # beyond, errors and their squares are no numbers any more
MOST_SEASONS = 7
LEAST_SPREAD = 0.05  # of a series that repeats itself, or errors of nearly nothing would be all that is learned
FLAT = 1e-6  # below this share of the level a spread is rounding, and no scale


@dataclass(frozen=True, eq=False)
class Series:
    """One series: a number for each step of its clock, NaN where it is missing, never at either end.

    `values` is (T,), `beside` (T, columns) the numbers read beside it, `line` where it starts in its file.
    """

    name: str
    line: int
    values: Numbers
    beside: Numbers
    clock: Clock | None = None

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return len(self.values)

    def cut(self, start: int, stop: int) -> "Series":
        """The steps from `start` to before `stop`."""
        clock = None if self.clock is None else self.clock.shifted(start)
        return Series(self.name, self.line, self.values[start:stop], self.beside[start:stop], clock)


class Window(NamedTuple):
    """Steps of a series to read, from `start` to before `at`, where the forecast begins.

    The errors before step `insample` scale the metric MASE.
    """

    series: Series
    start: int
    at: int
    insample: int

    @property
    def line(self) -> int:
        """The line of the file where its series starts."""
        return self.series.line

    @property
    def length(self) -> int:
        """How many steps are read."""
        return self.at - self.start

    @property
    def read(self) -> Numbers:
        """The values that are read."""
        return self.series.values[self.start : self.at]


class Windows(NamedTuple):
    """A batch of windows as a model reads them.

    `values` (B, T, I): the scaled value, 1 where there is one, the numbers beside it each with the same mark, and the
    calendar. `recent` (B, context): the scaled values alone, the last one last, zeros before the first. `future`
    (B, K, F): the calendar of the steps to forecast. `anchor` (B, K, J): what was one, two and more seasons
    before each of them. `spread`
    (B, 1): how far, in the window, a value usually is from the one a season before.
    """

    values: Tensor
    lengths: Tensor
    recent: Tensor
    future: Tensor
    anchor: Tensor
    spread: Tensor

    def to(self, device: torch.device) -> "Windows":
        """The same on `device`."""
        return Windows(*(part.to(device) for part in self))


class Beside(NamedTuple):
    """A column that is read beside the target: its name, and mean and spread of it in training."""

    name: str
    mean: float
    scale: float


@dataclass(frozen=True)
class Reader:
    """How a window becomes numbers: `context` steps at most, `horizon` to forecast, a season of `season` steps.

    With `log` the logarithms of the values are read and forecast: their errors are shares of the values.
    """

    context: int
    horizon: int
    season: int
    beside: tuple[Beside, ...] = ()
    calendar: tuple[str, ...] = ()
    log: bool = False

    @property
    def fewest(self) -> int:
        """The steps that a window must have: a whole season, where that is not more than the context."""
        return min(self.context, max(2, self.season))

    @property
    def seasons(self) -> int:
        """How many seasons before a step are offered to its forecast: as many as are read, seven at most."""
        return max(1, min(MOST_SEASONS, self.context // self.season)) if self.season > 1 else 1

    @property
    def input_size(self) -> int:
        """The numbers of one step."""
        return 2 + 2 * len(self.beside) + 2 * len(self.calendar)

    def window(self, series: Series, at: int, *, insample: int | None = None) -> Window:
        """The window that forecasts the steps from `at` on."""
        return Window(series, max(0, at - self.context), at, at if insample is None else insample)

    def usable(self, window: Window) -> bool:
        """Whether there is enough to read, and of logarithms nothing that has none."""
        known = window.read[np.isfinite(window.read)]
        return window.length >= self.fewest and len(known) > 0 and not (self.log and known.min() <= 0)

    def batch(self, windows: Sequence[Window]) -> Windows:
        """The batch of these windows, shorter ones padded with zeros at their end."""
        longest = max((window.length for window in windows), default=0)
        values = np.zeros((len(windows), longest, self.input_size), dtype=np.float32)
        recent = np.zeros((len(windows), self.context), dtype=np.float32)
        future = np.zeros((len(windows), self.horizon, 2 * len(self.calendar)), dtype=np.float32)
        anchor = np.zeros((len(windows), self.horizon, self.seasons), dtype=np.float32)
        spread = np.zeros((len(windows), 1), dtype=np.float32)
        for row, window in enumerate(windows):
            read = self._transformed(window.read)
            level, scale = level_and_scale(read)
            values[row, : window.length] = self._steps(window, (read - level) / scale)
            recent[row, self.context - window.length :] = values[row, : window.length, 0]
            future[row] = self._calendar(window.series, window.at, window.at + self.horizon)
            for back in range(self.seasons):
                far = self.season * (back + 1)
                lag = far if far <= window.length else self.season
                anchor[row, :, back] = (season_before(read, lag, self.horizon) - level) / scale
            spread[row] = max(seasonal_error(read, self.season) / scale, LEAST_SPREAD)
        lengths = torch.tensor([window.length for window in windows], dtype=torch.int64)
        parts = map(torch.from_numpy, (recent, future, anchor, spread))
        return Windows(torch.from_numpy(values), lengths, *parts)

    def targets(self, windows: Sequence[Window]) -> Tensor:
        """The scaled values to forecast, float32 (B, K), NaN where there is none."""
        scaled = np.full((len(windows), self.horizon), np.nan, dtype=np.float32)
        for row, window in enumerate(windows):
            level, scale = level_and_scale(self._transformed(window.read))
            scaled[row] = (self._transformed(ahead(window, self.horizon)) - level) / scale
        return torch.from_numpy(scaled)

    def collate(self, windows: Sequence[Window]) -> tuple[Windows, Tensor]:
        """The batch of these windows and what is to be forecast."""
        return self.batch(windows), self.targets(windows)

    def in_unit(self, window: Window, scaled: Numbers) -> Numbers:
        """Forecasts of a window, of any shape, in the unit of its series."""
        level, scale = level_and_scale(self._transformed(window.read))
        forecasts = level + scale * scaled
        return np.exp(np.minimum(forecasts, math.log(LARGEST))) if self.log else forecasts

    def _transformed(self, values: Numbers) -> Numbers:
        return np.log(values) if self.log else values

    def _steps(self, window: Window, scaled: Numbers) -> Numbers:
        there = np.isfinite(scaled)
        parts = [np.where(there, scaled, 0.0), there]
        for column, known in enumerate(self.beside):
            given = window.series.beside[window.start : window.at, column]
            there = np.isfinite(given)
            parts += [np.where(there, (given - known.mean) / known.scale, 0.0), there]
        calendar = self._calendar(window.series, window.start, window.at)
        return np.concatenate([np.stack(parts, axis=1), calendar], axis=1)

    def _calendar(self, series: Series, start: int, stop: int) -> Numbers:
        """Sine and cosine of each part of the calendar, (steps, 2 x parts)."""
        if series.clock is None or not self.calendar:
            return np.zeros((stop - start, 2 * len(self.calendar)))
        turns = series.clock.turns(start, stop)
        angles = [math.tau * turns[part] for part in self.calendar]
        return np.stack([turn for angle in angles for turn in (np.sin(angle), np.cos(angle))], axis=1)


def ahead(window: Window, horizon: int) -> Numbers:
    """The values from the window's end on, (horizon,), NaN where there is none."""
    found = np.full(horizon, np.nan)
    known = window.series.values[window.at : window.at + horizon]
    found[: len(known)] = known
    return found


def level_and_scale(values: Numbers) -> tuple[float, float]:
    """The mean of the values there are, and their mean distance from it; of equal ones how large they are, or 1."""
    known = values[np.isfinite(values)]
    level = math.fsum(known) / len(known)
    spread = math.fsum(np.abs(known - level)) / len(known)
    if spread > FLAT * abs(level):
        return level, spread
    return level, abs(level) or 1.0


def season_before(values: Numbers, season: int, horizon: int) -> Numbers:
    """The seasonal naive forecast, (horizon,): what was one season before, or more where that is missing.

    The last value there is stands in for phases of the season that have none; with a season of 1 it is all there is.
    """
    known = np.flatnonzero(np.isfinite(values))
    found = np.full(horizon, values[known[-1]])
    for phase in range(min(season, horizon)):
        # The latest step of this phase: one season before the step `phase`, two seasons before, and so on.
        places = known[(len(values) + phase - known) % season == 0] if season > 1 else known
        if len(places):
            found[phase::season] = values[places[-1]]
    return found


def seasonal_error(values: Numbers, season: int) -> float:
    """The mean of |y_t - y_(t - season)|, 0 where no two values are so far apart."""
    changes = np.abs(values[season:] - values[:-season]) if len(values) > season else np.empty(0)
    changes = changes[np.isfinite(changes)]
    return math.fsum(changes) / len(changes) if len(changes) else 0.0
