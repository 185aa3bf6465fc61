"""How what a caption is written for becomes numbers: an image of a fixed size, or features.

What a cell holds says which: a list of numbers, the name of an .npy file, or else the name of an image.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqloom.data.images import (
    FEATURES_ENDING,
    Features,
    Pixels,
    as_features,
    decode_features,
    decode_image,
    digest_of,
    read_file,
    shown,
)
from seqloom.data.rows import KINDS
from seqloom.data.seen import Seen
from seqloom.data.targets import is_number
from seqloom.errors import DataError

SMALLEST, LARGEST = 16, 1024  # pixels a side
MOST_FEATURES = 65_536
MOST_ACROSS = 8  # regions of an image, across and down
USUAL_SIZE = 64

Kind = Literal["image", "features"]


@dataclass(frozen=True)
class Sight:
    """What is read: images, made `size` x `size` pixels, or features of `size` numbers a region; 0: not known yet.

    Features are less their `mean`, over their `scale`, those of the training rows.
    """

    kind: Kind
    size: int
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __str__(self) -> str:
        if self.kind == "image":
            return f"images of {self.size} x {self.size} pixels in {self.across} x {self.across} regions"
        return f"regions of {self.size:,} features"

    @property
    def across(self) -> int:
        """The regions of an image across, and as many down: its size halved until there are at most 8."""
        return halvings(self.size)[-1]

    def read(self, value: Any, folder: Path, *, keep: bool = True) -> Seen:
        """What a cell of a table in `folder` shows; `keep` says whether its pixels stay in memory.

        Raises DataError where it cannot be read, or is not of this kind or size.
        """
        if kind_of(value) != self.kind:
            other = "features" if self.kind == "image" else "an image"
            raise DataError(f"{other} where {'an image' if self.kind == 'image' else 'features'} must be")
        if self.kind == "image":
            name = _name(value, what="image")
            data = read_file(folder, name, what="image")
            pixels = decode_image(data, name, size=self.size)
            again = partial(_read_again, folder, name, self.size)
            return Seen(digest_of(data), self.across**2, pixels if keep else None, None if keep else again)
        features = _read_features(value, folder)
        if self.size and features.shape[1] != self.size:
            raise DataError(f"{features.shape[1]:,} features where {self.size:,} must be")
        return Seen(digest_of(features.tobytes()), len(features), features)

    def fitted(self, seen: Iterable[Seen]) -> "Sight":
        """This sight with mean and scale of what the training rows show."""
        if self.kind == "image":
            return self
        regions = np.concatenate([one.values() for one in seen]).astype(np.float64)
        mean, scale = regions.mean(axis=0), regions.std(axis=0)
        return replace(self, mean=tuple(mean.tolist()), scale=tuple(np.where(scale > 0, scale, 1).tolist()))

    def scaled(self, seen: Seen) -> Seen:
        """What a model reads of it: an image as it is, features by mean and scale. Raises DataError beyond float32."""
        if self.kind == "image":
            return seen
        with np.errstate(over="ignore"):
            numbers = ((seen.values().astype(np.float64) - self.mean) / self.scale).astype(np.float32)
        return replace(seen, kept=as_features(numbers, name="features"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving."""
        return {"kind": self.kind, "size": self.size, "mean": list(self.mean), "scale": list(self.scale)}

    @classmethod
    def from_dict(cls, values: Any) -> "Sight":
        """The sight that `to_dict` described. Raises DataError for any other keys and for impossible values."""
        if not isinstance(values, Mapping) or set(values) != {"kind", "size", "mean", "scale"}:
            raise DataError("a saved sight must have kind, size, mean and scale, and no other.")
        kind, size = values["kind"], values["size"]
        if kind not in ("image", "features"):
            raise DataError(f"a saved sight is of images or features, not of {kind!r:.40}.")
        least, most = (SMALLEST, LARGEST) if kind == "image" else (1, MOST_FEATURES)
        if type(size) is not int or not least <= size <= most:
            raise DataError(f"a saved sight has the size {size!r:.40}, but it must lie in {least}..{most}.")
        numbers = size if kind == "features" else 0
        for name in ("mean", "scale"):
            given = values[name]
            if not isinstance(given, list) or len(given) != numbers or not all(map(_is_finite, given)):
                raise DataError(f"a saved sight must have as {name} {numbers} finite numbers.")
        if not all(each > 0 for each in values["scale"]):
            raise DataError("a saved sight must have scales above 0.")
        return cls(kind, size, tuple(values["mean"]), tuple(values["scale"]))


def halvings(size: int) -> list[int]:
    """An image's size, then what is left of it each time that it is halved, to at most 8: 64, 32, 16, 8."""
    sizes = [size]
    while sizes[-1] > MOST_ACROSS:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def kind_of(value: Any) -> Kind:
    """What a cell holds, by its form alone."""
    if not isinstance(value, str | os.PathLike):
        return "features"
    name = os.fspath(value).strip()
    numbers = name.replace(",", " ").split()
    of_numbers = bool(numbers) and all(map(is_number, numbers))
    return "features" if of_numbers or name.lower().endswith(FEATURES_ENDING) else "image"


def find_sight(values: Sequence[Any], folder: Path, *, image_size: int | None) -> Sight:
    """What the cells of the training rows hold, as most of them do: images, or features of so many numbers.

    Raises DataError where there is nothing to be read.
    """
    kinds = Counter(map(kind_of, values))
    if kinds["image"] >= kinds["features"]:
        return Sight("image", image_size or USUAL_SIZE)
    if image_size is not None:
        raise DataError("image_size is a setting of images; the rows hold features. Leave it out.")
    any_size, widths = Sight("features", 0), Counter[int]()
    for value, rows in Counter(values).items():  # a file is often that of several captions
        try:
            widths[any_size.read(value, folder).values().shape[1]] += rows
        except DataError:
            continue  # refused where the rows are read, with its line
    return replace(any_size, size=widths.most_common(1)[0][0] if widths else 0)


def _read_features(value: Any, folder: Path) -> Features:
    if isinstance(value, str | os.PathLike):
        name = _name(value, what="file of features")
        if name.lower().endswith(FEATURES_ENDING):
            return decode_features(read_file(folder, name, what="number"), name)
        value = name.replace(",", " ").split()
    try:
        cells = list(value)
    except TypeError:
        raise DataError(f"{KINDS.get(type(value), f'a {type(value).__name__}')} where features are needed") from None
    if not cells:
        raise DataError("no features")
    return as_features([_number(cell, place) for place, cell in enumerate(cells, start=1)], name="features")


def _number(cell: Any, place: int) -> float:
    if isinstance(cell, str):
        if is_number(cell):
            return float(cell)
        why = f"is {shown(cell)}, not a finite number" if cell.strip() else "is empty"
        raise DataError(f"feature {place} {why}")
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"feature {place} is a {type(cell).__name__}, not a number") from None


def _name(value: str | os.PathLike[str], *, what: str) -> str:
    name = os.fspath(value).strip()
    if not name:
        raise DataError(f"no {what} is named")
    return name


def _read_again(folder: Path, name: str, size: int) -> Pixels:
    return decode_image(read_file(folder, name, what="image"), name, size=size)


def _is_finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)
