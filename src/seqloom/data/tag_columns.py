"""Two columns of lists, which are the words and which are their tags: by their names, or by their order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from seqloom.data.kept import chosen
from seqloom.data.rows import Table, Value
from seqloom.errors import DataError

WORD_NAMES = ("form", "tokens", "words", "token", "word")
TAG_NAMES = ("upos", "tags", "tag", "ner_tags", "pos_tags", "ner", "pos", "labels", "label", "target")
NEARLY_ALL = 0.9
LOOKED_AT = 10_000  # rows, evenly spread over the file, that tell what its columns hold


class Tagged(NamedTuple):
    """The column of the words, that of the tags, and what was inferred."""

    input: str
    target: str
    notes: tuple[str, ...]


def find_tags(table: Table, free: Sequence[str], *, input: str | None, target: str | None) -> Tagged | None:
    """The two columns where nearly all rows have lists of equal lengths, or None; `free` may be chosen from."""
    some = replace(table, rows=chosen(table.rows, range(0, len(table.rows), 1 + len(table.rows) // LOOKED_AT)))
    lists = [column for column in free if _are_lists(some.values(column))]
    words, why_words = (input, "") if input else _choose(lists, WORD_NAMES)
    tags, why_tags = (target, "") if target else _choose([one for one in lists if one != words], TAG_NAMES)
    if words is None or tags is None or not _equal_lengths(some.values(words), some.values(tags)):
        return None
    notes = [f"input: {words} ({why_words})"] * (input is None) + [f"target: {tags} ({why_tags})"] * (target is None)
    return Tagged(words, tags, tuple(notes))


def require_tags(table: Table, free: Sequence[str], *, input: str | None, target: str | None) -> Tagged:
    """As `find_tags`. Raises DataError where there are no such columns."""
    found = find_tags(table, free, input=input, target=target)
    if found is None:
        raise DataError(
            f"{table.path.name} (columns: {', '.join(table.columns)}) has no two columns of lists of equal lengths: "
            "for tag one has the words of a sentence, the other a tag for each. Give a CoNLL file (.conllu, .conll) or "
            "JSONL with two lists a row, and name them with --input and --target where they are not found."
        )
    return found


def _choose(columns: Sequence[str], names: Sequence[str]) -> tuple[str | None, str]:
    """The column with the most telling name, else the first; and why."""
    named = {column.lower(): column for column in columns}
    if telling := next((name for name in names if name in named), None):
        return named[telling], "by its name"
    return (columns[0], "the first column of lists") if columns else (None, "")


def _are_lists(values: Sequence[Value]) -> bool:
    return sum(isinstance(value, tuple) for value in values) >= NEARLY_ALL * len(values)


def _equal_lengths(words: Sequence[Value], tags: Sequence[Value]) -> bool:
    pairs = zip(words, tags, strict=True)
    equal = sum(isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) > 0 for a, b in pairs)
    return equal >= NEARLY_ALL * len(words)
