"""CSV and TSV, read strictly: a broken row is reported by its line and never swallows the rows after it.

The `csv` module would read on past an unclosed quote and merge every row up to the next one.

Quoting: a field that *starts* with a double quote runs to the next single double quote, over line breaks; `""` inside
stands for one. Everywhere else a double quote is an ordinary character. A tab-separated file may not know quoting at
all: where most quotes in it break these rules they are all read as ordinary characters, and a note says so.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from seqloom.data.content import Content
from seqloom.data.rows import Parsed, Rejected, Row, check_columns
from seqloom.errors import DataError

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
LONGEST_QUOTED = 1_000_000
MOST_LINES_QUOTED = 1_000
QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')
SAMPLED = 100_000


class Record(NamedTuple):
    """One record as it stands in the text; no fields and no fault: a blank line."""

    line: int
    start: int
    stop: int
    fields: list[str]
    fault: str
    quoted: bool


class _QuotingError(Exception):
    """The quoting of a record is broken."""


def read_delimited(content: Content, *, name: str, delimiter: str | None) -> Parsed:
    """Columns from the first record, rows from the others; `delimiter` None: inferred, and said in the notes.

    Raises DataError where there is no usable header or no row at all.
    """
    notes: list[str] = []
    if delimiter is None:
        delimiter = infer_delimiter(content)
        notes.append(f"delimiter: {DELIMITERS[delimiter]} (inferred)")
    quoting = delimiter != "\t" or quotes_are_a_convention(content)
    if not quoting:
        notes.append("double quotes are read as ordinary characters (most of them do not enclose a field)")
    records = scan(content, delimiter, quoting=quoting)
    columns, blank = _header(records, content, name=name)
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for record in records:
        if reason := record.fault or content.flaw(record.start, record.stop):
            rejected.append(Rejected(record.line, reason))
        elif len(record.fields) == len(columns):
            rows.append(Row(record.line, tuple(record.fields)))
        elif record.fields:
            rejected.append(Rejected(record.line, _ragged(record, content, expected=len(columns))))
        else:
            blank += 1
    if blank:
        notes.append(f"{blank} blank line{'s' * (blank > 1)} passed over")
    return Parsed(columns, rows, rejected, notes)


def infer_delimiter(content: Content) -> str:
    """The delimiter that cuts most of the first records as wide as the header; comma where none does."""
    sample = content._replace(text=content.text[:SAMPLED])
    best, best_score = ",", (0, 0)
    for delimiter in DELIMITERS:
        widths = [len(record.fields) for record in islice(scan(sample, delimiter, quoting=True), 50) if record.fields]
        score = (widths.count(widths[0]), widths[0]) if widths and widths[0] > 1 else (0, 0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def quotes_are_a_convention(content: Content) -> bool:
    """Whether, of the tab-separated records with a double quote, at least half keep the rules of quoting."""
    if '"' not in content.text:
        return True
    keeping = breaking = 0
    for record in scan(content, "\t", quoting=True):
        if record.quoted and not record.fault:
            keeping += 1
        elif '"' in content.text[record.start : record.stop]:
            breaking += 1
    return keeping >= breaking


def scan(content: Content, delimiter: str, *, quoting: bool) -> Iterator[Record]:
    """The records of a text one after the other, blank lines and broken records among them."""
    text, line_end = content.text, content.line_end
    start, line = 0, 1
    while start < len(text):
        end = text.find(line_end, start)
        end = len(text) if end < 0 else end
        raw = text[start:end]
        if line_end == "\n":
            raw = raw.removesuffix("\r")
        fields, fault, quoted, crossed = raw.split(delimiter) if raw else [], "", False, 0
        if quoting and '"' in raw:
            try:
                fields, stop = _split(content, start, delimiter)
                quoted = raw.startswith('"') or f'{delimiter}"' in raw
                crossed = text.count(line_end, end, stop)
                end = stop
            except _QuotingError as broken:
                fields, fault = [], str(broken)
        yield Record(line, start, end, fields, fault, quoted)
        start, line = end + 1, line + 1 + crossed


def _split(content: Content, start: int, delimiter: str) -> tuple[list[str], int]:
    """The fields of the record at `start` and where it ends. Raises _QuotingError."""
    text, line_end = content.text, content.line_end
    fields: list[str] = []
    position = start
    while True:
        if text.startswith('"', position):
            field, position = _quoted_field(content, position, number=len(fields) + 1)
            fields.append(field)
            if line_end == "\n" and text[position : position + 2] in ("\r\n", "\r"):
                position += 1
        else:
            stop = text.find(line_end, position)
            stop = len(text) if stop < 0 else stop
            cut = text.find(delimiter, position, stop)
            if cut < 0:
                last = text[position:stop]
                fields.append(last.removesuffix("\r") if line_end == "\n" else last)
                return fields, stop
            fields.append(text[position:cut])
            position = cut
        if position == len(text) or text.startswith(line_end, position):
            return fields, position
        if not text.startswith(delimiter, position):
            raise _QuotingError(f"text after the closing quote of field {len(fields)}")
        position += 1


def _quoted_field(content: Content, position: int, *, number: int) -> tuple[str, int]:
    found = QUOTED.match(content.text, position, position + LONGEST_QUOTED)
    if found is None or found[1].count(content.line_end) > MOST_LINES_QUOTED:
        raise _QuotingError(f"the quote that opens field {number} is never closed")
    return found[1].replace('""', '"'), found.end()


def _header(records: Iterator[Record], content: Content, *, name: str) -> tuple[tuple[str, ...], int]:
    """The column names, and how many blank lines stand before them."""
    for blank, record in enumerate(records):
        if reason := record.fault or content.flaw(record.start, record.stop):
            raise DataError(f"{name}: the first line, which names the columns, cannot be read: {reason}.")
        if content.line_end == "\n" and any("\r" in field for field in record.fields):
            raise DataError(f"{name} mixes line ends (a lone CR in the first line). Save it with LF line ends.")
        if record.fields:
            return check_columns(record.fields, name=name), blank
    raise DataError(f"{name} is empty. A first line with column names and at least one row are needed.")


def _ragged(record: Record, content: Content, *, expected: int) -> str:
    lines = content.text.count(content.line_end, record.start, record.stop)
    span = f", lines {record.line}-{record.line + lines}" if lines else ""
    return f"{len(record.fields)} fields where the header has {expected}{span}"
