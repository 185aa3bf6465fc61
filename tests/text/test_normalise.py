"""One text, one spelling; and every code point knows where it came from."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqloom.errors import DataError
from seqloom.text.normalise import NormalForm, normalise, normalise_aligned

FORMS: tuple[NormalForm, ...] = ("NFC", "NFKC")
TRICKY = "aIİıſßẞΣσςKÅéE\u0301\u0307\u0323\u0338=< \u00a0\t\n½ﬁﷺｶﾞが각"
TRICKY += "ᄀ\u1161\u11a8नि\u09c7\u09be\u0f73\u0344क़שׁ👩\u200d\ufeff\0\x85."
texts = st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])))
forms = st.sampled_from(FORMS)


@given(texts, forms, st.booleans())
@example("İ\u0307", "NFC", True)
@example("ΑΣ ΑΣ.Α Σ", "NFC", True)
@example("H\u0331", "NFC", True)
def test_normalising_twice_changes_nothing(text: str, form: NormalForm, lowercase: bool) -> None:
    once = normalise(text, form=form, lowercase=lowercase)
    assert normalise(once, form=form, lowercase=lowercase) == once


@given(texts, forms, st.booleans())
def test_composed_and_decomposed_text_become_one(text: str, form: NormalForm, lowercase: bool) -> None:
    decomposed = unicodedata.normalize("NFD", text)
    expected = normalise(unicodedata.normalize("NFC", text), form=form, lowercase=lowercase)
    assert normalise(decomposed, form=form, lowercase=lowercase) == expected


@pytest.mark.parametrize("form", FORMS)
def test_no_single_character_is_normalised_further_by_a_second_pass(form: NormalForm) -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    once = normalise("\n".join(characters), form=form)
    assert normalise(once, form=form) == once


@pytest.mark.parametrize(
    ("text", "form", "lowercase", "expected"),
    [
        ("Straße STRASSE", "NFC", True, "straße strasse"),
        ("İstanbul ISPARTA ılık", "NFC", True, "istanbul isparta ılık"),
        ("I\u0307stanbul", "NFC", True, "istanbul"),
        ("ΟΔΟΣ ΣΟΦΟΣ", "NFC", True, "οδος σοφος"),
        ("Cafe\u0301", "NFC", False, "Café"),
        ("ﬁn ½ Ｆｕｌｌ", "NFC", True, "ﬁn ½ ｆｕｌｌ"),
        ("ﬁn ½ Ｆｕｌｌ", "NFKC", True, "fin 1⁄2 full"),
        ("ｶﾞ", "NFKC", False, "ガ"),
        ("a\0b\x85c\ufeff", "NFC", True, "a\0b\x85c\ufeff"),
    ],
)
def test_spelling_is_as_documented(text: str, form: NormalForm, lowercase: bool, expected: str) -> None:
    assert normalise(text, form=form, lowercase=lowercase) == expected


def test_a_lone_surrogate_is_refused_with_its_place() -> None:
    with pytest.raises(DataError, match=r"lone surrogate U\+D83D at code point 3\..*JSON"):
        normalise("ab \ud83d")


@given(texts, forms, st.booleans())
@example("q\u0301\u0323 e\u0323\u0301", "NFC", False)
@example(" \u0301\u0323", "NFC", True)
@example("ᄀ\u1161\u11a8 \u09c7\u09be", "NFC", True)
def test_every_code_point_comes_from_the_place_it_names(text: str, form: NormalForm, lowercase: bool) -> None:
    aligned = normalise_aligned(text, form=form, lowercase=lowercase)
    assert aligned.text == normalise(text, form=form, lowercase=lowercase)
    places = list(zip(aligned.starts, aligned.ends, strict=True))
    assert len(places) == len(aligned.text)
    rebuilt, covered = "", 0
    for index, (start, end) in enumerate(places):
        if index and places[index - 1] == (start, end):
            continue
        assert start == covered < end
        rebuilt += normalise(text[start:end], form=form, lowercase=lowercase)
        covered = end
    assert covered == len(text)
    assert rebuilt.replace("ς", "σ") == aligned.text.replace("ς", "σ")  # a final sigma depends on its neighbours


def test_places_are_exact_between_composed_characters() -> None:
    aligned = normalise_aligned("Zoe\u0308 İ ½", form="NFKC")
    assert aligned.text == "zoë i 1⁄2"
    assert list(aligned.starts) == [0, 1, 2, 4, 5, 6, 7, 7, 7]
    assert list(aligned.ends) == [1, 2, 4, 5, 6, 7, 8, 8, 8]
