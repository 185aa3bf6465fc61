"""Real files as people have them, read whole. SEQLOOM_DATA names the folder they lie in."""

import csv
import os
import time
from pathlib import Path

import pytest

from seqloom.config import Config, load_config
from seqloom.data import infer_columns, prepare, read_table
from seqloom.errors import DataError


@pytest.fixture(scope="module")
def folder() -> Path:
    path = Path(os.environ.get("SEQLOOM_DATA", ""))
    if not (path / "sst2").is_dir():
        pytest.skip("SEQLOOM_DATA does not name the folder of real data sets")
    return path


def test_all_25_000_reviews_are_read(folder: Path) -> None:
    """They hold line breaks of other kinds (U+0085), tabs, and quotes in nearly every one."""
    table = read_table(folder / "imdb" / "train.csv.gz")
    assert (len(table.rows), table.rejected) == (25_000, [])
    assert sum("\x85" in row.values[4] for row in table.rows) > 100
    columns = infer_columns(table)
    assert (columns.task, columns.input, columns.target, columns.split) == ("classify", "text", "label", "split")


def test_all_67_349_phrases_are_read_within_a_second(folder: Path) -> None:
    started = time.process_time()
    table = read_table(folder / "sst2" / "train.tsv")
    assert time.process_time() - started < 1
    assert (len(table.rows), table.rejected, table.columns) == (67_349, [], ("sentence", "label"))
    lines = (folder / "sst2" / "train.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    assert ["\t".join(row.values) for row in table.rows] == lines


def test_unlabelled_test_file_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"\(columns: index, sentence\)"):
        prepare(Config(), folder / "sst2" / "dev.tsv", test=folder / "sst2" / "test.tsv")


def test_names_with_many_copies_do_not_leak(folder: Path, tmp_path: Path) -> None:
    """2,000 rows of one class are 108 names: rows drawn one by one would put most of them on both sides."""
    with (tmp_path / "names.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "language"))
        for path in sorted((folder / "names").glob("*.txt")):
            writer.writerows((name, path.stem) for name in path.read_text(encoding="utf-8").split("\n") if name)
    prepared = prepare(load_config(None, ["tokens=character"]), tmp_path / "names.csv")
    parts = (prepared.train, prepared.valid, prepared.test)
    assert [len(part) for part in parts] == [16_040, 2_005, 2_005]
    train, valid, test = ({example.text.strip() for example in part} for part in parts)
    assert not train & valid and not train & test and not valid & test
    assert len(prepared.targets.labels) == 18
