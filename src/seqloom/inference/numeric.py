"""Series and rows of numbers at work: a label or a number for each, from a file or from arrays."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.bundle import NumbersBundle
from seqloom.data import NumericExample, Rejected
from seqloom.data.numbers import NumbersReader, Sample
from seqloom.data.numbers_prepare import encode_samples, read_numbers
from seqloom.data.series import LARGEST
from seqloom.errors import DataError
from seqloom.inference.labels import label_answers

CHUNK = 4096


def numeric_rows(
    bundle: NumbersBundle, path: str | Path, *, with_target: bool
) -> tuple[list[NumericExample | Rejected], str]:
    """Each sample of a file as the model takes it, or why it cannot be used, by line; and the sha256 of the file.

    Raises DataError where the file is of another kind than the model was trained on, or lacks columns or channels.
    """
    file = read_numbers(path, bundle.reader.layout, target=bundle.target if with_target else None)
    targets = bundle.targets if with_target else None
    most = bundle.config.data.max_length
    rows = encode_samples(file.samples, bundle.reader, targets, max_length=most)
    return sorted([*rows, *file.rejected], key=lambda row: row.line), file.fingerprint


def rows_of_arrays(reader: NumbersReader, given: Any, *, max_length: int | None) -> list[NumericExample | Rejected]:
    """Each array in memory as a model takes it, or why it cannot be used, in the order given.

    An array has a step a row, (T, channels); of one channel it may be flat, and a row of features is. NaN and None are
    missing. Raises DataError for what is no list of arrays.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError("this model reads numbers: give a list of arrays, each with a step a row (time, channels).")
    rows: list[NumericExample | Rejected] = []
    for number, one in enumerate(given, start=1):
        try:
            sample = sample_of_array(reader, one, number=number)
        except DataError as error:
            rows.append(Rejected(number, str(error)))
            continue
        rows += encode_samples([sample], reader, None, max_length=max_length)
    return rows


def sample_of_array(reader: NumbersReader, given: Any, *, number: int = 1) -> Sample:
    """One array in memory as a sample. Raises DataError where it has another shape or holds no numbers."""
    return Sample(number, f"item {number}", _array(given, channels=len(reader.channels), flat=reader.layout.dense))


def numeric_answers(bundle: NumbersBundle, rows: Sequence[NumericExample | Rejected]) -> Iterator[dict[str, Any]]:
    """One plain answer a row, in order: `{"input", "prediction", "probabilities"}`, the input its name; or an error."""
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        answers = label_answers(bundle, [row for row in chunk if isinstance(row, NumericExample)])
        for row in chunk:
            if isinstance(row, NumericExample):
                yield next(answers)
            else:
                yield {"input": None, "error": f"line {row.line}: {row.reason}"}


def _array(given: Any, *, channels: int, flat: bool) -> Any:
    """The values (T, channels) of one sample. Raises DataError where they have another shape or are no numbers."""
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError("not an array of numbers") from None
    if values.ndim == 1 and (flat or channels == 1):
        values = values.reshape(1, -1) if flat else values.reshape(-1, 1)
    if values.ndim != 2 or values.shape[1] != channels or (flat and len(values) != 1):
        wanted = f"({channels},)" if flat else f"(time, {channels})"
        raise DataError(f"the shape is {np.shape(given)}, but must be {wanted}")
    if not len(values) or np.isnan(values).all():
        raise DataError("no value")
    if (np.abs(values) > LARGEST).any():
        raise DataError("a value is infinite, or too large to compute with")
    return values
