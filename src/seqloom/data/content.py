"""From a path to text that can be trusted: the file opened, unpacked and decoded, or a clear word why not.

A byte that is not text costs only the row it stands in, so decoding keeps its place instead of failing. A text is read
block by block, for it may be larger than memory.
"""

import codecs
import gzip
import hashlib
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from seqloom.data.kept import Scratch
from seqloom.errors import DataError, nearest

SNIFFED = 65_536
BLOCK = 1 << 22  # bytes that are read at once
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
FOREIGN = {
    b"PK\x03\x04": "a zip archive or a spreadsheet. Save the sheet as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet. Save the sheet as CSV",
    b"%PDF": "a PDF. Save its text as CSV or JSONL",
    b"SQLite format 3": "an SQLite database. Export the table as CSV",
    b"\x89PNG": "an image. A table of text is needed",
    b"\xff\xd8\xff": "an image. A table of text is needed",
    b"BZh": "packed with bzip2. Unpack it first",
    b"\xfd7zXZ": "packed with xz. Unpack it first",
    b"\x28\xb5\x2f\xfd": "packed with zstd. Unpack it first",
}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
ESCAPED = re.compile("[\udc80-\udcff]")
CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b")


class Content(NamedTuple):
    """The text of a file, or of a block of it, and the file's line end; `last` says whether the file ends with it.

    `undecodable` maps the place of a bad byte in the text to its offset in the file.
    """

    text: str
    encoding: str
    undecodable: dict[int, int]
    has_nul: bool
    line_end: str
    last: bool = True

    def after(self, used: int, following: "Content") -> "Content":
        """What is left of this block after `used` characters, and the block that follows it, as one."""
        if used == len(self.text):
            return following
        left = len(self.text) - used
        undecodable = {place - used: offset for place, offset in self.undecodable.items() if place >= used}
        undecodable |= {left + place: offset for place, offset in following.undecodable.items()}
        text, has_nul = self.text[used:] + following.text, self.has_nul or following.has_nul
        return following._replace(text=text, undecodable=undecodable, has_nul=has_nul)

    def flaw(self, start: int, stop: int) -> str | None:
        """Why the text from `start` to `stop` cannot be used, or None."""
        if self.undecodable and (found := ESCAPED.search(self.text, start, stop)):
            byte = ord(found[0]) - 0xDC00
            return f"not {self.encoding}: byte 0x{byte:02x} at offset {self.undecodable[found.start()]}"
        if self.has_nul and "\0" in self.text[start:stop]:
            return "holds a NUL character"
        return None


Blocks = Iterable[Content]  # the blocks of a text in order, which can be read again and again


class Line(NamedTuple):
    """A line of a file: its number, its text without its end, and why that cannot be used, if so.

    `last` is what stands behind the last line end, which may be nothing.
    """

    number: int
    text: str
    flaw: str | None
    last: bool


def lines(blocks: Blocks, *, end: str | None = None) -> Iterator[Line]:
    """The lines of a text, which end as those of its file do unless `end` is given."""
    number, left = 1, None
    for block in blocks:
        content = block if left is None else left.after(0, block)
        line_end = end or content.line_end
        *whole, rest = content.text.split(line_end)
        start, sound = 0, not (content.undecodable or content.has_nul)
        for text in whole:
            stop = start + len(text)
            yield Line(number, text, None if sound else content.flaw(start, stop), last=False)
            start, number = stop + 1, number + 1
        if content.last:
            yield Line(number, rest, content.flaw(start, start + len(rest)), last=True)
            return
        left = content.after(start, content._replace(text="", undecodable={})) if rest else None


def head(blocks: Blocks, characters: int) -> Content:
    """The first characters of a text, or all of it where it has no more, as if the file ended there."""
    found: Content | None = None
    for block in blocks:
        found = block if found is None else found.after(0, block)
        if len(found.text) >= characters:
            break
    assert found is not None
    return found._replace(text=found.text[:characters], last=True)


class Packed(NamedTuple):
    """A file, open and unpacked, its first bytes, and the sha256 of the file as it lies on disk."""

    file: IO[bytes]
    first: bytes
    fingerprint: str


class TextFile:
    """The text of an open file as `Blocks`. Raises DataError, while it is read too, as `decode` does."""

    def __init__(self, packed: Packed, *, encoding: str, name: str, block: int | None = None) -> None:
        _refuse_binary(packed.first, encoding=encoding, name=name)
        self._file, self._encoding, self._name, self._block = packed.file, encoding, name, block or BLOCK
        try:
            b"".decode(encoding)  # refuses what decodes no text
            self._decoder = codecs.getincrementaldecoder(encoding)
        except LookupError:
            raise DataError(_unknown(encoding)) from None
        self._line_end = ""
        self.undecodable = False  # whether a bad byte was met
        self._line_end = "\n" if any("\n" in content.text for content in self) else "\r"

    def __iter__(self) -> Iterator[Content]:
        """The blocks in order, from the first."""
        at, decoder, begun, last = 0, self._decoder("strict"), False, False
        while not last:
            self._file.seek(at)  # another iterator may have moved it
            raw = self._file.read(self._block)
            last = len(raw) < self._block
            held = decoder.getstate()[0]
            text, undecodable = self._decode(decoder, raw, at - len(held), last=last)
            if not begun and text.startswith("\ufeff"):
                text = text[1:]
                undecodable = {place - 1: offset for place, offset in undecodable.items()}
                begun = True
            begun = begun or bool(text)
            at += len(raw)
            yield Content(text, self._encoding, undecodable, "\0" in text, self._line_end, last)

    def _decode(
        self, decoder: codecs.IncrementalDecoder, raw: bytes, at: int, *, last: bool
    ) -> tuple[str, dict[int, int]]:
        """The text of the bytes at this offset, and where in it which bad bytes stand."""
        before = decoder.getstate()
        try:
            return decoder.decode(raw, last), {}
        except UnicodeDecodeError:
            lenient = self._decoder("surrogateescape")
            lenient.setstate(before)
        try:
            text = lenient.decode(raw, last)
        except UnicodeDecodeError as error:
            raise DataError(_not_encoded(error, at, encoding=self._encoding, name=self._name)) from None
        decoder.setstate(lenient.getstate())
        self.undecodable = True
        return text, _offsets(text, at, encoding=self._encoding)


class RawFile(NamedTuple):
    """The bytes of a file, unpacked, and the sha256 of the file as it lies on disk."""

    data: bytes
    fingerprint: str


def read_bytes(
    path: Path, *, needs: str = "A first line with column names and at least one row are needed."
) -> RawFile:
    """The bytes of a regular file, unpacked where it is gzip. Raises DataError, for an empty one with `needs`."""
    packed = open_packed(path, needs=needs)
    with packed.file as file:
        try:
            return RawFile(file.read(), packed.fingerprint)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}.") from None


def open_packed(
    path: Path, *, needs: str = "A first line with column names and at least one row are needed."
) -> Packed:
    """A regular file, open, unpacked where it is gzip. Raises DataError, for an empty one with `needs`."""
    found = open_regular(path)
    fingerprint = fingerprint_of(found, path)
    file = unpacked(found, path)
    first = file.read(SNIFFED)
    file.seek(0)
    if first and not (path.suffix == ".gz" and file is found):
        return Packed(file, first, fingerprint)
    file.close()
    if first:
        raise DataError(f"{path.name} is named .gz but is not gzip. Rename it after what it holds.")
    raise DataError(f"{path.name} is empty. {needs}")


def decode(data: bytes, *, encoding: str, name: str) -> Content:
    """The text of `data`; bytes that are not `encoding` are kept in place and remembered.

    Raises DataError for an unknown encoding and for what is not text at all.
    """
    _refuse_binary(data, encoding=encoding, name=name)
    try:
        text, undecodable = data.decode(encoding), dict[int, int]()
    except LookupError:
        raise DataError(_unknown(encoding)) from None
    except UnicodeDecodeError:
        text, undecodable = _decode_around_bad_bytes(data, encoding=encoding, name=name)
    if text.startswith("\ufeff"):
        text = text[1:]
        undecodable = {position - 1: offset for position, offset in undecodable.items()}
    line_end = "\n" if "\n" in text else "\r"
    return Content(text, encoding, undecodable, has_nul="\0" in text, line_end=line_end)


def _decode_around_bad_bytes(data: bytes, *, encoding: str, name: str) -> tuple[str, dict[int, int]]:
    try:
        text = data.decode(encoding, "surrogateescape")
    except UnicodeDecodeError as error:
        raise DataError(_not_encoded(error, 0, encoding=encoding, name=name)) from None
    return text, _offsets(text, 0, encoding=encoding)


def _offsets(text: str, offset: int, *, encoding: str) -> dict[int, int]:
    """For the place of each bad byte in the text its offset, that of the text being `offset`."""
    offsets: dict[int, int] = {}
    last = 0
    for found in ESCAPED.finditer(text):
        offset += len(text[last : found.start()].encode(encoding, "surrogateescape"))
        last = found.start()
        offsets[last] = offset
    return offsets


def _not_encoded(error: UnicodeDecodeError, offset: int, *, encoding: str, name: str) -> str:
    return f"{name} is not {encoding}: {error.reason} at byte {offset + error.start}. Save it as UTF-8."


def _unknown(encoding: str) -> str:
    return f'"{encoding}" is not an encoding. Usual ones: utf-8, cp1252, latin-1, utf-16.'


def _refuse_binary(data: bytes, *, encoding: str, name: str) -> None:
    for magic, kind in FOREIGN.items():
        if data.startswith(magic):
            raise DataError(f"{name} is {kind}.")
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return
    head = data[:SNIFFED]
    if data.startswith(UTF16_MARKS) or head.count(0) > len(head) / 5:
        raise DataError(f"{name} looks like UTF-16 or binary data. Save it as UTF-8 (iconv -f UTF-16 -t UTF-8).")
    if len(head.translate(None, delete=CONTROLS)) < 0.9 * len(head):
        raise DataError(f"{name} looks like binary data. A text file is needed: CSV, TSV or JSONL in UTF-8.")


def open_regular(path: Path) -> BinaryIO:
    """A regular file, open for reading. Raises DataError for a missing or forbidden one, a folder, a pipe, a device."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"there is no file {path}{_neighbour(path)}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise DataError(f"cannot read {path}: {error}.") from None
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a folder. Name a file in it.")
    raise DataError(f"{path} is not a regular file (a pipe or a device). Save the data as a file first.")


def fingerprint_of(file: BinaryIO, path: Path) -> str:
    """The sha256 of a file, which is read from here on. Raises DataError."""
    digest = hashlib.sha256()
    try:
        while block := file.read(BLOCK):
            digest.update(block)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from None
    return digest.hexdigest()


def unpacked(file: BinaryIO, path: Path) -> IO[bytes]:
    """The file at its start; or where it is gzip, which cannot be read from the middle, one with what is packed in it.

    Raises DataError for a damaged one, StorageError where there is no room for it.
    """
    file.seek(0)
    magic = file.read(len(GZIP))
    file.seek(0)
    if magic != GZIP:
        return file
    scratch = Scratch()
    with file, gzip.open(path) as packed:
        while block := _unpacked(packed, path):
            scratch.add(block)
    return scratch.open()


def _unpacked(packed: gzip.GzipFile, path: Path) -> bytes:
    """The next bytes."""
    try:
        return packed.read(BLOCK)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path.name} is a damaged gzip file, perhaps cut short ({error}). Copy or download it again."
        ) from None


def _neighbour(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f": the folder {path.parent} cannot be read."
    hint = nearest(path.name, names)
    folder = "this folder" if path.parent == Path() else path.parent
    return f", {hint}" if hint.startswith("did") else f" in {folder}. Give the path of a CSV, TSV or JSONL file."
