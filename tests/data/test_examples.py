"""The path of predictions: every row in its place, bad ones with their reason."""

from typing import Any

import pytest

from seqloom.data import Example, Rejected, Row, Targets, encode_rows, table_of_texts
from seqloom.errors import DataError
from seqloom.text import Tokeniser, Vocabulary

TOKENISER = Tokeniser()
VOCABULARY = Vocabulary.build([["good", "film"], ["film"]])
TARGETS = Targets.learn(["pos", "neg"], task="classify")


def test_each_text_keeps_its_place_and_bad_ones_their_reason() -> None:
    table = table_of_texts(["Good film", " ", "odd", "\ud800", "film " * 9])
    encoded = encode_rows(
        table, input="text", target=None, tokeniser=TOKENISER, vocabulary=VOCABULARY, targets=TARGETS, max_length=3
    )
    film, good = VOCABULARY.encode(["film", "good"])
    assert [entry.line for entry in encoded] == [1, 2, 3, 4, 5]
    assert encoded[0] == Example(1, "Good film", [good, film], None)
    assert encoded[1] == Rejected(2, "empty text")
    assert encoded[2] == Example(3, "odd", [1], None)
    assert isinstance(encoded[3], Rejected) and "surrogate" in encoded[3].reason
    assert encoded[4] == Example(5, "film " * 9, [film] * 3, None)


def test_rows_refused_while_reading_stand_among_the_others() -> None:
    table = table_of_texts(["good", "film"])
    table.rejected.append(Rejected(2, "holds a NUL character"))
    table.rows[1] = Row(3, ("film",))
    encoded = encode_rows(
        table, input="text", target=None, tokeniser=TOKENISER, vocabulary=VOCABULARY, targets=None, max_length=None
    )
    assert [(entry.line, type(entry)) for entry in encoded] == [(1, Example), (2, Rejected), (3, Example)]


def test_targets_are_encoded_and_unseen_labels_rejected() -> None:
    table = table_of_texts(["good", "film"])
    table.rows[:] = [Row(1, ("good", "pos")), Row(2, ("film", "neutral")), Row(3, (("good", "film"), "neg"))]
    table = type(table)(table.path, ("text", "label"), table.rows, [], [], "")
    encoded = encode_rows(
        table,
        input="text",
        target="label",
        tokeniser=TOKENISER,
        vocabulary=VOCABULARY,
        targets=TARGETS,
        max_length=None,
    )
    assert encoded[0] == Example(1, "good", VOCABULARY.encode(["good"]), 1)
    assert encoded[1] == Rejected(2, 'label "neutral" does not occur in training (known: neg, pos)')
    assert encoded[2] == Rejected(3, "a list where a text is needed")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "None"), (3, "a number"), (float("nan"), "a number"), (["good"], "a list"), ({}, "a dict")],
)
def test_what_is_no_text_is_called_what_it_is(value: Any, kind: str) -> None:
    encoded = encode_rows(
        table_of_texts(["good", value]),
        input="text",
        target=None,
        tokeniser=TOKENISER,
        vocabulary=VOCABULARY,
        targets=None,
        max_length=None,
    )
    assert encoded[1] == Rejected(2, f"{kind} where a text is needed")


def test_missing_column_is_an_error_for_the_whole_table() -> None:
    with pytest.raises(DataError, match='column "body" is not in texts'):
        encode_rows(
            table_of_texts(["a"]),
            input="body",
            target=None,
            tokeniser=TOKENISER,
            vocabulary=VOCABULARY,
            targets=None,
            max_length=None,
        )
