"""Two columns of texts: which is read and which is written in answer, by their names or by their order.

Where several could be meant, none is guessed: a model trained in the wrong direction is found out too late.
"""

from collections.abc import Sequence
from typing import NamedTuple

from seqloom.data.rows import Table, Value
from seqloom.data.targets import is_number
from seqloom.errors import DataError

READ = ("source", "src", "input", "question", "message", "prompt", "query", "word", "grapheme", "graphemes")
WRITTEN = (
    *("target", "tgt", "trg", "output", "answer", "reply", "response", "translation"),
    *("pronunciation", "phoneme", "phonemes", "ipa"),
)
LANGUAGES = frozenset(
    """
    arabic bengali bulgarian chinese croatian czech danish dutch english estonian finnish french german greek hebrew
    hindi hungarian indonesian irish italian japanese korean latin latvian lithuanian norwegian persian polish
    portuguese romanian russian serbian slovak slovenian spanish swedish thai turkish ukrainian urdu vietnamese welsh
    af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy is it ja ka kk km kn ko la
    lo lt lv mk ml mn mr ms mt my nb ne nl nn no pa pl ps pt ro ru sd si sk sl so sq sr sv sw ta te th tl tr uk ur uz vi
    xh yi zh zu
    """.split()  # noqa: SIM905 - a page of lists says no more
)


class Pair(NamedTuple):
    """The column that is read, the one that is written in answer, what was inferred, and whether from names alone."""

    input: str
    target: str
    notes: tuple[str, ...]
    named: bool


def infer_pair(table: Table, free: Sequence[str], *, input: str | None, target: str | None) -> Pair:
    """The two columns of texts, where `free` may be chosen from for what is not given: by name, else in order.

    Raises DataError where there are not two, or several could be meant.
    """
    columns = [column for column in free if column not in (input, target)]
    texts = columns if len(columns) <= 2 else [column for column in columns if _holds_text(table.values(column))]
    sides = _by_name(texts, {"input": (input, "given"), "target": (target, "given")})
    missing = [side for side, (column, _) in sides.items() if column is None]
    left = [column for column in texts if column not in (sides["input"][0], sides["target"][0])]
    languages = [column for column in left if _is_language(column)]
    found, what = (languages, "language") if len(languages) == len(missing) else (left, "column of texts")
    if missing and len(found) != len(missing):
        raise DataError(_why_not(table, missing, found))
    order = ("first", "second") if len(missing) > 1 else ("only other",)
    sides |= {side: (column, f"the {place} {what}") for side, column, place in zip(missing, found, order, strict=False)}
    notes = tuple(f"{side}: {column} ({why})" for side, (column, why) in sides.items() if why != "given")
    return Pair(str(sides["input"][0]), str(sides["target"][0]), notes, named=not missing or found is languages)


def _by_name(columns: Sequence[str], sides: dict[str, tuple[str | None, str]]) -> dict[str, tuple[str | None, str]]:
    """The sides, filled with the columns that have a name which tells, the most telling first."""
    filled = dict(sides)
    for side, names in (("input", READ), ("target", WRITTEN)):
        named = {column.lower(): column for column in columns}
        if filled[side][0] is None and (telling := next((name for name in names if name in named), None)):
            filled[side] = (named[telling], "by its name")
    return filled


def _why_not(table: Table, missing: list[str], found: list[str]) -> str:
    listed = f"{table.path.name} (columns: {', '.join(table.columns)})"
    options = " and ".join(f"--{side}" for side in missing)
    if len(found) < len(missing):
        return (
            f"{listed} has too few columns of texts: for translate one is read, and another is written in answer. "
            f"Give a file that has both, or name them with {options}."
        )
    return f"which column of {listed} is the {' and which the '.join(missing)} cannot be inferred. Name with {options}."


def _is_language(column: str) -> bool:
    """Whether the name is that of a language or its code, with a region or without: english, en, pt-BR."""
    name, _, region = column.lower().replace("_", "-").partition("-")
    return name in LANGUAGES and len(region) in (0, 2)


def _holds_text(values: Sequence[Value]) -> bool:
    texts = sum(isinstance(value, str) and bool(value.strip()) and not is_number(value) for value in values)
    return 2 * texts > len(values)
