"""From files to token streams: what a language model learns from, and what it is scored on.

A text file is one stream, cut into contiguous parts; a table has one text a row, and is parted by rows. Each text is
read twice, once to learn the vocabulary and once to encode it, and never held as a whole.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seqloom.config import Config, DataSettings, Tokens
from seqloom.data.columns import Columns
from seqloom.data.learn import MOST_TOKENS, check_settings, word_tokeniser
from seqloom.data.next_targets import AS_IT_STANDS, UNKNOWN_WORD, NextTargets, line_end
from seqloom.data.plain_text import Piece, PlainText, Range, is_prose, is_table
from seqloom.data.prepare import Gathered, gather, part_rows
from seqloom.data.rows import Rejected, RejectedRow, Table, first_of, read_text
from seqloom.data.token_stream import TokenStream
from seqloom.data.tokens import choose_stream_tokens, enough_pieces
from seqloom.errors import DataError
from seqloom.text import Tokeniser, Vocabulary, train_subwords

SAMPLE = 2_000_000  # characters that decide what the tokens are
LEARNED_FROM = 20_000_000  # characters that subwords are learned from


class Text(NamedTuple):
    """One part: a range of a text file, or the rows of a table's column; `name` is that of its file."""

    source: PlainText | Table
    part: Range | None
    column: str
    name: str

    @property
    def ends(self) -> bool:
        """Whether each text ends, as the rows of a table do, or lines go on."""
        return self.part is None

    @property
    def size(self) -> int:
        """About how many bytes it has."""
        if isinstance(self.source, PlainText):
            assert self.part is not None
            return self.part.stop - self.part.start
        return sum(len(piece.text) for piece in self.pieces() if isinstance(piece, Piece))

    def pieces(self) -> Iterator[Piece | Rejected]:
        """Its texts in order, each a line of the file or a row of the table, and those that cannot be used."""
        if isinstance(self.source, PlainText):
            assert self.part is not None
            yield from self.source.pieces(self.part)
            return
        position = self.source.columns.index(self.column)
        for row in self.source.rows:
            try:
                yield Piece(row.line, read_text(row.values[position]), ended=True)
            except DataError as error:
                yield Rejected(row.line, str(error))


@dataclass(frozen=True)
class GatheredTexts:
    """The texts of each part (train, valid, test), and what was inferred or noticed while they were opened."""

    parts: dict[str, Text]
    columns: Columns
    rejected: list[RejectedRow]
    notes: list[str]
    fingerprints: dict[str, str]
    split_files: dict[str, str]


@dataclass(frozen=True)
class PreparedStreams:
    """All that the training of a language model needs to know of the data; as `Prepared`, but its parts are streams."""

    train: TokenStream
    valid: TokenStream
    test: TokenStream
    tokeniser: Tokeniser
    vocabulary: Vocabulary
    targets: NextTargets
    columns: Columns
    rejected: list[RejectedRow]
    notes: list[str]
    fingerprints: dict[str, str]
    split_files: dict[str, str]


def is_stream(config: Config, path: str | Path) -> bool:
    """Whether the task is to go on with texts: as the settings say, or where they are silent as the file looks."""
    if config.task is None and config.data.input is None and config.data.target is None:
        return is_prose(path)
    return config.task == "generate"


def prepare_streams(
    config: Config, path: str | Path, *, valid: str | Path | None = None, test: str | Path | None = None
) -> PreparedStreams:
    """Read the files, part them where that is not done already, learn from the training text, encode.

    Raises DataError where a file cannot be read or holds no text, ConfigError for a setting that would do nothing.
    """
    return encode_texts(gather_texts(config, path, valid=valid, test=test), config)


def gather_texts(
    config: Config, path: str | Path, *, valid: str | Path | None = None, test: str | Path | None = None
) -> GatheredTexts:
    """Open the files and part them; nothing is learned yet. Raises DataError or ConfigError."""
    check_settings(config.data, task="generate")
    given = {"train": path, "valid": valid, "test": test}
    paths = {part: each for part, each in given.items() if each is not None}
    tables = {part: is_table(each) for part, each in paths.items()}
    if len(set(tables.values())) > 1:
        raise DataError("a table and a text file do not go together: their texts end in different ways.")
    if tables["train"]:
        return _from_tables(config, path, valid=valid, test=test)
    notes = [] if config.task else ["task: generate (a text file without columns)"]
    files = {part: PlainText(each) for part, each in paths.items()}
    names = _names(files)
    whole = {part: file.cut()[0] for part, file in files.items()}
    fractions = _fractions(config.data, files)
    if fractions:
        cut = files["train"].cut(*fractions.values())
        whole |= dict(zip(("train", *fractions), cut, strict=True))
        last = " and ".join(f"{share:.0%} for {part}" for part, share in fractions.items())
        notes.append(f"{names['train']}: its end is kept, {last}")
    parts = {
        part: Text(files.get(part, files["train"]), place, "text", names.get(part, names["train"]))
        for part, place in whole.items()
        if place.stop > place.start
    }
    return GatheredTexts(
        parts,
        Columns("generate", "text", "text", None, ()),
        [],
        notes,
        {names[part]: file.fingerprint for part, file in files.items()},
        {part: file.fingerprint for part, file in files.items() if part != "train"},
    )


def encode_texts(gathered: GatheredTexts, config: Config) -> PreparedStreams:
    """Learn tokens and vocabulary from the training text, and encode all parts. Raises DataError."""
    train, settings = gathered.parts["train"], config.data
    notes = list(gathered.notes)
    tokeniser = _learn_tokeniser(train, settings, notes)
    vocabulary = _learn_vocabulary(train, tokeniser, settings)
    targets = NextTargets(tokeniser, vocabulary, train.ends)
    streams, rejected = {}, list(gathered.rejected)
    for part in ("train", "valid", "test"):
        refused: list[Rejected] = []
        text = gathered.parts.get(part)
        streams[part] = _new_stream(targets) if text is None else encode_text(text, targets, refused)
        rejected += [RejectedRow(text.name, *row) for row in refused if text is not None]
        if text is not None and not len(streams[part]):
            raise DataError(f"{text.name}: no line for {part} can be used{first_of(refused)}")
    sizes = (f"{len(stream):,} {part}" for part, stream in streams.items())
    notes.append("tokens: " + ", ".join(sizes))
    notes += _unheard(streams)
    return PreparedStreams(
        **streams,
        tokeniser=tokeniser,
        vocabulary=vocabulary,
        targets=targets,
        columns=gathered.columns,
        rejected=sorted(rejected),
        notes=notes,
        fingerprints=gathered.fingerprints,
        split_files=gathered.split_files,
    )


def encode_text(text: Text, targets: NextTargets, refused: list[Rejected]) -> TokenStream:
    """The stream of a text; what of it cannot be used goes to `refused`."""
    stream, tokeniser, vocabulary = _new_stream(targets), targets.tokeniser, targets.vocabulary
    end, goes_on = targets.start, False
    for piece in text.pieces():
        if isinstance(piece, Rejected):
            refused.append(piece)
            continue
        ids = vocabulary.encode(tokeniser.texts(piece.text))
        stream.add(
            [*ids, end] if piece.ended else ids, characters=len(piece.text) + piece.ended, texts=int(piece.ended)
        )
        goes_on = not piece.ended
    if goes_on:  # a last line without a line feed
        stream.add([] if tokeniser.kind in AS_IT_STANDS else [end], characters=0)
    return stream


def open_text(path: str | Path, targets: NextTargets, *, column: str) -> tuple[Text, str]:
    """A file to be scored, and its fingerprint. Raises DataError where it has not the column, or is of another kind."""
    if not is_table(path):
        if targets.ends:
            raise DataError(
                f"{Path(path).name} is no table, but this model was trained on one. Give its texts as rows."
            )
        file = PlainText(path)
        return Text(file, file.cut()[0], column, file.path.name), file.fingerprint
    if not targets.ends:
        raise DataError(f"{Path(path).name} is a table, but this model was trained on a text file. Give a text file.")
    gathered = gather(Config.model_validate({"task": "generate", "data": {"input": column}}), path)
    table = gathered.files["train"]
    assert isinstance(table, Table)
    return Text(table, None, column, table.path.name), table.fingerprint


def _from_tables(
    config: Config, path: str | Path, *, valid: str | Path | None, test: str | Path | None
) -> GatheredTexts:
    gathered = gather(config.model_copy(update={"task": "generate"}), path, valid=valid, test=test)
    assert isinstance(gathered, Gathered)  # as the task is generate
    tables, notes = part_rows(gathered.files, gathered.columns, config, config.data)
    column, names = gathered.columns.input, gathered.names
    parts = {
        part: Text(table, None, column, names.get(part, names["train"])) for part, table in tables.items() if table.rows
    }
    return GatheredTexts(
        parts,
        gathered.columns,
        gathered.rejected,
        gathered.notes + notes,
        gathered.fingerprints,
        {part: table.fingerprint for part, table in gathered.files.items() if part != "train"},
    )


def _names(files: Mapping[str, PlainText]) -> dict[str, str]:
    own = [file.path.name for file in files.values()]
    return {p: f.path.name if own.count(f.path.name) == 1 else str(f.path) for p, f in files.items()}


def _fractions(settings: DataSettings, files: Mapping[str, PlainText]) -> dict[str, float]:
    """What is cut from the end of the training file: nothing for a part with a file of its own, nor test beside one."""
    wanted = {"valid": 0.0 if "valid" in files else settings.valid_fraction}
    wanted["test"] = 0.0 if len(files) > 1 else settings.test_fraction
    if sum(wanted.values()) >= 1:
        raise DataError(
            f"valid_fraction {wanted['valid']} and test_fraction {wanted['test']} leave no text to train on. "
            "Together they must be below 1."
        )
    return {part: share for part, share in wanted.items() if share}


def _learn_tokeniser(train: Text, settings: DataSettings, notes: list[str]) -> Tokeniser:
    words, kind = word_tokeniser(settings, task="generate"), settings.tokens
    if kind is None:
        kind, why = choose_stream_tokens(_first_lines(train, SAMPLE), size=train.size)
        notes.append(f"tokens: {kind} ({why})")
    if kind != "subword":
        return replace(words, kind=kind)
    lines = _first_lines(train, LEARNED_FROM)
    size = settings.max_vocabulary or enough_pieces(lines)
    if settings.max_vocabulary is None:
        notes.append(f"subwords: {size:,} at most, for the amount of text (max_vocabulary sets it)")
    model = train_subwords(lines, size, normal_form=words.normal_form, lowercase=words.lowercase)
    return replace(words, kind=kind, subword_model=model)


def _learn_vocabulary(train: Text, tokeniser: Tokeniser, settings: DataSettings) -> Vocabulary:
    """The tokens of the training text. A word spelled "<unk>" is none of them: it stands for those not known."""
    end = [] if train.ends else [line_end(tokeniser)]
    lists = (tokeniser.texts(piece.text) + end * piece.ended for piece in train.pieces() if isinstance(piece, Piece))
    counts = Counter(chain.from_iterable(lists))
    kinds: tuple[Tokens, ...] = ("word", "whitespace")
    if tokeniser.kind in kinds:
        del counts[UNKNOWN_WORD]
    most = settings.max_vocabulary or MOST_TOKENS
    return Vocabulary.of_counts(counts, min_count=settings.min_count, max_size=most)


def _first_lines(text: Text, characters: int) -> list[str]:
    lines, left = [], characters
    for piece in text.pieces():
        if isinstance(piece, Piece) and piece.text.strip():
            lines.append(piece.text)
            left -= len(piece.text)
        if left <= 0:
            break
    return lines


def _new_stream(targets: NextTargets) -> TokenStream:
    return TokenStream(entries=len(targets.vocabulary), before=targets.start)


def _unheard(streams: Mapping[str, TokenStream]) -> list[str]:
    """A warning where unknown tokens come up that training never met: what it never saw is very unlikely to a model."""
    unheard = sum(stream.unknown for part, stream in streams.items() if part != "train")
    if streams["train"].unknown or not unheard:
        return []
    return [f"{unheard:,} tokens are unknown, and training has none: to learn where they stand, set data.min_count=2"]
