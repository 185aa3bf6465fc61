"""Which column of a table of series is what: three layouts, told apart by names and values, and said.

`long`, a row a step with a column that names the series; `columns`, a row a step and a column a series; `rows`, a row a
series: its name, then its values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from seqloom.config import DataSettings
from seqloom.data.rows import Table, Value
from seqloom.data.series_times import is_time
from seqloom.data.targets import is_number
from seqloom.errors import DataError

TIME_NAMES = (
    "time",
    "date",
    "datetime",
    "timestamp",
    "ds",
    "day",
    "hour",
    "week",
    "month",
    "quarter",
    "year",
    "period",
)
SERIES_NAMES = ("series", "series_id", "unique_id", "id", "item", "item_id", "name", "store", "product", "sensor")
VALUE_NAMES = ("value", "y", "target", "sales", "demand", "count", "amount")
SAMPLED = 200
MOSTLY = 0.9
FEWEST_COLUMNS = 8  # of a file with a row a series


@dataclass(frozen=True)
class Layout:
    """Which column is what. `values` are the columns of numbers to forecast, `beside` those read beside them.

    Of the layout rows there are none: each row after its name is a series.
    """

    kind: Literal["long", "columns", "rows"]
    series: str | None
    time: str | None
    values: tuple[str, ...]
    beside: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving."""
        return {"kind": self.kind, "series": self.series, "time": self.time, "values": list(self.values)}


def looks_like_series(table: Table) -> bool:
    """Whether a table can only be series: numbers over time, or long rows of numbers, and no text to read."""
    kinds = column_kinds(table)
    texts = [column for column, kind in kinds.items() if kind == "text"]
    numbers = [column for column, kind in kinds.items() if kind == "number"]
    times = [column for column, kind in kinds.items() if kind == "time"]
    if times and numbers:
        names = [one for one in texts if one.lower() in SERIES_NAMES or _tells_apart(table, one, time=times[0])]
        return len(times) == 1 and len(names) == len(texts) <= 1
    return not times and len(texts) <= 1 and _has_rows(table, kinds, name=texts[0] if texts else None)


def _tells_apart(table: Table, column: str, *, time: str) -> bool:
    """Whether each time stands once beside each value of `column`, and some stand beside several."""
    times = table.values(time)
    pairs = set(zip(table.values(column), times, strict=True))
    return len(pairs) == len(times) > len(set(times))


def infer_layout(table: Table, settings: DataSettings) -> tuple[Layout, list[str]]:
    """The layout of a table, and what of it was inferred. Raises DataError where columns are missing or ambiguous."""
    beside = tuple(name.strip() for name in (settings.input or "").split(",") if name.strip())
    for column, option in (
        (settings.series, "--set data.series="),
        (settings.time, "--set data.time="),
        (settings.target, "--target"),
        *((name, "--input") for name in beside),
    ):
        if column is not None:
            table.position(column, option=option)
    kinds, notes = column_kinds(table), list[str]()
    time = settings.time or _time_column(kinds, taken=(settings.series, settings.target, *beside))
    if time is not None and settings.time is None:
        notes.append(f"time: {time}")
    free = [column for column in table.columns if column not in (time, settings.series, *beside)]
    name = settings.series or _series_column(table, kinds, free, time=time)
    if time is None and settings.target is None and not beside and _has_rows(table, kinds, name=name):
        notes.append(f"layout: each row is a series{f', named by {name}' if name else ''}")
        return Layout("rows", name, None, ()), notes
    numbers = [column for column in free if column != name and kinds[column] == "number"]
    if settings.target is not None:
        numbers = [settings.target]
    if not numbers:
        raise DataError(
            f"{table.path.name} has no column of numbers to forecast (columns: {', '.join(table.columns)}). "
            "Name it with --target."
        )
    if name is not None:
        value, why = _value_column(table, numbers)
        said = "" if settings.series else f", the series is named by {name}"
        notes.append(f"layout: each row is a step of one series{said}; target: {value}{why}")
        left = [column for column in numbers if column != value]
        return Layout("long", name, time, (value,), beside), notes + _left(left, value)
    listed = ", ".join(numbers[:10]) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
    many = f"{len(numbers)} series" if len(numbers) > 1 else "one series"
    notes.append(f"layout: each row is a step of {many}: {listed}")
    others = [column for column in free if column not in numbers and kinds[column] == "number"]
    return Layout("columns", None, time, tuple(numbers), beside), notes + _left(others, numbers[0])


def column_kinds(table: Table) -> dict[str, Literal["time", "number", "text", "empty"]]:
    """What the values of each column are, judged by some of them."""
    every = max(1, len(table.rows) // SAMPLED)
    rows, found = table.rows[::every], dict[str, Literal["time", "number", "text", "empty"]]()
    for position, column in enumerate(table.columns):
        values = [row.values[position] for row in rows if row.values[position] not in ("", ())]
        texts = [value for value in values if not (isinstance(value, str) and not value.strip())]
        enough = MOSTLY * len(texts)
        if not texts:
            found[column] = "empty"
        elif sum(map(is_time, texts)) >= enough:
            found[column] = "time"
        else:
            found[column] = "number" if sum(map(is_number, texts)) >= enough else "text"
    return found


def _time_column(kinds: dict[str, Any], *, taken: Sequence[str | None]) -> str | None:
    free = [column for column in kinds if column not in taken]
    named = [column for column in free if column.lower() in TIME_NAMES and kinds[column] in ("time", "number")]
    return next(iter(named + [column for column in free if kinds[column] == "time"]), None)


def _series_column(table: Table, kinds: dict[str, Any], free: list[str], *, time: str | None) -> str | None:
    """The column that tells series apart: by its name, or texts where there is only one such column."""
    named = [column for column in free if column.lower() in SERIES_NAMES and kinds[column] in ("text", "number")]
    texts = [column for column in free if kinds[column] == "text"]
    for column in [*named[:1], *texts[: 2 - len(texts)]]:
        distinct = len(set(table.values(column)))
        if distinct < len(table.rows) or time is None or len(table.rows) == 1:
            return column
    return None


def _has_rows(table: Table, kinds: dict[str, Any], *, name: str | None) -> bool:
    """Whether each row is a series: names that differ, or none, and below many columns nothing but numbers."""
    others = [column for column in table.columns if column != name]
    odd = [column for column in others if kinds[column] not in ("number", "empty")]
    if len(others) < FEWEST_COLUMNS or not all(_half_numbers(table.values(column)) for column in odd):
        return False
    if name is None:
        return len(others) > 3 * len(table.rows)
    values = table.values(name)
    return 2 * len(set(values)) > len(values)


def _half_numbers(values: Sequence[Value]) -> bool:
    return 2 * sum(map(is_number, values)) >= len(values)


def _value_column(table: Table, numbers: list[str]) -> tuple[str, str]:
    if len(numbers) == 1:
        return numbers[0], ""
    named = sorted(
        (column for column in numbers if column.lower() in VALUE_NAMES),
        key=lambda column: VALUE_NAMES.index(column.lower()),
    )
    if named:
        return named[0], " (by its name)"
    raise DataError(
        f"what to forecast cannot be inferred from {table.path.name}: {', '.join(numbers[:20])} are all numbers. "
        "Name the column with --target."
    )


def _left(columns: Sequence[str], target: str) -> list[str]:
    if not columns:
        return []
    shown = ",".join(columns[:5])
    return [f"not read: {', '.join(columns[:10])}. To read columns beside {target}: --input {shown}"]
