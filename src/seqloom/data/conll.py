"""Tagged sentences, a word a line: CoNLL-U, and the plain columns of the CoNLL shared tasks, read strictly.

A sentence ends at a blank line. A line that cannot be read costs its own sentence, which is reported, and no other.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from operator import attrgetter

from seqloom.data.content import Blocks, Line, lines
from seqloom.data.rows import Parsed, Rejected, Row, keep_rows
from seqloom.errors import DataError

UNIVERSAL = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
WORD = re.compile("[1-9][0-9]*")
PASSED_OVER = {
    "multi-word tokens (3-4)": re.compile("[1-9][0-9]*-[1-9][0-9]*"),
    "empty nodes (8.1)": re.compile(r"[0-9]+\.[1-9][0-9]*"),
}
BLANKS = re.compile("[ \t]+")
DOCUMENT = "-DOCSTART-"
LOOKED_AT = 10_000  # sentences that decide how columns are cut

FLAW = attrgetter("flaw")

Words = list[Sequence[str]]


class _RefusedError(Exception):
    """A line that makes its sentence unusable, and why."""

    def __init__(self, line: Line, reason: str) -> None:
        super().__init__(reason)
        self.line = line.number


def read_conllu(blocks: Blocks, *, name: str) -> Parsed:
    """One row a sentence: in each of the columns form, lemma, upos ... a value for each word.

    Lines of multi-word tokens (3-4), whose words follow, and empty nodes (8.1) are passed over, and a note counts them.
    A row's line is that of its first word. Raises DataError where the file has no word.
    """
    passed_over: Counter[str] = Counter()
    sentences = (
        [line for line in sentence if line.flaw or not line.text.startswith("#")] for sentence in _sentences(blocks)
    )
    parsed = _parse(sentences, UNIVERSAL, lambda sentence: _universal_words(sentence, passed_over), name=name)
    if passed_over:
        counted = ", ".join(f"{what} {passed_over[what]:,}" for what in PASSED_OVER if passed_over[what])
        parsed.notes.append(f"passed over: {counted}")
    return parsed


def read_columns(blocks: Blocks, *, name: str) -> Parsed:
    """One row a sentence: the first column is the form, the last the tag, with column2 and so on in between.

    Columns are cut by tabs where most lines have one, else by blanks. A line that begins with -DOCSTART- is no word,
    nor is one that begins with # before the first word of a sentence, unless it has as many columns as the words.
    Raises DataError where the file has no word.
    """
    by_tabs, width, numbered = _look_through(blocks)
    cut = _cut_at_tabs if by_tabs else _cut_at_blanks
    if width == 1 + len(UNIVERSAL) and numbered:
        raise DataError(f"{name} has the ten columns of CoNLL-U, a number first. Name it with the ending .conllu.")
    columns = ("form", *(f"column{number}" for number in range(2, width)), *["tag"] * (width > 1))
    bodies = (_body(sentence, cut, width) for sentence in _sentences(blocks))
    parsed = _parse(bodies, columns, lambda body: _words(body, cut, width), name=name)
    parsed.notes.append(f"columns: {', '.join(columns)}")
    return parsed


def _sentences(blocks: Blocks) -> Iterator[list[Line]]:
    """The lines between blank ones."""
    sentence: list[Line] = []
    for line in lines(blocks):
        if line.text.strip(" \t\r"):
            sentence.append(line._replace(text=line.text[:-1]) if line.text.endswith("\r") else line)
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _look_through(blocks: Blocks) -> tuple[bool, int, bool]:
    """Whether most lines have a tab, how many columns most of them have, and whether all may begin with a number.

    Of the first sentences: what comes after them is read, or refused, as those are.
    """
    with_tab = every = 0
    widths: tuple[Counter[int], Counter[int]] = Counter(), Counter()
    numbered = True
    for sentence in islice(_sentences(blocks), LOOKED_AT):
        for line in sentence:
            every += 1
            with_tab += "\t" in line.text
            numbered = numbered and _has_id(line)
            if not _is_document(line):
                widths[0][len(_cut_at_blanks(line.text))] += 1
                widths[1][line.text.count("\t") + 1] += 1
    by_tabs = 2 * with_tab > every
    found = widths[by_tabs]
    return by_tabs, found.most_common(1)[0][0] if found else 1, numbered


def _parse(
    sentences: Iterator[list[Line]], columns: tuple[str, ...], read: Callable[[list[Line]], Words], *, name: str
) -> Parsed:
    """The rows of these sentences, each read by `read`; without lines there is none."""
    rows = keep_rows()
    empty = True
    rejected: list[Rejected] = []
    for sentence in sentences:
        if not sentence:
            continue
        try:
            if words := read(sentence):
                rows.append(Row(sentence[0].number, tuple(zip(*words, strict=True))))
                empty = False
        except _RefusedError as refused:
            where = f"in line {refused.line}: " if refused.line != sentence[0].number else ""
            rejected.append(Rejected(sentence[0].number, f"{where}{refused}"))
    if empty and not rejected:
        raise DataError(f"{name} has no words. A line for each word and a blank line after each sentence are needed.")
    return Parsed(columns, rows.done(), rejected, [])


def _universal_words(lines: list[Line], passed_over: Counter[str]) -> Words:
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


def _words(body: list[Line], cut: Callable[[str], list[str]], width: int) -> Words:
    """The words of a sentence, each with its columns. Raises _RefusedError."""
    fields: Words = [cut(line.text) for line in body]
    sound = {*map(len, fields)} == {width} and all(map(str.strip, chain.from_iterable(fields)))
    if sound and not any(map(FLAW, body)):
        return fields
    return [_fields(line, cut(line.text), width) for line in body]


def _fields(line: Line, fields: list[str], width: int) -> list[str]:
    """The columns of a word. Raises _RefusedError where they are not `width`, one is empty, or the line flawed."""
    if line.flaw:
        raise _RefusedError(line, line.flaw)
    if len(fields) != width:
        raise _RefusedError(line, f"{len(fields)} column{'s' * (len(fields) > 1)} where {width} are needed")
    if not all(map(str.strip, fields)):
        place = next(place for place, value in enumerate(fields, start=1) if not value.strip())
        raise _RefusedError(line, f"column {place} is empty")
    return fields


def _cut_at_tabs(text: str) -> list[str]:
    return text.split("\t")


def _cut_at_blanks(text: str) -> list[str]:
    return BLANKS.split(text.strip(" \t"))


def _body(lines: list[Line], cut: Callable[[str], list[str]], width: int) -> list[Line]:
    """The lines of a sentence from its first word on, without those that begin a document."""
    lines = [line for line in lines if not _is_document(line)]
    while lines and lines[0].text.startswith("#") and len(cut(lines[0].text)) != width and not lines[0].flaw:
        lines = lines[1:]
    return lines


def _has_id(line: Line) -> bool:
    """Whether a line begins with a number, as those of CoNLL-U do, or may be a comment."""
    return line.text.startswith("#") or line.text[0].isdigit()


def _is_document(line: Line) -> bool:
    return line.text.startswith(DOCUMENT) and not line.flaw
