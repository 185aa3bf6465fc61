"""Tagged sentences, a word a line: CoNLL-U, and the plain columns of the CoNLL shared tasks, read strictly.

A sentence ends at a blank line. A line that cannot be read costs its own sentence, which is reported, and no other.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from seqloom.data.content import Content
from seqloom.data.rows import Parsed, Rejected, Row
from seqloom.errors import DataError

UNIVERSAL = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
WORD = re.compile("[1-9][0-9]*")
PASSED_OVER = {
    "multi-word tokens (3-4)": re.compile("[1-9][0-9]*-[1-9][0-9]*"),
    "empty nodes (8.1)": re.compile(r"[0-9]+\.[1-9][0-9]*"),
}
BLANKS = re.compile("[ \t]+")
DOCUMENT = "-DOCSTART-"

Words = list[Sequence[str]]


class _Line(NamedTuple):
    """A line of the file: its number, its text, and why that cannot be used, if so."""

    number: int
    text: str
    flaw: str | None


class _RefusedError(Exception):
    """A line that makes its sentence unusable, and why."""

    def __init__(self, line: _Line, reason: str) -> None:
        super().__init__(reason)
        self.line = line.number


def read_conllu(content: Content, *, name: str) -> Parsed:
    """One row a sentence: in each of the columns form, lemma, upos ... a value for each word.

    Lines of multi-word tokens (3-4), whose words follow, and empty nodes (8.1) are passed over, and a note counts them.
    A row's line is that of its first word. Raises DataError where the file has no word.
    """
    passed_over: Counter[str] = Counter()
    sentences = (
        [line for line in lines if line.flaw or not line.text.startswith("#")] for lines in _sentences(content)
    )
    parsed = _parse(sentences, UNIVERSAL, lambda lines: _universal_words(lines, passed_over), name=name)
    if passed_over:
        counted = ", ".join(f"{what} {passed_over[what]:,}" for what in PASSED_OVER if passed_over[what])
        parsed.notes.append(f"passed over: {counted}")
    return parsed


def read_columns(content: Content, *, name: str) -> Parsed:
    """One row a sentence: the first column is the form, the last the tag, with column2 and so on in between.

    Columns are cut by tabs where most lines have one, else by blanks. A line that begins with -DOCSTART- is no word,
    nor is one that begins with # before the first word of a sentence, unless it has as many columns as the words.
    Raises DataError where the file has no word.
    """
    sentences = list(_sentences(content))
    cut = _cut_of(sentences)
    widths = Counter(len(cut(line.text)) for lines in sentences for line in lines if not _is_document(line))
    width = widths.most_common(1)[0][0] if widths else 1
    if width == 1 + len(UNIVERSAL) and all(_has_id(line) for lines in sentences for line in lines):
        raise DataError(f"{name} has the ten columns of CoNLL-U, a number first. Name it with the ending .conllu.")
    columns = ("form", *(f"column{number}" for number in range(2, width)), *["tag"] * (width > 1))
    bodies = (_body(lines, cut, width) for lines in sentences)
    parsed = _parse(bodies, columns, lambda lines: [_fields(line, cut(line.text), width) for line in lines], name=name)
    parsed.notes.append(f"columns: {', '.join(columns)}")
    return parsed


def _sentences(content: Content) -> Iterator[list[_Line]]:
    """The lines between blank ones."""
    lines: list[_Line] = []
    start = 0
    for number, text in enumerate(content.text.split(content.line_end), start=1):
        stop = start + len(text)
        if text.strip(" \t\r"):
            lines.append(_Line(number, text.removesuffix("\r"), content.flaw(start, stop)))
        elif lines:
            yield lines
            lines = []
        start = stop + 1
    if lines:
        yield lines


def _parse(
    sentences: Iterator[list[_Line]], columns: tuple[str, ...], read: Callable[[list[_Line]], Words], *, name: str
) -> Parsed:
    """The rows of these sentences, each read by `read`; without lines there is no sentence."""
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for lines in sentences:
        if not lines:
            continue
        try:
            if words := read(lines):
                rows.append(Row(lines[0].number, tuple(zip(*words, strict=True))))
        except _RefusedError as refused:
            where = f"in line {refused.line}: " if refused.line != lines[0].number else ""
            rejected.append(Rejected(lines[0].number, f"{where}{refused}"))
    if not rows and not rejected:
        raise DataError(f"{name} has no words. A line for each word and a blank line after each sentence are needed.")
    return Parsed(columns, rows, rejected, [])


def _universal_words(lines: list[_Line], passed_over: Counter[str]) -> Words:
    """The words of a sentence, without their ids. Raises _RefusedError."""
    words: Words = []
    skipped: Counter[str] = Counter()
    for line in lines:
        number, *fields = _fields(line, line.text.split("\t"), 1 + len(UNIVERSAL))
        if what := next((what for what, pattern in PASSED_OVER.items() if pattern.fullmatch(number)), None):
            skipped[what] += 1
        elif not WORD.fullmatch(number):
            raise _RefusedError(line, f'the id is "{number[:40]}", neither 1, 2, 3 ... nor 3-4 nor 8.1')
        elif number != str(len(words) + 1):
            missing = ": is a blank line missing before it?" if number == "1" else ""
            raise _RefusedError(line, f"the id is {number[:40]} where {len(words) + 1} is next{missing}")
        else:
            words.append(fields)
    passed_over.update(skipped)
    return words


def _fields(line: _Line, fields: list[str], width: int) -> list[str]:
    """The columns of a word. Raises _RefusedError where they are not `width`, one is empty, or the line flawed."""
    if line.flaw:
        raise _RefusedError(line, line.flaw)
    if len(fields) != width:
        raise _RefusedError(line, f"{len(fields)} column{'s' * (len(fields) > 1)} where {width} are needed")
    for place, value in enumerate(fields, start=1):
        if not value.strip():
            raise _RefusedError(line, f"column {place} is empty")
    return fields


def _cut_of(sentences: list[list[_Line]]) -> Callable[[str], list[str]]:
    """How a line is cut into columns."""
    with_tab = sum("\t" in line.text for lines in sentences for line in lines)
    if 2 * with_tab > sum(map(len, sentences)):
        return lambda text: text.split("\t")
    return lambda text: BLANKS.split(text.strip(" \t"))


def _body(lines: list[_Line], cut: Callable[[str], list[str]], width: int) -> list[_Line]:
    """The lines of a sentence from its first word on, without those that begin a document."""
    lines = [line for line in lines if not _is_document(line)]
    while lines and lines[0].text.startswith("#") and len(cut(lines[0].text)) != width and not lines[0].flaw:
        lines = lines[1:]
    return lines


def _has_id(line: _Line) -> bool:
    """Whether a line begins with a number, as those of CoNLL-U do, or may be a comment."""
    return line.text.startswith("#") or line.text[0].isdigit()


def _is_document(line: _Line) -> bool:
    return line.text.startswith(DOCUMENT) and not line.flaw
