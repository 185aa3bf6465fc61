"""Sentences word by word: each word as the numbers a tagger reads, and plain texts cut into words."""

from typing import NamedTuple

from seqloom.data.rows import Value, read_text
from seqloom.data.tag_targets import TagTargets, read_words
from seqloom.errors import DataError
from seqloom.text import Tokeniser, Vocabulary, normalise


class Spelled(NamedTuple):
    """The words of a sentence as they were given, and in their normal form with capitals kept; the ids of the
    characters of each, and whether training had it.
    """

    words: tuple[str, ...]
    cased: tuple[str, ...]
    characters: tuple[tuple[int, ...], ...]
    known: tuple[bool, ...]


class _Word(NamedTuple):
    number: int
    cased: str
    characters: tuple[int, ...]
    known: bool


class _Spelling(dict[str, _Word]):
    """What each word that came up was read as."""

    def __init__(self, tokeniser: Tokeniser, vocabulary: Vocabulary, targets: TagTargets) -> None:
        super().__init__()
        self._tokeniser, self._vocabulary, self._targets = tokeniser, vocabulary, targets

    def __missing__(self, word: str) -> _Word:
        cased = cased_form(word, self._tokeniser)
        [number] = self._vocabulary.encode([word_form(word, self._tokeniser)])
        characters = tuple(self._targets.characters.encode(cased))
        found = self[word] = _Word(number, cased, characters, cased in self._targets.lexicon)
        return found


class Speller:
    """Makes numbers of words: an id, and one for each character. What a word was read as is kept.

    `tokeniser` says whether capitals count for the id; they always do for the characters and for the lexicon.
    """

    def __init__(self, tokeniser: Tokeniser, vocabulary: Vocabulary, targets: TagTargets) -> None:
        self._cased = Tokeniser("word", False, tokeniser.normal_form)
        self._read = _Spelling(tokeniser, vocabulary, targets)

    def read(self, value: Value) -> tuple[list[int], Spelled]:
        """The ids of the words, and how they are spelled. A plain text is cut into words, capitals and signs kept.

        Raises DataError where there are none.
        """
        words = self._cut(value) if isinstance(value, str) else read_words(value)
        numbers, *spelled = zip(*map(self._read.__getitem__, words), strict=True)
        return list(numbers), Spelled(words, *spelled)

    def _cut(self, text: str) -> tuple[str, ...]:
        words = tuple(text[token.start : token.end] for token in self._cased.tokens(read_text(text)))
        if not words:
            raise DataError("no words in the text")
        return words


def word_form(word: str, tokeniser: Tokeniser) -> str:
    """The spelling by which a word has its id. Raises DataError for a lone surrogate."""
    return normalise(word, form=tokeniser.normal_form, lowercase=tokeniser.lowercase)


def cased_form(word: str, tokeniser: Tokeniser) -> str:
    """The word in its normal form, capitals kept: by its characters, and as the lexicon has it. Raises DataError."""
    return normalise(word, form=tokeniser.normal_form, lowercase=False)
