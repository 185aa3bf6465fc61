"""Tables of what is seen and its captions: which column is which, and what the rows show, each file read once.

The counterpart of pairs.py for `caption`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from seqloom.data.images import ENDINGS, FEATURES_ENDING
from seqloom.data.rows import Rejected, Row, Table, Value
from seqloom.data.seen import Seen
from seqloom.data.sight import Sight
from seqloom.data.targets import is_number
from seqloom.errors import DataError

SEEN_NAMES = ("image", "picture", "photo", "img", "file", "filename", "file_name", "path", "features")
CAPTION_NAMES = ("caption", "captions", "description", "text", "sentence", "title")
NEARLY_ALL = 0.9
KEPT = 1 << 30  # bytes of pixels that stay in memory; other images are decoded each time that they are read


class Captioned(NamedTuple):
    """The column of what is seen (several with commas between them), that of the captions, and what was inferred."""

    input: str
    target: str
    notes: tuple[str, ...]


def find_captions(table: Table, free: Sequence[str], *, input: str | None, target: str | None) -> Captioned | None:
    """The columns, where one names files of images or features and another has captions, by its name; or None."""
    seen = input or _of_files(table, free)
    if seen is None or not _names_files(table.values(seen)):
        return None
    named = target or _by_name([column for column in free if column != seen], CAPTION_NAMES)
    if named is None or named.lower() not in CAPTION_NAMES:
        return None
    notes = [f"input: {seen} (names files)"] * (input is None) + [f"target: {named} (by its name)"] * (target is None)
    return Captioned(seen, named, tuple(notes))


def require_captions(table: Table, free: Sequence[str], *, input: str | None, target: str | None) -> Captioned:
    """The columns, where the task is known: numbers may be read too, and any texts are captions.

    Raises DataError where there are none.
    """
    notes = []
    seen, why = input, ""
    if seen is None:
        rest = [column for column in free if column != target]
        seen, why = _of_files(table, rest), "names files"
        if seen is None and (lists := [column for column in rest if _holds_lists(table.values(column))]):
            seen, why = lists[0], "holds lists of numbers"
        if seen is None and (numbers := [column for column in rest if all(map(is_number, table.values(column)))]):
            seen, why = ",".join(numbers), "the columns of numbers"
        if seen is None:
            raise DataError(
                f"{_listed(table)} has no column of image files, .npy files or numbers: for caption one is seen. "
                "Name it with --input, several columns of numbers with commas between them."
            )
        notes.append(f"input: {_short(seen)} ({why})")
    if target is None:
        texts = [column for column in free if column not in seen.split(",") and column != seen]
        target, why = _by_name(texts, CAPTION_NAMES), "by its name"
        if target is None and texts:
            target, why = max(texts, key=lambda column: _letters(table.values(column))), "longest text column"
        if target is None or not _letters(table.values(target)):
            raise DataError(f"{_listed(table)} has no column of captions. Name it with --target.")
        notes.append(f"target: {target} ({why})")
    return Captioned(seen, target, tuple(notes))


def joined(table: Table, name: str | None) -> Table:
    """The table with one column more where `name` is that of several, with commas between them: their cells as a list.

    As it is where `name` is that of a column, or one of the columns is not there.
    """
    parts = [part.strip() for part in (name or "").split(",")]
    if name is None or name in table.columns or len(parts) < 2 or not set(parts) <= set(table.columns):
        return table
    places = [table.columns.index(part) for part in parts]
    rows = [Row(row.line, (*row.values, tuple(str(row.values[place]) for place in places))) for row in table.rows]
    return replace(table, columns=(*table.columns, name), rows=rows)


class Album:
    """What the rows of one or more tables show: each file is read once, and so much stays in memory as there is room.

    `sight` says how. Where a table has files, they lie in its folder or beneath.
    """

    def __init__(self, sight: Sight, *, room: int = KEPT) -> None:
        self._sight, self._room = sight, room
        self._known: dict[tuple[Path, Value], Seen] = {}

    def of(self, table: Table, column: str) -> Table:
        """The table with what each row shows in `seen`; a row that shows nothing joins the rejected.

        Raises DataError where the column is not there.
        """
        table = joined(table, column)
        position = table.position(column, option="--input")
        seen: dict[int, Seen] = {}
        rejected = list(table.rejected)
        for row in table.rows:
            try:
                seen[row.line] = self._see(row.values[position], table.path.parent)
            except DataError as error:
                rejected.append(Rejected(row.line, str(error)))
        return replace(table, rows=[row for row in table.rows if row.line in seen], rejected=rejected, seen=seen)

    def _see(self, value: Value, folder: Path) -> Seen:
        if not isinstance(value, str):
            return self._sight.read(value, folder)  # numbers of its own
        if (found := self._known.get((folder, value))) is None:
            found = self._known[folder, value] = self._sight.read(value, folder, keep=self._room > 0)
            self._room -= 0 if found.kept is None else found.kept.nbytes
        return found


def fingerprint(table: Table) -> str:
    """One sha256 of all that the rows of a table show, in their order."""
    return hashlib.sha256("".join(table.seen[row.line].digest for row in table.rows).encode()).hexdigest()


def _of_files(table: Table, columns: Sequence[str]) -> str | None:
    files = [column for column in columns if _names_files(table.values(column))]
    return _by_name(files, SEEN_NAMES) or (files[0] if files else None)


def _names_files(values: Sequence[Value]) -> bool:
    """Whether nearly all values end as the names of images or of features do."""
    endings = (*ENDINGS, FEATURES_ENDING)
    files = sum(isinstance(value, str) and value.strip().lower().endswith(endings) for value in values)
    return files >= NEARLY_ALL * len(values)


def _holds_lists(values: Sequence[Value]) -> bool:
    """Whether nearly all values are several numbers each."""
    several = (value if isinstance(value, tuple) else tuple(value.replace(",", " ").split()) for value in values)
    return sum(len(value) > 1 and all(map(is_number, value)) for value in several) >= NEARLY_ALL * len(values)


def _by_name(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column with the most telling name."""
    named = {column.lower(): column for column in columns}
    return next((named[name] for name in names if name in named), None)


def _letters(values: Sequence[Value]) -> int:
    """How many characters the texts of a column have; numbers and lists are not texts."""
    return sum(len(value) for value in values if isinstance(value, str) and not is_number(value))


def _short(columns: str) -> str:
    names = columns.split(",")
    return columns if len(names) <= 4 else f"{names[0]},{names[1]} and {len(names) - 2} more"


def _listed(table: Table) -> str:
    return f"{table.path.name} (columns: {', '.join(table.columns)})"
