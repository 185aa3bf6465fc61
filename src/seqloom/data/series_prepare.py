"""From files of series to windows: parted by time, never shuffled over it.

The last steps of each series are for the test, those before for validation. What training learns of the numbers (the
season, the spread of columns read beside) it learns from the steps before both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

from seqloom.config import Config, DataSettings, ForecastSettings
from seqloom.data.rows import RejectedRow, Table, first_of
from seqloom.data.series import Beside, Numbers, Reader, Series, Window, Windows, ahead
from seqloom.data.series_layout import Layout, infer_layout
from seqloom.data.series_table import read_series
from seqloom.data.series_targets import SeriesTargets
from seqloom.data.series_times import Frequency, parse_frequency
from seqloom.errors import ConfigError, DataError

TEXTUAL = (
    "tokens", "target_tokens", "joint_vocabulary", "lowercase", "normal_form", "min_count", "max_vocabulary",
    "max_length", "vectors", "label_separator", "image_size",
)  # fmt: skip
SEASONS_READ, HORIZONS_READ, MOST_READ = 7, 2, 336
UNDATED = 2  # times as many seasons where no calendar tells which day it is: a week is known by the one before
SCORED = 5000  # windows of a part, where nothing is said
LONGEST_SEASON, SERIES_ASKED = 200, 100
CLEAR, NEARLY_BEST = 0.2, 0.7


class Parts(NamedTuple):
    """A series and where its parts end: `train`, then validation to `valid`, then the test to its own end."""

    series: Series
    train: int
    valid: int


@dataclass(frozen=True)
class GatheredSeries:
    """The series of all files, each continued by those of the next ones, and the rows that were refused.

    `continued` are the steps that a validation and a test file add to each series, by part.
    """

    files: dict[str, Table]
    names: dict[str, str]
    layout: Layout
    frequency: Frequency | None
    series: list[Series]
    continued: dict[str, dict[str, int]]
    rejected: list[RejectedRow]
    notes: list[str]

    @property
    def fingerprints(self) -> dict[str, str]:
        """The sha256 of each file, by its name."""
        return {self.names[part]: table.fingerprint for part, table in self.files.items()}


@dataclass(frozen=True)
class PreparedSeries:
    """All that training a forecaster needs to know of the data; the windows of each part, by their origins."""

    train: list[Window]
    valid: list[Window]
    test: list[Window]
    series: list[Series]
    targets: SeriesTargets
    rejected: list[RejectedRow]
    notes: list[str]
    fingerprints: dict[str, str]
    split_files: dict[str, str]

    @property
    def columns(self) -> tuple[str, str]:
        """What is read and what is forecast, by the names of the columns."""
        layout = self.targets.layout
        target = (
            "series" if layout.kind == "rows" else ", ".join(layout.values[:5]) + ", ..." * (len(layout.values) > 5)
        )
        return ", ".join((target, *layout.beside)), target

    @property
    def lengths(self) -> list[int]:
        """The steps that each training window reads."""
        return [window.length for window in self.train]

    @property
    def target_lengths(self) -> None:
        """None: every forecast has the same length."""
        return None

    def collate(self, windows: Sequence[Window]) -> tuple[Windows, Tensor]:
        """The batch of these windows and what is to be forecast."""
        return self.targets.reader.collate(windows)


def gather_series(config: Config, files: dict[str, Table], names: dict[str, str]) -> GatheredSeries:
    """Find the series of each file and join those of one name.

    Raises DataError where no series can be read, ConfigError for a setting of texts.
    """
    _check_settings(config.data)
    layout, notes = infer_layout(files["train"], config.data)
    if config.task is None:
        notes.insert(0, "task: forecast (numbers, and no text to read)")
    if layout.time is None and config.data.frequency is not None:
        raise ConfigError("data.frequency says how far times are apart, but there is no column of times. Leave it out.")
    frequency = None if config.data.frequency is None else parse_frequency(config.data.frequency)
    found: dict[str, list[Series]] = {}
    rejected: list[RejectedRow] = []
    for part, table in files.items():
        given = layout
        if layout.kind == "rows" and part != "train":  # its columns are numbered steps: there may be fewer
            given = infer_layout(table, config.data)[0] if layout.series not in table.columns else layout
        read = read_series(table, given, frequency=frequency)
        found[part] = read.series
        rejected += [RejectedRow(names[part], *row) for row in read.rejected]
        notes += [f"{names[part]}: {note}" for note in [*table.notes, *read.notes]]
        if frequency is None and layout.time is not None:
            frequency = next((one.clock.frequency for one in read.series if one.clock is not None), None)
            notes.append(f"frequency: {frequency}")
    known = {one.name: one for one in found["train"]}
    continued: dict[str, dict[str, int]] = {}
    for part in [part for part in ("valid", "test") if part in files]:
        continued[part] = {}
        for one in found[part]:
            try:
                whole = joined(known.get(one.name), one)
            except DataError as error:
                rejected.append(RejectedRow(names[part], one.line, str(error)))
                continue
            continued[part][one.name] = whole.steps - known[one.name].steps
            known[one.name] = whole
        if not continued[part]:
            raise DataError(f"{names[part]}: none of its series continues one of {names['train']}{first_of(rejected)}")
    return GatheredSeries(files, names, layout, frequency, list(known.values()), continued, rejected, notes)


def prepare_series(gathered: GatheredSeries, config: Config) -> PreparedSeries:
    """Decide what is read and forecast, part each series by time, and choose the windows of each part.

    Raises DataError where no series is long enough.
    """
    notes, rejected = list(gathered.notes), list(gathered.rejected)
    reader, learned = _reader(gathered, config)
    parted: list[Parts] = []
    for one in gathered.series:
        try:
            parted.append(_parts(one, gathered.continued, reader, config))
        except DataError as error:
            rejected.append(RejectedRow(gathered.names["train"], one.line, str(error)))
    if not parted:
        raise DataError(
            f"{gathered.names['train']}: no series is long enough{first_of(rejected)} "
            "A shorter --set forecast.horizon or forecast.context needs fewer steps."
        )
    beside = _spreads(gathered.layout, parted)
    reader = replace(reader, beside=beside)
    targets = SeriesTargets(gathered.layout, gathered.frequency, reader, tuple(config.forecast.quantiles))
    train, said = _training_windows(parted, reader, config.forecast)
    if not train:
        raise DataError(
            f"{gathered.names['train']}: no window of {reader.fewest} steps and {reader.horizon} more is whole."
        )
    valid, test = (_scored_windows(parted, part, reader, config.forecast) for part in ("valid", "test"))
    counts = {"train": len(train), "valid": len(valid), "test": len(test)}
    notes += [
        *learned,
        f"{len(parted):,} series of {min(p.series.steps for p in parted):,} to "
        f"{max(p.series.steps for p in parted):,} steps; {said}",
        "windows: " + ", ".join(f"{count:,} {part}" for part, count in counts.items()),
    ]
    return PreparedSeries(
        train,
        valid,
        test,
        [parts.series for parts in parted],
        targets,
        sorted(rejected),
        notes,
        gathered.fingerprints,
        {part: table.fingerprint for part, table in gathered.files.items() if part != "train"},
    )


def scored_windows_of(
    series: Sequence[Series], targets: SeriesTargets, config: Config, *, history: Mapping[str, int]
) -> tuple[list[Window], list[tuple[Series, str]]]:
    """The windows on which a trained model is scored: the end of each series, as long as a test part is.

    `history` are the first steps of a series that are never scored, by name. With them, the series whose windows
    cannot be, and why.
    """
    parted: list[Parts] = []
    refused: list[tuple[Series, str]] = []
    for one in series:
        start = history.get(one.name)
        if start is None:
            fraction = config.data.test_fraction or config.data.valid_fraction
            start = one.steps - max(targets.reader.horizon, int(fraction * one.steps))
        parts = Parts(one, start, start)
        if targets.reader.log and np.nanmin(one.values) <= 0:
            refused.append((one, f"series {one.name} has a value of 0 or less, and this model reads logarithms"))
        elif _scored_windows([parts], "test", targets.reader, config.forecast):
            parted.append(parts)
        else:
            needed = targets.reader.fewest + targets.reader.horizon
            refused.append((one, f"series {one.name} is too short: {one.steps:,} steps, {needed:,} are needed"))
    return _scored_windows(parted, "test", targets.reader, config.forecast), refused


def infer_season(values: Sequence[Numbers]) -> int:
    """The season of series without times: the shortest lag at which changes go together nearly as much as at any.

    1 where they go together at none: an autocorrelation of 0.2 at least is needed, and a peak, beyond the lags at which
    a smooth series resembles itself.
    """
    longest = min(LONGEST_SEASON, max((len(one) // 3 for one in values), default=0))
    total, count = np.zeros(longest + 2), 0
    every = max(1, len(values) // SERIES_ASKED)
    for one in values[::every]:
        known = np.diff(one[np.isfinite(one)])
        known = known - known.mean() if len(known) else known
        power = float(known @ known)
        if len(known) > longest + 1 and power > 0:
            total += [float(known[: len(known) - lag] @ known[lag:]) / power for lag in range(longest + 2)]
            count += 1
    if not count:
        return 1
    mean = total / count
    first = next((lag for lag in range(1, longest + 1) if mean[lag] < 0), longest)
    lags = range(first + 1, longest + 1)
    peaks = [lag for lag in lags if mean[lag - 1] < mean[lag] > mean[lag + 1] and mean[lag] > CLEAR]
    best = max((mean[lag] for lag in peaks), default=0.0)
    return next((lag for lag in peaks if mean[lag] >= NEARLY_BEST * best), 1)


def _check_settings(settings: DataSettings) -> None:
    default = DataSettings()
    for name in TEXTUAL:
        if getattr(settings, name) != getattr(default, name):
            raise ConfigError(f"{name} is a setting of texts, the task is forecast.")
    if settings.frames is not None:
        raise ConfigError("frames is a setting of series of numbers that are answered once, the task is forecast.")


def joined(before: Series | None, after: Series) -> Series:
    """Both as one; steps between them are missing. Raises DataError where one does not follow the other."""
    if before is None:
        raise DataError(f"series {after.name} is not in the training file, so nothing comes before it")
    gap = 0
    if before.clock is not None and after.clock is not None:
        gap = before.clock.step(after.clock.first) - before.steps
    if gap < 0:
        raise DataError(f"series {after.name} begins {-gap:,} steps before the end of what it should continue")
    width = before.beside.shape[1]
    values = np.concatenate([before.values, np.full(gap, np.nan), after.values])
    beside = np.concatenate([before.beside, np.full((gap, width), np.nan), after.beside])
    return Series(before.name, before.line, values, beside, before.clock)


def _reader(gathered: GatheredSeries, config: Config) -> tuple[Reader, list[str]]:
    """How windows are read, without the columns beside; and what of it was inferred."""
    given, notes = config.forecast, list[str]()
    steps = sorted(one.steps for one in gathered.series)
    longest = steps[-1]
    season, why = given.season, "as given"
    if season is None and gathered.frequency is not None:
        season, why = gathered.frequency.season, f"of steps of {gathered.frequency}"
    elif season is None:
        most = max(config.data.valid_fraction, config.data.test_fraction)
        heads = [one.values[: one.steps - int(2 * most * one.steps)] for one in gathered.series]
        season, why = infer_season(heads), "by autocorrelation"
    horizon, so = given.horizon, "as given"
    if horizon is None and (added := gathered.continued.get("test") or gathered.continued.get("valid")):
        horizon, so = min(added.values()), "as many as the shortest continuation has"
    elif horizon is None:
        horizon, so = max(1, min(2 * season if season > 1 else 12, steps[len(steps) // 2] // 6)), "inferred"
    calendar = gathered.frequency.calendar if gathered.frequency is not None and given.calendar else ()
    context, how = given.context, "as given"
    if context is None:
        seasons = SEASONS_READ if calendar else UNDATED * SEASONS_READ
        context, how = max(min(seasons * season, MOST_READ), season, HORIZONS_READ * horizon), "inferred"
        context = max(2, min(context, longest - horizon))
    notes.append(f"horizon: {horizon} steps ({so}); context: {context} ({how}); season: {season} ({why})")
    log = given.transform == "log"
    if given.transform is None and all(np.nanmin(one.values) > 0 for one in gathered.series):
        log = True
        notes.append("transform: log (all values are positive)")
    if calendar:
        notes.append(f"calendar: {', '.join(calendar)} of each step")
    return Reader(context, horizon, season, (), calendar, log), notes


def _parts(series: Series, continued: Mapping[str, Mapping[str, int]], reader: Reader, config: Config) -> Parts:
    """Where the parts of a series end. Raises DataError where it is too short for them."""
    settings, horizon = config.data, reader.horizon
    if reader.log and np.nanmin(series.values) <= 0:
        raise DataError(f"series {series.name} has a value of 0 or less: no logarithm. Set forecast.transform=none")
    added = {part: steps.get(series.name, 0) for part, steps in continued.items()}
    own = series.steps - sum(added.values())
    test = added.get("test", 0)
    if not continued and settings.test_fraction:
        test = max(horizon, int(settings.test_fraction * series.steps))
    valid = added.get("valid", 0)
    if "valid" not in continued and settings.valid_fraction:
        valid = max(horizon, int(settings.valid_fraction * own))
    train = series.steps - test - valid
    if train < reader.fewest + horizon:
        raise DataError(
            f"series {series.name} is too short: {series.steps:,} steps, but to read {reader.fewest:,} and forecast "
            f"{horizon:,} needs {reader.fewest + horizon:,} before the {valid + test:,} for validation and test"
        )
    return Parts(series, train, train + valid)


def _spreads(layout: Layout, parted: Sequence[Parts]) -> tuple[Beside, ...]:
    found = []
    for column, name in enumerate(layout.beside):
        values = np.concatenate([parts.series.beside[: parts.train, column] for parts in parted])
        values = values[np.isfinite(values)]
        if not len(values):
            raise DataError(f"the column {name} has no number in training. Leave it out of --input.")
        mean = math.fsum(values) / len(values)
        spread = math.sqrt(math.fsum((values - mean) ** 2) / len(values))
        found.append(Beside(name, mean, spread or 1.0))
    return tuple(found)


def _training_windows(parted: Sequence[Parts], reader: Reader, settings: ForecastSettings) -> tuple[list[Window], str]:
    """Windows whose forecasts end before validation begins, from the latest back; and how many were there."""
    total = sum(parts.train - reader.horizon - _first_origin(parts, reader) + 1 for parts in parted)
    stride = _coprime(-(-total // settings.windows), reader.season)
    windows = [
        reader.window(parts.series, at)
        for parts in parted
        for at in range(parts.train - reader.horizon, _first_origin(parts, reader) - 1, -stride)
    ]
    whole = [window for window in windows if reader.usable(window) and np.isfinite(ahead(window, reader.horizon)).any()]
    if len(whole) > settings.windows:  # each series began one more
        whole = [whole[number * len(whole) // settings.windows] for number in range(settings.windows)]
    return (
        whole,
        f"a training window begins at every {stride}. step" if stride > 1 else "a training window at each step",
    )


def _first_origin(parts: Parts, reader: Reader) -> int:
    """Where a series is first forecast in training: after a whole context, as later on, or half of its steps."""
    return max(reader.fewest, min(reader.context, (parts.train - reader.horizon) // 2))


def _scored_windows(parted: Sequence[Parts], part: str, reader: Reader, settings: ForecastSettings) -> list[Window]:
    """The rolling origins of a part: forecasts that begin and end in it, the last one at its end."""
    found: list[Window] = []
    for parts in parted:
        start, stop = (parts.train, parts.valid) if part == "valid" else (parts.valid, parts.series.steps)
        for at in _origins(start, stop - reader.horizon, reader, settings, series=len(parted)):
            window = reader.window(parts.series, at, insample=start)
            if reader.usable(window) and np.isfinite(ahead(window, reader.horizon)).any():
                found.append(window)
    return found


def _origins(first: int, last: int, reader: Reader, settings: ForecastSettings, *, series: int) -> list[int]:
    """Steps from `first` to `last` at which forecasts begin, `last` among them; none where that is before `first`."""
    if last < first:
        return []
    if settings.origins is None:
        stride = _coprime(max(1, reader.horizon // 4), reader.season)  # forecasts begin in every phase of the season
        every = list(range(last, first - 1, -stride))
        return every[: max(1, SCORED // series)][::-1]
    count = min(settings.origins, last - first + 1)
    return [last - number * (last - first) // max(1, count - 1) for number in range(count)][::-1]


def _coprime(least: int, season: int) -> int:
    """The least step from `least` on that meets every phase of a season in turn."""
    return next(step for step in range(max(1, least), max(1, least) + season + 1) if math.gcd(step, season) == 1)
