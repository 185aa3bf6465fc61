"""From a path to text that can be trusted: the file opened, unpacked and decoded, or a clear word why not.

A byte that is not text costs only the row it stands in, so decoding keeps its place instead of failing.
"""

import gzip
import hashlib
import re
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seqloom.errors import DataError, nearest

SNIFFED = 65_536
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
    """The text of a file and its line end; `undecodable` maps the place of a bad byte in the text to its offset."""

    text: str
    encoding: str
    undecodable: dict[int, int]
    has_nul: bool
    line_end: str

    def flaw(self, start: int, stop: int) -> str | None:
        """Why the text from `start` to `stop` cannot be used, or None."""
        if self.undecodable and (found := ESCAPED.search(self.text, start, stop)):
            byte = ord(found[0]) - 0xDC00
            return f"not {self.encoding}: byte 0x{byte:02x} at offset {self.undecodable[found.start()]}"
        if self.has_nul and "\0" in self.text[start:stop]:
            return "holds a NUL character"
        return None


class RawFile(NamedTuple):
    """The bytes of a file, unpacked, and the sha256 of the file as it lies on disk."""

    data: bytes
    fingerprint: str


def read_bytes(
    path: Path, *, needs: str = "A first line with column names and at least one row are needed."
) -> RawFile:
    """The bytes of a regular file, unpacked where it is gzip. Raises DataError, for an empty one with `needs`."""
    data = _read_regular(path)
    fingerprint = hashlib.sha256(data).hexdigest()
    if data.startswith(GZIP):
        data = _unpack(data, path)
    elif path.suffix == ".gz" and data:
        raise DataError(f"{path.name} is named .gz but is not gzip. Rename it after what it holds.")
    if not data:
        raise DataError(f"{path.name} is empty. {needs}")
    return RawFile(data, fingerprint)


def decode(data: bytes, *, encoding: str, name: str) -> Content:
    """The text of `data`; bytes that are not `encoding` are kept in place and remembered.

    Raises DataError for an unknown encoding and for what is not text at all.
    """
    _refuse_binary(data, encoding=encoding, name=name)
    try:
        text, undecodable = data.decode(encoding), dict[int, int]()
    except LookupError:
        raise DataError(f'"{encoding}" is not an encoding. Usual ones: utf-8, cp1252, latin-1, utf-16.') from None
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
        raise DataError(f"{name} is not {encoding}: {error.reason} at byte {error.start}. Save it as UTF-8.") from None
    offsets: dict[int, int] = {}
    offset = last = 0
    for found in ESCAPED.finditer(text):
        offset += len(text[last : found.start()].encode(encoding, "surrogateescape"))
        last = found.start()
        offsets[last] = offset
    return text, offsets


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


def _read_regular(path: Path) -> bytes:
    with open_regular(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}.") from None


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


def _unpack(data: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(data)
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
    return f", {hint}" if hint.startswith("did") else f" in {path.parent}. Give the path of a CSV, TSV or JSONL file."
