"""What comes next: the target of a language model is its own text, each token after those before it.

The counterpart of targets.py for `generate`. In a table each text is followed by an end, the id 0; a text file goes on
and on, and the ends of its lines are tokens like all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from seqloom.errors import DataError
from seqloom.text import PADDING, UNKNOWN, Tokeniser, Vocabulary

END = PADDING
UNKNOWN_WORD = "<unk>"  # as many texts that are cut into words have it
UNKNOWN_SPELLED = {
    "word": "<unknown>",
    "character": "\ufffd",
    "byte": "ff",
    "subword": "\ufffd",
    "whitespace": UNKNOWN_WORD,
}
AS_IT_STANDS = ("character", "byte")  # kinds of tokens that leave nothing of a text out


@dataclass(frozen=True)
class NextTargets:
    """How a text becomes ids and ids a text; `ends` says whether each text ends, or lines go on.

    Without `ends` the end of a line is a token. A word spelled "<unk>" is read as one that is not known.
    """

    tokeniser: Tokeniser
    vocabulary: Vocabulary
    ends: bool
    problem: ClassVar[Literal["next"]] = "next"
    task: ClassVar[Literal["generate"]] = "generate"
    labels: ClassVar[tuple[str, ...]] = ()

    @property
    def start(self) -> int:
        """The id that stands before the first token of a text."""
        return END if self.ends else self.line_end

    @property
    def line_end(self) -> int:
        """The id of the end of a line, where lines go on; END where no line of training ended."""
        [found] = self.vocabulary.encode([line_end(self.tokeniser)])
        return END if found == UNKNOWN else found

    @property
    def barred(self) -> tuple[int, ...]:
        """The ids that are never written: nobody means an unknown token, and what goes on has no end."""
        return (UNKNOWN,) if self.ends else (UNKNOWN, END)

    def encode(self, text: str) -> list[int]:
        """The ids of a text that may have several lines, without start or end. Raises DataError for no real text."""
        if self.ends or self.tokeniser.kind in AS_IT_STANDS:
            return self.vocabulary.encode(self.tokeniser.texts(text))
        lines = [self.vocabulary.encode(self.tokeniser.texts(line)) for line in text.split("\n")]
        return [number for place, line in enumerate(lines) for number in ([self.line_end] * (place > 0) + line)]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The token of each id, an unknown one as "<unknown>", an end as "<end>". Raises DataError."""
        spelled = {UNKNOWN: "<unknown>", END: "<end>"}
        found = self.vocabulary.decode(ids)
        return [spelled.get(number, token) for number, token in zip(ids, found, strict=True)]

    def join(self, tokens: Sequence[str]) -> str:
        """The text that these tokens stand for, as people write it."""
        spelled = UNKNOWN_SPELLED[self.tokeniser.kind]
        tokens = [spelled if token == "<unknown>" else token for token in tokens]
        if self.tokeniser.kind in AS_IT_STANDS:
            return self.tokeniser.join(tokens)
        lines: list[list[str]] = [[]]
        for token in tokens:
            if token == "\n":
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(map(self.tokeniser.join, lines))

    def continuation(self, before: Sequence[str], written: Sequence[str]) -> str:
        """What stands after the text of `before` once `written` follows, with the blank between where there is one."""
        start, whole = self.join(before), self.join([*before, *written])
        if whole.startswith(start):
            return whole[len(start) :]
        return f" {self.join(written)}"  # a sign that clings otherwise now, such as a quotation mark

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving; tokeniser and vocabulary are those of the model."""
        return {"problem": self.problem, "ends": self.ends}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, tokeniser: Tokeniser, vocabulary: Vocabulary) -> "NextTargets":
        """The targets that `to_dict` described. Raises DataError for other keys or values."""
        if set(values) != {"problem", "ends"} or values["problem"] != cls.problem or type(values["ends"]) is not bool:
            raise DataError(f"saved targets of generate have problem next and ends true or false, not {values!r:.80}.")
        return cls(tokeniser, vocabulary, values["ends"])


def line_end(tokeniser: Tokeniser) -> str:
    """The token for the end of a line."""
    return "0a" if tokeniser.kind == "byte" else "\n"
