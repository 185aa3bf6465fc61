"""Where blanks stand between words and signs: what cutting a text into words left out, put back as people write it."""

import re
from collections.abc import Sequence

WITHOUT_BLANKS = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3021-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_WIDE = "\u3000-\u3004\u3008-\u3020\uff01-\uff65"  # signs as wide as a Han character, their blank within

_TIGHT = re.compile(f"[{WITHOUT_BLANKS}{_WIDE}]")
_CLOSING = re.compile(r"[.,;:!?%)\]}…°،؛؟۔।॥]+|(?i:'(?:s|re|ve|ll|d|m|t))|''")
_OPENING = re.compile(r"[(\[{¿¡]|``")
_BEFORE_NUMBERS = re.compile(r"[$£€#]")
_BETWEEN = re.compile(r"[/\\_@^]")
_HYPHENS = ("-", "‐", "‑")
_DASHES = ("–", "—")
_QUOTES = ('"', "'", "«»", "‹›", "“”„", "‘‚")


def join_words(words: Sequence[str]) -> str:
    """The text that these words and signs stand for: "a man, smiling." and not "a man , smiling ."

    Signs, brackets, quotation marks and hyphens sit as most texts have them, and scripts without blanks get none.
    """
    text: list[str] = []
    opened: set[str] = set()
    before, tight = "", True
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        left, right = _clings(word, before, after)
        if family := next((family for family in _QUOTES if word in family), ""):
            closes = family in opened or not any(later in family for later in words[place + 1 :])
            left, right = closes, not closes
            opened ^= {family} if family in opened or not closes else set()
        text += [word] if tight or left else [" ", word]
        before, tight = word, right
    return "".join(text)


def _clings(word: str, before: str, after: str) -> tuple[bool, bool]:
    """Whether no blank stands before the word, and none after it."""
    within = _number(before) and _number(after)
    if _TIGHT.match(word) or _BETWEEN.fullmatch(word):
        return True, True
    if _CLOSING.fullmatch(word):
        return True, word == ":" and within
    if _BEFORE_NUMBERS.fullmatch(word):
        return False, _number(after) and not _number(before)
    if word in _HYPHENS:
        within = before[-1:].isalnum() and after[:1].isalnum()
        return within, within
    return (within, within) if word in _DASHES else (False, bool(_OPENING.fullmatch(word)))


def _number(word: str) -> bool:
    return word[:1].isdigit()
