"""Which of two texts is read and which is written is told by names, by order, or not at all."""

from pathlib import Path

import pytest

from seqloom.data import Row, Table, infer_columns
from seqloom.errors import DataError

LONG = ["das ist ein langer Satz", "und hier ist noch einer", "dies ist der dritte davon", "und der letzte von allen"]
SHORT = ["a long sentence", "here is another", "this is the third", "the last of all"]


def table(**columns: list[object]) -> Table:
    rows = [Row(line, values) for line, values in enumerate(zip(*columns.values(), strict=True), start=2)]
    return Table(Path("t.csv"), tuple(columns), rows, [], [], "")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("source", "target"),
        ("src", "trg"),
        ("SRC", "Tgt"),
        ("input", "output"),
        ("question", "answer"),
        ("message", "reply"),
        ("word", "phonemes"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("task", [None, "translate"])
def test_names_tell_the_direction_in_any_order(first: str, second: str, turned: bool, task: None) -> None:
    columns = {first: SHORT, second: LONG, "id": ["1", "2", "3", "4"]}
    found = infer_columns(table(**dict(reversed(columns.items())) if turned else columns), task=task)
    assert (found.task, found.input, found.target) == ("translate", first, second)
    assert found.notes[:2] == (f"input: {first} (by its name)", f"target: {second} (by its name)")
    assert found.notes[2:] == ((f"task: translate ({second} holds mostly different texts)",) if task is None else ())


@pytest.mark.parametrize("names", [("english", "german"), ("en", "de"), ("pt_BR", "zh-CN"), ("de", "en")])
def test_the_first_language_is_read_and_the_second_written(names: tuple[str, str]) -> None:
    found = infer_columns(table(comment=TEXTS, **dict(zip(names, (SHORT, LONG), strict=True))))
    assert (found.task, found.input, found.target) == ("translate", *names)
    assert found.notes[0] == f"input: {names[0]} (the first language)"


TEXTS = ["some words on it", "a few more words", "even more of them", "nothing more on this"]


def test_the_first_column_of_texts_is_read_where_names_say_nothing() -> None:
    found = infer_columns(table(a=SHORT, b=LONG))
    assert (found.task, found.input, found.target) == ("translate", "a", "b")
    assert found.notes == (
        "input: a (the first column of texts)",
        "target: b (the second column of texts)",
        "task: translate (b holds mostly different texts)",
    )
    assert infer_columns(table(n=["1", "2", "3", "4"], a=SHORT, b=LONG), task="translate").input == "a"


def test_the_side_that_is_given_leaves_the_other() -> None:
    found = infer_columns(table(a=SHORT, b=LONG), input="b")
    assert (found.task, found.input, found.target) == ("translate", "b", "a")
    assert found.notes[0] == "target: a (the only other column of texts)"
    assert infer_columns(table(en=SHORT, de=LONG, note=TEXTS), target="en").input == "de"


def test_several_languages_are_no_pair() -> None:
    source = table(cs=SHORT, de=LONG, en=TEXTS)
    with pytest.raises(
        DataError, match=r"which column of t.csv \(columns: cs, de, en\) is the input and which the targ"
    ):
        infer_columns(source, task="translate")
    with pytest.raises(DataError, match=r"is the target cannot be inferred. Name with --target."):
        infer_columns(source, task="translate", input="de")
    assert infer_columns(source, input="de", target="en").task == "translate"


def test_one_column_is_too_few() -> None:
    with pytest.raises(DataError, match="too few columns of texts: for translate one is read, and another is written"):
        infer_columns(table(text=SHORT), task="translate")


def test_the_same_column_twice_is_refused() -> None:
    with pytest.raises(DataError, match='"en" cannot be both input and target'):
        infer_columns(table(en=SHORT, de=LONG), task="translate", input="en", target="en")


def test_few_answers_to_questions_are_still_classes() -> None:
    found = infer_columns(table(question=LONG, answer=["yes", "no", "yes", "no"]))
    assert (found.task, found.input, found.target) == ("classify", "question", "answer")


def test_a_label_beside_two_texts_is_still_what_is_learned() -> None:
    found = infer_columns(table(message=LONG, reply=SHORT, label=["x", "y", "x", "y"]))
    assert (found.task, found.input, found.target) == ("classify", "message", "label")


def test_numbers_and_lists_of_labels_are_no_texts() -> None:
    assert infer_columns(table(source=LONG, target=["1.5", "2.5", "3.5", "4.5"])).task == "regress"
    assert infer_columns(table(source=LONG, target=[("a",), ("a", "b"), (), ("b",)])).task == "classify"
    labels = ["a|b", "a", "b", "b|a"]
    assert infer_columns(table(source=LONG, target=labels), label_separator="|").task == "classify"


def test_split_column_is_found_beside_a_pair() -> None:
    assert infer_columns(table(en=SHORT, de=LONG, split=["train", "train", "dev", "test"])).split == "split"
