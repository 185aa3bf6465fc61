"""Texts that arrive bit by bit: each part as soon as nothing that may follow can change its tokens.

Read in any pieces, a text gives the very tokens of the whole. So what is not sure yet has to wait: a word that may go
on, a letter that may get an accent, a capital sigma, whose small form hangs on what stands after it.
"""

import re
import unicodedata

from seqloom.errors import ConfigError, DataError
from seqloom.text.spacing import WITHOUT_BLANKS
from seqloom.text.tokeniser import Tokeniser

LONGEST_WAIT = 4096  # characters; a longer run without a blank is no word

_WITHOUT_BLANKS = re.compile(f"[{WITHOUT_BLANKS}]")
_OPEN_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]*\s*$")


def check_arriving(tokeniser: Tokeniser) -> None:
    """Raise ConfigError for tokens that hang on the whole text."""
    if tokeniser.kind == "subword":
        raise ConfigError(
            "pieces of words (tokens=subword) are cut by what follows them, and cannot be read one by one."
        )


def settle(tokeniser: Tokeniser, text: str) -> tuple[str, str]:
    """The beginning of `text` whose tokens are sure, whatever follows, and the rest, which has to wait for it.

    Raises DataError for a lone surrogate, and where too much would have to wait.
    """
    tokeniser.texts(text[-LONGEST_WAIT:])  # what cannot be read is refused now, not with the next piece
    first = max(0, len(text) - LONGEST_WAIT - 1)
    sure = next((place for place in range(len(text), first, -1) if _parts(tokeniser, text, place)), 0)
    if len(text) - sure > LONGEST_WAIT:
        raise DataError(f"more than {LONGEST_WAIT:,} characters without a blank: so many do not wait to become a word")
    return text[:sure], text[sure:]


def _parts(tokeniser: Tokeniser, text: str, place: int) -> bool:
    """Whether the tokens before and after this place are those of the two parts alone, whatever follows."""
    spelled, before = tokeniser.kind in ("character", "byte"), text[max(0, place - LONGEST_WAIT) : place]
    if text[place - 1].isspace():
        # A tag such as <br /> is the one token with a blank inside, "<" may be written wide too.
        return tokeniser.kind != "word" or not _OPEN_TAG.search(unicodedata.normalize("NFKC", before))
    if place == len(text) or tokeniser.kind == "whitespace":
        return False
    if not spelled and not _WITHOUT_BLANKS.match(text[place]):
        return False
    return _starts_anew(text[place]) and not (tokeniser.lowercase and "Σ" in before + text[place])


def _starts_anew(character: str) -> bool:
    """Whether a letter or digit joins nothing before it, in no normal form, nor hides it from what follows.

    A sigma looks back, past signs and modifiers, for a letter.
    """
    first = unicodedata.normalize("NFKD", character)[0]
    joins = unicodedata.category(first)[0] == "M" or 0x1160 <= ord(first) <= 0x11FF  # vowels and ends of Hangul
    return character.isalnum() and unicodedata.category(character) != "Lm" and not joins
