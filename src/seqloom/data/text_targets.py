"""Targets that are texts: written token by token, read back as people write, and counted as edits.

The counterpart of targets.py for `translate`. In what a model writes, the id of padding begins and ends a text.
"""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, ClassVar, Literal

import numpy as np

from seqloom.data.next_targets import UNKNOWN_SPELLED, NextTargets
from seqloom.data.rows import Value, read_text
from seqloom.data.tag_targets import TagTargets
from seqloom.data.targets import Targets
from seqloom.errors import DataError
from seqloom.text import PADDING, UNKNOWN, Tokeniser, Vocabulary, normalise

NEARLY_ALL = 0.999
SPARE = 5


@dataclass(frozen=True)
class TextTargets:
    """How target texts become ids and back, and how long they were in training.

    `per_source` is how many tokens nearly all targets had at most for each token of their source, ends counted on both
    sides; `most` is how many the longest had.
    """

    tokeniser: Tokeniser
    vocabulary: Vocabulary
    per_source: float = 2.0
    most: int = 100
    problem: ClassVar[Literal["text"]] = "text"
    task: ClassVar[Literal["translate", "caption"]] = "translate"
    labels: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def lengths(cls, pairs: Iterable[tuple[int, int]]) -> tuple[float, int]:
        """`per_source` and `most` of (source tokens, target tokens) of the training rows."""
        ratios, most = array("d"), 0
        for source, target in pairs:
            ratios.append((target + 1) / (source + 1))
            most = max(most, target)
        ordered = np.sort(np.asarray(ratios))
        return float(ordered[int(NEARLY_ALL * (len(ordered) - 1))]), most

    def longest(self, source: int) -> int:
        """The tokens that a target may have whose source has so many: as in training, and a few more."""
        likely = math.ceil(self.per_source * (source + 1))
        return min(likely, 2 * max(self.most, source)) + SPARE

    def encode(self, value: Value) -> list[int]:
        """The ids of the text's tokens, without start or end; surrounding blanks do not count.

        Raises DataError where it is no text, or empty, or has no tokens.
        """
        tokens = self.tokeniser.texts(read_text(value, role="target").strip())
        if not tokens:
            raise DataError("no tokens in the target")
        return self.vocabulary.encode(tokens)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these ids, up to the first 0, which ends a text. Raises DataError for an id there is not."""
        return self.join(self.tokens(ids))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The token of each id up to the first 0, an unknown one as "<unknown>" or "\ufffd". Raises DataError."""
        used = list(takewhile(lambda number: number != PADDING, ids))
        spelled = UNKNOWN_SPELLED[self.tokeniser.kind]
        tokens = self.vocabulary.decode(used)
        return [spelled if number == UNKNOWN else token for number, token in zip(used, tokens, strict=True)]

    def join(self, tokens: Sequence[str]) -> str:
        """The text of these tokens as people write it, surrounding blanks left out."""
        return self.tokeniser.join(tokens).strip()

    def units(self, text: str) -> list[str]:
        """What an edit adds, drops or changes: characters where characters or bytes are written, else words."""
        normalised = normalise(text, form=self.tokeniser.normal_form, lowercase=False).strip()
        return list(normalised) if self.tokeniser.kind in ("character", "byte") else normalised.split()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving. Vocabulary and subword model are saved as files of their own."""
        return {
            "problem": self.problem,
            "tokeniser": self.tokeniser.to_dict(),
            "per_source": self.per_source,
            "most": self.most,
        }

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, vocabulary: Vocabulary, subword_model: bytes | None = None
    ) -> "TextTargets":
        """The targets that `to_dict` described. Raises DataError or ConfigError for other keys or values."""
        expected = ["problem", "tokeniser", "per_source", "most"]
        if set(values) != set(expected):
            found = ", ".join(sorted(map(str, values))) or "none"
            raise DataError(f"saved text targets have the keys {', '.join(expected)} and no other; found: {found}.")
        if values["problem"] != cls.problem:
            raise DataError(f"saved text targets have the problem {values['problem']!r}; allowed: {cls.problem}.")
        if not isinstance(values["tokeniser"], Mapping):
            raise DataError("saved text targets: tokeniser must be an object.")
        per_source, most = values["per_source"], values["most"]
        if type(per_source) is not float or not 0 < per_source < math.inf or type(most) is not int or most < 1:
            raise DataError(
                f"saved text targets: per_source is {per_source!r} and most is {most!r}, but must be a number above 0 "
                "and a whole number from 1 on."
            )
        tokeniser = Tokeniser.from_dict(values["tokeniser"], subword_model=subword_model)
        return cls(tokeniser, vocabulary, per_source, most)


AnyTargets = Targets | TextTargets | TagTargets | NextTargets
