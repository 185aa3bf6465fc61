"""One spelling for one text: the same letters must become the same tokens, however they were typed or encoded.

"é" can be one code point or two, and a capital is often no other word; this page decides, and knows where it read what.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from seqloom.errors import DataError

NormalForm = Literal["NFC", "NFKC"]


class AlignedText(NamedTuple):
    """A normalised text; its code point i was read from `original[starts[i]:ends[i]]`."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


def normalise(text: str, *, form: NormalForm = "NFC", lowercase: bool = True) -> str:
    """The text in Unicode normal form `form` and, if `lowercase`, in small letters. Doing it twice changes nothing.

    NFC keeps what a reader can tell apart; NFKC also unifies full-width letters, ligatures, circled digits and so on.
    Small letters follow Unicode (a capital sigma that ends a word becomes "ς"), but "İ" becomes a plain "i", as in
    Turkish. "I" becomes "i" in every language. Raises DataError for a lone surrogate, which is no character.
    """
    if text.isascii():
        return text.lower() if lowercase else text
    _refuse_surrogates(text)
    composed = unicodedata.normalize(form, text)
    if not lowercase:
        return composed
    return unicodedata.normalize(form, composed.replace("İ", "i").lower())


def normalise_aligned(text: str, *, form: NormalForm = "NFC", lowercase: bool = True) -> AlignedText:
    """`normalise`, and for each resulting code point where it stood in `text`, in code points.

    Code points that were read from one character, or composed or reordered together, share a place. Raises DataError.
    """
    normalised = normalise(text, form=form, lowercase=lowercase)
    if len(normalised) == len(text) and unicodedata.is_normalized(form, text):
        return AlignedText(normalised, range(len(text)), range(1, len(text) + 1))
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _segments(text, form, lowercase):
        source = text[start:end]
        target = normalise(source, form=form, lowercase=lowercase)
        if [normalise(character, form=form, lowercase=lowercase) for character in source] == list(target):
            starts += range(start, end)
            ends += range(start + 1, end + 1)
        else:
            starts += [start] * len(target)
            ends += [end] * len(target)
    return AlignedText(normalised, starts, ends)


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise DataError(
            f"the text holds half a character: the lone surrogate U+{code:04X} at code point {error.start}. "
            "Only whole characters can be read. Write the text anew as UTF-8; in JSON, \\ud83d needs its second half."
        ) from None


def _segments(text: str, form: NormalForm, lowercase: bool) -> Iterator[tuple[int, int]]:
    """Cut the text where both sides normalise independently of each other."""
    start = 0
    for index in range(1, len(text)):
        if _independent(text[index], start, index, text=text, form=form, lowercase=lowercase):
            yield start, index
            start = index
    if text:
        yield start, len(text)


def _independent(character: str, start: int, index: int, *, text: str, form: NormalForm, lowercase: bool) -> bool:
    """Whether nothing in `text[start:index]` can compose or change places with `character` and what follows it."""
    if text[index - 1].isspace():
        return True
    if unicodedata.combining(unicodedata.normalize("NFKD", character)[0]):
        return False
    before, together = text[start:index], text[start : index + 1]
    sizes = [len(normalise(part, form=form, lowercase=lowercase)) for part in (before, character, together)]
    return sizes[0] + sizes[1] == sizes[2]
