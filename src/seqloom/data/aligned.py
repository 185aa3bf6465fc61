"""Files that belong together line by line, as translators keep them: train.de and train.en, with the stem `train`.

Line 7 of the one goes with line 7 of the other, so only a line feed ends a line, and as many lines stand in each.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from seqloom.data.content import Content, decode, read_bytes
from seqloom.data.rows import Parsed, Rejected, Row
from seqloom.errors import DataError

ENDING = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
NOT_LINES = frozenset(
    [
        *("csv", "tsv", "tab", "json", "jsonl", "ndjson", "parquet", "arrow", "xls", "xlsx", "db", "sqlite"),
        *(
            "txt",
            "md",
            "rst",
            "html",
            "htm",
            "xml",
            "pdf",
            "doc",
            "docx",
            "log",
            "yaml",
            "yml",
            "toml",
            "ini",
            "py",
            "sh",
        ),
        *("conllu", "conll"),
        *("gz", "zip", "tar", "tgz", "bz2", "xz", "zst", "bak", "tmp", "old", "orig", "lock", "sha256", "md5"),
        *("png", "jpg", "jpeg", "wav", "mp3", "npy", "npz", "pt", "pth", "bin", "model", "vocab", "safetensors"),
    ]
)


class _File(NamedTuple):
    """One of the files, its lines, and where each begins in the content."""

    path: Path
    content: Content
    lines: list[str]
    starts: list[int]
    fingerprint: str


def find_aligned(stem: Path, *, only: Collection[str] = ()) -> dict[str, Path]:
    """The files that have `stem` as their name before the last dot, by their endings, in order of these.

    Endings of tables, documents, archives, pictures and models are passed over unless `only` names them; with `only`
    no others are taken, where all of them are there. Empty where there are not two or more.
    """
    try:
        names = sorted(entry.name for entry in stem.parent.iterdir() if entry.is_file())
    except (OSError, ValueError):
        return {}
    found: dict[str, Path] = {}
    for name in names:
        ending = name.removeprefix(f"{stem.name}.").removesuffix(".gz")
        if name.startswith(f"{stem.name}.") and ENDING.fullmatch(ending):
            found.setdefault(ending, stem.parent / name)
    if only and set(only) <= set(found):
        return {ending: found[ending] for ending in found if ending in only}
    texts = {ending: path for ending, path in found.items() if ending.lower() not in NOT_LINES}
    return texts if len(texts) > 1 else {}


def read_aligned(paths: dict[str, Path], *, encoding: str) -> tuple[Parsed, str]:
    """The rows of files with a line for each, and one fingerprint of them all.

    Raises DataError where one cannot be read, or where they have different numbers of lines.
    """
    files = [_read(path, encoding=encoding) for path in paths.values()]
    for one, other in pairwise(files):
        if len(one.lines) != len(other.lines):
            raise DataError(
                f"{one.path.name} has {len(one.lines):,} lines, {other.path.name} has {len(other.lines):,}: each line "
                "of one must go with the same line of the other. Find where a line is missing or was broken in two."
            )
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for number, values in enumerate(zip(*(file.lines for file in files), strict=True)):
        if reason := next(_flaws(files, number), ""):
            rejected.append(Rejected(number + 1, reason))
        else:
            rows.append(Row(number + 1, values))
    fingerprint = "".join(f"{file.path.name} {file.fingerprint}\n" for file in files)
    notes = [f"columns: the lines of {', '.join(file.path.name for file in files)}"]
    return Parsed(tuple(paths), rows, rejected, notes), hashlib.sha256(fingerprint.encode()).hexdigest()


def _read(path: Path, *, encoding: str) -> _File:
    raw = read_bytes(path, needs="At least one line is needed.")
    content = decode(raw.data, encoding=encoding, name=path.name)
    lines = content.text.split("\n")
    if not lines[-1]:
        lines.pop()
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return _File(path, content, [line.removesuffix("\r") for line in lines], starts, raw.fingerprint)


def _flaws(files: list[_File], number: int) -> Iterator[str]:
    for file in files:
        if flaw := file.content.flaw(file.starts[number], file.starts[number + 1]):
            yield f"{file.path.name}: {flaw}"
