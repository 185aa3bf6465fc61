"""The pairs of texts that an experiment learns from: generated into files like a user's own, or the user's own."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seqloom.data.generators_pairs import dates, reversals
from seqloom.errors import ConfigError, StorageError, nearest
from seqloom.files import lock_folder, write_file

TASKS = ("copy", "reverse", "dates")
ROWS = {"train": 10_000, "valid": 400, "test": 1_600}
TRAINED_TO, TESTED_TO = 20, 40  # the longest words, in letters

Rows = Sequence[tuple[str, str]]


class Pairs(NamedTuple):
    """The files, their columns where these are known, and the task they were generated for; None for given ones."""

    task: str | None
    train: Path
    valid: Path | None = None
    test: Path | None = None
    input: str | None = None
    target: str | None = None


def write_pairs(task: str, folder: Path, *, seed: int) -> Pairs:
    """Generate the pairs of a task into train.csv, valid.csv and test.csv in `folder`; the same seed, the same files.

    Words have 1 to 20 letters, and in the test 1 to 40. Raises ConfigError for an unknown task, StorageError where
    another file lies there or none can be written.
    """
    if task not in TASKS:
        raise ConfigError(f"--task {task}: there is no such task, {nearest(task, TASKS)}")
    paths = {}
    with lock_folder(folder):
        for part, rows in _generate(task, seed=seed).items():
            paths[part] = _write(folder / f"{part}.csv", rows)
    return Pairs(task, paths["train"], paths["valid"], paths["test"], input="source", target="target")


def _generate(task: str, *, seed: int) -> dict[str, Rows]:
    if task == "dates":
        made, start = dates(sum(ROWS.values()), seed=seed), 0
        parts: dict[str, Rows] = {}
        for part, count in ROWS.items():
            parts[part] = made[start : start + count]
            start += count
        return parts
    words = {}
    for number, (part, count) in enumerate(ROWS.items()):
        longest = TESTED_TO if part == "test" else TRAINED_TO
        words[part] = reversals(count, shortest=1, longest=longest, seed=len(ROWS) * seed + number)
    if task == "copy":
        return {part: [(word, word) for word, _ in rows] for part, rows in words.items()}
    return dict(words)


def _write(path: Path, rows: Rows) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", "target"])
    writer.writerows(rows)
    data = text.getvalue().encode()
    if not path.exists():
        write_file(path, data)
    elif path.read_bytes() != data:  # the very same are those of an experiment that goes on
        raise StorageError(
            f"{path} is there already with other rows, and it is not overwritten. Choose another folder with --out."
        )
    return path
