"""Files that go together line by line: no line is lost, moved or cut, and unequal ones are refused."""

import gzip
from pathlib import Path

import pytest

from seqloom.config import Config, load_config
from seqloom.data import Rejected, prepare, read_table
from seqloom.errors import DataError


def write(folder: Path, **files: str | bytes) -> Path:
    """Write train.de and so on; the stem of them all."""
    for ending, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / f"train.{ending.replace('_', '.')}").write_bytes(data)
    return folder / "train"


def test_endings_are_columns_and_lines_are_rows(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, en="one\ntwo\n", de="eins\r\nzwei", fr_gz=gzip.compress(b"un\ndeux\n")))
    assert table.columns == ("de", "en", "fr")
    assert [(row.line, *row.values) for row in table.rows] == [(1, "eins", "one", "un"), (2, "zwei", "two", "deux")]
    assert table.notes == ["columns: the lines of train.de, train.en, train.fr.gz"]
    assert table.path.name == "train" and len(table.fingerprint) == 64


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\r", "\t", '"'])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, character: str) -> None:
    table = read_table(write(tmp_path, de=f"one{character}two\nthree\n", en="x\ny\n"))
    assert [row.values for row in table.rows] == [(f"one{character}two", "x"), ("three", "y")]


def test_unequal_files_are_named_with_their_counts(tmp_path: Path) -> None:
    stem = write(tmp_path, de="a\nb\n", en="x\n", fr="u\nv\n")
    with pytest.raises(DataError, match=r"^train.de has 2 lines, train.en has 1: each line .* Find where a line"):
        read_table(stem)
    assert len(read_table(stem, only=("fr", "de")).rows) == 2


def test_a_training_reads_only_the_columns_it_uses(tmp_path: Path) -> None:
    lines = "".join(f"line {n}\n" for n in range(20))
    stem = write(tmp_path, de=lines, en=lines.upper(), fr="one line\n")
    prepared = prepare(load_config(None, ["input=de", "target=en", "task=translate"]), stem)
    assert len(prepared.train) == 16 and list(prepared.fingerprints) == ["train"]


def test_blank_lines_keep_their_place_and_bad_bytes_cost_one_line(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, de=b"a\n\nc\xe9\nd\n", en="x\ny\nz\n\n"))
    assert [(row.line, *row.values) for row in table.rows] == [(1, "a", "x"), (2, "", "y"), (4, "d", "")]
    assert table.rejected == [Rejected(3, "train.de: not utf-8: byte 0xe9 at offset 4")]


def test_what_is_no_lines_is_passed_over_unless_it_is_named(tmp_path: Path) -> None:
    stem = write(tmp_path, de="a\n", en="x\n", csv="de,en\n1,2\n", json="{}", md="# notes\n\n", txt="u\n", de_bak="z\n")
    (tmp_path / "train.dir").mkdir()
    (tmp_path / "train.en~").write_text("old\n")
    assert read_table(stem).columns == ("de", "en")
    assert read_table(stem, only=("de", "txt")).columns == ("de", "txt")
    assert read_table(stem, only=("de", "ne")).columns == ("de", "en")


def test_a_file_of_that_very_name_comes_first(tmp_path: Path) -> None:
    stem = write(tmp_path, de="a\n", en="x\n")
    stem.write_text("text,label\ngood,pos\n")
    assert read_table(stem).columns == ("text", "label")


@pytest.mark.parametrize("files", [{}, {"de": "a\n"}, {"csv": "a,b\n1,2\n", "tsv": "a\tb\n"}])
def test_without_two_files_the_name_is_missing_as_before(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(DataError, match="there is no file .*train"):
        read_table(write(tmp_path, **files))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train.en is empty. At least one line is needed."):
        read_table(write(tmp_path, de="a\n", en=""))


def test_a_plain_file_is_preferred_to_its_packed_copy(tmp_path: Path) -> None:
    stem = write(tmp_path, de="a\n", de_gz=gzip.compress(b"old\n"), en="x\n")
    assert [row.values for row in read_table(stem).rows] == [("a", "x")]


def test_fingerprint_changes_with_any_file_that_is_read(tmp_path: Path) -> None:
    before = read_table(write(tmp_path, de="a\n", en="x\n")).fingerprint
    assert read_table(write(tmp_path, en="y\n")).fingerprint != before
    assert read_table(write(tmp_path, en="x\n")).fingerprint == before


def test_a_misspelt_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    stem = write(tmp_path, de="a\nb\n", en="x\ny\n")
    with pytest.raises(DataError, match=r'column "fr" is not in train \(columns: de, en\)'):
        prepare(load_config(None, ["input=de", "target=fr"]), stem)
    with pytest.raises(DataError, match="there is no file"):
        prepare(Config(), stem.with_name("valid"))
