"""From the rows of a table to series: one number a step, the gaps filled as missing, each fault with its line."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

from seqloom.data.rows import Rejected, Row, Table, Value
from seqloom.data.series import LARGEST, Numbers, Series
from seqloom.data.series_layout import Layout
from seqloom.data.series_times import Clock, Frequency, Instant, infer_frequency, read_time, style_of
from seqloom.data.targets import read_number
from seqloom.errors import DataError

FAR, FAR_TIMES = 1000, 10  # a gap of more steps than both allow is a wrong time


class SeriesFile(NamedTuple):
    """The series of one file in order, the rows that were refused, and what was noticed."""

    series: list[Series]
    rejected: list[Rejected]
    notes: list[str]


@dataclass
class _Steps:
    """Rows of one series, or of several side by side, in order: their lines, times and numbers."""

    lines: list[int] = field(default_factory=list)
    times: list[Instant] = field(default_factory=list)
    numbers: list[list[float]] = field(default_factory=list)
    style: str = " "


def read_series(
    table: Table, layout: Layout, *, frequency: Frequency | None = None, expected: Frequency | None = None
) -> SeriesFile:
    """The series of a table. `frequency` is inferred where it is not given and there are times.

    A row that cannot be read leaves a missing step. Raises DataError where times run backwards, are not regular, or
    not as far apart as `expected`, and where no series is left.
    """
    for column in (layout.series, layout.time, *layout.values, *layout.beside):
        if column is not None and column not in table.columns:
            raise DataError(f'{table.path.name} has no column "{column}" (columns: {", ".join(table.columns)}).')
    rejected = list(table.rejected)
    if layout.kind == "rows":
        series = _rows(table, layout, rejected)
        notes = []
    else:
        steps = _collect(table, layout, rejected)
        if layout.time is not None and frequency is None:
            frequency = _frequency(table, steps, expected)
        series, notes = [], list[str]()
        for name, each in steps.items():
            series += _gridded(name, each, layout, frequency if layout.time else None, rejected)
    series = _told_apart(series, rejected)
    if not series:
        why = f". The first fault, in line {rejected[0].line}: {rejected[0].reason}." if rejected else "."
        raise DataError(f"{table.path.name}: no series can be used{why}")
    missing = [int(np.isnan(one.values).sum()) for one in series]
    if any(missing):
        of = sum(count > 0 for count in missing)
        notes.append(f"{sum(missing):,} missing steps in {of:,} series: read as missing, and not scored")
    return SeriesFile(series, sorted(rejected), notes)


def read_cell(value: Value, column: str) -> float:
    """The number of a cell, NaN where it is empty. Raises DataError that names the column."""
    if isinstance(value, str) and not value.strip():
        return np.nan
    try:
        number = read_number(value)
    except DataError as error:
        raise DataError(f"{column}: {error}") from None
    if abs(number) > LARGEST:
        raise DataError(f"{column}: {number:g} is too large to compute with")
    return number


def _rows(table: Table, layout: Layout, rejected: list[Rejected]) -> list[Series]:
    name_at = None if layout.series is None else table.columns.index(layout.series)
    series = []
    for row in table.rows:
        try:
            name = f"row {row.line}" if name_at is None else read_name(row.values[name_at])
            cells = zip(table.columns, row.values, strict=True)
            numbers = [read_cell(value, column) for at, (column, value) in enumerate(cells) if at != name_at]
            series += _trimmed(name, row.line, np.array([numbers]).T, None, rejected)
        except DataError as error:
            rejected.append(Rejected(row.line, str(error)))
    return series


def _collect(table: Table, layout: Layout, rejected: list[Rejected]) -> dict[str, _Steps]:
    """The rows of each series in the order of the file; all in one where each column is a series."""
    position = {column: place for place, column in enumerate(table.columns)}
    columns = (*layout.values, *layout.beside)
    found: dict[str, _Steps] = {}
    entries: Iterable[Row | Rejected] = sorted([*table.rows, *table.rejected], key=lambda entry: entry.line)
    for entry in entries:
        if isinstance(entry, Rejected):  # where nothing says when a row was, its place does
            if layout.time is None and layout.kind == "columns":
                _add(found.setdefault("", _Steps()), entry.line, None, [np.nan] * len(columns))
            continue
        try:
            name = "" if layout.series is None else read_name(entry.values[position[layout.series]])
            time = None if layout.time is None else read_time(entry.values[position[layout.time]])
        except DataError as error:
            rejected.append(Rejected(entry.line, str(error)))
            continue
        try:
            numbers = [read_cell(entry.values[position[column]], column) for column in columns]
        except DataError as error:
            rejected.append(Rejected(entry.line, str(error)))
            numbers = [np.nan] * len(columns)
        steps = found.setdefault(name, _Steps())
        if reason := _out_of_order(steps, time, name):
            rejected.append(Rejected(entry.line, reason))
            continue
        if time is not None and layout.time is not None and not steps.lines:
            steps.style = style_of(entry.values[position[layout.time]])
        _add(steps, entry.line, time, numbers)
    return found


def _frequency(table: Table, steps: dict[str, _Steps], expected: Frequency | None) -> Frequency:
    listed = [each.times for each in steps.values()]
    if expected is not None and all(len(times) < 2 for times in listed):
        return expected
    found = infer_frequency(listed, name=table.path.name)
    if expected not in (None, found):
        raise DataError(
            f"{table.path.name}: times are {found} apart, but this model was trained on steps of {expected}."
        )
    return found


def _add(steps: _Steps, line: int, time: Instant | None, numbers: list[float]) -> None:
    steps.lines.append(line)
    steps.numbers.append(numbers)
    if time is not None:
        steps.times.append(time)


def _out_of_order(steps: _Steps, time: Instant | None, name: str) -> str | None:
    """Why a time cannot come next, None where it can. Raises DataError where times run backwards."""
    if time is None or not steps.times:
        return None
    before, of = steps.times[-1], f" of series {name}" if name else ""
    dates = isinstance(time, datetime), isinstance(before, datetime)
    if dates[0] != dates[1]:
        kinds = ("a date", "numbers") if dates[0] else ("a number", "dates")
        return f"{time} is {kinds[0]}, the times before are {kinds[1]}"
    if isinstance(time, datetime) and isinstance(before, datetime):
        if (time.tzinfo is None) != (before.tzinfo is None):
            return "only some times have an offset from UTC"
        backwards, same = time < before, time == before
    else:
        backwards, same = float(time) < float(before), time == before  # type: ignore[arg-type]
    if same:
        return f"the time {time}{of} stands in line {steps.lines[-1]} already"
    if backwards:
        raise DataError(
            f"times{of} run backwards: {time} comes after {before}, which is in line {steps.lines[-1]}. Sort the rows "
            "by time; where several series are mixed, name the column that tells them apart: --set data.series=COLUMN"
        )
    return None


def _gridded(
    name: str, steps: _Steps, layout: Layout, frequency: Frequency | None, rejected: list[Rejected]
) -> list[Series]:
    """The series of these rows, a missing step for each time there is no row of."""
    width = len(layout.values) + len(layout.beside)
    if frequency is None or not steps.times:
        clock, grid = None, np.array(steps.numbers).reshape(-1, width)
    else:
        clock = Clock(steps.times[0], frequency, steps.style)
        places: list[int] = []
        kept: list[list[float]] = []
        for line, time, numbers in zip(steps.lines, steps.times, steps.numbers, strict=True):
            try:
                place = _next_place(clock, time, places)
            except DataError as error:
                rejected.append(Rejected(line, str(error)))
                continue
            places.append(place)
            kept.append(numbers)
        grid = np.full((places[-1] + 1, width), np.nan)
        grid[places] = kept
    beside = grid[:, len(layout.values) :]
    found: list[Series] = []
    for column, value in enumerate(layout.values):
        whole = np.concatenate([grid[:, column : column + 1], beside], axis=1)
        found += _trimmed(name or value, steps.lines[0], whole, clock, rejected)
    return found


def _next_place(clock: Clock, time: Instant, places: list[int]) -> int:
    place = clock.step(time)
    if places and place <= places[-1]:
        raise DataError(f"the time {time} is a step there is already")
    if places and place - places[-1] > max(FAR, FAR_TIMES * len(places)):
        raise DataError(f"the time {time} lies {place - places[-1]:,} steps after the one before")
    return place


def _trimmed(name: str, line: int, grid: Numbers, clock: Clock | None, rejected: list[Rejected]) -> list[Series]:
    """The series from its first value to its last; none where it has no value."""
    known = np.flatnonzero(np.isfinite(grid[:, 0]))
    if not len(known):
        rejected.append(Rejected(line, f"series {name} has no value"))
        return []
    whole = Series(name, line, grid[:, 0], grid[:, 1:], clock)
    return [whole.cut(int(known[0]), int(known[-1]) + 1)]


def _told_apart(series: list[Series], rejected: list[Rejected]) -> list[Series]:
    """Each name once; a series with a name that was there before is refused."""
    found: dict[str, Series] = {}
    for one in series:
        if one.name in found:
            rejected.append(Rejected(one.line, f"series {one.name} stands in line {found[one.name].line} already"))
        else:
            found[one.name] = one
    return list(found.values())


def read_name(value: Value) -> str:
    """The name of a series, without surrounding blanks. Raises DataError where there is none."""
    if not isinstance(value, str) or not value.strip():
        raise DataError("no name of a series")
    return value.strip()
