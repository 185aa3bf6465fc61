"""A side of a comparison: made ready for a task, then timed when its turn comes. In this process, or in one of its own.

A worker is stopped between its turns, so that no thread of it that spins on can disturb the next.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.cases import Task
from benchmarks.timing import Absent, Ready, Sample, Work, take_sample, warm_up

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 600  # seconds for compiling and warming up; more says that the peer is no choice for this task
SETTLE = 0.01  # seconds in which the threads of the side before stop spinning
BACKENDS = {"Keras on JAX": "jax", "Keras on TensorFlow": "tensorflow"}


class Side(Protocol):
    """What `compare` needs of a side."""

    name: str

    def prepare(self, task: Task) -> Ready:
        """Build `task` and warm it up. Raises Absent, with the reason, where this side cannot do it."""

    def sample(self, repeats: int) -> Sample:
        """Time `repeats` calls in a row."""

    def close(self) -> None:
        """Let go of all that is held."""


class Here:
    """A side that runs in this process."""

    def __init__(self, name: str, make: Callable[[Task], Work]) -> None:
        self.name = name
        self._make = make
        self._work: Work | None = None

    def prepare(self, task: Task) -> Ready:
        self._work = None
        self._work = self._make(task)
        return warm_up(self._work)

    def sample(self, repeats: int) -> Sample:
        assert self._work is not None
        time.sleep(SETTLE)
        return take_sample(self._work, repeats)

    def close(self) -> None:
        self._work = None


class Elsewhere:
    """A peer in a process of its own, run by the Python that SEQLOOM_PEERS names."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.versions: dict[str, str] = {}
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None

    def prepare(self, task: Task) -> Ready:
        self._process = self._process or self._start()
        answer = self._ask({"prepare": task})
        if "absent" in answer:
            raise Absent(answer["absent"])
        self.versions = answer.pop("versions")
        return Ready(**answer)

    def sample(self, repeats: int) -> Sample:
        time.sleep(SETTLE)
        return Sample(**self._ask({"sample": repeats}))

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        python = os.environ.get("SEQLOOM_PEERS")
        if not python:
            raise Absent("not installed: SEQLOOM_PEERS names no Python that has it (see benchmarks/peers.txt)")
        environment = os.environ | {
            "KERAS_BACKEND": BACKENDS.get(self.name, "numpy"),
            "OMP_NUM_THREADS": str(self._threads),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "JAX_PLATFORMS": "cpu",
        }
        return subprocess.Popen(
            [python, "-m", "benchmarks.worker", self.name],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, bufsize=1,
        )  # fmt: skip

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.send_signal(signal.SIGCONT)
        print(json.dumps(request), file=process.stdin, flush=True)
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.close()
            raise Absent(
                f"no answer within {PATIENCE} s" if not ready else "its process ended; run it by hand to see why"
            )
        process.send_signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        return answer


def say(text: str) -> None:
    """Progress, apart from results."""
    print(text, file=sys.stderr, flush=True)
