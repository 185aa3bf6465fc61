"""A text file read as it stands, line by line and part by part, without ever holding all of it."""

import weakref
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from seqloom.data.content import SNIFFED, decode, fingerprint_of, open_regular, unpacked
from seqloom.data.delimited import DELIMITERS
from seqloom.data.rows import Rejected
from seqloom.errors import DataError

TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet")
TEXTS = (".txt", ".text")
LONGEST = 1 << 20  # bytes that are read at once: a longer line is parted
NEEDS = "At least one line is needed."


class Piece(NamedTuple):
    """A line without its end, or a part of a very long one: the line's number, the text, and whether it ends here."""

    line: int
    text: str
    ended: bool


class Range(NamedTuple):
    """A part of a file, in bytes, and the number of the line it begins in."""

    start: int
    stop: int
    line: int = 1


class PlainText:
    """A text file, open: its size in bytes once unpacked, and the sha256 of the file as it lies on disk.

    Raises DataError for a file that is missing, empty, damaged or no text.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = open_regular(self.path)
        self.fingerprint = fingerprint_of(file, self.path)
        self._file = unpacked(file, self.path)
        weakref.finalize(self, self._file.close)
        self.size = self._file.seek(0, 2)
        if not self.size:
            raise DataError(f"{self.path.name} is empty. {NEEDS}")
        decode(self.head(), encoding="utf-8", name=self.path.name)  # refuses what is no text

    def head(self) -> bytes:
        """The first bytes."""
        self._file.seek(0)
        return self._file.read(SNIFFED)

    def cut(self, *fractions: float) -> list[Range]:
        """All of it but the last parts, then these, of so large `fractions` each, cut where a line or a word ends."""
        places = [round(self.size * (1 - sum(fractions[number:]))) for number in range(len(fractions))]
        stops = [*(self._next_end(place) for place in places), self.size]
        starts = [0, *stops]
        lines = self._lines_before(starts[1:-1])
        return [Range(*each) for each in zip(starts, stops, [1, *lines], strict=False)]

    def pieces(self, part: Range) -> Iterator[Piece | Rejected]:
        """The lines of a part in order; a line that is no UTF-8 or holds a NUL character is refused."""
        at, line = part.start, part.line
        while at < part.stop:
            self._file.seek(at)  # another iterator may have moved it
            raw = self._file.read(min(LONGEST, part.stop - at))
            if at + len(raw) < part.stop:
                raw = raw[: raw.rfind(b"\n") + 1 or _whole_words(raw)]
            yield from _pieces(raw, at, line)
            at += len(raw)
            line += raw.count(b"\n")

    def _next_end(self, place: int) -> int:
        """The first place from here on where a line ends; where it is very long, a word; else a character."""
        self._file.seek(place)
        block = self._file.read(LONGEST)
        for sign in (b"\n", b" "):
            if place and (found := block.find(sign)) >= 0:
                return place + found + 1
        while block and place and block[0] & 0xC0 == 0x80:
            place, block = place + 1, block[1:]
        return place

    def _lines_before(self, places: list[int]) -> list[int]:
        """The number of the line at each of these ascending places."""
        lines, at, numbers = 1, 0, []
        for place in places:
            self._file.seek(at)
            while at < place:
                block = self._file.read(min(LONGEST, place - at))
                lines, at = lines + block.count(b"\n"), at + len(block)
            numbers.append(lines)
        return numbers


def is_table(path: str | Path) -> bool:
    """Whether the ending of the name says that it holds a table."""
    return Path(Path(path).name.removesuffix(".gz")).suffix.lower() in TABLES


def is_prose(path: str | Path) -> bool:
    """Whether it is named as a text, and its first lines are no rows of a table."""
    path = Path(path)
    if Path(path.name.removesuffix(".gz")).suffix.lower() not in TEXTS or not path.is_file():
        return False
    try:
        lines = PlainText(path).head().decode("utf-8", "replace").split("\n")[:50]
    except DataError:
        return False  # whoever reads it says what is wrong
    lines = [line for line in lines if line.strip()]
    widths = ([line.count(sign) for line in lines] for sign in DELIMITERS)
    cut = any(each[0] > 0 and each.count(each[0]) > 0.8 * len(each) for each in widths if each)
    return not cut and not (lines and lines[0].lstrip().startswith("{"))


def _whole_words(raw: bytes) -> int:
    """Up to where a part of a long line holds whole words; or at least whole characters."""
    if (found := raw.rfind(b" ")) > 0:
        return found + 1
    end = len(raw)
    while end > 1 and raw[end - 1] & 0xC0 == 0x80:  # a byte within a character
        end -= 1
    return max(1, end - 1)


def _pieces(raw: bytes, at: int, line: int) -> Iterator[Piece | Rejected]:
    """The lines of a block, which begins at byte `at` with this line: one by one only where one may be refused."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        for number, one in enumerate(BytesIO(raw), start=line):
            yield _piece(one, at, number)
            at += len(one)
        return
    *whole, rest = (text.removeprefix("\ufeff") if at == 0 else text).split("\n")
    for number, each in enumerate(whole, start=line):
        yield Piece(number, each.removesuffix("\r"), ended=True)
    if not raw.endswith(b"\n"):
        yield Piece(line + len(whole), rest, ended=False)


def _piece(raw: bytes, at: int, line: int) -> Piece | Rejected:
    ended = raw.endswith(b"\n")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejected(line, f"not utf-8: byte 0x{raw[error.start]:02x} at offset {at + error.start}")
    if "\0" in text:
        return Rejected(line, "holds a NUL character")
    text = text.removesuffix("\n").removesuffix("\r") if ended else text
    return Piece(line, text.removeprefix("\ufeff") if at == 0 else text, ended)
