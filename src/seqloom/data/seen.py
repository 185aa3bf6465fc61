"""What a row shows where no text is read: an image or features, as numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seen:
    """An image, (S, S, 3) of 0 to 255, or features (R, F) of float32.

    `regions` is how many places it has that a word can attend to, which is its length too; `digest` is the same where
    the same is shown. The numbers are `kept` in memory, or read `again` each time.
    """

    digest: str
    regions: int
    kept: Numbers | None
    again: Callable[[], Numbers] | None = None

    def __len__(self) -> int:
        return self.regions

    def values(self) -> Numbers:
        """The numbers. Raises DataError where they have to be read again, and their file has gone."""
        if self.kept is not None:
            return self.kept
        assert self.again is not None
        return self.again()
