"""From the rows of a table to samples: series of steps, or a row of features each, every fault with its line."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from seqloom.data.numbers import NumbersFile, NumbersLayout, Sample, without_end
from seqloom.data.rows import Rejected, Row, Table, Value
from seqloom.data.series_table import read_cell, read_name
from seqloom.data.series_times import Instant, read_time
from seqloom.errors import DataError


@dataclass
class _Steps:
    """The rows of one series so far, in order; `fault` is the row for which it cannot be used, and why."""

    line: int
    numbers: list[list[float]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # each with its first line
    part: str | None = None
    last: tuple[Instant, int] | None = None
    fault: Rejected | None = None


def read_samples(table: Table, layout: NumbersLayout, *, target: str | None, split: str | None = None) -> NumbersFile:
    """The samples of a table. A row of features with a cell that is no number is refused; a step with one is missing.

    A series is refused whose times run backwards, or which has several labels. Raises DataError for a missing column,
    and where no sample is left.
    """
    for column in (*layout.inputs, layout.series, layout.time, target):
        if column is not None and column not in table.columns:
            raise DataError(
                f'{table.path.name} has no column "{column}", which is needed '
                f"(columns: {', '.join(table.columns)}). Name a column of the file so, or leave out what needs it."
            )
    rejected = list(table.rejected)
    read = _rows if layout.kind == "rows" else _series
    samples = read(table, layout, rejected, target=target, split=split)
    if not samples:
        why = f". The first fault, in line {min(rejected).line}: {min(rejected).reason}." if rejected else "."
        raise DataError(f"{table.path.name}: no {'row' if layout.kind == 'rows' else 'series'} can be used{why}")
    notes = list(table.notes)
    if gaps := sum(bool(np.isnan(sample.values).any()) for sample in samples):
        what = "rows" if layout.kind == "rows" else "series"
        notes.append(f"{gaps:,} {what} have missing numbers: read as the mean, with a mark where training has them")
    return NumbersFile(table.path, layout, target or "", samples, sorted(rejected), notes, table.fingerprint, {})


def _rows(
    table: Table, layout: NumbersLayout, rejected: list[Rejected], *, target: str | None, split: str | None
) -> list[Sample]:
    inputs = [table.columns.index(column) for column in layout.inputs]
    samples = []
    for row in table.rows:
        try:
            name = f"line {row.line}" if layout.series is None else read_name(_cell(table, row, layout.series))
            numbers = [read_cell(row.values[at], column) for at, column in zip(inputs, layout.inputs, strict=True)]
            if np.isnan(numbers).all():
                raise DataError("no value")
            label, part = (None if c is None else _text(_cell(table, row, c)) for c in (target, split))
            samples.append(Sample(row.line, name, np.array([numbers]), label, part))
        except DataError as error:
            rejected.append(Rejected(row.line, str(error)))
    return samples


def _series(
    table: Table, layout: NumbersLayout, rejected: list[Rejected], *, target: str | None, split: str | None
) -> list[Sample]:
    assert layout.series is not None
    inputs = [table.columns.index(column) for column in layout.inputs]
    found: dict[str, _Steps] = {}
    for row in table.rows:
        try:
            name = read_name(_cell(table, row, layout.series))
            time = None if layout.time is None else read_time(_cell(table, row, layout.time))
            steps = found.setdefault(name, _Steps(row.line))
            if time is not None and steps.fault is None:
                _check_time(steps, time, row.line, name)
        except DataError as error:
            rejected.append(Rejected(row.line, str(error)))
            continue
        try:
            numbers = [read_cell(row.values[at], column) for at, column in zip(inputs, layout.inputs, strict=True)]
        except DataError as error:
            rejected.append(Rejected(row.line, str(error)))
            numbers = [np.nan] * len(layout.inputs)
        steps.numbers.append(numbers)
        label, part = ("" if c is None else _text(_cell(table, row, c)) for c in (target, split))
        if label:
            steps.labels.setdefault(label, row.line)
        steps.part = steps.part or part or None
    samples = []
    for name, steps in found.items():
        try:
            if steps.fault is not None:
                raise DataError(steps.fault.reason)
            samples.append(_sample(name, steps))
        except DataError as error:
            rejected.append(Rejected(steps.fault.line if steps.fault else steps.line, f"series {name}: {error}"))
    return samples


def _sample(name: str, steps: _Steps) -> Sample:
    if len(steps.labels) > 1:
        (first, line), (second, other) = list(steps.labels.items())[:2]
        raise DataError(f'it has the label "{first}" in line {line}, and "{second}" in line {other}')
    values = without_end(np.array(steps.numbers).reshape(len(steps.numbers), -1))
    if not len(values):
        raise DataError("no value")
    return Sample(steps.line, name, values, next(iter(steps.labels), ""), steps.part)


def _check_time(steps: _Steps, time: Instant, line: int, name: str) -> None:
    """Raise DataError for a time that is there already; remember that a series is at fault whose times run back."""
    if steps.last is not None:
        before, at = steps.last
        if _kind(time) != _kind(before):
            raise DataError(f"{time} of series {name} is not the kind of time that {before} in line {at} is")
        if time == before:
            raise DataError(f"the time {time} of series {name} stands in line {at} already")
        if time < before:  # type: ignore[operator]
            why = f"times run backwards: {time} comes after {before}, which is in line {at}. Sort the rows by time"
            steps.fault = Rejected(line, why)
            return
    steps.last = time, line


def _kind(time: Instant) -> tuple[bool, bool]:
    """Whether it is a date, and one with an offset: only times of one kind can be compared."""
    return isinstance(time, datetime), isinstance(time, datetime) and time.tzinfo is not None


def _cell(table: Table, row: Row, column: str) -> Value:
    return row.values[table.columns.index(column)]


def _text(value: Value) -> str:
    return value.strip() if isinstance(value, str) else "|".join(value)
