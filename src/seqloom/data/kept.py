"""Rows and examples, of which memory may not hold all: a list while they are few, then a file without a name.

Whoever reads them reads a sequence and need not know which it is. The file is unlinked as soon as it is made: nothing
of it is left when the process ends, however that ends.
"""

import json
import os
import tempfile
import weakref
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import IO, Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import StorageError

T = TypeVar("T")
S = TypeVar("S")
Numbers = NDArray[np.signedinteger[Any]]  # of rows: `number_type` says of how many bytes

FEW = 1 << 24  # bytes of records, up to which they stay in a list
WEIGHED = 16  # one of so many records is packed to tell how many bytes they take
BUFFER = 1 << 20  # bytes that are written or read at once
ASKED = ("TMPDIR", "TEMP", "TMP")
FOLDER = "/var/tmp"  # on a disk, as the standard wants it; /tmp is memory on many machines
_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_read_json = json.JSONDecoder().raw_decode


def temporary_folder() -> str:
    """Where what is larger than memory goes: the folder that TMPDIR names, else /var/tmp, else the system's."""
    on_disk = Path(FOLDER).is_dir() and os.access(FOLDER, os.W_OK) and not any(map(os.environ.get, ASKED))
    return FOLDER if on_disk else tempfile.gettempdir()


class Scratch:
    """Bytes that are only added to and read: the last of them in memory, all before in a file without a name.

    Raises StorageError where there is no more room on the disk.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._tail = bytearray()
        self._written = 0

    def __len__(self) -> int:
        """How many bytes there are."""
        return self._written + len(self._tail)

    def add(self, data: bytes) -> None:
        """Append `data`."""
        self._tail += data
        if len(self._tail) > BUFFER:
            self._write()

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`."""
        if start >= self._written:
            return bytes(self._tail[start - self._written : stop - self._written])
        if stop > self._written:
            self._write()
        assert self._file is not None
        return os.pread(self._file.fileno(), stop - start, start)

    def open(self) -> IO[bytes]:
        """All of it as a file that is read from its start; nothing may be added any more."""
        self._write()
        assert self._file is not None
        return os.fdopen(os.dup(self._file.fileno()), "rb")

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0, dir=temporary_folder())  # noqa: SIM115 - lives on
                weakref.finalize(self, self._file.close)
            while self._tail:
                done = os.pwrite(self._file.fileno(), self._tail, self._written)
                self._written += done
                del self._tail[:done]
        except OSError as error:
            raise StorageError(
                f"cannot keep more than {self._written:,} bytes of the data in {temporary_folder()}: {error.strerror}. "
                "What is larger than memory is kept there while it is read. Free some space, or name a folder on a "
                "larger disk: TMPDIR=FOLDER seqloom ..."
            ) from None


class Lazy(Sequence[T]):
    """A sequence whose members are made when they are asked for, each by `_at`; of a slice a list of them."""

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        """The one at `place`, or those of a slice."""
        places = range(len(self))[place]
        return self._at(places) if isinstance(places, int) else list(map(self._at, places))

    @abstractmethod
    def _at(self, place: int) -> T:
        """The one at a place from 0 on that there is."""


class Kept(Lazy[T]):
    """Records in a file, each made again when it is asked for; eight bytes of each are in memory. Made by `Keeper`."""

    def __init__(self, scratch: Scratch, starts: "array[int]", decode: Callable[[Any], T]) -> None:
        self._scratch, self._starts, self._decode = scratch, starts, decode

    def __len__(self) -> int:
        """How many there are."""
        return len(self._starts) - 1

    def _at(self, place: int) -> T:
        return self._decode(_unpack(self._scratch.read(self._starts[place], self._starts[place + 1])))

    def read_as(self, decode: Callable[[Any], S]) -> "Kept[S]":
        """The same records, of which `decode` makes something else."""
        return Kept(self._scratch, self._starts, decode)

    def __iter__(self) -> Iterator[T]:
        """All in order, read many at once."""
        first = 0
        while first < len(self):
            begin = self._starts[first]
            after = max(first + 2, bisect_right(self._starts, begin + BUFFER))
            block = memoryview(self._scratch.read(begin, self._starts[after - 1]))
            for place in range(first, after - 1):
                yield self._decode(_unpack(block[self._starts[place] - begin : self._starts[place + 1] - begin]))
            first = after - 1


class Keeper(Generic[T]):
    """Makes a sequence of what is appended to it: a list while the records take few bytes, beyond that a `Kept`.

    `encode` makes plain values of a record: texts, numbers, lists and tuples of them; `decode` the record of those, in
    which tuples are lists.
    """

    def __init__(self, encode: Callable[[T], Any], decode: Callable[[Any], T]) -> None:
        self._encode, self._decode = encode, decode
        self._few: list[T] | None = []
        self._scratch, self._starts, self._bytes = Scratch(), array("Q", [0]), 0

    def append(self, record: T) -> None:
        """Add a record. Raises StorageError where there is no more room on the disk."""
        if self._few is None:
            self._add(_pack(self._encode(record)))
            return
        if len(self._few) % WEIGHED == 0:
            self._bytes += WEIGHED * len(_pack(self._encode(record)))
        self._few.append(record)
        if self._bytes > FEW:
            few, self._few = self._few, None
            for each in few:
                self._add(_pack(self._encode(each)))

    def done(self) -> Sequence[T]:
        """All of them in order."""
        return self._few if self._few is not None else Kept(self._scratch, self._starts, self._decode)

    def _add(self, data: bytes) -> None:
        self._scratch.add(data)
        self._starts.append(len(self._scratch))


class View(Lazy[T]):
    """What `read` makes of records when they are asked for: of all of them, or of those with these numbers."""

    def __init__(self, records: Sequence[Any], numbers: Sequence[int] | None, read: Callable[[Any], T]) -> None:
        self._records, self._numbers, self._read = records, numbers, read

    def __len__(self) -> int:
        """How many there are."""
        return len(self._records if self._numbers is None else self._numbers)

    def _at(self, place: int) -> T:
        return self._read(self._records[place if self._numbers is None else self._numbers[place]])

    def __iter__(self) -> Iterator[T]:
        """All in order."""
        if self._numbers is None:
            return map(self._read, self._records)
        return (self._read(self._records[number]) for number in self._numbers)


class Joined(Lazy[T]):
    """The records of several sequences one after the other."""

    def __init__(self, parts: Sequence[Sequence[T]]) -> None:
        self._parts, self._ends = parts, list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        """How many there are."""
        return self._ends[-1]

    def _at(self, place: int) -> T:
        part = bisect_right(self._ends, place)
        return self._parts[part][place - (self._ends[part - 1] if part else 0)]

    def __iter__(self) -> Iterator[T]:
        """All in order."""
        return chain.from_iterable(self._parts)


def number_type(rows: int) -> np.dtype[np.signedinteger[Any]]:
    """The type of the numbers of so many rows: of many millions each byte counts."""
    return np.dtype(np.int32 if rows < 1 << 31 else np.int64)


def chosen(records: Sequence[T], numbers: Sequence[int]) -> Sequence[T]:
    """Those of the records that have these numbers, rising: a list of a list, else a view."""
    if len(numbers) == len(records):
        return records
    if isinstance(records, list):
        return [records[number] for number in numbers]
    return View(records, numbers, _itself)


def each(records: Sequence[S], read: Callable[[S], T]) -> Sequence[T]:
    """What `read` makes of each record: a list of a list, else a view that makes it when it is asked for."""
    return [read(record) for record in records] if isinstance(records, list) else View(records, None, read)


def one_after_other(parts: Sequence[Sequence[T]]) -> Sequence[T]:
    """The records of all parts: a list of lists, else a view."""
    return list(chain.from_iterable(parts)) if all(isinstance(part, list) for part in parts) else Joined(parts)


def spread(records: Sequence[T], sizes: Iterable[int], room: int, *, sample: int | None = None) -> Sequence[T]:
    """All records where they have no more than `room` in sum; else a list of every second, third ... of them.

    These have about `sample` in sum, `room` where that is not given.
    """
    total = sum(sizes)
    step = -(-total // (sample or room))
    return records if total <= room else records[::step]


def in_parts(records: Iterable[T], count: int) -> Iterator[list[T]]:
    """The records in lists of so many, the last of them shorter."""
    left = iter(records)
    while part := list(islice(left, count)):
        yield part


def _pack(values: Any) -> bytes:
    return _write_json(values).encode("utf-8", "surrogatepass")


def _unpack(data: bytes | memoryview) -> Any:
    return _read_json(str(data, "utf-8", "surrogatepass"))[0]


def _itself(record: Any) -> Any:
    return record
