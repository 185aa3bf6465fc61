"""What Python's own writer writes, comes back as it was."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.data.content import decode
from seqloom.data.delimited import read_delimited

# no surrogates, NUL or control characters: those are refused, and tested elsewhere
TEXT = st.text(
    st.one_of(
        st.sampled_from(list("\"',;|\t\n\r\x0b\x0c\x85\u2028\ufeff ab")),
        st.characters(exclude_categories=["Cs", "Cc"]),
    ),
    max_size=12,
)
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8)
STYLES = [(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")]


def written(rows: list[tuple[str, ...]], *, delimiter: str, quoting: int, line_end: str) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerows([("a", "b", "c"), *rows])
    return buffer.getvalue().encode()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(("quoting", "line_end"), STYLES)
@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_reads_back_what_the_csv_module_wrote(
    delimiter: str, quoting: int, line_end: str, rows: list[tuple[str, ...]]
) -> None:
    data = written(rows, delimiter=delimiter, quoting=quoting, line_end=line_end)
    parsed = read_delimited([decode(data, encoding="utf-8", name="x.csv")], name="x.csv", delimiter=None)
    assert parsed.columns == ("a", "b", "c")
    assert [row.values for row in parsed.rows] == rows
    assert parsed.rejected == []


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_line_numbers_are_those_an_editor_shows(rows: list[tuple[str, ...]]) -> None:
    data = written(rows, delimiter=",", quoting=csv.QUOTE_ALL, line_end="\n")
    parsed = read_delimited([decode(data, encoding="utf-8", name="x.csv")], name="x.csv", delimiter=",")
    lines = data.decode().split("\n")
    for row in parsed.rows:
        assert lines[row.line - 1].startswith('"' + row.values[0].split("\n")[0].replace('"', '""'))


def test_many_stray_quotes_take_no_quadratic_time() -> None:
    """40,000 lines with a stray quote: a reader that scans to the end of the file for each would take hours."""
    data = b"text,label\n" + b'"open,a\nfine,b\n' * 20_000
    parsed = read_delimited([decode(data, encoding="utf-8", name="x.csv")], name="x.csv", delimiter=",")
    assert len(parsed.rows) + len(parsed.rejected) == 40_000
