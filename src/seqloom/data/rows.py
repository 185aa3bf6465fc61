"""What every reader of files hands over: rows, the rows it had to refuse, and what it noticed.

A row is either used or reported with its line and reason; nothing in between.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from seqloom.data.kept import Keeper, each
from seqloom.data.seen import Seen
from seqloom.errors import DataError, nearest

Value = str | tuple[str, ...]

KINDS: dict[type, str] = {tuple: "a list", list: "a list", int: "a number", float: "a number", type(None): "None"}


class Row(NamedTuple):
    """One record: the line it starts on (the row's number in a Parquet file) and a value for each column."""

    line: int
    values: tuple[Value, ...]


class Rejected(NamedTuple):
    """One record that cannot be used: the line it starts on and why."""

    line: int
    reason: str


class RejectedRow(NamedTuple):
    """A row that was not used: its file, the line it starts on, and why."""

    file: str
    line: int
    reason: str


def first_of(rejected: Sequence[Rejected | RejectedRow]) -> str:
    """How a message ends that no row can be used: with the first reason."""
    return f". The first, in line {rejected[0].line}: {rejected[0].reason}." if rejected else "."


class Parsed(NamedTuple):
    """What is in a file, before it is known as a table."""

    columns: tuple[str, ...]
    rows: Sequence[Row]
    rejected: list[Rejected]
    notes: list[str]


@dataclass(frozen=True)
class Table:
    """The rows of one file in order, with the refused ones, what was noticed, and the sha256 of the file's bytes.

    `seen` has by their lines what the rows show, where images or features have been looked at.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Sequence[Row]
    rejected: list[Rejected]
    notes: list[str]
    fingerprint: str
    seen: Mapping[int, Seen] = field(default_factory=dict)

    def position(self, column: str, *, option: str) -> int:
        """Where `column` stands in each row. Raises DataError that names the columns and the `option` to mend."""
        if column in self.columns:
            return self.columns.index(column)
        hint = nearest(column, self.columns)
        advice = f"use {option} with one of them"
        if hint.startswith("did"):
            close = hint.removeprefix('did you mean "').removesuffix('"?')
            advice = f"{hint}   use {option} {shlex.quote(close)}"
        raise DataError(
            f'column "{column}" is not in {self.path.name} (columns: {", ".join(self.columns)})\n  {advice}'
        )

    def values(self, column: str) -> Sequence[Value]:
        """The values of one of the columns, row by row."""
        position = self.columns.index(column)
        return each(self.rows, lambda row: row.values[position])


def keep_rows() -> Keeper[Row]:
    """Where a reader puts the rows of a file, of which there may be more than memory holds."""
    return Keeper(tuple, _row)


def _row(plain: tuple[int, list[Any]]) -> Row:
    line, values = plain
    return Row(line, tuple(tuple(value) if isinstance(value, list) else value for value in values))


def table_of_texts(texts: Iterable[str | Sequence[str]], *, column: str = "text") -> Table:
    """A table with one column from texts, or lists of words, in memory; line 1 is the first of them."""
    # What is neither a text nor a list of words is refused where it is read.
    rows = [Row(line, (cast("Value", text),)) for line, text in enumerate(texts, start=1)]
    return Table(path=Path("texts"), columns=(column,), rows=rows, rejected=[], notes=[], fingerprint="")


def check_columns(columns: list[str], *, name: str) -> tuple[str, ...]:
    """The column names without surrounding blanks. Raises DataError for an empty or doubled name."""
    names = tuple(column.strip() for column in columns)
    for position, column in enumerate(names, start=1):
        if not column:
            raise DataError(
                f"{name}: column {position} of {len(names)} has no name. Each column needs one in the first line."
            )
        if column in names[: position - 1]:
            raise DataError(f'{name}: two columns are named "{column}". Rename one of them in the first line.')
    return names


def read_text(value: Value, *, role: str = "text") -> str:
    """The text to read. Raises DataError where it is empty or blank, or no text, as values from Python may be."""
    if not isinstance(value, str):
        raise DataError(f"{KINDS.get(type(value), f'a {type(value).__name__}')} where a text is needed")
    if not value.strip():
        raise DataError(f"empty {role}")
    return value
