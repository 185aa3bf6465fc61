"""One row to one example, the same for training, evaluation and prediction; a bad row keeps its place and reason."""

from typing import NamedTuple

from seqloom.data.rows import Rejected, Row, Table, Value
from seqloom.data.targets import Target, Targets
from seqloom.errors import DataError
from seqloom.text import Tokeniser, Vocabulary

KINDS: dict[type, str] = {tuple: "a list", list: "a list", int: "a number", float: "a number", type(None): "None"}


class Example(NamedTuple):
    """One row as a model takes it: its line in the file, its text, token ids, and encoded target where there is one."""

    line: int
    text: str
    ids: list[int]
    target: Target | None


def encode_rows(
    table: Table,
    *,
    input: str,
    target: str | None,
    tokeniser: Tokeniser,
    vocabulary: Vocabulary,
    targets: Targets | None,
    max_length: int | None,
) -> list[Example | Rejected]:
    """Each record of the table in order of its line: an example, or why it cannot be one.

    Without `target` the examples have none. At most `max_length` ids are kept. Raises DataError for a missing column.
    """
    input_at = table.position(input, option="--input")
    target_at = None if target is None else table.position(target, option="--target")
    encoded: list[Example | Rejected] = list(table.rejected)
    for row in table.rows:
        try:
            text = read_text(row.values[input_at])
            ids = vocabulary.encode(tokeniser.texts(text))[:max_length]
            if not ids:
                raise DataError("no tokens in the text")
            answer = None if target_at is None or targets is None else targets.encode(row.values[target_at])
            encoded.append(Example(row.line, text, ids, answer))
        except DataError as error:
            encoded.append(Rejected(row.line, str(error)))
    return sorted(encoded, key=_line)


def read_text(value: Value) -> str:
    """The text to read. Raises DataError where it is empty or blank, or no text, as values from Python may be."""
    if not isinstance(value, str):
        raise DataError(f"{KINDS.get(type(value), f'a {type(value).__name__}')} where a text is needed")
    if not value.strip():
        raise DataError("empty text")
    return value


def _line(entry: Row | Example | Rejected) -> int:
    return entry.line
