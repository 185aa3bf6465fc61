"""What is inferred is what a person would choose, and it is said."""

from pathlib import Path

import pytest

from seqloom.data import Row, Table, infer_columns
from seqloom.errors import DataError

TEXTS = ["a rather long text", "another long text", "some more words here", "and the last of them"]


def table(**columns: list[object]) -> Table:
    rows = [Row(line, values) for line, values in enumerate(zip(*columns.values(), strict=True), start=2)]
    return Table(Path("t.csv"), tuple(columns), rows, [], [], "")


def test_input_is_the_longest_text_and_target_has_a_telling_name() -> None:
    found = infer_columns(table(id=["1", "2", "3", "4"], label=["x", "y", "x", "y"], body=TEXTS, title=["t"] * 4))
    assert (found.task, found.input, found.target, found.split) == ("classify", "body", "label", None)
    assert found.notes == (
        "input: body (longest text column)",
        "target: label (by its name)",
        "task: classify (label holds 2 different values)",
    )


def test_long_labels_are_not_taken_for_the_input() -> None:
    found = infer_columns(table(text=["a", "b", "c", "d"], label=["a very long label indeed", "other"] * 2))
    assert (found.input, found.target) == ("text", "label")


def test_target_without_a_telling_name_has_the_fewest_values() -> None:
    found = infer_columns(table(text=TEXTS, kind=["p", "q", "p", "q"], note=["a", "b", "c", "d"]))
    assert found.target == "kind"
    assert "target: kind (fewest different values: 2)" in found.notes


def test_mostly_distinct_numbers_are_a_regression() -> None:
    found = infer_columns(table(text=TEXTS, price=["1.5", "2", "-3", "1e3"]))
    assert (found.task, found.target) == ("regress", "price")


def test_a_few_gaps_leave_numbers_a_regression() -> None:
    source = table(text=[f"text number {n}" for n in range(100)], price=[f"{n}.5" for n in range(98)] + ["n/a", "?"])
    assert infer_columns(source).task == "regress"


def test_few_distinct_numbers_are_classes() -> None:
    assert infer_columns(table(text=TEXTS, label=["1", "5", "1", "5"])).task == "classify"


def test_several_labels_a_row_are_classes() -> None:
    assert infer_columns(table(text=TEXTS, topics=[("a",), (), ("a", "b"), ("c",)])).task == "classify"
    assert infer_columns(table(text=TEXTS, label=["a|b", "c", "d", "e"]), label_separator="|").task == "classify"


def test_what_is_given_is_not_inferred_and_not_noted() -> None:
    source = table(text=TEXTS, title=["s"] * 4, label=["x", "y", "x", "y"], score=["1", "2", "3", "4"])
    found = infer_columns(source, task="regress", input="title", target="score")
    assert (found.task, found.input, found.target, found.notes) == ("regress", "title", "score", ())


@pytest.mark.parametrize("name", ["split", "Set", "FOLD"])
def test_split_column_is_found_by_name_and_values(name: str) -> None:
    parts = ["train", "Validation", " dev", "TEST"]
    assert infer_columns(table(text=TEXTS, label=["x", "y"] * 2, **{name: parts})).split == name
    assert infer_columns(table(text=TEXTS, label=["x", "y"] * 2, **{name: ["train", "1", "dev", "test"]})).split is None
    assert infer_columns(table(text=TEXTS, label=["x", "y"] * 2, **{name: ["dev", "dev", "dev", "test"]})).split is None
    assert infer_columns(table(text=TEXTS, label=["x", "y"] * 2, other=parts)).split is None


def test_split_column_may_be_the_target_where_that_is_asked() -> None:
    found = infer_columns(table(text=TEXTS, split=["train", "dev"] * 2), target="split")
    assert (found.target, found.split) == ("split", None)


@pytest.mark.parametrize("option", ["input", "target"])
def test_misspelt_column_is_an_error_with_the_option_to_mend(option: str) -> None:
    with pytest.raises(DataError, match=f'did you mean "label"\\?   use --{option} label'):
        infer_columns(table(text=TEXTS, label=["x", "y"] * 2), **{option: "lable"})


def test_one_column_cannot_be_both() -> None:
    with pytest.raises(DataError, match='"text" cannot be both input and target'):
        infer_columns(table(text=TEXTS, label=["x", "y"] * 2), input="text", target="text")


def test_what_cannot_be_inferred_names_the_columns_and_the_option() -> None:
    with pytest.raises(DataError, match=r"no text column .* t.csv \(columns: a, b\). Name it with --input"):
        infer_columns(table(a=["1", "2"], b=["3", "4"]))
    with pytest.raises(DataError, match=r"what to learn .* \(columns: text, u, v\). Name the column with --target"):
        infer_columns(table(text=TEXTS, u=["a", "b", "c", "d"], v=["e", "f", "g", "h"]))
    with pytest.raises(DataError, match=r"1001 different values in 3003 rows, neither few labels .* Give --task"):
        infer_columns(table(text=TEXTS * 750 + TEXTS[:3], author=[f"author {n}" for n in range(1001)] * 3))
    with pytest.raises(DataError, match=r'mostly different texts \(labels cut by "\|"\? Then set label_separator\)'):
        infer_columns(table(text=TEXTS, topics=["a|b", "b|c", "c|a", "a"]))


@pytest.mark.parametrize("separator", ["|", ";", ","])
def test_labels_that_look_like_several_are_said_to(separator: str) -> None:
    labels = [separator.join(pair) for pair in (("a", "b"), ("b", "c"), ("a", "c"))] + ["a", "b"]
    found = infer_columns(table(text=[f"{n} words here" for n in range(5)], label=labels), task="classify")
    assert found.notes[-1] == (
        f'label: looks like several labels a row. To learn each: --set label_separator="{separator}"'
    )


@pytest.mark.parametrize("labels", [["so, so", "good", "bad", "good"], ["a|b", "c|d", "a|b", "c|d"]])
def test_a_separator_alone_makes_no_several_labels(labels: list[str]) -> None:
    found = infer_columns(table(text=[f"{n} words here" for n in range(4)], label=labels), task="classify")
    assert not any("several labels" in note for note in found.notes)


def test_of_many_rows_some_tell_which_columns_hold_words_and_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of four rows, and of the same four with a limit of two every third."""
    unequal = [("N", "V"), ("N",), (), ("N", "V")]
    many = table(words=[("a", "b")] * 4, tags=unequal)
    with pytest.raises(DataError, match="no two columns of lists of equal lengths"):
        infer_columns(many, task="tag")
    monkeypatch.setattr("seqloom.data.tag_columns.LOOKED_AT", 2)
    found = infer_columns(many, task="tag")
    assert (found.input, found.target) == ("words", "tags")
