"""What lies in a file is what would lie in memory: the same rows, parts, examples; and memory does not grow with it."""

import errno
import gc
import os
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from seqloom.config import Config
from seqloom.data import Prepared, PreparedStreams, prepare, prepare_streams, reviews
from seqloom.data import content as content_module
from seqloom.data import kept as kept_module
from seqloom.data.conll import read_columns, read_conllu
from seqloom.data.content import TextFile, open_packed
from seqloom.data.delimited import read_delimited
from seqloom.data.kept import Keeper, Kept, Scratch, chosen, each, one_after_other, spread
from seqloom.data.objects import read_jsonl
from seqloom.data.rows import Parsed
from seqloom.data.table import read_table
from seqloom.errors import StorageError

RECORDS = [("word " * (number % 7), [number, -number], number / 3) for number in range(400)]


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing is few, so all lies in files, written a hundred bytes at a time; the folder that these are in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(kept_module, "FEW", -1)
    monkeypatch.setattr(kept_module, "BUFFER", 100)
    return folder


def keep_all(records: Sequence[Any]) -> Sequence[Any]:
    keeper: Keeper[Any] = Keeper(tuple, tuple)
    for record in records:
        keeper.append(record)
    return keeper.done()


def test_records_come_back_as_they_were_in_any_order(on_disk: Path) -> None:
    found = keep_all(RECORDS)
    assert isinstance(found, Kept) and len(found) == len(RECORDS)
    assert list(found) == RECORDS and found[-1] == RECORDS[-1] and found[3:90:7] == RECORDS[3:90:7]
    assert [found[place] for place in range(399, -1, -1)] == RECORDS[::-1]
    with pytest.raises(IndexError):
        found[400]


def test_few_records_are_a_list_and_many_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_all(RECORDS) == RECORDS and isinstance(keep_all(RECORDS), list)
    monkeypatch.setattr(kept_module, "FEW", 5_000)  # passed on the way
    found = keep_all(RECORDS)
    assert isinstance(found, Kept) and list(found) == RECORDS


def test_views_are_what_lists_would_be(on_disk: Path) -> None:
    found, numbers = keep_all(RECORDS), range(5, 400, 3)
    assert list(chosen(found, numbers)) == [RECORDS[number] for number in numbers] == chosen(RECORDS, numbers)
    assert chosen(found, numbers)[-1] == RECORDS[398] and chosen(found, range(400)) is found
    assert list(each(found, lambda record: record[2])) == [record[2] for record in RECORDS]
    joined = one_after_other([found, RECORDS[:0], RECORDS[:7]])
    assert list(joined) == [*RECORDS, *RECORDS[:7]] == [joined[place] for place in range(407)]
    assert spread(found, [1] * 400, 100) == RECORDS[::4] and spread(found, [1] * 400, 400) is found
    assert spread(found, [1] * 400, 399, sample=40) == RECORDS[::10]


def test_no_file_has_a_name(on_disk: Path) -> None:
    found = keep_all(RECORDS)
    assert found[0] == RECORDS[0] and not list(on_disk.iterdir())


def test_a_full_disk_is_said_with_the_way_out(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match=rf"in {on_disk}: No space left on device\. .*TMPDIR=FOLDER"):
        Scratch().add(b"." * 101)


NASTY = {
    "a.csv": b'text,label\r\n"one, ""two""\r\nthree",x\r\nfour,"y"\r\n\r\n"open,z\r\nfive,"a"b\r\nsix,q,r\r\n"",w\r\n',
    "b.tsv": 'text\tlabel\n"a quote\tx\nb"\ty\n"c"\tz\n\u00e9\u4e16\U0001f600\tw\n'.encode(),
    "c.csv": b"text;label\na\xff\xe2\x82b;1\n\xe2\x82\xac;2\n\xc3\xa9\0;3\n;4",
    "d.csv": b"\xef\xbb\xbftext|label\ra|1\rb|2\r",
    "e.jsonl": '{"a": 1}\n\n{"b": ["x", "y"]}\n{"a": "\u00e9", "c": null}\n{"a": 1\n[1]\n{"d": "\\ud800"}\n'.encode(),
    "f.conll": b"-DOCSTART- O\n\n# said\nA DT\nmat NN\n\n\xff NN\nhere JJ\n\nlone\n\nB NN",
    "g.conllu": b"".join(
        b"# text\n1-2\t_%s\n1\ta%s\n2\tb%s\n\n" % (b"\t_" * 8, b"\tx" * 8, b"\ty" * number) for number in (7, 8, 9)
    ),
}


def parse(path: Path, block: int | None) -> Parsed:
    packed = open_packed(path)
    with packed.file:
        text = TextFile(packed, encoding="utf-8", name=path.name, block=block)
        if path.suffix == ".jsonl":
            return read_jsonl(text, name=path.name)
        if path.suffix.startswith(".conll"):
            return (read_conllu if path.suffix == ".conllu" else read_columns)(text, name=path.name)
        return read_delimited(text, name=path.name, delimiter="\t" if path.suffix == ".tsv" else None)


@pytest.mark.parametrize("name", NASTY)
def test_where_blocks_end_changes_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(NASTY[name])
    whole = parse(tmp_path / name, None)
    assert whole.rows and (whole.rejected or name in ("b.tsv", "d.csv"))
    for block in (1, 2, 3, 5, 8, 13, 21):
        assert parse(tmp_path / name, block) == whole, block


def test_a_quote_far_before_the_end_of_a_block_is_not_closed_by_it(tmp_path: Path) -> None:
    """A field longer than a block is one field; a quote that opens nothing costs its own row, in any block."""
    long = "x, " * 4_000
    (tmp_path / "a.csv").write_text(f'text,label\n"{long}",1\n"open,2\nlast,3\n', encoding="utf-8")
    whole, cut = parse(tmp_path / "a.csv", None), parse(tmp_path / "a.csv", 1_000)
    assert cut == whole and [row.values[1] for row in whole.rows] == ["1", "3"] and len(whole.rejected) == 1


def write_classify(path: Path, rows: int) -> Path:
    texts = "".join(
        f"{text.replace(',', '')} {number % 11},{label}\n" for number, (text, label) in enumerate(reviews(rows, seed=1))
    )
    path.write_text("text,label\n" + texts + ",empty\n", encoding="utf-8")
    return path


def write_tags(path: Path, rows: int) -> Path:
    sentence = "".join(f"{{0}}w{word}\t{'NV'[word % 2]}\n" for word in range(12))
    path.write_text("".join(sentence.format("abc"[row % 3] * (row % 5)) + "\n" for row in range(rows)))
    return path


def write_text(path: Path, rows: int) -> Path:
    path.write_text("".join(f"{text}\n" for text, _ in reviews(rows, seed=1)), encoding="utf-8")
    return path


def write_pairs(path: Path, rows: int) -> Path:
    lines = (f"{text},{' '.join(reversed(text.split()))}\n" for text, _ in reviews(rows, seed=1))
    path.write_text("source,target\n" + "".join(lines), encoding="utf-8")
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, int], Path], dict[str, Any]]] = {
    "classify": ("a.csv", write_classify, {}),
    "cut": ("a.csv", write_classify, {"data": {"max_length": 4}}),
    "tag": ("a.conll", write_tags, {}),
    "generate": ("a.txt", write_text, {}),
    "translate": ("a.csv", write_pairs, {"data": {"max_length": 5}}),
}


def prepared_of(name: str, path: Path) -> Prepared | PreparedStreams:
    task = "classify" if name == "cut" else name
    config = Config.model_validate({"task": task, **WRITERS[name][2]})
    if task == "generate":
        return prepare_streams(config, path)
    found = prepare(config, path)
    assert isinstance(found, Prepared)
    return found


def seen(found: Prepared | PreparedStreams) -> list[Any]:
    parts = (found.train, found.valid, found.test)
    if isinstance(found, PreparedStreams):
        return [part.read(0, len(part) + 1).tolist() for part in parts] + [found.notes, found.vocabulary]
    own = [found.lengths if found.lengths is None else list(found.lengths), list(found.target_lengths or [])]
    return [list(part) for part in parts] + own + [found.notes, found.rejected, found.vocabulary, found.targets]


@pytest.mark.parametrize("name", WRITERS)
def test_data_on_the_disk_is_prepared_as_data_in_memory(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file, write, _ = WRITERS[name]
    path = write(tmp_path / file, 300)
    before = seen(prepared_of(name, path))
    request.getfixturevalue("on_disk")
    found = prepared_of(name, path)
    assert seen(found) == before
    assert isinstance(found, PreparedStreams) or not isinstance(found.train, list)


@pytest.mark.parametrize("name", ["classify", "tag", "generate"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the rows are three times as many bytes more: of these a sixth at most is held at any time."""
    monkeypatch.setattr(kept_module, "FEW", 1 << 14)
    monkeypatch.setattr(kept_module, "BUFFER", 1 << 14)
    monkeypatch.setattr(content_module, "BLOCK", 1 << 14)
    monkeypatch.setattr("seqloom.data.plain_text.LONGEST", 1 << 14)
    monkeypatch.setattr(sys.modules["seqloom.data.prepare_streams"], "SAMPLE", 1 << 14)
    file, write, _ = WRITERS[name]
    sizes, peaks = [], []
    prepared_of(name, write(tmp_path / file, 20))  # what is imported and remembered once is there already
    few = 2_000 if name == "generate" else 160
    for rows in (few, 4 * few):
        path = long_rows(write(tmp_path / file, rows), name)
        sizes.append(path.stat().st_size)
        peaks.append(peak_of(lambda path=path: prepared_of(name, path)))
    grown = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
    assert grown < 0.17, (sizes, peaks)


def long_rows(path: Path, name: str) -> Path:
    """The same rows with longer texts: what is held of a row is the same for any of them."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if name == "classify":
        filler = " and so on and on" * 40
        lines = [lines[0], *(filler + line if line.strip(",empty") else line for line in lines[1:])]
    elif name == "tag":
        filler = "".join(f"and{number}\tN\n" for number in range(60))
        pairs = zip(["", *lines], lines, strict=False)
        lines = [filler + line if line and not before else line for before, line in pairs]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def peak_of(make: Callable[[], object]) -> int:
    """The most memory that is held while something is made, which is held at the end."""
    gc.collect()
    tracemalloc.start()
    try:
        held = make()
        assert held is not None
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_rows_of_a_table_are_in_the_order_of_its_file(on_disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"text {number},x\n" for number in range(50)), encoding="utf-8")
    table = read_table(path)
    assert isinstance(table.rows, Kept) and [row.line for row in table.rows] == list(range(2, 52))
    assert table.values("text")[7] == "text 7" and list(table.values("label")) == ["x"] * 50
