"""python -m benchmarks.larger_than_memory: memory and time of training from files that memory could not hold.

Files of the given sizes are generated for classify (rows of a CSV file), tag (columns of CoNLL) and generate (a text),
of words that are as frequent as those of a language are, and each is trained on for a moment in a process of its own:
read, parted, learned from, encoded, trained, validated, tested and compared with the baselines. The anonymous memory of
that process (RssAnon: what cannot be dropped and read again) is looked at every 50 ms. `--limit` is in GiB, of all that
the process may ask for (RLIMIT_DATA): beyond it, it fails. Outcomes are kept task by task:
results/larger-than-memory-TASK.json.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import keep
from benchmarks.overrides import read_overrides

ROOT = Path(__file__).parent.parent
NAMES = {"classify": "reviews.csv", "tag": "words.conll", "generate": "text.txt"}
READY = "ready"
WORDS = 50_000
LETTERS = "".join(map(chr, range(ord("a"), ord("z") + 1)))
TAGS = ("NOUN", "VERB", "ADJ", "ADP", "DET", "PUNCT")
OPINIONS = (["good", "great", "fine", "lovely"], ["bad", "poor", "dull", "awful"])
PARTS = 0.002  # of the file for validation, and as much for the test: the time goes to what grows
EVERY = 0.05  # seconds
SETTINGS: dict[str, Any] = {
    "model.embedding_size": 16,
    "model.hidden_size": 16,
    "data.valid_fraction": PARTS,
    "data.test_fraction": PARTS,
}


def write_file(path: Path, task: str, size: int) -> None:
    """A file of about `size` bytes, always the same."""
    random = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        if task == "classify":
            file.write("text,label\n")
        for chunk in _chunks(task, random):
            file.write(chunk)
            if file.tell() >= size:
                return


def _chunks(task: str, random: np.random.Generator) -> Iterator[str]:
    """Rows, sentences or lines, some hundred at once."""
    words = _vocabulary()
    chances = np.cumsum(1 / np.arange(1, WORDS + 1))
    tags = [TAGS[number] for number in random.integers(len(TAGS), size=WORDS)]
    width = {"classify": 150, "tag": 20, "generate": 12}[task]
    while True:
        drawn = np.searchsorted(chances, random.random((500, width)) * chances[-1]).tolist()
        if task == "classify":
            labels = random.integers(2, size=len(drawn)).tolist()
            said = random.integers(4, size=len(drawn)).tolist()
            rows = zip(drawn, labels, said, strict=True)
            yield "".join(
                f"{' '.join(words[word] for word in row)} {OPINIONS[label][one]},{('yes', 'no')[label]}\n"
                for row, label, one in rows
            )
        elif task == "tag":
            yield "".join("".join(f"{words[word]}\t{tags[word]}\n" for word in row) + "\n" for row in drawn)
        else:
            yield "".join(f"{' '.join(words[word] for word in row)}\n" for row in drawn)


def _vocabulary() -> list[str]:
    """Different words of a few letters, the most frequent first."""
    random = np.random.default_rng(1)
    words: dict[str, None] = {}
    while len(words) < WORDS:
        length = 2 + int(random.integers(3)) + len(words) // 20_000
        words["".join(LETTERS[letter] for letter in random.integers(26, size=length))] = None
    return list(words)


def train(task: str, path: str, out: str, minutes: float, limit: float, settings: dict[str, Any]) -> None:
    """Train for some minutes in this process; a file READY beside the model says when the data is."""
    if limit:
        most = int(limit * (1 << 30))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    from seqloom.api import train as train_on

    def report(event: object) -> None:
        if " an epoch" in str(event):
            (Path(out).parent / READY).touch()

    train_on(
        path,
        task=task,
        out=out,
        settings={**SETTINGS, "training.max_minutes": minutes, **settings},
        report=report,
    )


def measure(task: str, size: int, options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Generate, train and look at the memory of one process."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / NAMES[task]
        write_file(path, task, size)
        arguments = (task, str(path), str(Path(folder) / "model"), options.minutes, options.limit, settings)
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.larger_than_memory", "--child", json.dumps(arguments)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
        )
        found = {"task": task, "mb": round(path.stat().st_size / 1e6, 1), **_watch(child, Path(folder) / READY)}
        if child.returncode:
            raise SystemExit(f"the training of {task} on {found['mb']} MB ended with {child.returncode}")
        found["mb_a_second_until_ready"] = round(found["mb"] / max(found["processor_seconds_until_ready"], 1e-9), 2)
        print(json.dumps(found), flush=True)
        return found


def _watch(child: "subprocess.Popen[bytes]", mark: Path) -> dict[str, Any]:
    """The most anonymous memory of a process until its data is ready, and after it; and what that took."""
    started, peaks = time.monotonic(), {"until_ready": 0, "after": 0}
    ready, processor = 0.0, 0.0
    while child.poll() is None:
        held, used = _anonymous(child.pid), _processor_seconds(child.pid)
        if not ready and mark.exists():
            ready, processor = time.monotonic() - started, used
        phase = "after" if ready else "until_ready"
        peaks[phase] = max(peaks[phase], held)
        time.sleep(EVERY)
    return {
        "peak_mb_until_ready": round(peaks["until_ready"] / 1e6, 1),
        "peak_mb_after": round(peaks["after"] / 1e6, 1),
        "seconds_until_ready": round(ready, 1),
        "processor_seconds_until_ready": round(processor, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def _anonymous(process: int) -> int:
    """The bytes of anonymous memory that a process holds now."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def _processor_seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="classify,tag,generate")
    parser.add_argument("--mb", default="64,256,1000", help="sizes of the files")
    parser.add_argument("--minutes", type=float, default=0.1, help="of training")
    parser.add_argument("--limit", type=float, default=0.0, help="GiB of memory; 0: none")
    parser.add_argument("--folder", default=None, help="where the files are made, on a disk that has room for five")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--keep", action="store_true", help="keep the outcome")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train(*json.loads(options.child))
        return
    sizes = [int(float(size) * 1e6) for size in options.mb.split(",")]
    free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    if 5 * max(sizes) > free:
        raise SystemExit(f"{5 * max(sizes):,} bytes are needed, {free:,} are free. Name a folder with --folder.")
    settings = read_overrides(options.set)
    for task in options.tasks.split(","):
        runs = [measure(task, size, options, settings) for size in sizes]
        if options.keep:
            found = {"limit_gib": options.limit, "settings": {**SETTINGS, **settings}, "runs": runs}
            print(keep(f"larger-than-memory-{task}", found))


if __name__ == "__main__":
    main()
