"""JSONL and Parquet: typed values become texts, and what has no place in a table is reported."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.data import Rejected, Table, read_table
from seqloom.data.content import decode
from seqloom.data.objects import read_jsonl
from seqloom.errors import DataError


def read(folder: Path, data: bytes | str, *, name: str = "rows.jsonl") -> Table:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_table(path)


def test_values_become_the_text_json_wrote(tmp_path: Path) -> None:
    line = '{"a": "x", "b": 1.50, "c": 1e999, "d": true, "e": null, "f": ["p", "q"], "g": [1, 2.0], "h": 12345678901}'
    assert read(tmp_path, line).rows[0].values == (
        "x",
        "1.50",
        "1e999",
        "true",
        "",
        ("p", "q"),
        ("1", "2.0"),
        "12345678901",
    )


def test_columns_are_all_keys_and_missing_ones_are_said(tmp_path: Path) -> None:
    table = read(tmp_path, '{"a": "1"}\n{"b": "2", "a": "3"}\n')
    assert table.columns == ("a", "b")
    assert [row.values for row in table.rows] == [("1", ""), ("3", "2")]
    assert '1 rows have no "b": read as empty' in table.notes


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "x", }', "not JSON: .* at column 15"),
        ('{"text": "x"', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ('{"text": "x", "text": "y"}', "a key stands twice"),
        ('{"text": {"a": "b"}}', '"text" is an object'),
        ('{"text": ["a", null]}', '"text" is a list of other things than text or numbers'),
        ('{"text": NaN}', "NaN is not a JSON number"),
        ('{"text": -Infinity}', "-Infinity is not a JSON number"),
        ('{"text": "\\ud800"}', "half of a surrogate pair"),
        ('{"\\udc00": "x"}', "half of a surrogate pair"),
        ('{"text": "a\\u0000b"}', "NUL character"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_bad_line_is_rejected_and_the_next_is_read(tmp_path: Path, line: str, reason: str) -> None:
    table = read(tmp_path, f'{{"text": "first"}}\n{line}\n\n{{"text": "last"}}\n')
    assert [row.line for row in table.rows] == [1, 4]
    assert [rejected.line for rejected in table.rejected] == [2]
    assert re.search(reason, table.rejected[0].reason)


def test_bad_bytes_and_nul_cost_their_lines(tmp_path: Path) -> None:
    table = read(tmp_path, b'{"text": "a"}\n{"text": "\xff"}\n{"text": "\0"}\n{"text": "d\xc2\x85e"}\n')
    assert [row.values[0] for row in table.rows] == ["a", "d\x85e"]
    assert table.rejected == [
        Rejected(2, "not utf-8: byte 0xff at offset 24"),
        Rejected(3, "holds a NUL character"),
    ]


def test_json_array_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one JSON array. Write one object a line"):
        read(tmp_path, '[{"text": "a"}]', name="rows.json")


def test_thousands_of_different_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 1,000 different keys"):
        read(tmp_path, "".join(f'{{"key{n}": "a"}}\n' for n in range(1001)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=6))
def test_reads_back_what_the_json_module_wrote(texts: list[str]) -> None:
    data = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts).encode()
    parsed = read_jsonl([decode(data, encoding="utf-8", name="x.jsonl")], name="x.jsonl")
    assert [row.values for row in parsed.rows] == [(text,) for text in texts]


def test_parquet_is_read_like_the_same_jsonl(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        {"text": "good", "count": 3, "share": 0.5, "known": True, "labels": ["a", "b"]},
        {"text": None, "count": None, "share": 1e-7, "known": False, "labels": []},
    ]
    buffer = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows), buffer)
    lines = "\n".join(json.dumps(row) for row in rows)
    from_parquet, from_jsonl = read(tmp_path, buffer.getvalue(), name="a.parquet"), read(tmp_path, lines)
    assert from_parquet.columns == from_jsonl.columns
    assert [row.values for row in from_parquet.rows] == [row.values for row in from_jsonl.rows]


def test_parquet_column_that_is_no_text_is_left_out_and_said(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    parquet.write_table(arrow.table({"image": [b"\x00\x01"], "text": ["good"]}), buffer)
    table = read(tmp_path, buffer.getvalue(), name="a.parquet")
    assert table.columns == ("text",)
    assert table.rows[0].values == ("good",)
    assert table.notes == ['column "image" (binary) is neither text nor numbers: left out']


@pytest.mark.parametrize("keep", [4, 50, -1])
def test_damaged_parquet_is_refused(tmp_path: Path, keep: int) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    parquet.write_table(arrow.table({"text": ["good"] * 100}), buffer)
    with pytest.raises(DataError, match="damaged Parquet file"):
        read(tmp_path, buffer.getvalue()[:keep], name="a.parquet")
