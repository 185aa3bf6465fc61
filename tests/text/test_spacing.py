"""Words and signs sit as people write them, whatever was cut."""

import pytest

from seqloom.text import Tokeniser
from seqloom.text.spacing import join_words

WORDS = Tokeniser("word", lowercase=False)


@pytest.mark.parametrize(
    "text",
    [
        "A man, smiling.",
        "Wait... what?! No; yes: 10:30, 7.5% of 3,000!",
        'She said "no (never)" and "yes".',
        "the boys' room",
        "rock 'n' roll, don't, l'été, John's",
        "„Ja“, sagte er. «Oui», dit-il. “Yes”, she said.",
        "a T-shirt and/or well-known 2019–2020 – maybe",
        "¿Qué? ¡No!",
        "$5, #1 and 5 $ or €30",
        "[a] {b} (c)",
        "user@example, a_b, C:\\dir",
        "HH AH0 L OW1",
        "2024-01-15",
        "我有2只猫，很好。你呢？「是」",
        "ประเทศไทย",
        "это «так», да?",
        "مرحبا، كيف حالك؟",
        "एक आदमी।",
        "한국 사람, 네.",
        "ok 👩‍👧 👍🏽 fine",
        'a 5" pipe',
    ],
)
def test_joined_words_are_the_text_they_were_cut_from(text: str) -> None:
    assert WORDS.join(WORDS.texts(text)) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], ""),
        (["."], "."),
        (["``", "a", "''", "b"], "``a'' b"),
        (["a", "'s", "b", "'"], "a's b'"),
        ([".", "a"], ". a"),
        (["a", "-"], "a -"),
        (["a", '"', "b"], 'a" b'),
        (["a", ":", "b"], "a: b"),
    ],
)
def test_signs_out_of_place_lose_nothing(words: list[str], text: str) -> None:
    assert join_words(words) == text


@pytest.mark.parametrize(("kind", "tokens"), [("character", ["a", " ", "é"]), ("byte", ["61", "20", "c3", "a9"])])
def test_characters_and_bytes_join_as_they_are(kind: str, tokens: list[str]) -> None:
    assert Tokeniser(kind).join(tokens) == "a é"
    assert Tokeniser("byte").join(["61", "c3", "62"]) == "a\ufffdb"
