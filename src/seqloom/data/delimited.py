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

from seqloom.data.content import Blocks, Content, head
from seqloom.data.rows import Parsed, Rejected, Row, check_columns, keep_rows
from seqloom.errors import DataError

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
LONGEST_QUOTED = 1_000_000
MOST_LINES_QUOTED = 1_000
QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')
SAMPLED = 100_000


class Record(NamedTuple):
    """One record as it stands in the text; no fields and no fault: a blank line. `crossed` are the line ends in it."""

    line: int
    start: int
    stop: int
    fields: list[str]
    fault: str
    quoted: bool
    crossed: int


class _QuotingError(Exception):
    """The quoting of a record is broken; `reach` is up to where the text was looked at to tell."""

    def __init__(self, reason: str, reach: int = 0) -> None:
        super().__init__(reason)
        self.reach = reach


def read_delimited(blocks: Blocks, *, name: str, delimiter: str | None) -> Parsed:
    """Columns from the first record, rows from the others; `delimiter` None: inferred, and said in the notes.

    Raises DataError where there is no usable header or no row at all.
    """
    notes: list[str] = []
    if delimiter is None:
        delimiter = infer_delimiter(blocks)
        notes.append(f"delimiter: {DELIMITERS[delimiter]} (inferred)")
    quoting = delimiter != "\t" or quotes_are_a_convention(blocks)
    if not quoting:
        notes.append("double quotes are read as ordinary characters (most of them do not enclose a field)")
    records = scan(blocks, delimiter, quoting=quoting)
    columns, blank = _header(records, name=name)
    rows = keep_rows()
    rejected: list[Rejected] = []
    for content, record in records:
        if reason := record.fault or content.flaw(record.start, record.stop):
            rejected.append(Rejected(record.line, reason))
        elif len(record.fields) == len(columns):
            rows.append(Row(record.line, tuple(record.fields)))
        elif record.fields:
            rejected.append(Rejected(record.line, _ragged(record, expected=len(columns))))
        else:
            blank += 1
    if blank:
        notes.append(f"{blank} blank line{'s' * (blank > 1)} passed over")
    return Parsed(columns, rows.done(), rejected, notes)


def infer_delimiter(blocks: Blocks) -> str:
    """The delimiter that cuts most of the first records as wide as the header; comma where none does."""
    sample = [head(blocks, SAMPLED)]
    best, best_score = ",", (0, 0)
    for delimiter in DELIMITERS:
        first = islice(scan(sample, delimiter, quoting=True), 50)
        widths = [len(record.fields) for _, record in first if record.fields]
        score = (widths.count(widths[0]), widths[0]) if widths and widths[0] > 1 else (0, 0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def quotes_are_a_convention(blocks: Blocks) -> bool:
    """Whether, of the tab-separated records with a double quote, at least half keep the rules of quoting."""
    if not any('"' in content.text for content in blocks):
        return True
    keeping = breaking = 0
    for content, record in scan(blocks, "\t", quoting=True):
        if record.quoted and not record.fault:
            keeping += 1
        elif '"' in content.text[record.start : record.stop]:
            breaking += 1
    return keeping >= breaking


def scan(blocks: Blocks, delimiter: str, *, quoting: bool) -> Iterator[tuple[Content, Record]]:
    """The records of a text one after the other, blank lines and broken records among them, each with where it stands.

    A record that a block may not have all of is read again with the next one.
    """
    content, line, used = None, 1, 0
    for block in blocks:
        content = block if content is None else content.after(used, block)
        used = 0
        for record in _scan(content, delimiter, quoting=quoting, line=line):
            yield content, record
            used, line = min(record.stop + 1, len(content.text)), record.line + 1 + record.crossed


def _scan(content: Content, delimiter: str, *, quoting: bool, line: int) -> Iterator[Record]:
    """The records that are whole in a block; in the last one all are."""
    text, line_end = content.text, content.line_end
    start, known = 0, len(text) + content.last
    while start < len(text):
        end = text.find(line_end, start)
        end = len(text) if end < 0 else end
        raw = text[start:end]
        if line_end == "\n":
            raw = raw.removesuffix("\r")
        fields, fault, quoted, crossed, reach = raw.split(delimiter) if raw else [], "", False, 0, end
        if quoting and '"' in raw:
            try:
                fields, stop = _split(content, start, delimiter)
                quoted = raw.startswith('"') or f'{delimiter}"' in raw
                crossed = text.count(line_end, end, stop)
                end = reach = stop
            except _QuotingError as broken:
                fields, fault = [], str(broken)
                reach = end if content.last else max(end, broken.reach)
        if reach >= known:
            return
        yield Record(line, start, end, fields, fault, quoted, crossed)
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
        raise _QuotingError(f"the quote that opens field {number} is never closed", position + LONGEST_QUOTED)
    return found[1].replace('""', '"'), found.end()


def _header(records: Iterator[tuple[Content, Record]], *, name: str) -> tuple[tuple[str, ...], int]:
    """The column names, and how many blank lines stand before them."""
    for blank, (content, record) in enumerate(records):
        if reason := record.fault or content.flaw(record.start, record.stop):
            raise DataError(f"{name}: the first line, which names the columns, cannot be read: {reason}.")
        if content.line_end == "\n" and any("\r" in field for field in record.fields):
            raise DataError(f"{name} mixes line ends (a lone CR in the first line). Save it with LF line ends.")
        if record.fields:
            return check_columns(record.fields, name=name), blank
    raise DataError(f"{name} is empty. A first line with column names and at least one row are needed.")


def _ragged(record: Record, *, expected: int) -> str:
    span = f", lines {record.line}-{record.line + record.crossed}" if record.crossed else ""
    return f"{len(record.fields)} fields where the header has {expected}{span}"
