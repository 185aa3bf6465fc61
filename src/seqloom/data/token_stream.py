"""A text as one long row of ids, read in windows: what a language model learns from.

The ids stay out of Python's lists and, where there are many, out of memory: a text may be larger than the machine.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqloom.data.kept import Scratch
from seqloom.shapes import Batch, Int
from seqloom.text import UNKNOWN


class TokenStream:
    """The ids of a text one after the other, with what `before` stands before the first; the last ones are in memory.

    `texts` are the lines or rows it has, `characters` their characters and line ends, `unknown` the tokens that the
    vocabulary does not know. Made by `add`, text after text; each id takes one, two or four bytes.
    """

    def __init__(self, *, entries: int, before: int = 0) -> None:
        self.before, self.texts, self.characters, self.unknown = before, 0, 0, 0
        self._type = np.dtype(np.uint8 if entries <= 1 << 8 else np.uint16 if entries <= 1 << 16 else np.int32)
        self._scratch = Scratch()

    def add(self, ids: Sequence[int], *, characters: int, texts: int = 1) -> None:
        """Append the ids of so many texts of so many characters."""
        self._scratch.add(array(self._type.char, ids).tobytes())
        self.unknown += ids.count(UNKNOWN)
        self.characters += characters
        self.texts += texts

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self._scratch) // self._type.itemsize

    def read(self, start: int, stop: int) -> NDArray[np.int64]:
        """The ids at start..stop - 1, one more at the front than were added: at place 0 stands `before`."""
        if start == 0 < stop:
            return np.concatenate([[self.before], self.read(1, stop)])
        found = self._scratch.read((start - 1) * self._type.itemsize, (stop - 1) * self._type.itemsize)
        return np.frombuffer(found, dtype=self._type).astype(np.int64)


class TextWindow(NamedTuple):
    """Some steps of a text at several places at once: what is read, (B, T), and what comes next, (B, T).

    At padding, beyond the lengths of `batch`, both are 0. `number` says which window it is.
    """

    batch: Batch
    targets: Int[Tensor, "B T"]
    number: int

    @property
    def tokens(self) -> int:
        """How many tokens are predicted."""
        return int(self.batch.lengths.sum())


class TextWindows:
    """A stream cut into `tracks` equal parts that are read side by side, `steps` at a time.

    Window n of a track goes on where its window n - 1 ended, so that a state can be carried over. All tokens of the
    stream are predicted once, each after the one before it. With `warm`, each track but the first begins so many
    tokens earlier; those stand in windows of their own, at the front: `warming` says how many.
    """

    def __init__(self, stream: TokenStream, *, tracks: int, steps: int, warm: int = 0) -> None:
        self._stream, self._steps = stream, steps
        tracks = max(1, min(tracks, len(stream)))
        self._starts = [track * len(stream) // tracks for track in range(tracks + 1)]
        self.warming = -(-warm // steps) if tracks > 1 else 0

    def __len__(self) -> int:
        longest = max(stop - start for start, stop in zip(self._starts, self._starts[1:], strict=False))
        return self.warming + -(-longest // self._steps)

    def __getitem__(self, number: int) -> TextWindow:
        """The window: rows are tracks. Raises IndexError beyond the last."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        tracks = len(self._starts) - 1
        values = np.zeros((tracks, self._steps + 1), dtype=np.int64)
        lengths = []
        for track in range(tracks):
            first, end = self._starts[track], self._starts[track + 1]
            start = first + (number - self.warming) * self._steps
            end = min(end, start + self._steps) if start >= first else min(first, start + self._steps)
            length = end - max(start, 0) if end > max(start, 0) else 0
            lengths.append(length)
            if length:
                values[track, : length + 1] = self._stream.read(end - length, end + 1)
        longest = max(lengths)
        ids = torch.from_numpy(values)
        real = torch.arange(longest) < torch.tensor(lengths)[:, None]
        read = torch.where(real, ids[:, :longest], 0)
        batch = Batch(read, torch.tensor(lengths, dtype=torch.int64))
        return TextWindow(batch, torch.where(real, ids[:, 1 : longest + 1], 0), number)
