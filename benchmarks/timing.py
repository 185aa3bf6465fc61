"""How one side is timed: calls in a row, and how long its threads waited for a processor meanwhile."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

WARM_UPS = 3
A_SAMPLE = 0.02  # seconds: shorter calls are repeated until they last about as long


class Absent(Exception):
    """This side cannot do the task, and why: a finding to write down, not a failure of the benchmark."""


class Work(NamedTuple):
    """One side's way to do a task: `run` is what is timed, `show` makes a fingerprint of what it returned.

    `within` is entered once around the calls, as a program would around its loop.
    """

    run: Callable[[], Any]
    show: Callable[[Any], list[float]]
    notes: dict[str, str] = {}  # noqa: RUF012 - of a tuple, and never changed
    within: Callable[[], AbstractContextManager[Any]] = nullcontext


class Sample(NamedTuple):
    """Seconds a call took, and the part of the time that the process's threads waited for a processor."""

    seconds: float
    waited: float


class Ready(NamedTuple):
    """A side after its warm-ups: how often a sample repeats the call, what it computed, what it says of itself."""

    repeats: int
    fingerprint: list[float]
    notes: dict[str, str]


def warm_up(work: Work) -> Ready:
    """Call `work` until caches, pools and compilers have settled, short calls for as long as a sample lasts."""
    taken: list[float] = []
    with work.within():
        shown = work.show(work.run())
        while len(taken) < WARM_UPS - 1 or sum(taken) < A_SAMPLE:
            started = time.perf_counter()
            work.run()
            taken.append(time.perf_counter() - started)
    return Ready(max(1, round(A_SAMPLE / min(taken))), shown, work.notes)


def take_sample(work: Work, repeats: int) -> Sample:
    """Time `repeats` calls; where they are short, after one that does not count: others had the caches before."""
    with work.within():
        if repeats > 1:
            work.run()
        waited, started = waited_seconds(), time.perf_counter()
        for _ in range(repeats):
            work.run()
        seconds = time.perf_counter() - started
        waited = waited_seconds() - waited
    return Sample(seconds / repeats, waited / seconds)


def waited_seconds() -> float:
    """Seconds so far that the threads of this process spent ready to run, but without a processor."""
    total = 0
    for thread in Path("/proc/self/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):  # a thread may end while it is looked at
            continue
    return total / 1e9
