"""What was found in series before anything is trained on them, each with the number that check.py explains."""

from collections.abc import Iterator

import numpy as np

from seqloom.config import Config
from seqloom.data.findings import Finding, Level
from seqloom.data.rows import RejectedRow
from seqloom.data.series import Series
from seqloom.data.series_prepare import GatheredSeries, prepare_series
from seqloom.errors import DataError

SHOWN = 5


def check_series(gathered: GatheredSeries, config: Config) -> tuple[list[Finding], list[RejectedRow]]:
    """The findings, in order of their numbers, and every row or series that was refused."""
    read = sum(len(table.rows) for table in gathered.files.values())
    try:
        prepared = prepare_series(gathered, config)
    except DataError as error:
        grave = Finding("D601", "error", f"training could not start: {error}")
        return [*_used(read, gathered.rejected, gathered.notes), *_lengths(gathered.series), grave], gathered.rejected
    parts = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
    counts = ", ".join(f"{len(windows):,} {part}" for part, windows in parts.items())
    reader = prepared.targets.reader
    found: list[Finding] = [
        *_used(read, prepared.rejected, prepared.notes),
        *_lengths(prepared.series),
        *_flat(prepared.series),
        Finding("D704", "ok", f"windows of up to {reader.context:,} steps that forecast {reader.horizon:,}: {counts}"),
    ]
    return sorted(found), prepared.rejected


def _used(read: int, rejected: list[RejectedRow], notes: list[str]) -> Iterator[Finding]:
    grave: Level = "error" if 2 * len(rejected) > read else "warning"
    level: Level = grave if rejected else "ok"
    yield Finding("D101", level, f"{read:,} rows read, {len(rejected):,} rows or series rejected")
    for row in rejected[:SHOWN]:
        yield Finding("D102", grave, f"{row.file}, line {row.line}: {row.reason}")
    if len(rejected) > SHOWN:
        yield Finding("D102", grave, f"and {len(rejected) - SHOWN:,} more; --json lists them all")
    for note in notes:
        yield Finding("D103", "note", note)


def _lengths(series: list[Series]) -> Iterator[Finding]:
    steps = sorted(one.steps for one in series)
    middle = steps[len(steps) // 2]
    said = f"{len(steps):,} series of {steps[0]:,} to {steps[-1]:,} steps, half of them to {middle:,}"
    yield Finding("D701", "ok", said)
    missing = {one.name: int(np.isnan(one.values).sum()) for one in series}
    if total := sum(missing.values()):
        worst = max(missing, key=lambda name: missing[name])
        share = total / sum(steps)
        text = f"{total:,} steps ({share:.1%}) have no value, most of them in series {worst}: {missing[worst]:,}"
        yield Finding("D702", "warning" if share > 0.1 else "note", text)


def _flat(series: list[Series]) -> Iterator[Finding]:
    flat = [one.name for one in series if np.nanmin(one.values) == np.nanmax(one.values)]
    if flat:
        said = f"{len(flat):,} series never change, such as {flat[0]}: mase cannot be computed of them"
        yield Finding("D703", "note", said)
