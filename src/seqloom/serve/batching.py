"""Requests that wait are computed together; nobody waits for a timer.

A lane is one thread. It takes what is there, as many rows of one kind as fit a batch, computes them, and looks again.
Alone a request starts at once; under load batches grow by themselves. What a row is answered never depends on the rest
of its batch, and a row whose computation fails takes no other with it.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from seqloom.serve.limits import Limits
from seqloom.serve.refusal import busy

STOP_SECONDS = 10.0

Compute = Callable[[list[Any]], Sequence[Any]]  # rows to one result each


class Ran(NamedTuple):
    """The results of a request's rows, the seconds that it waited, and those that its batch took."""

    results: list[Any]
    waited: float
    computed: float


class Batch(NamedTuple):
    """What was computed at once, for those who measure: rows, seconds each job waited, seconds of the computation."""

    rows: int
    waited: list[float]
    computed: float


class _Job(NamedTuple):
    key: Hashable
    compute: Compute
    rows: list[Any]
    future: "asyncio.Future[Ran]"
    arrived: float


class Lane:
    """One thread that computes, and those who wait for it. Started by `start`, ended by `stop`."""

    def __init__(self, name: str, limits: Limits, *, observe: Callable[[Batch], None] = lambda batch: None) -> None:
        self.name, self._limits, self._observe = name, limits, observe
        self._waiting: deque[_Job] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._since: float | None = None
        self._row_seconds = 0.0
        self._thread = threading.Thread(target=self._work, name=f"seqloom-{name}", daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    def stop(self) -> None:
        """End once what waits is computed; come back then, or where that takes long."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    @property
    def depth(self) -> int:
        """Rows that wait."""
        return self._rows

    def healthy(self) -> bool:
        """Whether the thread lives, and is not stuck in one computation for longer than any request may take."""
        since = self._since
        stuck = since is not None and time.monotonic() - since > self._limits.request_seconds
        return self._thread.is_alive() and not stuck

    async def run(self, key: Hashable, compute: Compute, rows: Sequence[Any]) -> Ran:
        """The results of `rows`, computed together with those of other requests that have the same key.

        Raises Refusal where too many wait or it waited for too long, and whatever the computation raises.
        """
        job = _Job(key, compute, list(rows), asyncio.get_running_loop().create_future(), time.monotonic())
        with self._changed:
            if self._waiting and self._rows + len(job.rows) > self._limits.waiting:
                seconds = round(self._rows * self._row_seconds + 0.5)
                raise busy(f"{self._rows} inputs are waiting already", code="queue_full", retry_after=max(1, seconds))
            self._waiting.append(job)
            self._rows += len(job.rows)
            self._changed.notify()
        try:
            return await job.future
        except asyncio.CancelledError:
            self._withdraw(job)
            raise

    def _withdraw(self, job: _Job) -> None:
        """Forget a job that nobody waits for; where it is computed already, its results are dropped."""
        with self._changed:
            if any(each is job for each in self._waiting):
                self._waiting = deque(each for each in self._waiting if each is not job)
                self._rows -= len(job.rows)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if not self._waiting:
                    return
                jobs = self._take()
            self._since = started = time.monotonic()
            outcomes = self._computed(jobs, started)
            self._since = None
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                jobs[0].future.get_loop().call_soon_threadsafe(_deliver, outcomes)

    def _take(self) -> list[_Job]:
        """The job that waited longest, and those of the same kind that fit beside it, in their order."""
        first = self._waiting[0]
        taken: list[_Job] = []
        kept: deque[_Job] = deque()
        rows = 0
        for job in self._waiting:
            if job is first or (job.key == first.key and rows + len(job.rows) <= self._limits.batch):
                taken.append(job)
                rows += len(job.rows)
            else:
                kept.append(job)
        self._waiting = kept
        self._rows -= rows
        return taken

    def _computed(self, jobs: list[_Job], started: float) -> list[tuple[_Job, Ran | Exception]]:
        outcomes: list[tuple[_Job, Ran | Exception]] = []
        in_time: list[_Job] = []
        for job in jobs:
            if started - job.arrived <= self._limits.waiting_seconds:
                in_time.append(job)
            else:
                late = busy(f"it waited for {started - job.arrived:.1f} s", status=503, code="waited_too_long")
                outcomes.append((job, late))
        if in_time:
            outcomes += self._together(in_time, started)
        return outcomes

    def _together(self, jobs: list[_Job], started: float) -> list[tuple[_Job, Ran | Exception]]:
        rows = [row for job in jobs for row in job.rows]
        try:
            results = jobs[0].compute(rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who asked for it, and the thread goes on
            return self._apart(jobs, started, error)
        computed = time.monotonic() - started
        self._row_seconds = 0.9 * self._row_seconds + 0.1 * computed / len(rows)
        self._observe(Batch(len(rows), [started - job.arrived for job in jobs], computed))
        outcomes: list[tuple[_Job, Ran | Exception]] = []
        place = 0
        for job in jobs:
            own = list(results[place : place + len(job.rows)])
            outcomes.append((job, Ran(own, started - job.arrived, computed)))
            place += len(job.rows)
        return outcomes

    def _apart(self, jobs: list[_Job], started: float, error: Exception) -> list[tuple[_Job, Ran | Exception]]:
        """Each job for itself, so that only the one at fault fails."""
        if len(jobs) == 1:
            return [(jobs[0], error)]
        return [outcome for job in jobs for outcome in self._together([job], started)]


def _deliver(outcomes: list[tuple[_Job, Ran | Exception]]) -> None:
    for job, outcome in outcomes:
        if job.future.done():
            continue  # who waited has gone
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
