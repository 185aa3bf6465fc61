"""One row to one example, the same for training, evaluation and prediction; a bad row keeps its place and reason."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.kept import Keeper, Kept, Lazy
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


class KeptExamples(Lazy[Example]):
    """Examples of which there are more than memory holds, with how much each reads and writes, in tokens.

    `texts` and `targets` are those of all, which are read without the rest.
    """

    def __init__(self, examples: Kept[Example], lengths: "array[int]", written: "array[int]") -> None:
        self._examples, self.lengths, self.written = examples, lengths, written
        self.texts: Sequence[str] = examples.read_as(_text_of)
        self.targets: Sequence[Target | None] = examples.read_as(_target_of)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._examples)

    def _at(self, place: int) -> Example:
        return self._examples[place]

    def __iter__(self) -> Iterator[Example]:
        """All in order."""
        return iter(self._examples)


class Answered(Protocol):
    """What has an encoded target: a text, a picture, a series."""

    @property
    def target(self) -> Target | None:
        """The answer, as a model learns it."""


def lengths_of(examples: Sequence[Example]) -> Sequence[int]:
    """The tokens that each example reads, or the regions that it sees."""
    return examples.lengths if isinstance(examples, KeptExamples) else [len(example.source) for example in examples]


def written_of(examples: Sequence[Example]) -> Sequence[int]:
    """The tokens that each example writes."""
    return examples.written if isinstance(examples, KeptExamples) else [len(written_ids(each)) for each in examples]


def texts_of(examples: Sequence[Example]) -> Sequence[str]:
    """The text of each example."""
    return examples.texts if isinstance(examples, KeptExamples) else [example.text for example in examples]


def answers_of(examples: Sequence[Answered]) -> Sequence[Target | None]:
    """The target of each example."""
    return examples.targets if isinstance(examples, KeptExamples) else [example.target for example in examples]


def keep_examples(examples: Iterable[Example], *, speller: Speller | None = None) -> Sequence[Example]:
    """Examples in a list, or out of memory where they are many; `speller` spells their words, where words are tagged.

    What is seen stays in memory. Raises StorageError where there is no more room on the disk.
    """
    keeper = Keeper(_plain_tagged, partial(_tagged, speller)) if speller else Keeper(_plain, _made)
    lengths, written = array("i"), array("i")
    seen: list[Example] = []
    for example in examples:
        if example.seen is not None:
            seen.append(example)
            continue
        keeper.append(example)
        lengths.append(len(example.ids))
        written.append(len(written_ids(example)))
    kept = keeper.done()
    return KeptExamples(kept, lengths, written) if isinstance(kept, Kept) else seen or kept


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
    coder = Coder(tokeniser, vocabulary, targets, max_length)
    rows = coder.read(table, input=input, target=target)
    return sorted([*table.rejected, *rows], key=_line)


class Coder:
    """Makes examples of rows. `speller` spells words where they are tagged."""

    def __init__(
        self, tokeniser: Tokeniser, vocabulary: Vocabulary, targets: AnyTargets | None, max_length: int | None = None
    ) -> None:
        self._tokeniser, self._vocabulary, self._targets, self._max_length = tokeniser, vocabulary, targets, max_length
        self.speller = Speller(tokeniser, vocabulary, targets) if isinstance(targets, TagTargets) else None

    def read(self, table: Table, *, input: str, target: str | None) -> Iterator[Example | Rejected]:
        """Each row of the table, one by one. Raises DataError for a missing column."""
        input_at = table.position(input, option="--input")
        target_at = None if target is None else table.position(target, option="--target")
        for row in table.rows:
            try:
                yield self._example(row, table, input_at, target_at)
            except DataError as error:
                yield Rejected(row.line, str(error))

    def _example(self, row: Row, table: Table, input_at: int, target_at: int | None) -> Example:
        """Raises DataError where it cannot be one."""
        value, targets = row.values[input_at], self._targets
        if self.speller is not None and isinstance(targets, TagTargets):
            # No words are ever cut off: each has a tag.
            ids, spelled = self.speller.read(value)
            tags = None if target_at is None else targets.encode(read_tags(row.values[target_at], words=spelled.words))
            return Example(row.line, str(as_text(value)), ids, tags, spelled=spelled)
        if isinstance(targets, CaptionTargets):
            seen = targets.sight.scaled(table.seen[row.line])
            example = Example(row.line, str(as_text(value)), [], None, seen=seen)
        else:
            text = read_text(value)
            ids = self._vocabulary.encode(self._tokeniser.texts(text))[: self._max_length]
            if not ids:
                raise DataError("no tokens in the text")
            example = Example(row.line, text, ids, None)
        if target_at is None or targets is None:
            return example
        return _with_target(example, row.values[target_at], targets, max_length=self._max_length)


def _with_target(example: Example, value: Value, targets: AnyTargets, *, max_length: int | None) -> Example:
    if isinstance(targets, TextTargets):
        text = read_text(value, role="target").strip()
        return example._replace(target=targets.encode(text)[:max_length], target_text=text)
    assert isinstance(targets, Targets)  # what goes on with texts reads no rows
    return example._replace(target=targets.encode(value))


def written_ids(example: Example) -> list[int]:
    """The ids of a target that is a text; none of any other."""
    return example.target if isinstance(example.target, list) and example.target_text is not None else []


def _plain(example: Example) -> tuple[Any, ...]:
    return tuple(example)[:5]


def _text_of(plain: tuple[Any, ...]) -> str:
    text: str = plain[1]
    return text


def _target_of(plain: tuple[Any, ...]) -> Target | None:
    target: Target | None = plain[3]
    return target


def _made(plain: tuple[Any, ...]) -> Example:
    return Example(*plain)


def _plain_tagged(example: Example) -> tuple[Any, ...]:
    """Of words that are tagged only what they are: how they are spelled is known by them."""
    assert example.spelled is not None
    return example.line, example.text, example.spelled.words, example.target


def _tagged(speller: Speller, plain: tuple[Any, ...]) -> Example:
    line, text, words, target = plain
    ids, spelled = speller.read(words)
    return Example(line, text, ids, target, spelled=spelled)


def _line(entry: Row | Example | Rejected) -> int:
    return entry.line
