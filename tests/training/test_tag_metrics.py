"""Tags, scored by hand: spans by the rules of conlleval, shares of words, and what was taken for what."""

import pytest

from seqloom.training.tag_metrics import Span, score_tags, spans_of


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-A I-A O B-B", [(0, 2, "A"), (3, 4, "B")]),
        ("B-A B-A I-A", [(0, 1, "A"), (1, 3, "A")]),  # neighbours of one kind
        ("I-A I-A O I-B", [(0, 2, "A"), (3, 4, "B")]),  # IOB: begins without a B
        ("I-A B-A I-A", [(0, 1, "A"), (1, 3, "A")]),
        ("B-A I-B", [(0, 1, "A"), (1, 2, "B")]),  # another kind begins a span
        ("O I-A O", [(1, 2, "A")]),
        ("S-A B-A E-A O", [(0, 1, "A"), (1, 3, "A")]),  # BIOES
        ("B-A I-A E-A I-A", [(0, 3, "A"), (3, 4, "A")]),  # what follows an end begins anew
        ("B-A E-A E-A", [(0, 2, "A"), (2, 3, "A")]),
        ("S-A I-A", [(0, 1, "A"), (1, 2, "A")]),
        ("E-A O", [(0, 1, "A")]),
        ("U-A B-A I-A L-A", [(0, 1, "A"), (1, 4, "A")]),  # BILOU
        ("B-A-B I-A-B", [(0, 2, "A-B")]),  # a kind may hold a hyphen
        ("", []),
    ],
)
def test_spans_are_those_of_conlleval(tags: str, spans: list[tuple[int, int, str]]) -> None:
    assert spans_of(tags.split()) == [Span(*span) for span in spans]


def test_span_f1_wants_place_and_kind() -> None:
    truth = [["B-A", "I-A", "O", "B-B", "O"], ["O", "B-A"]]
    decided = [["B-A", "I-A", "O", "B-C", "O"], ["B-A", "B-A"]]
    scores = score_tags(truth, decided, [[True] * 5, [True] * 2], has_spans=True)
    # right: A at 0..2 and A at 1..2; there are 3, found 4
    assert scores.metrics == {"accuracy": pytest.approx(5 / 7), "span_f1": pytest.approx(2 * 2 / (3 + 4))}
    assert scores.details == {
        "confusions": [
            {"tag": "B-B", "taken_for": "B-C", "words": 1},
            {"tag": "O", "taken_for": "B-A", "words": 1},
        ]
    }


def test_unknown_words_are_counted_by_themselves() -> None:
    scores = score_tags([["N", "V"], ["N"]], [["N", "N"], ["V"]], [[False, False], [True]], has_spans=False)
    assert scores.metrics == {"accuracy": pytest.approx(1 / 3), "unknown_word_accuracy": pytest.approx(1 / 2)}
    known = score_tags([["N", "V"]], [["N", "N"]], [[True, True]], has_spans=False)
    assert set(known.metrics) == {"accuracy"}


def test_intervals_come_from_rows_not_words() -> None:
    """Half of the sentences are all right, half all wrong: so few rows say little, however long they are."""
    truth, known = [["N"] * 50] * 20, [[True] * 50] * 20
    decided = [["N"] * 50] * 10 + [["V"] * 50] * 10
    scores = score_tags(truth, decided, known, has_spans=False)
    low, high = scores.intervals["accuracy"]
    assert 0.2 < low < 0.35 and 0.65 < high < 0.8
    mixed = [["N", "V"] * 25] * 20
    assert score_tags(truth, mixed, known, has_spans=False).intervals["accuracy"] == (0.5, 0.5)


def test_no_spans_and_none_found_is_right() -> None:
    assert score_tags([["O"]], [["O"]], [[True]], has_spans=True).metrics["span_f1"] == 1.0
    assert score_tags([["O"]], [["B-A"]], [[True]], has_spans=True).metrics["span_f1"] == 0.0


def test_the_most_frequent_confusions_come_first() -> None:
    truth = [["A"] * 3 + ["B"] * 2 + ["C"]]
    decided = [["B", "B", "C", "A", "A", "C"]]
    found = score_tags(truth, decided, [[True] * 6], has_spans=False).details["confusions"]
    assert [(each["tag"], each["taken_for"], each["words"]) for each in found] == [
        ("A", "B", 2),
        ("B", "A", 2),
        ("A", "C", 1),
    ]


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no words to compare"):
        score_tags([], [], [], has_spans=False)
    with pytest.raises(ValueError):
        score_tags([["A"]], [["A", "B"]], [[True]], has_spans=False)
