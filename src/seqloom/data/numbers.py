"""Sequences of numbers that are answered once: read as they are, normalised by what the training rows have.

A series has a step a row of (T, C), a row of features is a series of one step. A missing number is NaN until it is
normalised; then it is zero, the mean of its channel, with a mark beside it where training had missing numbers too.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqloom.config import Task
from seqloom.data.rows import Rejected
from seqloom.data.targets import Target
from seqloom.errors import DataError
from seqloom.shapes import Batch

Values = NDArray[Any]  # (T, C): float64, NaN where one is missing, or whole numbers as a file of pictures has them
Steps = NDArray[np.float32]  # (T, I)
Kind = Literal["long", "rows", "ts", "idx"]

SHOWN = 5
FLAT = 1e-12  # a spread that is a smaller share of the mean is rounding
FEW_STEPS, MOST_FRAMES = 15, 65_536
FARTHEST = 1e6  # spreads from the mean: what is farther would become infinite on its way through the model


class Sample(NamedTuple):
    """One series or row as it is read: the line it starts on, its name, and its label where it has one.

    `part` is train, valid or test where the file says so.
    """

    line: int
    name: str
    values: Values
    label: str | None = None
    part: str | None = None


class NumericExample(NamedTuple):
    """One series or row as a model takes it, with its encoded target where there is one."""

    line: int
    name: str
    steps: Steps
    target: Target | None = None


@dataclass(frozen=True)
class NumbersLayout:
    """Which column is what: a row of a table is a step (long) or a sample (rows); or the file is .ts or IDX.

    `inputs` are the names of the channels; `series` names a sample, `time` is the order of its steps.
    """

    kind: Kind
    inputs: tuple[str, ...]
    series: str | None = None
    time: str | None = None

    @property
    def dense(self) -> bool:
        """Whether a sample has one step by its kind, so that there is nothing to be recurrent about."""
        return self.kind == "rows"

    @property
    def listed(self) -> str:
        """The channels, the first of them if there are many."""
        return ", ".join(self.inputs[:SHOWN]) + ", ..." * (len(self.inputs) > SHOWN)


@dataclass(frozen=True)
class NumbersFile:
    """The samples of one file, the rows that were refused, what was noticed, and the sha256 of each file of it.

    `task` is the kind of problem where the file says so.
    """

    path: Path
    layout: NumbersLayout
    target: str
    samples: list[Sample]
    rejected: list[Rejected]
    notes: list[str]
    fingerprint: str
    beside: Mapping[str, str]
    task: Task | None = None


class Channel(NamedTuple):
    """A channel with its mean and spread in training."""

    name: str
    mean: float
    scale: float


@dataclass(frozen=True)
class NumbersReader:
    """How samples become what a model reads: each channel less its mean, over its spread; `gaps`: marks beside them.

    The model reads `frames` steps as one, as frames of speech are stacked: a long series is remembered
    more easily in fewer, wider steps, and read in less time.
    """

    layout: NumbersLayout
    channels: tuple[Channel, ...]
    gaps: bool
    frames: int = 1

    @classmethod
    def learn(
        cls, layout: NumbersLayout, samples: Sequence[Sample], *, frames: int | None = None
    ) -> tuple["NumbersReader", list[str]]:
        """What the training samples tell, and the channels that tell nothing: they never change, or have no number.

        The values of a picture are all of one kind, so they share one mean and spread. Where `frames` is not given, it
        leaves about 15 steps; a picture is read as it is.
        """
        parts = [_moments(sample.values) for sample in samples]
        together = layout.kind == "idx"
        count, total = _summed([part[0] for part in parts], together), _summed([part[1] for part in parts], together)
        mean = total / np.maximum(count, 1)
        squared = _summed([_squared(sample.values, mean) for sample in samples], together)
        scale = np.sqrt(squared / np.maximum(count, 1))
        scale[scale <= FLAT * np.abs(mean)] = 0
        still = [name for name, spread in zip(layout.inputs, scale, strict=True) if spread == 0]
        channels = tuple(
            Channel(name, float(middle), float(spread) or 1.0)
            for name, middle, spread in zip(layout.inputs, mean, scale, strict=True)
        )
        gaps = any(int(part[0].sum()) < sample.values.size for part, sample in zip(parts, samples, strict=True))
        if frames is None:
            usual = sorted(len(sample.values) for sample in samples)[len(samples) // 2]
            frames = 1 if together else max(1, usual // FEW_STEPS)
        return cls(layout, channels, gaps, frames), still

    @property
    def input_size(self) -> int:
        """The numbers of a step."""
        return len(self.channels) * (2 if self.gaps else 1)

    def encode(self, values: Values, *, max_length: int | None = None) -> Steps:
        """The steps (T, I) of a sample, at most `max_length` of them."""
        read = values[:max_length].astype(np.float64)
        there = np.isfinite(read)
        means, scales = ([getattr(channel, name) for channel in self.channels] for name in ("mean", "scale"))
        steps = np.clip(np.where(there, (read - means) / scales, 0.0), -FARTHEST, FARTHEST)
        return (np.concatenate([steps, there], axis=1) if self.gaps else steps).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving."""
        layout = self.layout
        return {
            "kind": layout.kind,
            "series": layout.series,
            "time": layout.time,
            "channels": [channel._asdict() for channel in self.channels],
            "gaps": self.gaps,
            "frames": self.frames,
        }

    @classmethod
    def from_dict(cls, values: Any) -> "NumbersReader":
        """The reader that `to_dict` described. Raises DataError for any other keys and for impossible values."""
        keys = ("kind", "series", "time", "channels", "gaps", "frames")
        if not isinstance(values, dict) or set(values) != set(keys):
            found = ", ".join(sorted(map(str, values))) if isinstance(values, dict) and values else "none"
            raise DataError(f"a saved reader of numbers has the keys {', '.join(keys)} and no other; found: {found}.")
        if values["kind"] not in get_args(Kind) or not all(
            values[name] is None or isinstance(values[name], str) for name in ("series", "time")
        ):
            raise DataError(f"saved reader: there is no kind {values['kind']!r:.40} with such columns.")
        if values["kind"] == "long" and values["series"] is None:
            raise DataError("saved reader: a long table needs the name of its column of series.")
        if not isinstance(values["gaps"], bool):
            raise DataError(f"saved reader: gaps is {values['gaps']!r:.40}, but must be true or false.")
        if type(values["frames"]) is not int or not 1 <= values["frames"] <= MOST_FRAMES:
            raise DataError(f"saved reader: frames is {values['frames']!r:.40}, but must lie in 1..{MOST_FRAMES:,}.")
        if not isinstance(values["channels"], list) or not values["channels"]:
            raise DataError("saved reader: channels must be a list, and not an empty one.")
        channels = tuple(map(_channel, values["channels"]))
        names = tuple(channel.name for channel in channels)
        if len(set(names)) < len(names):
            raise DataError("saved reader: two channels have one name.")
        layout = NumbersLayout(values["kind"], names, values["series"], values["time"])
        return cls(layout, channels, values["gaps"], values["frames"])


def collate_numbers(examples: Sequence[NumericExample]) -> tuple[Batch, Tensor]:
    """The batch of these examples and their targets, class numbers int64 or numbers float32."""
    targets = [example.target for example in examples]
    classes = all(isinstance(target, int) for target in targets)
    made = torch.tensor(targets, dtype=torch.int64 if classes else torch.float32)
    return pad_numbers([example.steps for example in examples]), made


def pad_numbers(sequences: Sequence[Steps]) -> Batch:
    """Steps (B, T, I) with zeros after the end of each row, float32, and the lengths (B,), int64."""
    lengths = [len(steps) for steps in sequences]
    values = np.zeros((len(lengths), max(lengths, default=0), sequences[0].shape[1]), dtype=np.float32)
    for row, steps in enumerate(sequences):
        values[row, : len(steps)] = steps
    return Batch(torch.from_numpy(values), torch.tensor(lengths, dtype=torch.int64))


def key_of(values: Values) -> bytes:
    """What two samples have in common exactly where their numbers are the same."""
    return blake2b(repr((values.shape, values.dtype.str)).encode() + values.tobytes(), digest_size=16).digest()


def without_end(values: Values) -> Values:
    """The steps up to the last one that has a number: what is missing behind it is padding of the file."""
    there = np.flatnonzero(np.isfinite(values).any(axis=1))
    return values[: int(there[-1]) + 1 if len(there) else 0]


def _moments(values: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many numbers each channel has, and their sum."""
    there = np.isfinite(values)
    return there.sum(axis=0, dtype=np.float64), np.where(there, values, 0).sum(axis=0, dtype=np.float64)


def _squared(values: Values, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of the squared distances from the mean, a channel."""
    away: NDArray[np.float64] = np.where(np.isfinite(values), values - mean, 0.0)
    squared: NDArray[np.float64] = np.square(away).sum(axis=0)
    return squared


def _summed(parts: Iterable[NDArray[np.float64]], together: bool) -> NDArray[np.float64]:
    """The sum over samples, exact, so that it does not depend on their order; over all channels where `together`."""
    table = np.stack(list(parts))
    sums = np.array([math.fsum(column) for column in table.T])
    return np.full(len(sums), math.fsum(sums)) if together else sums


def _channel(values: Any) -> Channel:
    if not isinstance(values, dict) or set(values) != set(Channel._fields) or not isinstance(values["name"], str):
        raise DataError("saved reader: each channel needs a name, a mean and a scale.")
    for name in ("mean", "scale"):
        if type(values[name]) is not float or not math.isfinite(values[name]):
            raise DataError(f"saved reader: {name} is {values[name]!r:.40}, but must be a finite number.")
    if values["scale"] <= 0:
        raise DataError(f"saved reader: scale is {values['scale']}, but must be above 0.")
    return Channel(**values)
