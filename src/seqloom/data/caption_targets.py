"""Captions as targets: texts that are written, and how what they are written for is seen.

The counterpart of targets.py for `caption`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqloom.data.sight import Sight
from seqloom.data.text_targets import SPARE, TextTargets
from seqloom.errors import DataError
from seqloom.text import Tokeniser, Vocabulary

KEYS = ("problem", "most", "sight")


@dataclass(frozen=True)
class CaptionTargets(TextTargets):
    """How captions become ids and back, how long they were in training, and how what they tell of is seen."""

    sight: Sight = field(kw_only=True)
    task: ClassVar[Literal["caption"]] = "caption"

    def longest(self, source: int) -> int:
        """The tokens that a caption may have, of whatever number of regions: as in training, and a few more."""
        return self.most + SPARE

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving. Tokeniser and vocabulary are the model's own, and saved with it."""
        return {"problem": self.problem, "most": self.most, "sight": self.sight.to_dict()}

    @classmethod
    def from_saved(cls, values: Mapping[str, Any], *, tokeniser: Tokeniser, vocabulary: Vocabulary) -> "CaptionTargets":
        """The targets that `to_dict` described. Raises DataError for other keys or values."""
        if set(values) != set(KEYS):
            found = ", ".join(sorted(map(str, values))) or "none"
            raise DataError(f"saved captions have the keys {', '.join(KEYS)} and no other; found: {found}.")
        if values["problem"] != cls.problem:
            raise DataError(f"saved captions have the problem {values['problem']!r:.40}; allowed: {cls.problem}.")
        most = values["most"]
        if type(most) is not int or not 1 <= most <= 1 << 24:
            raise DataError(f"saved captions: most is {most!r:.40}, but must be a whole number from 1 on.")
        return cls(tokeniser, vocabulary, most=most, sight=Sight.from_dict(values["sight"]))
