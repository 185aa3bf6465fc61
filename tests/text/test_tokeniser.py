"""What one time step reads, in real languages, and where it stood in the user's own text."""

import csv
import gzip
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqloom.errors import ConfigError, DataError
from seqloom.text.normalise import NormalForm, normalise
from seqloom.text.tokeniser import Tokeniser, TokenKind, train_subwords

TRICKY = "aZ09_IİıßΣς'’-.!?`*<>/&=\u0338é\u0301\u0323 \t\u00a0\u2028\x85\0½ﬁﷺｶﾞ각ᄀ\u1161"
TRICKY += "नि्\u200c\u200dسّ我タ東\ufe0f👩👍🏽🇩🇪\ufeff"
texts = st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])))
WORDS = Tokeniser()
CORPUS = ["the quick  brown fox", "l’été à Paris 😀 cafe\u0301", "don't stop believing", "नमस्ते दुनिया"] * 10


@pytest.fixture(scope="module")
def subwords() -> Tokeniser:
    pytest.importorskip("sentencepiece", reason="the extra text is not installed")
    return Tokeniser("subword", subword_model=train_subwords(CORPUS, 60))


def data(name: str) -> Path:
    if "SEQLOOM_DATA" not in os.environ:
        pytest.skip("SEQLOOM_DATA does not name the folder of data sets")
    return Path(os.environ["SEQLOOM_DATA"]) / name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't like it, at ALL.", ["i", "don't", "like", "it", ",", "at", "all", "."]),
        ("that 's do n't 'quoted'", ["that", "'s", "do", "n't", "'", "quoted", "'"]),
        (
            "a well-made film -- 7.5/10, $1,000.50!!!!",
            ["a", "well", "-", "made", "film", "--", "7.5", "/", "10", ",", "$", "1,000.50", "!!!", "!"],
        ),
        ("wait... what?!", ["wait", "...", "what", "?", "!"]),
        (
            "good.<br /><br />bad </b> a<b <unk>",
            ["good", ".", "<br />", "<br />", "bad", "</b>", "a", "<", "b", "<unk>"],
        ),
        ("snake_case _so_", ["snake", "_", "case", "_", "so", "_"]),
        ("L’été, j'ai lu l'œuvre", ["l'été", ",", "j'ai", "lu", "l'œuvre"]),
        ("Die Straße – „schön“", ["die", "straße", "–", "„", "schön", "“"]),
        ("İstanbul'da ılık Ağaç", ["istanbul'da", "ılık", "ağaç"]),
        ("हिन्दी में किताबें।", ["हिन्दी", "में", "किताबें", "।"]),
        ("اللُّغَةُ العربية، می‌خواهم", ["اللُّغَةُ", "العربية", "،", "می‌خواهم"]),
        ("我爱北京。OK", ["我", "爱", "北", "京", "。", "ok"]),
        ("東京タワーへ", ["東", "京", "タ", "ワ", "ー", "へ"]),
        ("한국어 공부", ["한국어", "공부"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("👨‍👩‍👧 👍🏽🇩🇪🇫🇷❤️1️⃣😀😀", ["👨‍👩‍👧", "👍🏽", "🇩🇪", "🇫🇷", "❤️", "1️⃣", "😀", "😀"]),
        ("a\0b\x85c\ufeffd\u200be", ["a", "\0", "b", "c", "\ufeff", "d", "\u200b", "e"]),
        ("", []),
        (" \n\u3000", []),
    ],
)
def test_words_of_real_languages(text: str, expected: list[str]) -> None:
    assert WORDS.texts(text) == expected


@given(texts, st.sampled_from(["word", "character", "byte"]), st.sampled_from(["NFC", "NFKC"]), st.booleans())
@example("0½ ﷺ", "word", "NFKC", True)
def test_fast_and_placed_tokens_are_the_same(text: str, kind: TokenKind, form: NormalForm, lowercase: bool) -> None:
    tokeniser = Tokeniser(kind, lowercase, form)
    tokens = tokeniser.tokens(text)
    assert [token.text for token in tokens] == tokeniser.texts(text)
    for before, token in zip([None, *tokens], tokens, strict=False):
        assert 0 <= token.start < token.end <= len(text)
        if before is not None and form == "NFC":
            assert before.end <= token.start or before[1:] == token[1:]
        elif before is not None:
            assert before.start <= token.start and before.end <= token.end


@given(texts, st.booleans())
@example("=\u0338 q\u0301\u0323", True)
@example("ΑΣ.Α ΟΔΟΣ", True)
@example(" \u0301\u0323x ==\u0338", True)
def test_words_are_disjoint_and_only_white_space_lies_between(text: str, lowercase: bool) -> None:
    position = 0
    for token in Tokeniser(lowercase=lowercase).tokens(text):
        assert token.start >= position
        assert not text[position : token.start].strip()
        read = normalise(text[token.start : token.end], lowercase=lowercase).replace("’", "'")
        assert read.replace("ς", "σ") == token.text.replace("ς", "σ")  # a final sigma depends on its neighbours
        position = token.end
    assert not text[position:].strip()


@given(texts, st.sampled_from(["word", "character", "byte"]))
def test_equal_texts_give_equal_tokens_however_composed(text: str, kind: TokenKind) -> None:
    tokeniser = Tokeniser(kind)
    assert tokeniser.texts(unicodedata.normalize("NFD", text)) == tokeniser.texts(unicodedata.normalize("NFC", text))


@given(texts)
def test_bytes_spell_the_normalised_text(text: str) -> None:
    spelt = bytes.fromhex("".join(Tokeniser("byte").texts(text))).decode("utf-8")
    assert spelt == normalise(text) == "".join(Tokeniser("character").texts(text))


def test_offsets_point_into_the_text_as_it_was_given() -> None:
    text = "Cafe\u0301s don’t\u3000close"
    assert [(t.text, text[t.start : t.end]) for t in WORDS.tokens(text)] == [
        ("cafés", "Cafe\u0301s"),
        ("don't", "don’t"),
        ("close", "close"),
    ]
    assert Tokeniser("byte").tokens("aé") == [("61", 0, 1), ("c3", 1, 2), ("a9", 1, 2)]
    assert Tokeniser("character").tokens("E\u0301!") == [("é", 0, 2), ("!", 2, 3)]


@given(texts)
@settings(max_examples=50)
@example("cafe\u0301  😀😀 l’été ▁ x\0\n")
def test_subwords_tile_the_text(subwords: Tokeniser, text: str) -> None:
    tokens = subwords.tokens(text)
    assert [token.text for token in tokens] == subwords.texts(text)
    assert "".join(token.text for token in tokens)[1:] == normalise(text).replace(" ", "▁")
    places = list(dict.fromkeys((token.start, token.end) for token in tokens))
    assert "".join(text[start:end] for start, end in places) == text


def test_subwords_keep_frequent_words_whole_and_split_others() -> None:
    pytest.importorskip("sentencepiece", reason="the extra text is not installed")
    subjects, verbs = ("the old film", "my last book", "that new song"), ("shines", "drags", "moves us", "falls apart")
    corpus = [f"{subject} {verb} {subject}" for subject in subjects for verb in verbs] * 10
    tokeniser = Tokeniser("subword", subword_model=train_subwords(corpus, 60))
    assert "▁film" in tokeniser.texts("Film film")
    assert len(tokeniser.texts("mlif")) > 2
    assert tokeniser.tokens("") == []


def test_subword_training_is_repeatable() -> None:
    pytest.importorskip("sentencepiece", reason="the extra text is not installed")
    assert train_subwords(CORPUS, 60) == train_subwords(CORPUS, 60)


@pytest.mark.parametrize(("corpus", "size"), [(CORPUS, 5), ([], 100)])
def test_subwords_that_cannot_be_learned_are_an_error(corpus: list[str], size: int) -> None:
    pytest.importorskip("sentencepiece", reason="the extra text is not installed")
    with pytest.raises(DataError, match=f"no subword model of {size} pieces .* larger size"):
        train_subwords(corpus, size)


def test_a_damaged_subword_model_is_an_error() -> None:
    pytest.importorskip("sentencepiece", reason="the extra text is not installed")
    with pytest.raises(DataError, match=r"subword model \(4 bytes\) is damaged"):
        Tokeniser("subword", subword_model=b"junk").texts("a")


@pytest.mark.parametrize("kind", ["word", "character", "byte"])
def test_a_saved_tokeniser_comes_back_equal(kind: TokenKind) -> None:
    tokeniser = Tokeniser(kind, lowercase=False, normal_form="NFKC")
    assert Tokeniser.from_dict(tokeniser.to_dict()) == tokeniser


def test_a_saved_subword_tokeniser_comes_back_equal(subwords: Tokeniser) -> None:
    assert Tokeniser.from_dict(subwords.to_dict(), subword_model=subwords.subword_model) == subwords


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "words"}, "kind of tokens is 'words'. Allowed: word, character, byte, subword"),
        ({"kind": ["word"]}, "kind of tokens is"),
        ({"normal_form": "NFD"}, "normal form is 'NFD'. Allowed: NFC, NFKC"),
        ({"lowercase": 1}, "lowercase is 1. Allowed: true, false"),
        ({"kind": "subword"}, '"subword" was given no subword model'),
        ({"stem": True}, "no other; found: kind, lowercase, normal_form, stem"),
    ],
)
def test_unknown_saved_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Tokeniser.from_dict({**Tokeniser().to_dict(), **values})
    assert message in str(error.value)


def test_a_word_tokeniser_takes_no_subword_model() -> None:
    with pytest.raises(ConfigError, match='"word" was given a subword model'):
        Tokeniser(subword_model=b"x")


def test_lone_surrogates_are_refused() -> None:
    for kind in ("word", "character", "byte"):
        with pytest.raises(DataError, match="lone surrogate"):
            Tokeniser(kind).tokens("a\udc00")


def test_tokenised_text_is_left_as_it_is() -> None:
    lines = data("sst2/train.tsv").read_text(encoding="utf-8").split("\n")[1:]
    words = [word for line in lines for word in line.split("\t")[0].split()]
    without_hyphen = [word for word in words if "-" not in word.strip("-")]
    assert len(without_hyphen) > 0.98 * len(words)
    changed = sum(WORDS.texts(word) != [word] for word in without_hyphen)
    assert changed < 0.002 * len(words)


def test_reviews_give_the_same_tokens_fast_and_placed() -> None:
    with gzip.open(data("imdb/train.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        reviews = [row["text"] for _, row in zip(range(300), csv.DictReader(file), strict=False)]
    for review in reviews:
        tokens = WORDS.tokens(review)
        assert [token.text for token in tokens] == WORDS.texts(review)
        kept = "".join(review[token.start : token.end] for token in tokens)
        assert "".join(kept.split()) == "".join(review.split())
