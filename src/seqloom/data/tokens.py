"""What one time step of a text should be, where nobody said: a function of the training texts, and always said.

Names, dates and amounts are read by character, phonemes by word, sentences by subword.
"""

import importlib.util
import math
from collections import Counter
from collections.abc import Sequence

from seqloom.config import Tokens
from seqloom.text import Tokeniser, normalise

FEW_WORDS = 2_000
OFTEN = 20
ENOUGH_WORDS = 5_000
PIECES = (500, 32_000)
PIECES_PER_ROOT = 14.0
REJOINED = 0.95
REJOINED_OF = 1_000
APART = 0.95
SMALL_TEXT = 20_000_000


def choose_tokens(texts: Sequence[str], *, tokeniser: Tokeniser) -> tuple[Tokens, str]:
    """The kind of tokens that suits the texts, and why; `tokeniser` cuts words, as the texts would be cut."""
    words = Counter(word for text in texts for word in text.split())
    if (why := single_words(texts)) is not None:
        return "character", why
    if len(words) <= FEW_WORDS and words.total() >= OFTEN * len(words):
        few = f"only {len(words):,} different words"
        torn = _rejoined(texts, tokeniser) < REJOINED
        return ("character", f"{few}, but some could not be put together again") if torn else ("word", few)
    figures = sum(count for word, count in words.items() if any(map(str.isdigit, word)))
    if 4 * figures > words.total():
        return "character", f"{figures / words.total():.0%} of the words hold digits"
    if words.total() < ENOUGH_WORDS:
        return "word", f"{words.total():,} words are too few to learn subwords from"
    if importlib.util.find_spec("sentencepiece") is None:
        return "word", "subwords would read rare words too, but need a package: pip install 'seqloom[text]'"
    return "subword", f"{len(words):,} different words"


def single_words(texts: Sequence[str]) -> str | None:
    """That most texts are a single word, where it is so, as of names and texts without blanks: few words come again."""
    single = sum(len(text.split(maxsplit=1)) == 1 for text in texts)
    return f"{single:,} of {len(texts):,} texts are a single word" if 2 * single > len(texts) else None


def choose_stream_tokens(sample: Sequence[str], *, size: int) -> tuple[Tokens, str]:
    """The kind of tokens that suits a text of `size` bytes which begins with the lines of `sample`, and why."""
    words = Counter(word for line in sample for word in line.split())
    if words["<unk>"]:
        return "whitespace", "<unk> stands in it: it is cut into words already"
    alone, all_of_them = words[","] + words["."], sum(words[word] for word in words if word[-1] in ",.")
    lower = not any(map(str.isupper, "".join(words)))
    if lower and all_of_them >= OFTEN and alone >= APART * all_of_them:
        return "whitespace", "small letters, and signs stand alone: it is cut into words already"
    if size <= SMALL_TEXT:
        return "character", f"{size / 1e6:,.1f} MB are few to learn words from"
    if importlib.util.find_spec("sentencepiece") is None:
        return "word", "subwords would read rare words too, but need a package: pip install 'seqloom[text]'"
    return "subword", f"{size / 1e6:,.0f} MB"


def enough_pieces(texts: Sequence[str]) -> int:
    """How many subwords suit the amount of text: 8,000 for 330,000 words, and as the square root of them.

    So does the number of different words grow with a text. There are twice as many pieces as characters at least.
    """
    characters = {character for text in texts for character in text}
    least, most = PIECES
    pieces = 100 * round(PIECES_PER_ROOT * math.sqrt(sum(len(text.split()) for text in texts)) / 100)
    return max(min(max(pieces, least), most), 2 * len(characters))


def _rejoined(texts: Sequence[str], tokeniser: Tokeniser) -> float:
    """The share of the first different texts that are themselves again once their words are joined."""
    different: dict[str, None] = {}
    for text in texts:
        different[text] = None
        if len(different) == REJOINED_OF:
            break
    some = list(different)
    return sum(tokeniser.join(tokeniser.texts(text)) == _plain(text, tokeniser) for text in some) / max(1, len(some))


def _plain(text: str, tokeniser: Tokeniser) -> str:
    normalised = normalise(text, form=tokeniser.normal_form, lowercase=tokeniser.lowercase)
    return " ".join(normalised.replace("’", "'").split())
