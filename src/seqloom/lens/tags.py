"""What a tagger thought of each word: the likeliest tags, with their probabilities."""

from typing import Any, NamedTuple

from seqloom.bundle import Bundle
from seqloom.data import Rejected, TagTargets, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import encode, tag_probabilities, tag_rows
from seqloom.lens.page import fragment
from seqloom.lens.show import tag_parts
from seqloom.models import Tagger

SHOWN = 3


class Chance(NamedTuple):
    """A tag, and how probable the model holds it."""

    tag: str
    probability: float


class TagTable(NamedTuple):
    """The words that were read, the tag of each, whether training had the word, and its likeliest tags, best first.

    Where the tags of a sentence are decided together (output crf) the tag of a word need not be its likeliest one.
    """

    text: str
    tokens: list[str]
    tags: list[str]
    known: list[bool]
    chances: list[list[Chance]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        chances = [[each._asdict() for each in word] for word in self.chances]
        return {"input": self.text, "tokens": self.tokens, "tags": self.tags, "known": self.known, "chances": chances}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return fragment(tag_parts(self))


def tag_table(bundle: Bundle, text: str) -> TagTable:
    """Tag the words of `text`, and keep what else they might have been.

    Raises DataError for a text that cannot be read, ConfigError for a model that does not tag.
    """
    if not isinstance(bundle.model, Tagger) or not isinstance(bundle.targets, TagTargets):
        raise ConfigError(f"look: this model answers {bundle.target}, it tags no words.")
    [row] = encode(bundle, table_of_texts([text], column=bundle.input), with_target=False)
    if isinstance(row, Rejected) or row.spelled is None:
        raise DataError(f"the text cannot be read: {row.reason if isinstance(row, Rejected) else 'no words'}")
    [tagged] = tag_rows(bundle.model, [row])
    chances = []
    for word in tag_probabilities(bundle.model, row):
        likeliest = sorted(range(len(word)), key=lambda tag: (-word[tag], tag))[:SHOWN]
        chances.append([Chance(bundle.targets.labels[tag], round(word[tag], 6)) for tag in likeliest])
    words, tags = list(row.spelled.words), bundle.targets.decode(tagged.tags)
    return TagTable(row.text, words, tags, list(row.spelled.known), chances)
