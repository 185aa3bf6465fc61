"""Targets that are tags, one for each word of a sentence, and what else is learned of the words for them.

The counterpart of targets.py for `tag`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from seqloom.data.rows import KINDS, Value
from seqloom.data.targets import sort_labels
from seqloom.errors import DataError
from seqloom.text import Vocabulary

SPAN_TAG = re.compile("[BILUES]-.+", re.DOTALL)
FEWEST_WORDS = 2  # a character of one word alone is read as an unknown one: so that is learned too
SHOWN = 40


@dataclass(frozen=True)
class TagTargets:
    """How tags become numbers and back, which words training has seen, and of which characters they are.

    `lexicon` has for each word of training, as it was written, the number of the tag it had most often there.
    """

    labels: tuple[str, ...]
    lexicon: Mapping[str, int]
    characters: Vocabulary
    problem: ClassVar[Literal["tags"]] = "tags"
    task: ClassVar[Literal["tag"]] = "tag"

    @classmethod
    def learn(cls, tagged: Mapping[tuple[str, str], int]) -> "TagTargets":
        """Learn from how often each normalised word of the training rows has which tag.

        Of tags that a word had as often the one that comes first in order counts. Raises DataError where all tags are
        the same.
        """
        counts: dict[str, dict[str, int]] = {}
        for (word, tag), count in tagged.items():
            counts.setdefault(word, {})[tag] = count
        labels = sort_labels(tag for found in counts.values() for tag in found)
        if len(labels) < 2:
            raise DataError(
                f'all words of the training rows have the tag "{"".join(labels)[:SHOWN]}": there is nothing to tell '
                "apart. Give rows with at least two different tags, or another column with --target."
            )
        numbers = {label: number for number, label in enumerate(labels)}
        lexicon = {
            word: min(numbers[tag] for tag, count in found.items() if count == max(found.values()))
            for word, found in sorted(counts.items())
        }
        characters = Vocabulary.build(map(sorted, map(set, lexicon)), min_count=FEWEST_WORDS)
        return cls(labels, lexicon, characters)

    @cached_property
    def has_spans(self) -> bool:
        """Whether the tags mark spans: O for what is outside, all others as B-PER, I-PER (or E-, L-, S-, U-)."""
        marks = [label for label in self.labels if label != "O"]
        return all(map(SPAN_TAG.fullmatch, marks)) and any(label.startswith(("B-", "I-")) for label in marks)

    def encode(self, tags: Sequence[str]) -> list[int]:
        """The number of each tag. Raises DataError for one that training did not see."""
        try:
            return [self._numbers[tag] for tag in tags]
        except KeyError:
            place, tag = next((place, tag) for place, tag in enumerate(tags, start=1) if tag not in self._numbers)
            known = ", ".join(self.labels[:10]) + (" ..." if len(self.labels) > 10 else "")
            raise DataError(
                f'tag "{tag[:SHOWN]}" of word {place} does not occur in training (known: {known})'
            ) from None

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """The tag of each number."""
        return [self.labels[number] for number in numbers]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving. Lexicon and characters are saved as files of their own."""
        return {"problem": self.problem, "labels": list(self.labels)}

    def lexicon_to_dict(self) -> dict[str, list[Any]]:
        """The lexicon as plain values: its words, and in the same order the number of the tag of each."""
        return {"words": list(self.lexicon), "tags": list(self.lexicon.values())}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, lexicon: Any, characters: Vocabulary) -> "TagTargets":
        """The targets that `to_dict` and `lexicon_to_dict` described. Raises DataError for other keys or values."""
        if set(values) != {"problem", "labels"}:
            found = ", ".join(sorted(map(str, values))) or "none"
            raise DataError(f"saved tags have the keys problem, labels and no other; found: {found}.")
        labels = values["labels"]
        if values["problem"] != cls.problem:
            raise DataError(f"saved tags have the problem {values['problem']!r}; allowed: {cls.problem}.")
        if not isinstance(labels, list) or not all(isinstance(label, str) and label.strip() for label in labels):
            raise DataError("saved tags: labels must be a list of texts, none of them empty.")
        if len(set(labels)) != len(labels) or len(labels) < 2:
            raise DataError("saved tags: labels must be two or more, each of them once.")
        if not isinstance(lexicon, dict) or set(lexicon) != {"words", "tags"}:
            raise DataError("the lexicon must be an object with the keys words, tags and no other.")
        words, tags = lexicon["words"], lexicon["tags"]
        if not (isinstance(words, list) and isinstance(tags, list) and len(words) == len(tags) > 0):
            raise DataError("the lexicon must have words, and a tag for each.")
        if not all(isinstance(word, str) for word in words) or len(set(words)) != len(words):
            raise DataError("the words of the lexicon must be texts, each of them once.")
        if not all(type(tag) is int and 0 <= tag < len(labels) for tag in tags):
            raise DataError(f"the tags of the lexicon must be numbers of the {len(labels)} labels.")
        if not all(len(character) == 1 for character in characters.known):
            raise DataError("the characters must be single ones.")
        return cls(tuple(labels), dict(zip(words, tags, strict=True)), characters)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {label: number for number, label in enumerate(self.labels)}


def read_words(value: Value) -> tuple[str, ...]:
    """The words of a row. Raises DataError where they are no list, or none, or one of them is blank."""
    return _read_list(value, what="word")


def read_tags(value: Value, *, words: Sequence[str]) -> tuple[str, ...]:
    """The tag of each of `words`, without surrounding blanks. Raises DataError where they are not as many."""
    tags = tuple(map(str.strip, _read_list(value, what="tag")))
    if len(tags) != len(words):
        raise DataError(f"{len(tags)} tags for {len(words)} words")
    return tags


def as_text(value: Value) -> Value:
    """Words with blanks between them; what is no list as it is."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else value


def _read_list(value: Value, *, what: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, tuple | list):
        given = "a text" if isinstance(value, str) else KINDS.get(type(value), f"a {type(value).__name__}")
        raise DataError(f"{given} where a list of {what}s is needed")
    if not value:
        raise DataError(f"no {what}s")
    if {*map(type, value)} != {str} or not all(map(str.strip, value)):
        for place, item in enumerate(value, start=1):
            if not isinstance(item, str) or not item.strip():
                raise DataError(f"{what} {place} is {'empty' if isinstance(item, str) else 'no text'}")
    return tuple(value)
