"""Files of the UCR and UEA archives (.ts): a header with what is promised, then a series a line, its label last.

`1.0,2.0,?:0.5,0.1,0.2:a` is a series of two dimensions and three steps, one value of it missing, with the label a.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seqloom.config import Task
from seqloom.data.content import decode, read_bytes
from seqloom.data.numbers import NumbersFile, NumbersLayout, Sample, Values, without_end
from seqloom.data.rows import Rejected
from seqloom.data.series import LARGEST
from seqloom.data.targets import is_number
from seqloom.errors import DataError

NEEDS = "A header with @data and a series a line below it are needed."
FLAGS = {"true": True, "false": False}
MISSING = ("?", "nan")
PLAIN = re.compile(r"[0-9eE+\-.,\s?nNaA]*")
OTHERS = ("problemname", "seriesid", "targetname")  # said of the data, and promising nothing


@dataclass
class Header:
    """What the lines before @data promise; None where they say nothing."""

    dimensions: int | None = None
    length: int | None = None
    equal: bool | None = None
    missing: bool | None = None
    labels: tuple[str, ...] | None = None  # of classes
    numbers: bool = False  # each label is a number
    notes: list[str] = field(default_factory=list)

    @property
    def labelled(self) -> bool:
        """Whether each series has a label."""
        return self.labels is not None or self.numbers

    @property
    def task(self) -> Task | None:
        """What the labels are for."""
        return "classify" if self.labels is not None else "regress" if self.numbers else None


def read_ts(path: str | Path, *, labelled: bool = True) -> NumbersFile:
    """The series of a .ts file, also packed with gzip; a line that breaks what the header promises is refused.

    Without `labelled` its labels are not looked at.

    Raises DataError where the file cannot be read, has no @data or a header that says nothing known, and where no line
    can be used.
    """
    path = Path(path)
    raw = read_bytes(path, needs=NEEDS)
    content = decode(raw.data, encoding="utf-8", name=path.name)
    lines = [(number, line.strip()) for number, line in enumerate(content.text.split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    begins = next((at for at, (_, line) in enumerate(lines) if line.lower() == "@data"), None)
    if begins is None:
        raise DataError(f"{path.name} has no line @data. {NEEDS}")
    header = _read_header(lines[:begins], name=path.name)
    samples, rejected = list[Sample](), list[Rejected]()
    for number, line in lines[begins + 1 :]:
        try:
            samples.append(_read_line(line, number, header, labelled=labelled))
        except DataError as error:
            rejected.append(Rejected(number, str(error)))
    if not samples:
        first = f" The first fault, in line {rejected[0].line}: {rejected[0].reason}." if rejected else f" {NEEDS}"
        raise DataError(f"{path.name} has no series that can be used.{first}")
    gaps = sum(bool(np.isnan(sample.values).any()) for sample in samples)
    if header.missing is False and gaps:
        header.notes.append(f"the header says @missing false, but {gaps:,} series have missing values")
    inputs = tuple(f"dimension {number}" for number in range(1, samples[0].values.shape[1] + 1))
    layout = NumbersLayout("ts", inputs)
    return NumbersFile(path, layout, "label", samples, rejected, header.notes, raw.fingerprint, {}, header.task)


def _read_header(lines: list[tuple[int, str]], *, name: str) -> Header:
    header = Header()
    for number, line in lines:
        key, *words = line.split()
        known = key.lower().removeprefix("@")
        try:
            if not key.startswith("@"):
                raise DataError(f'"{line[:40]}" is no line of a header: each begins with @, up to @data')
            _apply(header, known, words)
        except DataError as error:
            raise DataError(f"{name}, line {number}: {error}.") from None
    return header


def _apply(header: Header, key: str, words: list[str]) -> None:
    """One line of the header. Raises DataError for one that is not known, or has no value that it can have."""
    if key == "timestamps" and _flag(key, words):
        raise DataError("@timeStamps true: steps with times in brackets are not read. Write the values alone")
    if key == "missing":
        header.missing = _flag(key, words)
    elif key == "univariate":
        header.dimensions = 1 if _flag(key, words) else header.dimensions
    elif key in ("dimension", "dimensions"):
        header.dimensions = _count(key, words)
    elif key == "equallength":
        header.equal = _flag(key, words)
    elif key == "serieslength":
        header.length = _count(key, words)
    elif key == "classlabel":
        header.labels = tuple(words[1:]) if _flag(key, words) else None
        if header.labels == ():
            raise DataError("@classLabel true must be followed by the labels")
    elif key == "targetlabel":
        header.numbers = _flag(key, words)
    elif key not in (*OTHERS, "timestamps"):
        header.notes.append(f"@{key} is not known, and not used")


def _flag(key: str, words: list[str]) -> bool:
    if not words or words[0].lower() not in FLAGS:
        raise DataError(f"@{key} must be true or false, not {' '.join(words)[:40] or 'empty'}")
    return FLAGS[words[0].lower()]


def _count(key: str, words: list[str]) -> int:
    if not words or not words[0].isdecimal() or not 0 < int(words[0]) < 1 << 24:
        raise DataError(f"@{key} must be a whole number from 1 on, not {' '.join(words)[:40] or 'empty'}")
    return int(words[0])


def _read_line(line: str, number: int, header: Header, *, labelled: bool) -> Sample:
    """The series of a line. Raises DataError where it cannot be read, or is not what the header promises."""
    *parts, last = line.split(":")
    label = last.strip() if header.labelled else None
    parts = parts if header.labelled else [*parts, last]
    if header.dimensions is None:
        header.dimensions = len(parts)  # of the first line: the others must have as many
    if len(parts) != header.dimensions:
        behind = " before the label" if header.labelled else ""
        raise DataError(f"{len(parts)} dimensions{behind}, where {header.dimensions} are promised")
    columns = [_read_dimension(part, place) for place, part in enumerate(parts, start=1)]
    for place, column in enumerate(columns, start=1):
        if len(column) != len(columns[0]):
            raise DataError(f"dimension {place} has {len(column):,} values, dimension 1 has {len(columns[0]):,}")
    steps = len(columns[0])
    if header.equal and header.length is not None and steps != header.length:
        raise DataError(f"{steps:,} steps, where @seriesLength {header.length} is promised")
    if labelled and header.labels is not None and label not in header.labels:
        raise DataError(f'label "{label}" is not in @classLabel ({", ".join(header.labels[:10])})')
    values = without_end(np.stack(columns, axis=1))
    if not len(values):
        raise DataError("no value")
    return Sample(number, f"line {number}", values, label)


def _read_dimension(part: str, place: int) -> Values:
    """The values of one dimension, NaN where one is missing. Raises DataError that names the first wrong one."""
    if not part.strip():
        raise DataError(f"dimension {place} is empty")
    cells = part.split(",")
    if PLAIN.fullmatch(part):
        try:
            values: Values = np.array(part.replace("?", "nan").split(","), dtype=np.float64)
        except ValueError:
            pass
        else:
            if not (np.abs(values) > LARGEST).any():
                return values
    for step, cell in enumerate(cells, start=1):
        if cell.strip().lower() not in MISSING and not (is_number(cell) and abs(float(cell)) <= LARGEST):
            raise DataError(f'dimension {place}, value {step}: "{cell.strip()[:40]}" is not a finite number')
    return np.array([np.nan if cell.strip().lower() in MISSING else float(cell) for cell in cells])
