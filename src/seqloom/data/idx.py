"""Files of pictures in IDX, as MNIST comes: each picture a series of its rows, or of its single values.

The labels are a file of their own beside it: `train-images-idx3-ubyte.gz` has its labels in
`train-labels-idx1-ubyte.gz`. Values stay as wide as the file has them until they are read by a model.
"""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom.data.content import GZIP, RawFile, open_regular, read_bytes
from seqloom.data.numbers import NumbersFile, NumbersLayout, Sample
from seqloom.data.series import LARGEST
from seqloom.errors import DataError

KINDS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
HEAD = 4
NEEDS = "A head of four bytes, the sizes and the values are needed."
ROWS, PIXELS = "rows", "pixels"


def is_idx(path: Path) -> bool:
    """Whether a file, perhaps packed with gzip, begins as IDX does: two zeros, a type, a number of sizes."""
    if not path.is_file():
        return False
    with open_regular(path) as file:
        head = file.read(HEAD)
        if head.startswith(GZIP):
            file.seek(0)
            try:
                head = gzip.GzipFile(fileobj=file).read(HEAD)
            except (EOFError, OSError, zlib.error):
                return False  # whoever reads it says what is wrong
    return len(head) == HEAD and head[:2] == b"\0\0" and head[2] in KINDS and head[3] > 0


def read_idx(path: str | Path, *, by: str | None = None, labelled: bool = True) -> NumbersFile:
    """The pictures of a file, a step a row of each (`by` rows, where it has rows), or a value (`by` pixels).

    Raises DataError where it is damaged, holds no pictures, or with `labelled` has not one label each.
    """
    path = Path(path)
    raw = read_bytes(path, needs=NEEDS)
    items = _array(raw, name=path.name)
    if items.ndim < 2:
        raise DataError(f"{path.name} holds a single number for each item, as labels are. Give the file of pictures.")
    if not items.size:
        raise DataError(f"{path.name} holds no picture.")
    if by not in (None, ROWS, PIXELS):
        raise DataError(f'{path.name}: input is "{by}", but a step of a picture is one of its {ROWS}, or {PIXELS}.')
    steps = math.prod(items.shape[1:]) if by == PIXELS else items.shape[1]
    items = items.reshape(len(items), steps, -1)
    labels, beside = _labels(path, count=len(items)) if labelled else ([None] * len(items), {})
    notes = [f"labels: {name}" for name in beside]
    samples = [
        Sample(number, f"item {number}", item, label)
        for number, (item, label) in enumerate(zip(items, labels, strict=True), start=1)
    ]
    inputs = tuple(f"value {number}" for number in range(1, items.shape[2] + 1))
    layout = NumbersLayout("idx", inputs)
    return NumbersFile(path, layout, "label", samples, [], notes, raw.fingerprint, beside, "classify")


def _labels(path: Path, *, count: int) -> tuple[list[Any], dict[str, str]]:
    """The label of each picture as a text, and the sha256 of their file by its name."""
    beside = path.with_name(re.sub(r"idx\d", "idx1", path.name.replace("images", "labels")))
    if beside.name == path.name:
        raise DataError(f"{path.name}: where its labels are is told by its name, in which images stands for labels.")
    raw = read_bytes(beside, needs=NEEDS)
    labels = _array(raw, name=beside.name)
    if labels.shape != (count,):
        raise DataError(f"{beside.name} has labels of shape {labels.shape}, but {path.name} has {count:,} pictures.")
    return [str(label) for label in labels], {beside.name: raw.fingerprint}


def _array(raw: RawFile, *, name: str) -> NDArray[Any]:
    """The numbers of a file in its shape. Raises DataError where it is no IDX file, or not as long as its head says."""
    data = raw.data
    if len(data) < HEAD or data[:2] != b"\0\0" or data[2] not in KINDS or not data[3]:
        raise DataError(f"{name} is no IDX file: it does not begin with two zeros, a type and a number of sizes.")
    begins = HEAD + 4 * data[3]
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(HEAD, min(begins, len(data)), 4))
    kind = np.dtype(KINDS[data[2]])
    wanted = begins + math.prod(shape) * kind.itemsize
    if len(data) != wanted:
        raise DataError(f"{name} is {len(data):,} bytes long, but its head says {wanted:,}. Copy or download it again.")
    try:
        values = np.frombuffer(data, dtype=kind, offset=begins).reshape(shape)
    except ValueError:
        raise DataError(f"{name} holds no picture: its head says {len(shape)} sizes that no array has.") from None
    if kind.kind == "f" and not (np.abs(values) <= LARGEST).all():
        raise DataError(f"{name} holds numbers that are not finite, or too large to compute with.")
    return values
