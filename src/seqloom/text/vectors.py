"""Pretrained word vectors from the text files that GloVe, word2vec and fastText give out.

Such files travel far and arrive with wrong encodings and cut lines: each bad line is reported, the rest is used.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import DataError

_SAMPLE = 100  # lines that decide how many values a vector has
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class WordVectors:
    """Row i of `matrix` (words, size), float32, is the vector of `words[i]`; `rejected` is [(line number, reason)]."""

    words: list[str]
    matrix: NDArray[np.float32]
    rejected: list[tuple[int, str]]


def read_vectors(path: str | Path, *, wanted: Container[str] | None = None) -> WordVectors:
    """Read the vectors of the `wanted` words, or of all, from a text file, gzipped or not.

    A first line "count size" is recognised. A line that is not UTF-8, has the wrong number of values, a value that is
    not a finite number or a word seen before is rejected; the values of words not wanted are not looked at. Raises
    DataError for a file that cannot be read or that holds no vector.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            head = list(islice(_lines(file), _SAMPLE))
            count, size = _shape(head, path)
            file.seek(0)
            return _read(_lines(file), count=count, size=size, wanted=wanted)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot read the word vectors {path}: {error}. "
            "Give a whole text file of GloVe, word2vec or fastText, gzipped or not."
        ) from None


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if zipped else path.open("rb")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines end at a line feed and nowhere else: a word may hold any other character."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise OSError(f"it has a line longer than {_LONGEST_LINE:,} bytes")
        yield line.rstrip(b" \t\r\n")


def _shape(head: list[bytes], path: Path) -> tuple[int | None, int]:
    """The announced number of vectors, where there is one, and the number of values in each."""
    fields = head[0].split() if head else []
    count = None
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        count, size = int(fields[0]), int(fields[1])
        head = head[1:]
    else:
        sizes = Counter(line.count(b" ") for line in head if b" " in line and _is_vector(line, line.count(b" ")))
        size = max(sizes, key=sizes.__getitem__, default=0)
    if size < 1 or not any(_is_vector(line, size) for line in head):
        raise DataError(
            f"{path} holds no word vector in its first {_SAMPLE} lines. A line must be a word and its values with "
            "blanks between them, such as: good 0.12 -0.5 0.33. Give a text file of GloVe, word2vec or fastText."
        )
    return count, size


def _read(lines: Iterator[bytes], *, count: int | None, size: int, wanted: Container[str] | None) -> WordVectors:
    words: dict[str, None] = {}
    values = bytearray()
    rejected: list[tuple[int, str]] = []
    number = header = 0 if count is None else 1
    for number, line in enumerate(islice(lines, header, None), start=header + 1):
        try:
            word, numbers = _split(line, size)
            if wanted is not None and word not in wanted:
                continue
            if word in words:
                raise _BadLineError(f'the word "{word}" came before; its first vector is kept')
            values += _vector(numbers).tobytes()
            words[word] = None
        except _BadLineError as reason:
            rejected.append((number, str(reason)))
    if count is not None and count != number - header:
        rejected.insert(0, (1, f"{count} vectors are announced, but {number - header} lines follow"))
    return WordVectors(list(words), np.frombuffer(values, np.float32).reshape(-1, size), rejected)


def _split(line: bytes, size: int) -> tuple[str, list[bytes]]:
    """The word, which may itself hold blanks, and its values, not yet read."""
    word, *numbers = line.rsplit(b" ", size)
    if len(numbers) < size:
        raise _BadLineError(f"{len(numbers)} values, but {size} are needed")
    if not word:
        raise _BadLineError("no word before the values")
    if b" " in word and _is_number(word.rpartition(b" ")[2]):
        raise _BadLineError(f"more than {size} values")
    try:
        return word.decode("utf-8"), numbers
    except UnicodeDecodeError:
        raise _BadLineError(f"the word {word!r} is not UTF-8") from None


def _vector(numbers: list[bytes]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            vector = np.array([float(number) for number in numbers], dtype=np.float32)
    except ValueError:
        wrong = next(number for number in numbers if not _is_number(number))
        raise _BadLineError(f'"{wrong.decode("utf-8", "backslashreplace")}" is not a number') from None
    if not np.isfinite(vector).all():
        raise _BadLineError("a value is not finite")
    return vector


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_vector(line: bytes, size: int) -> bool:
    try:
        _vector(_split(line, size)[1])
    except _BadLineError:
        return False
    return True


class _BadLineError(Exception):
    """Why one line is not used."""
