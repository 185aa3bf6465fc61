"""python -m benchmarks.recurrent [--full]: the recurrent core against its peers, each in its turn, in one run.

--full measures every case, cell, mode and peer, memory, and training from end to end, and keeps it for docs; without it
a few of them, to see that nothing broke. Peers other than torch need SEQLOOM_PEERS (see benchmarks/peers.txt), training
from end to end SEQLOOM_DATA. Leave the machine alone meanwhile: what others disturb is thrown away, and waited for.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import torch

from benchmarks import classifier, memory
from benchmarks.cases import CASES, MODES, Case, Cell, Task
from benchmarks.in_process import SIDES
from benchmarks.machine import keep, stolen_seconds
from benchmarks.measure import Limits, compare, peak_gflops
from benchmarks.parts import least_seconds
from benchmarks.sides import Elsewhere, Here, Side, say
from benchmarks.worker import PEERS

CELLS: tuple[Cell, ...] = get_args(Cell)
PARTS = ("layers", "memory", "training")
SHORT_CASES = (CASES[0], next(case for case in CASES if case.kind == "step"))
MEMORY_CASES = (CASES[1], next(case for case in CASES if case.kind == "reviews"))
# torch takes minutes for a few packed batches of reviews: its backward pass clears a whole gradient at every step.
TOO_SLOW = {"imdb": classifier.PACKED}
RACES: dict[str, tuple[Cell, ...]] = {"sst2": CELLS, "imdb": ()}  # on imdb a race of all sides would take an hour
FEW = classifier.Plan(turn=2, turns=3)


def main(words: Sequence[str] | None = None) -> int:
    """Exit code 0. `words` as on the command line, where they are from if None."""
    given = arguments(words)
    confine(given.threads)
    for part in given.parts:
        measure(part, given)
    return 0


def measure(part: str, given: argparse.Namespace) -> None:
    """Keep what `part` gives: as the docs' figures where it is whole, apart from them otherwise."""
    started, stolen, load = time.time(), stolen_seconds(), os.getloadavg()[0]
    results: list[dict[str, Any]] = []
    whole = False
    try:
        for result in {"layers": layers, "memory": memories, "training": training}[part](given):
            results.append(result)
        whole = given.full and given.cells == CELLS and given.cases == CASES
    finally:  # hours of measuring are not lost to one error
        run = {
            "seconds": round(time.time() - started),
            "load_at_start": round(load, 2),
            "stolen_seconds": round(stolen_seconds() - stolen, 2),
            "threads": given.threads,
            "clean_samples_a_side": given.runs,
        }
        name = f"recurrent-{part}{given.label}" if whole else f"recurrent-{part}-form=short"
        say(f"kept in {keep(name, {'run': run, 'results': results})}")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What is asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="everything, kept for docs/benchmarks.md")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="some of the parts only")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS, help="some of the cells only")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="cases by their names, such as '32, 50, 128, 128'")
    parser.add_argument("--without", nargs="+", default=[], choices=[*SIDES, *PEERS], help="sides to leave out")
    parser.add_argument("--label", default="", help="added to the names of what is kept, such as -avx2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, help="clean samples a side")
    given = parser.parse_args(words)
    given.parts = given.parts or (PARTS if given.full else PARTS[:1])
    given.runs = given.runs or (Limits().runs if given.full else 5)
    known = {case.name: case for case in CASES}
    if unknown := set(given.cases or ()) - set(known):
        parser.error(f"no case is named {', '.join(unknown)}. Cases: {'; '.join(known)}")
    given.cases = [known[name] for name in given.cases or ()] or (CASES if given.full else SHORT_CASES)
    if "training" in given.parts and "SEQLOOM_DATA" not in os.environ:
        parser.error("training needs the data sets: set SEQLOOM_DATA to the folder that holds sst2 and imdb")
    return given


def confine(threads: int) -> None:
    """Give this process and its children as many processors as threads, so that no pool takes more than its share."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)


def layers(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every task on every side."""
    limits = Limits(runs=given.runs, tries=3 * given.runs)
    left_out = {*given.without} if given.full else {*given.without, "torch.compile", *PEERS}
    sides: list[Side] = [Here(name, make) for name, make in SIDES.items() if name not in left_out]
    peers = [Elsewhere(name, given.threads) for name in PEERS if name not in left_out]
    try:
        peaks: dict[str, float] = {}
        for task in tasks(given.cases, given.cells, given.threads):
            stolen, now = stolen_seconds(), peak_gflops(given.threads)
            peaks = {name: max(peak, peaks.get(name, 0.0)) for name, peak in now.items()}
            result = compare(task, [*sides, *peers], limits=limits, peak=peaks.get("fma", peaks["torch_matmul"]))
            say(_line(result))
            versions = {peer.name: peer.versions for peer in peers if peer.versions}
            stolen = round(stolen_seconds() - stolen, 2)
            found = {"peaks": now, "parts_seconds": least_seconds(task), "stolen_seconds": stolen}
            yield result | found | {"versions": versions}
    finally:
        for peer in peers:
            peer.close()


def memories(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A training step of every cell, rows whole and as long as reviews."""
    for case in MEMORY_CASES if given.full else MEMORY_CASES[:1]:
        for cell in given.cells:
            yield memory.measure(Task(case, cell, "train", given.threads))


def tasks(cases: Sequence[Case], cells: Sequence[Cell], threads: int) -> Iterator[Task]:
    """Each cell and mode of each case; a single step is only inferred."""
    for case in cases:
        for cell in cells:
            for mode in MODES[:1] if case.kind == "step" else MODES:
                yield Task(case, cell, mode, threads)


def training(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Both data sets, every cell: a few batches of every side, or the race to the target of those that can finish."""
    for name in classifier.TARGETS:
        for cell in given.cells:
            slow, races = TOO_SLOW.get(name, ()), given.full and cell in RACES[name]
            if slow or not races:
                yield _said(classifier.measure(name, cell, plan=FEW)) | {"race": False}
            if races:
                yield _said(classifier.measure(name, cell, plan=classifier.Plan(), without=slow)) | {"race": True}


def _said(result: dict[str, Any]) -> dict[str, Any]:
    sides = ", ".join(
        f"{name} {side['tokens_per_second']:,} tokens/s ({side['ratio']}, {side['seconds_to_target']} s to the target)"
        for name, side in result["sides"].items()
    )
    say(f"{result['set']} {result['cell']}: {sides}")
    return result


def _line(result: dict[str, Any]) -> str:
    ratios = (
        f"{name} {side['ratio']:.2f}"
        for name, side in result["sides"].items()
        if side.get("ratio") and name != "seqloom"
    )
    ours = result["sides"]["seqloom"]
    head = f"{result['cell']} {result['mode']} {result['case']}: {1e3 * ours['median']:.3f} ms"
    return f"{head} ({ours['percent_of_peak']} % of peak, {ours['clean']} clean); times ours: {', '.join(ratios)}"


if __name__ == "__main__":
    sys.exit(main())
