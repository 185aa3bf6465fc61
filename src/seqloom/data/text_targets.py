"""Targets that are texts: written token by token, read back as people write, and counted as edits.

The counterpart of targets.py for `translate`. In what a model writes, the id of padding begins and ends a text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, ClassVar, Literal

from seqloom.data.rows import Value, read_text
from seqloom.data.targets import Targets
from seqloom.errors import DataError
from seqloom.text import PADDING, UNKNOWN, Tokeniser, Vocabulary, normalise

UNKNOWN_SPELLED = {"word": "<unknown>", "character": "\ufffd", "byte": "ff", "subword": "\ufffd"}


@dataclass(frozen=True)
class TextTargets:
    """How target texts become ids and back."""

    tokeniser: Tokeniser
    vocabulary: Vocabulary
    problem: ClassVar[Literal["text"]] = "text"
    task: ClassVar[Literal["translate"]] = "translate"
    labels: ClassVar[tuple[str, ...]] = ()

    def longest(self, source: int) -> int:
        """The tokens that the target of so many source tokens may have."""
        return 2 * source + 10

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
        return {"problem": self.problem, "tokeniser": self.tokeniser.to_dict()}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, vocabulary: Vocabulary, subword_model: bytes | None = None
    ) -> "TextTargets":
        """The targets that `to_dict` described. Raises DataError or ConfigError for other keys or values."""
        if set(values) != {"problem", "tokeniser"}:
            found = ", ".join(sorted(map(str, values))) or "none"
            raise DataError(f"saved text targets have the keys problem, tokeniser and no other; found: {found}.")
        if values["problem"] != cls.problem:
            raise DataError(f"saved text targets have the problem {values['problem']!r}; allowed: {cls.problem}.")
        if not isinstance(values["tokeniser"], Mapping):
            raise DataError("saved text targets: tokeniser must be an object.")
        return cls(Tokeniser.from_dict(values["tokeniser"], subword_model=subword_model), vocabulary)


AnyTargets = Targets | TextTargets
