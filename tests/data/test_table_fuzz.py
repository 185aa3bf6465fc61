"""Damaged files, by the hundred: each record is used or reported, whatever stands in the bytes.

The records are counted by a machine that looks at one character at a time and shares nothing with the reader.
"""

import gzip
import random
from pathlib import Path

import pytest

from seqloom.data import read_table
from seqloom.errors import DataError

NASTY = [
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"\t",
    b";",
    b"|",
    b"\0",
    b"\xff",
    b"\xe2\x82",
    b"\xc2\x85",
    b"{",
    b"}",
]
NASTY += [b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x0b", b"\\", b'",', b',"', b'"\n', b'\n"', b"[1]", b"NaN", b" "]
DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}


def sound_file(kind: str, random: random.Random) -> bytes:
    """A file as a careful writer makes it, with every quoting there is."""
    lines = []
    for number in range(random.randint(2, 30)):
        text = random.choice(
            ["good film", "naïve, but «clever»", 'she said "no"', "two\nlines", "", "日本\u2028語", "\t|;"]
        )
        if kind == "jsonl":
            label = random.choice("ab")
            lines.append(f'{{"text": "row {number}", "label": "{label}"}}')
        elif kind == "tsv":
            lines.append(f"{text.translate({9: 32, 10: 32})}\t{number}")
        else:
            escaped = text.replace('"', '""')
            lines.append(f'"{escaped}",{number}' if text != "good film" else f"{text},{number}")
    header = {"jsonl": [], "tsv": ["text\tlabel"], "csv": ["text,label"]}[kind]
    return random.choice(["\n", "\r\n"]).join(header + lines).encode() + random.choice([b"", b"\n", b"\n\n"])


def damaged(data: bytes, random: random.Random) -> bytes:
    for _ in range(random.randint(1, 4)):
        place, other = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
        start, stop = min(place, other), min(max(place, other), min(place, other) + 40)
        data = random.choice(
            [
                lambda d, p=place: d[:p] + random.choice(NASTY) + d[p:],
                lambda d, p=place: d[:p] + random.choice(NASTY) + d[p + 1 :],
                lambda d, a=start, b=stop: d[:a] + d[b:],
                lambda d, a=start, b=stop: d[:b] + d[a:b] + d[b:],
                lambda d, p=place: d[: max(p, len(d) // 2)],
                lambda d, p=place: d[:p] + bytes([random.randrange(256)]) + d[p:],
            ]
        )(data)
    return data


def record_lines(text: str, delimiter: str, *, quoting: bool) -> list[int]:
    """The lines on which records begin, by looking at one character after the other."""
    end = "\n" if "\n" in text else "\r"
    begins, position, line = [], 0, 1
    while position < len(text):
        stop = first_line_end(text, position, end)
        if text[position:stop] not in ("", "\r"):
            begins.append(line)
        if quoting:
            stop = record_end(text, position, end, delimiter)
        line += 1 + text[position:stop].count(end)
        position = stop + 1
    return begins


def first_line_end(text: str, position: int, end: str) -> int:
    while position < len(text) and text[position] != end:
        position += 1
    return position


def record_end(text: str, start: int, end: str, delimiter: str) -> int:
    """Where the record ends; at the end of its first line where its quoting is broken."""
    state, position = "field begins", start
    while position < len(text):
        character = text[position]
        if state == "field begins" and character == '"':
            state = "quoted"
        elif state == "quoted":
            if character == '"':
                state = "quote in quotes"
        elif state == "quote in quotes" and character == '"':
            state = "quoted"
        elif character == end:
            return position
        elif character == delimiter:
            state = "field begins"
        elif state != "quote in quotes":
            state = "plain"
        elif not (end == "\n" and character == "\r" and text[position + 1 : position + 2] in ("\n", "")):
            return first_line_end(text, start, end)
        position += 1
    return first_line_end(text, start, end) if state == "quoted" else position


def expected_lines(kind: str, data: bytes, notes: list[str]) -> list[int]:
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if kind == "jsonl":
        end = "\n" if "\n" in text else "\r"
        return [number for number, line in enumerate(text.split(end), start=1) if line.strip(" \t\r")]
    said = [note.split()[1] for note in notes if note.startswith("delimiter: ")]
    delimiter = DELIMITERS[said[0]] if said else "\t"
    quoting = not any("ordinary characters" in note for note in notes)
    return record_lines(text, delimiter, quoting=quoting)[1:]


def mutate_and_read(folder: Path, *, count: int, seed: int) -> None:
    generator = random.Random(seed)
    readable = 0
    for number in range(count):
        kind = generator.choice(["csv", "csv", "tsv", "jsonl"])
        data = damaged(sound_file(kind, generator), generator)
        packed = number % 10 == 0
        path = folder / (f"{number}.{kind}.gz" if packed else f"{number}.{kind}")
        path.write_bytes(gzip.compress(data) if packed else data)
        try:
            table = read_table(path)
        except DataError:
            continue
        readable += 1
        lines = sorted([row.line for row in table.rows] + [rejected.line for rejected in table.rejected])
        assert lines == expected_lines(kind, data, table.notes), data
        assert all(len(row.values) == len(table.columns) for row in table.rows)
        assert all(rejected.reason for rejected in table.rejected)
    assert readable > count * 0.7


def test_each_record_of_200_damaged_files_is_used_or_reported(tmp_path: Path) -> None:
    mutate_and_read(tmp_path, count=200, seed=0)


@pytest.mark.long
def test_each_record_of_2000_damaged_files_is_used_or_reported(tmp_path: Path) -> None:
    mutate_and_read(tmp_path, count=2000, seed=1)


def test_damaged_gzip_files_are_refused_or_read_whole(tmp_path: Path) -> None:
    generator = random.Random(2)
    data = b"text,label\n" + b"".join(b"row %d,a\n" % number for number in range(200))
    for _ in range(100):
        (tmp_path / "rows.csv.gz").write_bytes(damaged(gzip.compress(data), generator))
        try:
            table = read_table(tmp_path / "rows.csv.gz")
        except DataError:
            continue
        assert len(table.rows) == 200
