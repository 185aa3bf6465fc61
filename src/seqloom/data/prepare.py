"""From files to examples: read, told apart, learned from, encoded.

What training learns from data (vocabulary, labels, scale) it learns here, and from the training rows only.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from seqloom.config import Config, DataSettings, Task
from seqloom.data.batches import collate
from seqloom.data.captions import Album, fingerprint, joined
from seqloom.data.columns import Columns, infer_columns, read_split
from seqloom.data.examples import Coder, Example, keep_examples, lengths_of, written_ids, written_of
from seqloom.data.kept import chosen, each
from seqloom.data.learn import Learned, check_settings, learn, telling_tokeniser
from seqloom.data.numbers_prepare import (
    GatheredNumbers,
    PreparedNumbers,
    find_numbers,
    gather_numbers,
    gather_tables,
    is_numeric_file,
    prepare_numbers,
)
from seqloom.data.repeats import Keys, as_read, first_like, overlaps
from seqloom.data.rows import Rejected, RejectedRow, Table, Value, first_of, read_text
from seqloom.data.series_layout import looks_like_series
from seqloom.data.series_prepare import GatheredSeries, PreparedSeries, gather_series, prepare_series
from seqloom.data.sight import Sight, find_sight
from seqloom.data.splits import TEST, TRAIN, VALID, Stratum, deal_rows
from seqloom.data.table import read_table
from seqloom.data.tag_targets import as_text, read_tags, read_words
from seqloom.data.targets import read_target
from seqloom.data.text_targets import AnyTargets, TextTargets
from seqloom.errors import DataError
from seqloom.shapes import Batch, Words
from seqloom.text import Tokeniser, Vocabulary


@dataclass(frozen=True)
class Gathered:
    """The usable rows of each file, the others with their reasons, and what was inferred or noticed.

    `files` are by part (train, and valid and test where given), and so are `names`, which tell them apart. `sight` says
    how what they show is seen, where captions are written.
    """

    files: dict[str, Table]
    names: dict[str, str]
    columns: Columns
    rejected: list[RejectedRow]
    notes: list[str]
    sight: Sight | None = None

    @property
    def fingerprints(self) -> dict[str, str]:
        """The sha256 of each file, by its name; where its rows show something, one of all that they show too."""
        files = {self.names[part]: table.fingerprint for part, table in self.files.items()}
        seen = {part: table for part, table in self.files.items() if table.seen}
        return files | {f"{self.names[part]}: what it shows": fingerprint(table) for part, table in seen.items()}


@dataclass(frozen=True)
class Prepared:
    """All that training needs to know of the data.

    `fingerprints` are the sha256 of the files, by their names. `split_files` are those of a validation and a test file,
    by the part ("valid", "test"); a part cut from the training file is not in it.
    """

    train: Sequence[Example]
    valid: Sequence[Example]
    test: Sequence[Example]
    tokeniser: Tokeniser
    vocabulary: Vocabulary
    targets: AnyTargets
    columns: Columns
    rejected: list[RejectedRow]
    notes: list[str]
    fingerprints: dict[str, str]
    split_files: dict[str, str]

    @property
    def lengths(self) -> Sequence[int]:
        """The tokens that each training row reads, or the regions that it sees."""
        return lengths_of(self.train)

    @property
    def target_lengths(self) -> Sequence[int] | None:
        """The tokens that each training row writes; None where answers have no length."""
        return written_of(self.train) if self.targets.problem == "text" else None

    def collate(self, examples: Sequence[Example]) -> tuple[Batch | Words, Tensor | Batch]:
        """The batch of these examples and their targets."""
        return collate(examples)


def prepare(
    config: Config, path: str | Path, *, valid: str | Path | None = None, test: str | Path | None = None
) -> Prepared | PreparedNumbers | PreparedSeries:
    """Read the files, part the rows where that is not done already, learn from the training rows, encode.

    Without `valid` and `test` a split column decides, else the fractions and the seed of the settings. With one of the
    two files given, only validation rows are cut from the training file where they lack, never test rows.
    Raises DataError where a file cannot be read, lacks a column, or leaves no row to use.
    """
    gathered = gather(config, path, valid=valid, test=test)
    if isinstance(gathered, GatheredNumbers):
        return prepare_numbers(gathered, config)
    return prepare_series(gathered, config) if isinstance(gathered, GatheredSeries) else encode(gathered, config)


def gather(
    config: Config, path: str | Path, *, valid: str | Path | None = None, test: str | Path | None = None
) -> Gathered | GatheredNumbers | GatheredSeries:
    """Read the files and tell usable rows from others; nothing is parted or learned yet.

    Raises DataError where a file cannot be read, lacks a column, or has no usable row.
    """
    settings = config.data
    paths = {part: each for part, each in {"train": path, "valid": valid, "test": test}.items() if each is not None}
    if is_numeric_file(path):
        return gather_numbers(config, paths, _names({part: Path(each) for part, each in paths.items()}))
    used = [column for column in (settings.input, settings.target) if column is not None]
    only = used if len(used) > 1 else []
    files = {part: read_table(given, only=only) for part, given in paths.items()}
    names = _names({part: table.path for part, table in files.items()})
    if config.task == "forecast" or (config.task is None and looks_like_series(files["train"])):
        return gather_series(config, files, names)
    if (found := find_numbers(config, files["train"])) is not None:
        return gather_tables(config, files, names, found)
    columns = infer_columns(
        joined(files["train"], settings.input) if config.task == "caption" else files["train"],
        task=config.task,
        input=settings.input,
        target=settings.target,
        label_separator=settings.label_separator,
    )
    check_settings(settings, task=columns.task)
    files = {part: joined(table, columns.input) for part, table in files.items()}
    _check_same_columns(files, columns)
    files, sight = _look_at(files, columns, settings) if columns.task == "caption" else (files, None)
    notes = [f"{names[part]}: {note}" for part, table in files.items() for note in table.notes] + list(columns.notes)
    usable = {part: _usable(table, columns, settings) for part, table in files.items()}
    rejected = [RejectedRow(names[part], *row) for part, table in usable.items() for row in table.rejected]
    files = {part: replace(table, rejected=[]) for part, table in usable.items()}
    return Gathered(files, names, columns, sorted(rejected), notes, sight)


def encode(gathered: Gathered, config: Config) -> Prepared:
    """Part the rows, learn from those for training, and encode them all.

    Raises DataError where they cannot be parted, training rows hold nothing to learn, or a part has no usable row.
    """
    files, names, columns = gathered.files, gathered.names, gathered.columns
    settings = _settings(config, task=columns.task)
    parts, notes = part_rows(files, columns, config, settings)
    rejected = list(gathered.rejected)
    learned = learn(parts["train"], columns, settings, sight=gathered.sight)

    encoded: dict[str, Sequence[Example]] = {}
    cut: list[str] = []
    for part, table in parts.items():
        encoded[part], refused, longer = _encode(table, columns, learned, max_length=settings.max_length)
        cut += [f"{count} of {len(encoded[part])} {part} {what}" for what, count in longer.items() if count]
        rejected += [RejectedRow(names.get(part, names["train"]), *row) for row in refused]
        if not encoded[part] and (table.rows or part in files):
            raise DataError(f"{table.path.name}: no {part} row can be used{first_of(refused)}")
    targets = learned.targets
    if isinstance(targets, TextTargets):
        train = encoded["train"]
        per_source, most = targets.lengths(zip(lengths_of(train), written_of(train), strict=True))
        targets = replace(targets, per_source=per_source, most=most)
    return Prepared(
        **encoded,
        tokeniser=learned.tokeniser,
        vocabulary=learned.vocabulary,
        targets=targets,
        columns=columns,
        rejected=sorted(rejected),
        notes=gathered.notes
        + notes
        + learned.notes
        + [f"{each} are cut to {settings.max_length} tokens" for each in cut]
        + overlaps(encoded, learned.tokeniser),
        fingerprints=gathered.fingerprints,
        split_files={part: table.fingerprint for part, table in files.items() if part != "train"},
    )


def _look_at(files: Mapping[str, Table], columns: Columns, settings: DataSettings) -> tuple[dict[str, Table], Sight]:
    """The files with what their rows show, seen as most rows for training can be; the others join the rejected."""
    train = files["train"]
    sight = find_sight(train.values(columns.input), train.path.parent, image_size=settings.image_size)
    album = Album(sight)
    return {part: album.of(table, columns.input) for part, table in files.items()}, sight


def _settings(config: Config, *, task: Task) -> DataSettings:
    """The settings of the data. Where characters are read, words need no capitals of their own: they are known so."""
    if task == "tag" and config.data.lowercase is None:
        return config.data.model_copy(update={"lowercase": config.model.characters})
    return config.data


def _names(paths: Mapping[str, Path]) -> dict[str, str]:
    """A name for the file of each part: the file's own where that tells them apart, else its whole path."""
    own = [path.name for path in paths.values()]
    return {part: path.name if own.count(path.name) == 1 else str(path) for part, path in paths.items()}


def _check_same_columns(files: Mapping[str, Table], columns: Columns) -> None:
    for part, table in files.items():
        for column in (columns.input, columns.target):
            if column not in table.columns:
                raise DataError(
                    f'{table.path.name} has no column "{column}" (columns: {", ".join(table.columns)}). '
                    f"A {part} file needs the columns that are used of {files['train'].path.name}: "
                    f"{columns.input}, {columns.target}."
                )


def _usable(table: Table, columns: Columns, settings: DataSettings) -> Table:
    """The table with only the rows that have a text and a target; the others join the rejected."""
    input_at = table.columns.index(columns.input)
    target_at = table.columns.index(columns.target)
    usable = array("I")
    rejected = list(table.rejected)
    for number, row in enumerate(table.rows):
        try:
            _check_values(row.values[input_at], row.values[target_at], task=columns.task, settings=settings)
            usable.append(number)
        except DataError as error:
            rejected.append(Rejected(row.line, str(error)))
    if not usable:
        raise DataError(f"{table.path.name}: no row can be used{first_of(rejected)}")
    return replace(table, rows=chosen(table.rows, usable), rejected=rejected)


def _check_values(read: Value, target: Value, *, task: Task, settings: DataSettings) -> None:
    """Raise DataError where a row has nothing to read, or no target that could be learned."""
    if task == "caption":
        read_text(target, role="target")  # what is seen has been looked at
    elif task == "tag":
        read_tags(target, words=read_words(read))
    else:
        read_text(read)
        read_target(target, task=task, label_separator=settings.label_separator)


def part_rows(
    files: dict[str, Table], columns: Columns, config: Config, settings: DataSettings
) -> tuple[dict[str, Table], list[str]]:
    """The rows of train, valid and test: from files, from the split column, or cut by fraction and seed."""
    parts, notes = dict(files), []
    if columns.split and len(files) == 1:
        parts = _by_column(files["train"], columns.split)
    elif columns.split:
        notes.append(f"split column {columns.split} is not used, as files for validation or test are given")
    valid_fraction = 0.0 if "valid" in parts else config.data.valid_fraction
    test_fraction = 0.0 if len(parts) > 1 else config.data.test_fraction
    if valid_fraction or test_fraction:
        train = parts["train"]
        dealt = deal_rows(
            _keys(train, columns, settings),
            _strata(train, columns, settings),
            valid_fraction=valid_fraction,
            test_fraction=test_fraction,
            seed=config.seed,
        )
        for number, part in ((TRAIN, "train"), (VALID, "valid"), (TEST, "test")):
            if len(rows := np.flatnonzero(dealt == number).astype(np.uint32)):
                parts[part] = replace(train, rows=chosen(train.rows, array("I", rows.tobytes())))
    empty = replace(files["train"], rows=[])
    parts = {part: parts.get(part, empty) for part in ("train", "valid", "test")}
    notes.append("rows: " + ", ".join(f"{len(table.rows)} {part}" for part, table in parts.items()))
    return parts, notes


def _keys(train: Table, columns: Columns, settings: DataSettings) -> Keys:
    """What is the same for rows that must stay together: those that read or show the same."""
    if train.seen:
        return first_like([train.seen[row.line].digest for row in train.rows])
    texts = each(train.values(columns.input), lambda value: read_text(as_text(value)))
    return as_read(texts, telling_tokeniser(settings, task=columns.task))


def _by_column(table: Table, column: str) -> dict[str, Table]:
    rows = {"train": array("I")}
    for number, value in enumerate(table.values(column)):
        if part := read_split(value):
            rows.setdefault(part, array("I")).append(number)
    if not rows["train"]:
        raise DataError(f'{table.path.name}: none of the usable rows is marked "train" in the column {column}.')
    return {part: replace(table, rows=chosen(table.rows, numbers)) for part, numbers in rows.items()}


def _strata(table: Table, columns: Columns, settings: DataSettings) -> Iterator[Stratum] | None:
    if columns.task in ("regress", "translate", "tag", "generate", "caption"):
        return None
    read = (
        read_target(value, task=columns.task, label_separator=settings.label_separator)
        for value in table.values(columns.target)
    )
    return (label for label in read if not isinstance(label, float))


def _encode(
    table: Table, columns: Columns, learned: Learned, *, max_length: int | None
) -> tuple[Sequence[Example], list[Rejected], dict[str, int]]:
    """The examples of these rows, the rows that are none, and how many rows and targets `max_length` has cut."""
    coder = Coder(learned.tokeniser, learned.vocabulary, learned.targets)
    refused: list[Rejected] = []
    longer = {"rows": 0, "targets": 0}

    def examples() -> Iterator[Example]:
        for row in coder.read(table, input=columns.input, target=columns.target):
            if isinstance(row, Rejected):
                refused.append(row)
                continue
            if max_length is not None:
                longer["rows"] += len(row.ids) > max_length
                longer["targets"] += len(written_ids(row)) > max_length
            yield row if max_length is None else _shorten(row, max_length)

    return keep_examples(examples(), speller=coder.speller), refused, longer


def _shorten(example: Example, max_length: int) -> Example:
    shorter = example._replace(ids=example.ids[:max_length])
    return shorter if example.target_text is None else shorter._replace(target=written_ids(example)[:max_length])
