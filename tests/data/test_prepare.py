"""From files to examples: nothing learned from validation, no row lost without a word."""

import csv
import hashlib
from pathlib import Path

import pytest

from seqloom.config import Config, load_config
from seqloom.data import prepare
from seqloom.errors import DataError

HEADER = ("text", "label")


def write(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def some_rows(count: int, *, word: str = "text") -> list[tuple[str, ...]]:
    return [(f"{word} number {n}", ("pos", "neg")[n % 2]) for n in range(count)]


def test_each_row_is_used_once_or_reported(tmp_path: Path) -> None:
    rows = [*some_rows(40), (" ", "pos"), ("fine", ""), ("ragged", "pos", "more")]
    path = write(tmp_path / "rows.csv", rows)
    prepared = prepare(Config(), path)
    used = sorted(example.line for part in (prepared.train, prepared.valid, prepared.test) for example in part)
    assert used == list(range(2, 42))
    assert prepared.rejected == [
        ("rows.csv", 42, "empty text"),
        ("rows.csv", 43, "empty label"),
        ("rows.csv", 44, "3 fields where the header has 2"),
    ]
    assert (len(prepared.train), len(prepared.valid), len(prepared.test)) == (32, 4, 4)
    assert prepared.fingerprints == {"rows.csv": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert "rows: 32 train, 4 valid, 4 test" in prepared.notes


def test_vocabulary_and_labels_are_learned_from_training_alone(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", some_rows(10))
    valid = write(tmp_path / "valid.csv", [("unheard of", "pos"), ("text", "neutral"), ("text number", "neg")])
    prepared = prepare(Config(), train, valid=valid)
    assert "unheard" not in prepared.vocabulary
    assert prepared.targets.labels == ("neg", "pos")
    assert [example.line for example in prepared.valid] == [2, 4]
    assert prepared.valid[0].ids == [1, 1]
    assert prepared.rejected == [("valid.csv", 3, 'label "neutral" does not occur in training (known: neg, pos)')]


@pytest.mark.parametrize(
    ("given", "sizes"), [(("valid",), (40, 6, 0)), (("test",), (36, 4, 6)), (("valid", "test"), (40, 6, 6))]
)
def test_files_given_decide_what_is_cut_off(tmp_path: Path, given: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    train = write(tmp_path / "train.csv", some_rows(40))
    others = {part: write(tmp_path / f"{part}.csv", some_rows(6, word=part)) for part in given}
    prepared = prepare(Config(), train, **others)
    assert (len(prepared.train), len(prepared.valid), len(prepared.test)) == sizes
    assert all(example.text.startswith("valid") for example in prepared.valid) == ("valid" in given)
    assert len(prepared.fingerprints) == 1 + len(given)
    assert prepared.split_files == {part: prepared.fingerprints[f"{part}.csv"] for part in given}


def test_split_column_is_followed(tmp_path: Path) -> None:
    marks = ["train", "dev", "test", "train"]
    rows = [(text, label, marks[n % 4]) for n, (text, label) in enumerate(some_rows(40))]
    prepared = prepare(Config(), write(tmp_path / "rows.csv", rows, (*HEADER, "split")))
    assert [[(example.line - 2) % 4 for example in part] for part in (prepared.valid, prepared.test)] == [
        [1] * 10,
        [2] * 10,
    ]
    assert len(prepared.train) == 20


def test_split_column_without_validation_has_it_cut_from_training(tmp_path: Path) -> None:
    rows = [(text, label, "train" if n < 30 else "test") for n, (text, label) in enumerate(some_rows(40))]
    prepared = prepare(Config(), write(tmp_path / "rows.csv", rows, (*HEADER, "split")))
    assert (len(prepared.train), len(prepared.valid), len(prepared.test)) == (27, 3, 10)
    assert {example.line for example in prepared.test} == set(range(32, 42))


def test_split_column_is_set_aside_where_files_are_given_and_that_is_said(tmp_path: Path) -> None:
    rows = [(text, label, "train" if n < 30 else "test") for n, (text, label) in enumerate(some_rows(40))]
    train = write(tmp_path / "rows.csv", rows, (*HEADER, "split"))
    prepared = prepare(Config(), train, valid=write(tmp_path / "valid.csv", some_rows(4, word="other")))
    assert len(prepared.train) == 40
    assert any("split column split is not used" in note for note in prepared.notes)


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", some_rows(10))
    test = write(tmp_path / "test.csv", [("0", "some text")], ("index", "sentence"))
    with pytest.raises(
        DataError, match=r'test.csv has no column "text" \(columns: index, sentence\). A test file needs'
    ):
        prepare(Config(), train, test=test)


def test_cut_rows_are_counted(tmp_path: Path) -> None:
    rows = [*some_rows(40), ("one two three four five", "pos")]
    whole = prepare(
        Config(), write(tmp_path / "rows.csv", rows), valid=write(tmp_path / "v.csv", some_rows(4, word="v"))
    )
    cut = prepare(load_config(None, ["max_length=3"]), tmp_path / "rows.csv", valid=tmp_path / "v.csv")
    assert [example.ids[:3] for example in whole.train] == [example.ids for example in cut.train]
    assert [note for note in cut.notes if "cut" in note] == ["1 of 41 train rows are cut to 3 tokens"]
    assert not any("cut" in note for note in whole.notes)


def test_texts_on_both_sides_are_counted(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", some_rows(10))
    valid = write(tmp_path / "valid.csv", [("text number 3 ", "neg"), ("new", "pos")])
    assert "1 of 2 valid texts are also in train: their scores flatter" in prepare(Config(), train, valid=valid).notes


def test_copies_do_not_leak_into_the_parts_that_are_cut_off(tmp_path: Path) -> None:
    rows = [(f"name {n % 30}" + " " * (n % 3), "ab"[n % 2]) for n in range(300)]
    prepared = prepare(Config(), write(tmp_path / "rows.csv", rows))
    assert not any("also in train" in note for note in prepared.notes)
    assert len(prepared.valid) >= 20 and len(prepared.test) >= 20


SPELLINGS = ("a café by the sea .", "A CAFE\u0301 by the  sea.", " a café by the sea.\t")


@pytest.mark.parametrize("tokens", ["word", "character", "byte", "subword"])
def test_texts_that_a_model_reads_as_one_do_not_leak(tmp_path: Path, tokens: str) -> None:
    if tokens == "subword":
        pytest.importorskip("sentencepiece")
    rows = [(spelling, "ab"[n % 2]) for n in range(60) for spelling in (f"Name {n}", f"NAME {n} ", f"name {n}")]
    config = load_config(None, [f"tokens={tokens}", "max_vocabulary=40"])
    prepared = prepare(config, write(tmp_path / "rows.csv", rows))
    train, valid, test = (
        {example.text.strip().lower() for example in part} for part in (prepared.train, prepared.valid, prepared.test)
    )
    assert valid and test and not train & valid and not train & test and not valid & test


def test_other_spellings_of_a_training_text_are_counted(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*some_rows(10), (SPELLINGS[0], "pos")])
    valid = write(tmp_path / "valid.csv", [(SPELLINGS[1], "pos"), (SPELLINGS[2], "neg"), ("new", "pos")])
    assert "2 of 3 valid texts are also in train: their scores flatter" in prepare(Config(), train, valid=valid).notes
    cased = prepare(load_config(None, ["lowercase=false"]), train, valid=valid)
    assert "1 of 3 valid texts are also in train: their scores flatter" in cased.notes


def test_bad_numbers_are_rejected_by_line(tmp_path: Path) -> None:
    rows = [(f"text {n}", f"{n}.5") for n in range(40)] + [("text", "1,5"), ("text", "nan")]
    prepared = prepare(load_config(None, ["task=regress"]), write(tmp_path / "rows.csv", rows))
    assert [row.line for row in prepared.rejected] == [42, 43]
    assert prepared.targets.problem == "squared"


def test_text_without_tokens_is_rejected_not_dropped(tmp_path: Path) -> None:
    rows = [*some_rows(20), ("\u00a0", "pos")]
    prepared = prepare(Config(), write(tmp_path / "rows.csv", rows))
    assert [(row.line, row.reason) for row in prepared.rejected] == [(22, "empty text")]


def test_file_without_a_usable_row_is_an_error(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", some_rows(10))
    valid = write(tmp_path / "valid.csv", [("text", "neutral")])
    with pytest.raises(DataError, match='valid.csv: no valid row can be used. The first, in line 2: label "neutral"'):
        prepare(Config(), train, valid=valid)
    with pytest.raises(DataError, match="train.csv: no row can be used. The first, in line 2: empty text"):
        prepare(
            load_config(None, ["task=classify", "input=text"]), write(tmp_path / "train.csv", [(" ", "a"), (" ", "b")])
        )


def test_one_class_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have the target pos: there is nothing to tell apart"):
        prepare(Config(), write(tmp_path / "rows.csv", [(f"text {n}", "pos") for n in range(20)]))


def test_files_of_one_name_keep_their_fingerprints_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "rows.csv", some_rows(10, word=folder))
    prepared = prepare(Config(), tmp_path / "a" / "rows.csv", valid=tmp_path / "b" / "rows.csv")
    assert len(set(prepared.fingerprints.values())) == 2


def test_same_file_twice_gives_the_same_examples(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", some_rows(60))
    first, second = prepare(Config(), path), prepare(Config(), path)
    assert first.train == second.train and first.valid == second.valid
    assert prepare(load_config(None, ["seed=1"]), path).valid != first.valid


def test_subwords_are_learned_from_training_alone(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    train = write(tmp_path / "train.csv", some_rows(40))
    valid = write(tmp_path / "valid.csv", [("Ω", "pos"), ("text", "neg")])
    prepared = prepare(load_config(None, ["tokens=subword", "max_vocabulary=40"]), train, valid=valid)
    assert prepared.tokeniser.subword_model
    assert 1 in prepared.valid[0].ids and 1 not in prepared.valid[1].ids


def test_names_are_read_by_character_and_sentences_by_word(tmp_path: Path) -> None:
    names = [(f"{first}{second}", "pos" if first == "a" else "neg") for first in "ab" for second in "cdefghijklmn"]
    prepared = prepare(Config(), write(tmp_path / "names.csv", names))
    assert prepared.tokeniser.kind == "character"
    assert "tokens of text: character (20 of 20 texts are a single word)" in prepared.notes
    told = load_config(named={"data.tokens": "word"})
    assert prepare(told, tmp_path / "names.csv").tokeniser.kind == "word"
    sentences = prepare(Config(), write(tmp_path / "sentences.csv", some_rows(40)))
    assert sentences.tokeniser.kind == "word" and not any(note.startswith("tokens of") for note in sentences.notes)
