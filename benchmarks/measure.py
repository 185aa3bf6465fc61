"""Sides held against each other in one run: their turns interleaved, medians of the samples that nobody disturbed."""

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.cases import Task
from benchmarks.sides import Side, say
from benchmarks.timing import Absent, Ready, Sample
from seqloom.kernels import native

CLEAN = 0.02  # a sample counts where the threads waited no more than this part of its time
FEWEST_CLEAN = 5  # with fewer, all samples are used, and the result says how many were clean
ROUGH = 5e-2  # results of 8 bits may differ by this from torch's, others by AGREES
AGREES = 1e-3


class Limits(NamedTuple):
    """A side has enough after `runs` clean samples, or a few that last `seconds`.

    After `tries`, or a few that last five times as long, what there is must do.
    """

    runs: int = 15
    seconds: float = 2.0
    tries: int = 45

    def enough(self, samples: Sequence[Sample], repeats: int) -> bool:
        """Whether these samples, each of `repeats` calls, will do."""
        clean = clean_ones(samples)
        few = min(FEWEST_CLEAN, self.runs)
        settled = len(clean) >= few and _lasted(clean, repeats) >= self.seconds
        hopeless = len(samples) >= few and _lasted(samples, repeats) >= 5 * self.seconds
        return len(clean) >= self.runs or settled or hopeless or len(samples) >= self.tries


def _lasted(samples: Sequence[Sample], repeats: int) -> float:
    return sum(sample.seconds for sample in samples) * repeats


def clean_ones(samples: Sequence[Sample]) -> list[Sample]:
    """Those in which no thread waited for a processor."""
    return [sample for sample in samples if sample.waited <= CLEAN]


def compare(task: Task, sides: Sequence[Side], *, limits: Limits, peak: float) -> dict[str, Any]:
    """Time `task` on every side in turn, again and again. `peak` is in GFLOP/s; the first side is ours."""
    ready: dict[str, Ready] = {}
    results: dict[str, dict[str, Any]] = {}
    for side in sides:
        try:
            ready[side.name] = side.prepare(task)
        except Absent as reason:
            results[side.name] = {"absent": str(reason)}
    samples: dict[str, list[Sample]] = {name: [] for name in ready}
    for _ in range(limits.tries):
        for side in sides:
            if side.name in ready and not limits.enough(samples[side.name], ready[side.name].repeats):
                samples[side.name].append(side.sample(ready[side.name].repeats))
    for name, taken in samples.items():
        rate = task.useful_flops / peak / 1e9
        results[name] = summarise(taken, ready[name].repeats) | {"notes": ready[name].notes}
        results[name]["percent_of_peak"] = round(100 * rate / results[name]["median"], 1)
    _relate(results, ready, ours=sides[0].name)
    described = {"case": task.case.name, "cell": task.cell, "mode": task.mode, "tokens": task.tokens}
    described |= {"useful_gflop": task.useful_flops / 1e9, "seed": task.seed, "peak_gflops": round(peak, 1)}
    return described | {"sides": {side.name: results[side.name] for side in sides}}


def summarise(samples: Sequence[Sample], repeats: int) -> dict[str, Any]:
    """Seconds a call: median, quartiles, least; of the clean samples where they are enough."""
    clean = clean_ones(samples)
    used = sorted(sample.seconds for sample in (clean if len(clean) >= FEWEST_CLEAN else samples))
    quartiles = statistics.quantiles(used, n=4, method="inclusive") if len(used) > 1 else used * 3
    return {
        "median": statistics.median(used),
        "quartiles": [quartiles[0], quartiles[2]],
        "least": used[0],
        "samples": len(samples),
        "clean": len(clean),
        "calls_a_sample": repeats,
    }


def _relate(results: dict[str, dict[str, Any]], ready: dict[str, Ready], *, ours: str) -> None:
    """Add each side's time over ours, and how far its results are from torch's."""
    truth = ready["torch"].fingerprint if "torch" in ready else ready[ours].fingerprint if ours in ready else []
    for name, kept in ready.items():
        if ours in ready:
            results[name]["ratio"] = round(results[name]["median"] / results[ours]["median"], 3)
        largest = max(map(abs, truth))
        off = max(abs(one - other) for one, other in zip(truth, kept.fingerprint, strict=True)) / largest
        results[name]["difference"] = off
        if not off <= (ROUGH if "int8" in name else AGREES):
            say(f"{name} computes something else: its results are {off:.1e} away from torch's")


def peak_gflops(threads: int) -> dict[str, float]:
    """What the processor can do: multiply-adds in registers where the core measures them, and torch's product."""
    found = {"torch_matmul": _matmul_gflops()}
    measured: Callable[[int], float] | None = None
    if native.available():
        measured = getattr(importlib.import_module("seqloom._core"), "fma_peak", None)
    if measured:
        found["fma"] = measured(threads)
    return found


def _matmul_gflops(size: int = 1536) -> float:
    """The best of a few products of square matrices."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    best = 0.0
    for _ in range(6):
        started = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / (time.perf_counter() - started) / 1e9)
    return best
