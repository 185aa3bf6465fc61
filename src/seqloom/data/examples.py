"""One row to one example, the same for training, evaluation and prediction; a bad row keeps its place and reason."""

from typing import NamedTuple

from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.rows import Rejected, Row, Table, Value, read_text
from seqloom.data.seen import Seen
from seqloom.data.tag_targets import TagTargets, as_text, read_tags
from seqloom.data.tagged import Spelled, Speller
from seqloom.data.targets import Target, Targets
from seqloom.data.text_targets import AnyTargets, TextTargets
from seqloom.errors import DataError
from seqloom.text import Tokeniser, Vocabulary


class Example(NamedTuple):
    """One row as a model takes it: its line in the file, its text, token ids, and encoded target where there is one.

    `target_text` is the target as it was given, where that is a text: what an answer is compared with.
    `spelled` are the words of a sentence that is tagged; `seen` is what a caption is written for, which has no ids.
    """

    line: int
    text: str
    ids: list[int]
    target: Target | None
    target_text: str | None = None
    spelled: Spelled | None = None
    seen: Seen | None = None

    @property
    def source(self) -> list[int] | Seen:
        """What is read step by step, or seen region by region."""
        return self.ids if self.seen is None else self.seen

    @property
    def key(self) -> str:
        """The same for rows that have the same to answer."""
        return self.text if self.seen is None else self.seen.digest


def encode_rows(
    table: Table,
    *,
    input: str,
    target: str | None,
    tokeniser: Tokeniser,
    vocabulary: Vocabulary,
    targets: AnyTargets | None,
    max_length: int | None,
) -> list[Example | Rejected]:
    """Each record of the table in order of its line: an example, or why it cannot be one.

    Without `target` the examples have none. At most `max_length` ids are kept, of a target that is a text too.
    Raises DataError for a missing column.
    """
    input_at = table.position(input, option="--input")
    target_at = None if target is None else table.position(target, option="--target")
    if isinstance(targets, CaptionTargets):
        return _encode_seen(table, input_at, target_at, targets, max_length=max_length)
    if isinstance(targets, TagTargets):
        return _encode_tagged(table, input_at, target_at, Speller(tokeniser, vocabulary, targets), targets)
    encoded: list[Example | Rejected] = list(table.rejected)
    for row in table.rows:
        try:
            text = read_text(row.values[input_at])
            ids = vocabulary.encode(tokeniser.texts(text))[:max_length]
            if not ids:
                raise DataError("no tokens in the text")
            example = Example(row.line, text, ids, None)
            if target_at is not None and targets is not None:
                example = _with_target(example, row.values[target_at], targets, max_length=max_length)
            encoded.append(example)
        except DataError as error:
            encoded.append(Rejected(row.line, str(error)))
    return sorted(encoded, key=_line)


def _encode_tagged(
    table: Table, input_at: int, target_at: int | None, speller: Speller, targets: TagTargets
) -> list[Example | Rejected]:
    """Each record as an example with its words, none of them ever cut off: each has a tag."""
    encoded: list[Example | Rejected] = list(table.rejected)
    for row in table.rows:
        try:
            ids, spelled = speller.read(row.values[input_at])
            tags = None if target_at is None else targets.encode(read_tags(row.values[target_at], words=spelled.words))
            encoded.append(Example(row.line, str(as_text(row.values[input_at])), ids, tags, spelled=spelled))
        except DataError as error:
            encoded.append(Rejected(row.line, str(error)))
    return sorted(encoded, key=_line)


def _encode_seen(
    table: Table, input_at: int, target_at: int | None, targets: CaptionTargets, *, max_length: int | None
) -> list[Example | Rejected]:
    """Each record as an example with what it shows, which has been looked at before."""
    encoded: list[Example | Rejected] = list(table.rejected)
    for row in table.rows:
        try:
            seen = targets.sight.scaled(table.seen[row.line])
            example = Example(row.line, str(as_text(row.values[input_at])), [], None, seen=seen)
            if target_at is not None:
                example = _with_target(example, row.values[target_at], targets, max_length=max_length)
            encoded.append(example)
        except DataError as error:
            encoded.append(Rejected(row.line, str(error)))
    return sorted(encoded, key=_line)


def _with_target(example: Example, value: Value, targets: AnyTargets, *, max_length: int | None) -> Example:
    if isinstance(targets, TextTargets):
        text = read_text(value, role="target").strip()
        return example._replace(target=targets.encode(text)[:max_length], target_text=text)
    assert isinstance(targets, Targets)  # what goes on with texts reads no rows
    return example._replace(target=targets.encode(value))


def written_ids(example: Example) -> list[int]:
    """The ids of a target that is a text; none of any other."""
    return example.target if isinstance(example.target, list) and example.target_text is not None else []


def _line(entry: Row | Example | Rejected) -> int:
    return entry.line
