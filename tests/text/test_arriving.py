"""A text that arrives in pieces gives the tokens of the whole, wherever it was cut."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqloom.errors import ConfigError, DataError
from seqloom.text import Tokeniser, check_arriving, settle
from seqloom.text.arriving import LONGEST_WAIT

# What joins, decomposes, changes case by what stands beside it, or is cut by what follows.
ODD = "aΣσ'’.,-?!<>/br \n\u00a0\u0301\u0327é漢字カか゛ﾞｶนำ\u0e33각ᄀ\u1161\u11a8\u200d🇹🇷👍🏽İIſﬁ´½7_\u02b0＜"
PIECES = st.lists(st.text(st.sampled_from(ODD), max_size=8), max_size=6)
KINDS = ("word", "character", "byte", "whitespace")


def read(tokeniser: Tokeniser, pieces: list[str]) -> list[str]:
    tokens: list[str] = []
    waiting = ""
    for piece in pieces:
        sure, waiting = settle(tokeniser, waiting + piece)
        tokens += tokeniser.texts(sure)
    return tokens + tokeniser.texts(waiting)


@pytest.mark.parametrize("kind", KINDS)
@given(pieces=PIECES, lowercase=st.booleans(), form=st.sampled_from(["NFC", "NFKC"]))
@example(pieces=["αΣ", "α"], lowercase=True, form="NFC")
@example(pieces=["α", "Σ", " "], lowercase=True, form="NFC")
@example(pieces=["α.Σ", ".", "漢"], lowercase=True, form="NFC")
@example(pieces=["a <br ", "/> b"], lowercase=True, form="NFC")
@example(pieces=["＜br ", "> b"], lowercase=False, form="NFKC")
@example(pieces=["e", "\u0301 "], lowercase=True, form="NFC")
@example(pieces=["ᄀ", "\u1161", "\u11a8"], lowercase=True, form="NFC")
@example(pieces=["漢", "ｶ", "ﾞ"], lowercase=True, form="NFKC")
def test_pieces_give_the_tokens_of_the_whole(kind: str, pieces: list[str], lowercase: bool, form: str) -> None:
    tokeniser = Tokeniser(kind, lowercase, form)  # type: ignore[arg-type]
    assert read(tokeniser, pieces) == tokeniser.texts("".join(pieces))


@pytest.mark.parametrize(
    ("kind", "text", "sure"),
    [
        ("word", "not good", "not "),
        ("word", "not good ", "not good "),
        ("word", "a <br ", "a "),
        ("word", "漢字か", "漢字"),
        ("character", "abc", "ab"),
        ("character", "ab!", "a"),
        ("whitespace", "not 漢字", "not "),
        ("word", "", ""),
    ],
)
def test_what_is_sure_does_not_wait(kind: str, text: str, sure: str) -> None:
    assert settle(Tokeniser(kind), text) == (sure, text[len(sure) :])  # type: ignore[arg-type]


def test_what_would_wait_without_end_is_refused() -> None:
    tokeniser = Tokeniser()
    assert settle(tokeniser, "a" * LONGEST_WAIT)[0] == ""
    with pytest.raises(DataError, match="4,096 characters without a blank"):
        settle(tokeniser, "a" * (LONGEST_WAIT + 1))
    with pytest.raises(DataError, match="lone surrogate"):
        settle(tokeniser, "half \ud83d")


def test_pieces_of_words_are_refused() -> None:
    check_arriving(Tokeniser())
    with pytest.raises(ConfigError, match="cut by what follows them"):
        check_arriving(Tokeniser("subword", subword_model=b"model"))
