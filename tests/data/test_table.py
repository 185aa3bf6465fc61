"""Every trap a data file is known to set: the row is used as it is, or reported by line and reason."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from seqloom.data import Rejected, Table, read_table
from seqloom.errors import DataError


def read(folder: Path, data: bytes | str, *, name: str = "reviews.csv", encoding: str = "utf-8") -> Table:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_table(path, encoding=encoding)


def values(table: Table) -> list[tuple[object, ...]]:
    return [row.values for row in table.rows]


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\u00a0", "\ufeff"])
def test_only_lf_and_cr_end_a_line(tmp_path: Path, character: str) -> None:
    table = read(tmp_path, f"text,label\none{character}two,a\nthree,b\n")
    assert values(table) == [(f"one{character}two", "a"), ("three", "b")]
    assert table.rejected == []


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_are_no_content(tmp_path: Path, line_end: str, last: bool) -> None:
    table = read(tmp_path, line_end.join(["text,label", 'good,"a"', "bad,b"]) + line_end * last)
    assert values(table) == [("good", "a"), ("bad", "b")]
    assert [row.line for row in table.rows] == [2, 3]


def test_lone_cr_in_a_file_of_lf_lines_is_content(tmp_path: Path) -> None:
    assert values(read(tmp_path, "text,label\none\rtwo,a\n")) == [("one\rtwo", "a")]


def test_header_that_mixes_line_ends_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="reviews.csv mixes line ends"):
        read(tmp_path, "text,label\rone,a\ntwo,b\n")


def test_quoted_line_breaks_belong_to_the_field_and_count_as_lines(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\r\n"one\r\ntwo\n","a"\r\nthree,b\r\nfour\r\n')
    assert values(table) == [("one\r\ntwo\n", "a"), ("three", "b")]
    assert [row.line for row in table.rows] == [2, 5]
    assert table.rejected == [Rejected(6, "1 fields where the header has 2")]


def test_unclosed_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\ngood,a\n"never closed,b\nfine,a\n"also fine",b\nlast,a\n')
    assert [row.line for row in table.rows] == [2, 4, 5, 6]
    assert [rejected.line for rejected in table.rejected] == [3]
    assert "closing quote" in table.rejected[0].reason


def test_unclosed_quote_without_another_quote_in_the_file(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\n"never closed,b\n' + "fine,a\n" * 3000)
    assert len(table.rows) == 3000
    assert table.rejected == [Rejected(2, "the quote that opens field 1 is never closed")]


def test_quoted_field_over_more_than_a_thousand_lines_is_an_unclosed_quote(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\n"opened,b\n' + "fine,a\n" * 1001 + 'closed",a\n')
    assert table.rejected[0] == Rejected(2, "the quote that opens field 1 is never closed")
    assert len(table.rows) == 1002


def test_quoted_field_over_a_megabyte_is_an_unclosed_quote(tmp_path: Path) -> None:
    table = read(tmp_path, f'text,label\n"{"x" * 1_000_001}",a\n"{"x" * 900_000}",b\n')
    assert [len(row.values[0]) for row in table.rows] == [900_000]
    assert table.rejected == [Rejected(2, "the quote that opens field 1 is never closed")]


def test_huge_plain_field_is_kept_whole(tmp_path: Path) -> None:
    assert len(read(tmp_path, f"text,label\n{'x' * 5_000_000},a\n").rows[0].values[0]) == 5_000_000


def test_quotes_inside_a_field(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\nsay "hi" now,a\n"say ""hi"" now",b\n"""",c\n"",d\n5" disc,e\n')
    assert values(table) == [('say "hi" now', "a"), ('say "hi" now', "b"), ('"', "c"), ("", "d"), ('5" disc', "e")]


def test_text_after_a_closing_quote_is_reported(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\n"good" film,a\nfine,b\n')
    assert table.rejected == [Rejected(2, "text after the closing quote of field 1")]
    assert values(table) == [("fine", "b")]


def test_ragged_rows_are_reported_with_both_counts(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\ngood\nfine,a\none,two,three\n"a\nb","c",d\n')
    assert table.rejected == [
        Rejected(2, "1 fields where the header has 2"),
        Rejected(4, "3 fields where the header has 2"),
        Rejected(5, "3 fields where the header has 2, lines 5-6"),
    ]


def test_blank_lines_are_counted_and_are_no_rows(tmp_path: Path) -> None:
    table = read(tmp_path, "\n\ntext,label\ngood,a\n\r\nbad,b\n\n\n")
    assert [row.line for row in table.rows] == [4, 6]
    assert "5 blank lines passed over" in table.notes


def test_nul_costs_its_row_only(tmp_path: Path) -> None:
    table = read(tmp_path, 'text,label\n1\0xyz,a\nfine,b\n"x\0",c\n')
    assert table.rejected == [Rejected(2, "holds a NUL character"), Rejected(4, "holds a NUL character")]
    assert values(table) == [("fine", "b")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bad_bytes_cost_their_rows_and_are_found_by_offset(tmp_path: Path, mark: bytes) -> None:
    data = mark + "text,label\nétoile,a\n".encode() + b"caf\xe9,b\nfine,c\n\xff,d\n"
    table = read(tmp_path, data)
    assert values(table) == [("étoile", "a"), ("fine", "c")]
    first, second = data.index(b"\xe9,"), data.index(b"\xff,")
    assert table.rejected == [
        Rejected(3, f"not utf-8: byte 0xe9 at offset {first}"),
        Rejected(5, f"not utf-8: byte 0xff at offset {second}"),
    ]
    assert any("save it as UTF-8" in note for note in table.notes)


def test_cut_off_character_does_not_eat_the_line_end(tmp_path: Path) -> None:
    table = read(tmp_path, b"text,label\na,x\xe2\x82\nfine,b\n")
    assert [row.line for row in table.rows] == [3]


def test_byte_order_mark_leaves_no_trace(tmp_path: Path) -> None:
    table = read(tmp_path, "\ufefftext,label\n\ufeffgood,a\n")
    assert table.columns == ("text", "label")
    assert values(table) == [("\ufeffgood", "a")]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-16-le", "shift_jis", "utf-8-sig"])
def test_named_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = "text,label\n表示,a\n" if encoding == "shift_jis" else "text,label\ncafé,a\n"
    table = read(tmp_path, text.encode(encoding), encoding=encoding)
    assert values(table) == [(text.splitlines()[1].split(",")[0], "a")]


def test_unknown_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='"utf-99" is not an encoding'):
        read(tmp_path, "a,b\n1,2\n", encoding="utf-99")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_recognised_and_the_way_out_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(DataError, match="looks like UTF-16 or binary data. Save it as UTF-8"):
        read(tmp_path, "text,label\ngood,a\n".encode(encoding))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "reviews.csv is empty"),
        (b"\n\n\r\n", "reviews.csv is empty"),
        (b"text,label\n", "has no row that can be used. Below the first line"),
        (b"text,label", "has no row that can be used. Below the first line"),
        (b"text,label\nonly\n", "All 1 are at fault, the first in line 2: 1 fields"),
        (b"text,text\na,b\n", 'two columns are named "text"'),
        (b",text\n0,b\n", "column 1 of 2 has no name"),
        (b'"text,label\na,b\n', "the first line, which names the columns, cannot be read"),
        (b"te\xffxt,label\na,b\n", "cannot be read: not utf-8: byte 0xff at offset 2"),
        (b"PK\x03\x04 etc", "a zip archive or a spreadsheet"),
        (bytes(range(1, 32)) * 9, "looks like binary data"),
    ],
)
def test_hopeless_file_is_one_clear_error(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize("name", ["__class__", "../x", "<script>", "=cmd()"])
def test_strange_column_names_are_plain_data(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, f"{name},label\na,b\n").columns == (name, "label")


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_delimiter_is_inferred_and_said(tmp_path: Path, delimiter: str, name: str) -> None:
    others = "".join({",", ";", "|"} - {delimiter})
    table = read(tmp_path, f'text{delimiter}label\na{others}b{delimiter}x\n"c{delimiter}{others}"{delimiter}y\n')
    assert values(table) == [(f"a{others}b", "x"), (f"c{delimiter}{others}", "y")]
    assert f"delimiter: {name} (inferred)" in table.notes


def test_rows_decide_between_two_delimiters_in_the_header(tmp_path: Path) -> None:
    table = read(tmp_path, "id;text, cleaned;label\n1;good;a\n2;bad;b\n")
    assert table.columns == ("id", "text, cleaned", "label")


def test_stray_quotes_in_tsv_are_ordinary_characters(tmp_path: Path) -> None:
    table = read(tmp_path, 'sentence\tlabel\n"i liked it\t1\nthe end\t0\n"hm" , he said\t0\n5"\t1\n', name="t.tsv")
    assert values(table) == [('"i liked it', "1"), ("the end", "0"), ('"hm" , he said', "0"), ('5"', "1")]
    assert any("ordinary characters" in note for note in table.notes)


def test_tsv_that_quotes_is_read_with_quotes_and_a_fault_is_reported(tmp_path: Path) -> None:
    table = read(tmp_path, 'text\tlabel\n"a ""b""\tc"\t1\n"d\ne"\t0\n"open\t1\nfine\t0\n', name="t.tsv")
    assert values(table) == [('a "b"\tc', "1"), ("d\ne", "0"), ("fine", "0")]
    assert [rejected.line for rejected in table.rejected] == [5]


def test_gzip_is_read_and_the_fingerprint_is_of_the_file_on_disk(tmp_path: Path) -> None:
    packed = gzip.compress(b"text,label\ngood,a\n", mtime=0)
    table = read(tmp_path, packed, name="reviews.csv.gz")
    assert values(table) == [("good", "a")]
    assert table.fingerprint == hashlib.sha256(packed).hexdigest()


@pytest.mark.parametrize("keep", [2, 11, 20, -1])
def test_gzip_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    with pytest.raises(DataError, match="reviews.csv.gz is a damaged gzip file"):
        read(tmp_path, gzip.compress(b"text,label\ngood,a\n" * 50)[:keep], name="reviews.csv.gz")


def test_gz_that_is_not_gzip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"named \.gz but is not gzip"):
        read(tmp_path, "text,label\ngood,a\n", name="reviews.csv.gz")


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n")
    with pytest.raises(DataError, match='there is no file .*review.csv, did you mean "reviews.csv"'):
        read_table(tmp_path / "review.csv")
    with pytest.raises(DataError, match="the folder .* cannot be read"):
        read_table(tmp_path / "absent" / "x.csv")


def test_folder_pipe_and_impossible_name_are_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_table(tmp_path)
    assert str(caught.value) == f"{tmp_path} is a folder. Name a file in it."
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="not a regular file"):
        read_table(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="cannot read"):
        read_table("a\0b.csv")


def test_content_decides_where_the_ending_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, '{"text": "good", "label": "a"}\n', name="data.txt").columns == ("text", "label")
    assert read(tmp_path, "text\tlabel\na\tb\n", name="data").columns == ("text", "label")


def test_misspelt_column_is_told_as_the_user_can_mend_it(tmp_path: Path) -> None:
    table = read(tmp_path, "id,text,label\n1,a,b\n")
    with pytest.raises(DataError) as caught:
        table.position("lable", option="--target")
    assert str(caught.value) == (
        'column "lable" is not in reviews.csv (columns: id, text, label)\n  did you mean "label"?   use --target label'
    )


@pytest.mark.parametrize(
    ("column", "asked", "shown"),
    [('the "final" label', "the final label", "'the \"final\" label'"), ("the label", "the lable", "'the label'")],
)
def test_advice_can_be_typed_into_a_shell_whatever_the_column_is_called(column: str, asked: str, shown: str) -> None:
    table = Table(Path("reviews.csv"), ("text", column), [], [], [], "")
    with pytest.raises(DataError) as caught:
        table.position(asked, option="--target")
    assert str(caught.value).endswith(f'did you mean "{column}"?   use --target {shown}')
