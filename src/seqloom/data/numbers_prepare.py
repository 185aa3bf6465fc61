"""From files of numbers to examples: series or rows of features, each with one answer.

What training learns of the numbers and labels, it learns from the training samples only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from seqloom.config import Config, DataSettings, Task
from seqloom.data.columns import find_task, read_split
from seqloom.data.idx import PIXELS, is_idx, read_idx
from seqloom.data.numbers import (
    Kind,
    NumbersFile,
    NumbersLayout,
    NumbersReader,
    NumericExample,
    Sample,
    collate_numbers,
    key_of,
)
from seqloom.data.numbers_layout import Found, infer_numbers
from seqloom.data.numbers_table import read_samples
from seqloom.data.repeats import leaks_of
from seqloom.data.rows import Rejected, RejectedRow, Table, first_of
from seqloom.data.series_prepare import TEXTUAL
from seqloom.data.splits import Stratum, split_rows
from seqloom.data.table import read_table
from seqloom.data.targets import Targets, read_target
from seqloom.data.ts import read_ts
from seqloom.errors import ConfigError, DataError
from seqloom.shapes import Batch

PARTS = ("train", "valid", "test")
FOREIGN = sorted(set(TEXTUAL) - {"max_length", "label_separator"})


@dataclass(frozen=True)
class GatheredNumbers:
    """The usable samples of each file by part, the refused ones with their reasons, and what was inferred."""

    files: dict[str, NumbersFile]
    names: dict[str, str]
    task: Task
    split: bool
    rejected: list[RejectedRow]
    notes: list[str]

    @property
    def train(self) -> NumbersFile:
        """The file that is trained on."""
        return self.files["train"]

    @property
    def fingerprints(self) -> dict[str, str]:
        """The sha256 of each file, by its name."""
        found = {self.names[part]: file.fingerprint for part, file in self.files.items()}
        return found | {name: digest for file in self.files.values() for name, digest in file.beside.items()}


@dataclass(frozen=True)
class PreparedNumbers:
    """All that training needs to know of numbers that are answered once; `leaks` are the last of the notes."""

    train: list[NumericExample]
    valid: list[NumericExample]
    test: list[NumericExample]
    reader: NumbersReader
    targets: Targets
    target: str
    rejected: list[RejectedRow]
    notes: list[str]
    leaks: list[str]
    fingerprints: dict[str, str]
    split_files: dict[str, str]

    @property
    def lengths(self) -> list[int]:
        """The steps that each training sample has."""
        return [len(example.steps) for example in self.train]

    @property
    def target_lengths(self) -> None:
        """None: answers have no length."""
        return None

    def collate(self, examples: Sequence[NumericExample]) -> tuple[Batch, Tensor]:
        """The batch of these examples and their targets."""
        return collate_numbers(examples)


def is_numeric_file(path: str | Path) -> bool:
    """Whether a file can hold nothing but series of numbers: .ts by its name, IDX by its first bytes."""
    path = Path(path)
    return path.name.lower().removesuffix(".gz").endswith(".ts") or is_idx(path)


def read_numbers(path: str | Path, layout: NumbersLayout, *, target: str | None) -> NumbersFile:
    """The samples of a file as a model reads them, with their labels where `target` names those.

    Raises DataError where the file is of another kind, or has other columns or channels.
    """
    labelled = target is not None
    if layout.kind in ("long", "rows"):
        columns = [*layout.inputs, *(each for each in (layout.series, layout.time) if each is not None)]
        return read_samples(read_table(path, only=columns), layout, target=target)
    if layout.kind == "ts":
        if is_idx(Path(path)):
            raise DataError(f"{path} is a file of pictures, but this model reads .ts files.")
        file = read_ts(path, labelled=labelled)
    else:
        file = read_idx(path, by=PIXELS if len(layout.inputs) == 1 else None, labelled=labelled)
    if labelled and file.task is None:
        raise DataError(f"{file.path.name} has no labels (@classLabel false): there is nothing to compare with.")
    if len(file.layout.inputs) != len(layout.inputs):
        raise DataError(
            f"{file.path.name} has steps of {len(file.layout.inputs)} numbers, but {len(layout.inputs)} are read. "
            "Give a file with the same channels as the one that is trained on."
        )
    return file


def gather_numbers(config: Config, paths: Mapping[str, str | Path], names: dict[str, str]) -> GatheredNumbers:
    """Read files that hold nothing but numbers (.ts, IDX). Raises DataError, ConfigError for a setting of others."""
    path, by, pictures = Path(paths["train"]), config.data.input, is_idx(Path(paths["train"]))
    check_settings(config, "idx" if pictures else "ts")
    if config.task not in (None, "classify", "regress"):
        raise DataError(f"{names['train']} holds series with a label each: --task classify or regress.")
    if not pictures and by is not None:
        raise ConfigError(f'data.input is "{by}", but {names["train"]} has no columns to choose from. Leave it out.')
    if config.data.target is not None:
        raise ConfigError(f"data.target: the labels of {names['train']} have their own place. Leave it out.")
    train = read_idx(path, by=by) if pictures else read_ts(path)
    if train.task is None:
        raise DataError(f"{names['train']} has no labels (@classLabel false): there is nothing to learn.")
    files = {"train": train}
    for part, given in paths.items():
        if part != "train":
            files[part] = read_numbers(given, train.layout, target=train.target)
    notes = [f"task: {train.task} (by the labels of {names['train']})"] * (config.task is None)
    steps = "steps of one number" if len(train.layout.inputs) == 1 else f"steps of {len(train.layout.inputs)} numbers"
    return _usable(files, names, config.task or train.task, config.data, [*notes, f"series with {steps}"], split=False)


def find_numbers(config: Config, table: Table) -> Found | None:
    """How a table of numbers is read, or None where it is a table of something else."""
    return infer_numbers(table, config.data, task=config.task)


def gather_tables(config: Config, tables: dict[str, Table], names: dict[str, str], found: Found) -> GatheredNumbers:
    """Read tables of numbers. Raises DataError, ConfigError for a setting of others."""
    check_settings(config, found.layout.kind)
    split = found.split if len(tables) == 1 else None
    files = {
        part: read_samples(table, found.layout, target=found.target, split=split) for part, table in tables.items()
    }
    notes, task = list(found.notes), config.task
    if found.split and not split:
        notes.append(f"split column {found.split} is not used, as files for validation or test are given")
    if task is None:
        labels = [sample.label or "" for sample in files["train"].samples]
        task, why = find_task(list(labels), found.target, label_separator=config.data.label_separator)
        if task not in ("classify", "regress"):
            raise DataError(
                f'{names["train"]}: column "{found.target}" holds neither few labels nor numbers{why}. Give --task '
                "classify or regress, or another column with --target."
            )
        notes.append(f"task: {task} ({why})")
    return _usable(files, names, task, config.data, notes, split=split is not None)


def check_settings(config: Config, kind: Kind) -> None:
    """Raise ConfigError for a setting of the data that numbers would ignore in silence."""
    default, given = DataSettings(), config.data
    for name in FOREIGN:
        if getattr(given, name) != getattr(default, name):
            raise ConfigError(f"{name} is a setting of texts, here numbers are read.")
    if given.frequency is not None:
        raise ConfigError("frequency is a setting of forecast, here each series is answered once.")
    if kind == "rows" and given.max_length is not None:
        raise ConfigError("max_length cuts series; a row of features has no length. Leave it out.")
    if kind == "rows" and given.frames is not None:
        raise ConfigError("frames are steps of series; a row of features has a single one. Leave it out.")
    if kind != "long" and (given.series is not None or given.time is not None):
        raise ConfigError("series and time are settings of tables with a row a step. Leave them out.")


def _usable(
    files: Mapping[str, NumbersFile],
    names: dict[str, str],
    task: Task,
    settings: DataSettings,
    notes: list[str],
    *,
    split: bool,
) -> GatheredNumbers:
    """The files with the samples only that have a label which can be learned."""
    rejected: list[RejectedRow] = []
    kept: dict[str, NumbersFile] = {}
    for part, file in files.items():
        refused, samples = list(file.rejected), list[Sample]()
        for sample in file.samples:
            try:
                read_target(sample.label or "", task=task, label_separator=settings.label_separator)
                samples.append(sample)
            except DataError as error:
                refused.append(_refused(sample, file.layout, str(error)))
        if not samples:
            raise DataError(f"{names[part]}: no sample can be used{first_of(refused)}")
        rejected += [RejectedRow(names[part], *row) for row in refused]
        kept[part] = replace(file, samples=samples, rejected=[])
        notes = notes + [f"{names[part]}: {note}" for note in file.notes]
    return GatheredNumbers(kept, names, task, split, sorted(rejected), notes)


def prepare_numbers(gathered: GatheredNumbers, config: Config) -> PreparedNumbers:
    """Part the samples, learn from those for training, and encode them all.

    Raises DataError where they cannot be parted, training samples hold nothing to learn, or a part has none to use.
    """
    settings, layout = config.data, gathered.train.layout
    parts = _part(gathered, config)
    notes = [*gathered.notes, "samples: " + ", ".join(f"{len(samples):,} {part}" for part, samples in parts.items())]
    labels = [sample.label or "" for sample in parts["train"]]
    targets = Targets.learn(labels, task=gathered.task, label_separator=settings.label_separator)
    reader, still = NumbersReader.learn(layout, parts["train"], frames=settings.frames)
    if reader.frames > 1:
        notes.append(f"frames: {reader.frames} steps are read at once (data.frames sets it)")
    if len(still) == len(layout.inputs):
        raise DataError(f"{gathered.names['train']}: no number changes in training: there is nothing to read.")
    if still:
        more = f" and {len(still) - 10} more" if len(still) > 10 else ""
        notes.append(f"channels that never change in training: {', '.join(still[:10])}{more}")
    rejected, encoded = list(gathered.rejected), dict[str, list[NumericExample]]()
    for part, samples in parts.items():
        examples = encode_samples(samples, reader, targets, max_length=settings.max_length)
        encoded[part] = [example for example in examples if isinstance(example, NumericExample)]
        refused = [example for example in examples if isinstance(example, Rejected)]
        name = gathered.names.get(part, gathered.names["train"])
        rejected += [RejectedRow(name, *row) for row in refused]
        if samples and not encoded[part]:
            raise DataError(f"{name}: no {part} sample can be used{first_of(refused)}")
        longer = 0 if settings.max_length is None else sum(len(each.values) > settings.max_length for each in samples)
        notes += [f"{longer} of {len(samples)} {part} series are cut to {settings.max_length} steps"] * (longer > 0)
    leaks = leaks_of({part: [key_of(each.values) for each in samples] for part, samples in parts.items()}, "samples")
    return PreparedNumbers(
        **encoded,
        reader=reader,
        targets=targets,
        target=gathered.train.target,
        rejected=sorted(rejected),
        notes=notes + leaks,
        leaks=leaks,
        fingerprints=gathered.fingerprints,
        split_files={part: file.fingerprint for part, file in gathered.files.items() if part != "train"},
    )


def encode_samples(
    samples: Sequence[Sample], reader: NumbersReader, targets: Targets | None, *, max_length: int | None
) -> list[NumericExample | Rejected]:
    """Each sample as a model takes it, with its target where `targets` are given, or why it cannot be one."""
    encoded: list[NumericExample | Rejected] = []
    for sample in samples:
        try:
            target = None if targets is None else targets.encode(sample.label or "")
        except DataError as error:
            encoded.append(_refused(sample, reader.layout, str(error)))
            continue
        steps = reader.encode(sample.values, max_length=max_length)
        encoded.append(NumericExample(sample.line, sample.name, steps, target))
    return encoded


def _part(gathered: GatheredNumbers, config: Config) -> dict[str, list[Sample]]:
    """The samples of train, valid and test: from files, as the file says, or cut by fraction and seed."""
    parts = {part: file.samples for part, file in gathered.files.items()}
    if gathered.split:
        by_name: dict[str, list[Sample]] = {"train": []}
        for sample in gathered.train.samples:
            by_name.setdefault(read_split(sample.part or "") or "train", []).append(sample)
        parts = by_name
        if not parts["train"]:
            raise DataError(f"{gathered.names['train']}: none of the usable rows is for training.")
    valid_fraction = 0.0 if "valid" in parts else config.data.valid_fraction
    test_fraction = 0.0 if len(parts) > 1 else config.data.test_fraction
    if valid_fraction or test_fraction:
        train = parts["train"]
        split = split_rows(
            [key_of(sample.values) for sample in train],
            _strata(train, gathered.task, config.data),
            valid_fraction=valid_fraction,
            test_fraction=test_fraction,
            seed=config.seed,
        )
        parts |= {part: [train[at] for at in chosen] for part, chosen in split._asdict().items() if chosen}
    return {part: parts.get(part, []) for part in PARTS}


def _strata(samples: Sequence[Sample], task: Task, settings: DataSettings) -> list[Stratum] | None:
    if task == "regress":
        return None
    labels = [read_target(each.label or "", task=task, label_separator=settings.label_separator) for each in samples]
    return [label for label in labels if not isinstance(label, float)]


def _refused(sample: Sample, layout: NumbersLayout, reason: str) -> Rejected:
    """The line of a sample and why it cannot be used; of a series in many lines with its name."""
    return Rejected(sample.line, f"series {sample.name}: {reason}" if layout.kind == "long" else reason)
