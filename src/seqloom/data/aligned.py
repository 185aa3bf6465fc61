"""Files that belong together line by line, as translators keep them: train.de and train.en, with the stem `train`.

Line 7 of the one goes with line 7 of the other, so only a line feed ends a line, and as many lines stand in each.
"""

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path

from seqloom.data.content import Blocks, Line, TextFile, lines, open_packed
from seqloom.data.rows import Parsed, Rejected, Row, keep_rows
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
    with contextlib.ExitStack() as opened:
        files = []
        for path in paths.values():
            files.append(open_packed(path, needs="At least one line is needed."))
            opened.enter_context(files[-1].file)
        names = [path.name for path in paths.values()]
        texts = [TextFile(file, encoding=encoding, name=name) for file, name in zip(files, names, strict=True)]
        counts = [sum(1 for _ in _lines(text)) for text in texts]
        for (name, count), (other, more) in pairwise(zip(names, counts, strict=True)):
            if count != more:
                raise DataError(
                    f"{name} has {count:,} lines, {other} has {more:,}: each line "
                    "of one must go with the same line of the other. Find where a line is missing or was broken in two."
                )
        rows = keep_rows()
        rejected: list[Rejected] = []
        for found in zip(*map(_lines, texts), strict=True):
            if flaws := [f"{name}: {line.flaw}" for name, line in zip(names, found, strict=True) if line.flaw]:
                rejected.append(Rejected(found[0].number, flaws[0]))
            else:
                rows.append(Row(found[0].number, tuple(line.text.removesuffix("\r") for line in found)))
    fingerprint = "".join(f"{name} {file.fingerprint}\n" for name, file in zip(names, files, strict=True))
    notes = [f"columns: the lines of {', '.join(names)}"]
    return Parsed(tuple(paths), rows.done(), rejected, notes), hashlib.sha256(fingerprint.encode()).hexdigest()


def _lines(text: Blocks) -> Iterator[Line]:
    """The lines of a text; what stands behind the last line end is one where it is not empty."""
    return (line for line in lines(text, end="\n") if line.text or not line.last)
