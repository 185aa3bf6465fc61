"""What one step reads follows from the texts, and the reason is said."""

import importlib.util
from collections.abc import Callable

import pytest

from seqloom.data.tokens import choose_tokens, enough_pieces
from seqloom.text import Tokeniser

WORDS = Tokeniser("word", lowercase=False)


def spelled(number: int) -> str:
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


SENTENCES = [f"word goes with {spelled(n % 997)}, near {spelled(n % 1499)} and {spelled(n)}" for n in range(2000)]


def test_single_words_are_read_by_character() -> None:
    names = [f"name-{spelled(n)}" for n in range(60)] + ["a b"] * 40
    assert choose_tokens(names, tokeniser=WORDS) == ("character", "60 of 100 texts are a single word")
    assert choose_tokens(names[:39] + names[60:], tokeniser=WORDS)[0] == "word"


def test_an_alphabet_of_words_is_read_by_word() -> None:
    phonemes = [f"HH AH{n % 3} L OW{n % 2}" for n in range(50)]
    assert choose_tokens(phonemes, tokeniser=WORDS) == ("word", "only 7 different words")


@pytest.mark.parametrize("unit", [lambda n: f"{n % 7} - x", lambda n: f"@ {n % 7} .", lambda n: f'"{{ {n % 7}:'])
def test_an_alphabet_that_words_would_tear_is_read_by_character(unit: Callable[[int], str]) -> None:
    kind, why = choose_tokens([unit(n) for n in range(300)], tokeniser=WORDS)
    assert kind == "character" and "could not be put together again" in why


def test_few_words_with_punctuation_are_not_torn() -> None:
    toy = [f"a {('man', 'dog')[n % 2]}, {('happy', 'sad')[n % 2]}." for n in range(100)]
    assert choose_tokens(toy, tokeniser=WORDS)[0] == "word"


def test_dates_and_amounts_are_read_by_character() -> None:
    dates = [f"{n % 28}. March {1900 + n % 97}, {n}/7" for n in range(3000)]
    assert choose_tokens(dates, tokeniser=WORDS) == ("character", "75% of the words hold digits")
    assert choose_tokens([f"{date} in the year of our lord" for date in dates], tokeniser=WORDS)[0] == "character"
    assert choose_tokens([f"{date} so it is in all the years of our lord" for date in dates], tokeniser=WORDS)[0] != (
        "character"
    )


def test_sentences_are_read_by_subword_where_there_is_enough_text() -> None:
    pytest.importorskip("sentencepiece")
    assert choose_tokens(SENTENCES, tokeniser=WORDS)[0] == "subword"
    kind, why = choose_tokens(SENTENCES[:50], tokeniser=WORDS)
    assert kind == "word" and why == "400 words are too few to learn subwords from"


def test_without_the_package_words_are_read_and_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    kind, why = choose_tokens(SENTENCES, tokeniser=WORDS)
    assert kind == "word" and "pip install 'seqloom[text]'" in why


def test_pieces_grow_with_the_root_of_the_text() -> None:
    sizes = [enough_pieces(["ten of the words that make up a sentence here"] * count) for count in (33_000, 132_000)]
    assert sizes[0] == pytest.approx(8_000, abs=100) and sizes[1] == pytest.approx(16_000, abs=100)
    assert enough_pieces(["a b"]) == 500
    assert enough_pieces(["".join(map(chr, range(0x4E00, 0x4E00 + 3000)))]) == 6000
