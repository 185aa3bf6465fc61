"""Trainings in processes of their own, to be killed at any moment and resumed until they are done."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Small, but with everything that must survive a kill: dropout of each kind, averaging, layers, a checkpoint a step.
SETTINGS = {
    "model.embedding_size": 6,
    "model.hidden_size": 5,
    "model.num_layers": 2,
    "model.initial_state": "random",
    "model.recurrent_dropout": 0.2,
    "training.average": 0.9,
    "training.batch_size": 16,
    "training.epochs": 3,
    "training.checkpoint_minutes": 0,
    "training.baselines": "false",
}
UNREPEATABLE = ("seconds", "tokens_per_second")


def start(data: Path, out: Path, *more: str, **settings: Any) -> subprocess.Popen[str]:
    """`seqloom train data --out out` with SETTINGS and `settings`, on one thread, in a session of its own."""
    chosen = SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
    options = [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-c", "from seqloom.cli import main; main()", "train", str(data), "--out", str(out)]
    return subprocess.Popen(
        [*command, *options, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a training that is left to itself, and what it said."""
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def kill(process: subprocess.Popen[str], *, after: float) -> bool:
    """Kill a training and all its children after so many seconds; False where it had ended before."""
    time.sleep(after)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return alive


def has_checkpoint(folder: Path) -> bool:
    """Whether there is something to resume from."""
    return any((folder / "checkpoints").glob("step-*"))


def history(folder: Path) -> list[dict[str, Any]]:
    """The lines of history.jsonl without the fields that measure time."""
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key not in UNREPEATABLE} for row in rows]


def assert_same_model(found: Path, expected: Path, *, story: str = "") -> None:
    """Fail with `story` unless both trainings ended in the same bytes and went the same way there."""
    same = (found / "weights.safetensors").read_bytes() == (expected / "weights.safetensors").read_bytes()
    assert same, f"other weights. {story}"
    assert history(found) == history(expected), story
    assert _lasting(found) == _lasting(expected), story


def _lasting(folder: Path) -> dict[str, Any]:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {key: value for key, value in metrics.items() if key not in UNREPEATABLE}
