"""Trainings in processes of their own, to be killed at any moment and resumed until they are done."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import torch

from seqloom.cli import main

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


class Fork:
    """A command in a fork of this process, which has loaded already what a new one would have to load first."""

    def __init__(self, words: list[str]) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  (open as long as the fork runs)
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._run(words)
        os.setpgid(self.pid, self.pid)

    def _run(self, words: list[str]) -> NoReturn:
        """What the fork does: run the command, and end with its exit code."""
        code = 1
        try:
            os.setpgid(0, 0)
            sys.argv, sys.stdout, sys.stderr = ["seqloom", *words], self._said, self._said
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            self._said.flush()
            os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def communicate(self, timeout: float) -> tuple[None, str]:
        """Wait for its end; nothing, and what it said."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, "the training does not end"
            time.sleep(0.01)
        with self._said:
            self._said.seek(0)
            return None, self._said.read()


def fork(data: Path, out: Path, *more: str, **settings: Any) -> "Fork | subprocess.Popen[str]":
    """As `start`, in a fork of this process; not of one that used a GPU, where neither CUDA nor autograd lives on."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch gives it no types
        return start(data, out, *more, **settings)
    return Fork(_words(data, out, *more, **settings))


def _words(data: Path, out: Path, *more: str, **settings: Any) -> list[str]:
    chosen = SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
    options = [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]
    return ["train", str(data), "--out", str(out), *options, *more]


def start(data: Path, out: Path, *more: str, **settings: Any) -> subprocess.Popen[str]:
    """`seqloom train data --out out` with SETTINGS and `settings`, on one thread, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from seqloom.cli import main; main()", *_words(data, out, *more, **settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str] | Fork) -> tuple[int, str]:
    """The exit code of a training that is left to itself, and what it said."""
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def kill(process: subprocess.Popen[str] | Fork, *, after: float) -> bool:
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
    ours, theirs = _lasting(found), _lasting(expected)
    unlike = {key: (ours.get(key), theirs.get(key)) for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)}
    assert not unlike, f"other metrics: {unlike}. {story}"


def _lasting(folder: Path) -> dict[str, Any]:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {key: value for key, value in metrics.items() if key not in UNREPEATABLE}
