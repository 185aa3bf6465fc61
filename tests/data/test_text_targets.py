"""A target text becomes ids and is itself again; nothing else is taken for one."""

import json
import math
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data import Targets, TextTargets
from seqloom.errors import ConfigError, DataError
from seqloom.text import Tokeniser, TokenKind, Vocabulary, normalise, train_subwords

TEXTS = ["A man, smiling.", "Zwei Männer (alt) lachen!", "très  bon", "HH AH0 L OW1", "2024-01-15", "ab\u0301c"]


def learned(kind: TokenKind, texts: list[str] = TEXTS, *, lowercase: bool = False) -> TextTargets:
    model = train_subwords(texts * 5, 80, lowercase=lowercase) if kind == "subword" else None
    tokeniser = Tokeniser(kind, lowercase, subword_model=model)
    return TextTargets(tokeniser, Vocabulary.build(map(tokeniser.texts, texts)))


@pytest.mark.parametrize("kind", get_args(TokenKind))
def test_known_texts_are_themselves_again(kind: TokenKind) -> None:
    if kind == "subword":
        pytest.importorskip("sentencepiece")
    targets = learned(kind)
    for text in TEXTS:
        ids = targets.encode(f" {text}\n")
        assert ids == targets.encode(text) and min(ids) > 1
        written = normalise(text, lowercase=False)
        assert targets.decode(ids) == (" ".join(written.split()) if kind in ("word", "whitespace") else written)


@pytest.mark.parametrize("kind", ["character", "byte"])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_any_text_of_characters_or_bytes_is_itself_again(kind: TokenKind, text: str) -> None:
    targets = learned(kind, [text])
    assert targets.decode(targets.encode(text)) == normalise(text.strip(), lowercase=False).strip()


def test_ids_are_those_of_the_vocabulary_without_start_or_end() -> None:
    targets = learned("character", ["abc", "ab", "a"])
    assert targets.encode("cab") == [4, 2, 3]
    assert targets.encode("axb") == [2, 1, 3]
    assert targets.decode([4, 2, 3]) == "cab"


def test_the_first_zero_ends_a_text() -> None:
    targets = learned("character", ["abc", "ab", "a"])
    assert targets.decode([2, 3, 0, 4, 0]) == "ab"
    assert targets.decode([0, 2]) == targets.decode([]) == ""
    assert targets.tokens([2, 0, 3]) == ["a"]


@pytest.mark.parametrize(
    ("kind", "spelled"), [("word", "a <unknown>"), ("character", "a\ufffd"), ("byte", "a\ufffd"), ("subword", "\ufffd")]
)
def test_an_unknown_token_is_seen_to_be_one(kind: TokenKind, spelled: str) -> None:
    if kind == "subword":
        pytest.importorskip("sentencepiece")
    targets = learned(kind, ["a b", "a"])
    known = [] if kind == "subword" else targets.encode("a")
    assert targets.decode([*known, 1]) == spelled


def test_a_text_that_reads_like_the_spelling_of_the_unknown_is_kept() -> None:
    targets = learned("word", ["an <unknown> word"])
    assert 1 not in targets.encode("an <unknown> word")
    assert targets.decode(targets.encode("an <unknown> word")) == "an <unknown> word"


def test_bytes_cut_within_a_character_are_replaced() -> None:
    targets = learned("byte", ["né"])
    assert targets.decode(targets.encode("né")[:2]) == "n\ufffd"


def test_an_id_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DataError, match="no token with the id 99"):
        learned("word").decode([99])


@pytest.mark.parametrize(
    ("value", "why"),
    [("", "empty target"), (" \u00a0\n", "empty target"), (("a", "b"), "a list where a text is needed")],
)
def test_what_is_no_target_is_refused(value: Any, why: str) -> None:
    with pytest.raises(DataError, match=f"^{why}$"):
        learned("word").encode(value)


def test_a_target_without_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokeniser, "texts", lambda self, text: [])
    with pytest.raises(DataError, match="no tokens in the target"):
        TextTargets(Tokeniser(), Vocabulary(("a",))).encode("a")


def test_edits_count_characters_or_words() -> None:
    assert learned("character").units(" Ab c ") == ["A", "b", " ", "c"]
    assert learned("byte").units("né") == ["n", "é"]
    assert learned("word").units("e\u0301 AH0\u00a0 1-2. ") == ["é", "AH0", "1-2."]
    assert learned("word", lowercase=True).units("Ab") == ["Ab"]


def test_capitals_are_what_the_tokeniser_makes_of_them() -> None:
    targets = learned("word", lowercase=True)
    assert targets.decode(targets.encode("A Man")) == "a man"


def test_saved_targets_come_back() -> None:
    targets = learned("character")
    saved = json.loads(json.dumps(targets.to_dict()))
    assert TextTargets.from_dict(saved, vocabulary=targets.vocabulary) == targets
    assert (targets.problem, targets.task, targets.labels) == ("text", "translate", ())


def test_saved_subword_targets_come_back() -> None:
    pytest.importorskip("sentencepiece")
    targets = learned("subword")
    model = targets.tokeniser.subword_model
    back = TextTargets.from_dict(targets.to_dict(), vocabulary=targets.vocabulary, subword_model=model)
    assert back.encode(TEXTS[0]) == targets.encode(TEXTS[0])
    with pytest.raises(ConfigError, match="no subword model"):
        TextTargets.from_dict(targets.to_dict(), vocabulary=targets.vocabulary)


@pytest.mark.parametrize(
    "change",
    [
        {"problem": "binary"},
        {"tokeniser": "word"},
        {"labels": []},
        {"tokeniser": {"kind": "word"}},
        {"per_source": 0.0},
        {"per_source": math.inf},
        {"per_source": "2"},
        {"most": 0},
        {"most": 2.0},
    ],
)
def test_other_keys_and_values_are_refused(change: dict[str, Any]) -> None:
    targets = learned("word")
    with pytest.raises((DataError, ConfigError)):
        TextTargets.from_dict(targets.to_dict() | change, vocabulary=targets.vocabulary)
    with pytest.raises(DataError, match="no other; found: problem"):
        TextTargets.from_dict({"problem": "text"}, vocabulary=targets.vocabulary)


def test_a_target_may_be_as_long_as_in_training_and_a_little_longer() -> None:
    pairs = [(9, 4)] * 998 + [(9, 29), (1, 39)]
    per_source, most = TextTargets.lengths(pairs)
    assert (per_source, most) == (3.0, 39)  # the one extreme row of a thousand decides nothing
    targets = replace(learned("word"), per_source=per_source, most=most)
    assert [targets.longest(source) for source in (0, 9, 100)] == [8, 35, 205]  # 3, 30, twice the source, and 5 more


def test_the_other_targets_know_no_texts() -> None:
    saved = Targets.learn(["a", "b"], task="classify").to_dict() | {"problem": "text", "labels": []}
    with pytest.raises(DataError, match="problem 'text'; allowed: binary, multiclass, multilabel, squared"):
        Targets.from_dict(saved)
