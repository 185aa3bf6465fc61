"""Which column of a table of numbers is what: a row a step of a series, or a row a sample; inferred, and said.

A table is one of numbers where --input names such columns, and where there is no text to read.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqloom.config import DataSettings, Task
from seqloom.data.columns import MOST_CLASSES, split_column, targets_by_name
from seqloom.data.numbers import NumbersLayout
from seqloom.data.rows import Table, Value
from seqloom.data.series_layout import SERIES_NAMES, TIME_NAMES, column_kinds
from seqloom.errors import DataError

NAMES_SAMPLES = 0.75  # the share of series with one label at most, from which a column is taken for their name


class Found(NamedTuple):
    """The layout of a table, the column to learn, the one that says which rows are for what, and what was inferred."""

    layout: NumbersLayout
    target: str
    split: str | None
    notes: list[str]


def infer_numbers(table: Table, settings: DataSettings, *, task: Task | None) -> Found | None:
    """How a table of numbers is read; None where it is a table of texts, or the task is another.

    Raises DataError where --input names columns that hold no numbers, and where the target cannot be inferred.
    """
    if task not in (None, "classify", "regress"):
        return None
    kinds = column_kinds(table)
    asked = _asked(table, settings)
    if asked is not None and not _are_numbers(table, kinds, asked, settings):
        return None
    for column, option in ((settings.target, "--target"), (settings.series, "--set data.series=")):
        if column is not None:
            table.position(column, option=option)
    if settings.time is not None:
        table.position(settings.time, option="--set data.time=")
    split = split_column(table, taken=(*(asked or ()), settings.target))
    taken = [column for column in (split, *(asked or ())) if column is not None]
    target, why = _target(table, kinds, settings, taken=taken)
    free = [column for column in table.columns if column not in (target, *taken)]
    time = settings.time or _time(kinds, free)
    series = settings.series or _series(table, kinds, [column for column in free if column != time], target, time=time)
    named = None if series or settings.time else _names(table, kinds, free)
    apart = (target, series, named) if series is None else (target, series, time)
    texts = [column for column in free if kinds[column] == "text" and column not in apart]
    if asked is None and texts and settings.series is None:
        return None
    inputs = asked or tuple(column for column in free if kinds[column] == "number" and column not in apart)
    if not inputs or target is None:
        return None
    notes = [f"target: {target} ({why})"] * (settings.target is None)
    notes += [f"split: {split} (column that says train, valid or test)"] * (split is not None)
    if series is None:
        layout = NumbersLayout("rows", inputs, named)
        notes.append(f"layout: each row is a sample{f', named by {named}' if named else ''}: {layout.listed}")
    else:
        layout = NumbersLayout("long", inputs, series, time)
        order = f" in the order of {time}" if time else " in the order of the file"
        notes.append(f"layout: each row is a step of the series that {series} names,{order}: {layout.listed}")
    left = [column for column in free if column not in (*inputs, series, time if series else None, named)]
    notes += [f"not read: {', '.join(left[:10])}"] * bool(left)
    return Found(layout, target, split, notes)


def _asked(table: Table, settings: DataSettings) -> tuple[str, ...] | None:
    """The columns that --input names; None where it does not, or names one that is not there, as texts may be."""
    if settings.input is None:
        return None
    if settings.input in table.columns:
        return (settings.input,)
    names = tuple(name.strip() for name in settings.input.split(",") if name.strip())
    if len(names) < 2:
        return None
    for name in names:
        table.position(name, option="--input")
    return names


def _are_numbers(table: Table, kinds: Mapping[str, str], asked: Sequence[str], settings: DataSettings) -> bool:
    """Whether the columns that are asked for hold numbers: several must, a single one may be a text."""
    texts = [column for column in asked if kinds[column] != "number"]
    if texts and len(asked) > 1:
        raise DataError(
            f'{table.path.name}: column "{texts[0]}" holds no numbers. Give --input a single column of texts, or '
            "columns of numbers only."
        )
    return not texts and settings.tokens is None


def _target(
    table: Table, kinds: Mapping[str, str], settings: DataSettings, *, taken: Sequence[str]
) -> tuple[str | None, str]:
    """The column to learn and why: by its name, or the only text, of few values. None where there is none such."""
    if settings.target is not None:
        return settings.target, "as given"
    free = [c for c in table.columns if c not in (*taken, settings.series, settings.time)]
    if named := targets_by_name(table, free):
        return named[0], "by its name"
    texts = [column for column in free if kinds[column] == "text" and column.lower() not in SERIES_NAMES]
    numbers = [column for column in free if kinds[column] == "number"]
    if len(texts) == 1 and len(numbers) + len(taken) > 1:
        distinct = len(set(table.values(texts[0])))
        if 2 <= distinct <= min(MOST_CLASSES, len(table.rows) // 2):
            return texts[0], f"the only column of texts, {distinct} different ones"
    return None, ""


def _time(kinds: Mapping[str, str], free: Sequence[str]) -> str | None:
    named = [column for column in free if column.lower() in TIME_NAMES and kinds[column] in ("time", "number")]
    return next(iter(named + [column for column in free if kinds[column] == "time"]), None)


def _series(
    table: Table, kinds: Mapping[str, str], free: Sequence[str], target: str | None, *, time: str | None
) -> str | None:
    """The column that names the series of which rows are steps: there are times, and each has one label."""
    if time is None:
        return None
    for column in free:
        if column.lower() in SERIES_NAMES and kinds[column] in ("text", "number"):
            labels: dict[Value, set[Value]] = {}
            for name, label in zip(table.values(column), table.values(target or column), strict=True):
                labels.setdefault(name, set()).add(label)
            alike = sum(len(own - {""}) <= 1 for own in labels.values())
            if len(labels) < len(table.rows) and alike >= NAMES_SAMPLES * len(labels):
                return column
    return None


def _names(table: Table, kinds: Mapping[str, str], free: Sequence[str]) -> str | None:
    """A column that names each row: called as such columns are, no value twice, and no measured number."""
    for column in free:
        values = table.values(column)
        whole = kinds[column] == "text" or all(str(value).strip().isdecimal() for value in values)
        if column.lower() in SERIES_NAMES and whole and len(set(values)) == len(values):
            return column
    return None
