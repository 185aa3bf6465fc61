"""python -m benchmarks.memory_tasks: how long each cell remembers; adding over 400 steps, copying, temporal order.

The lab's tasks at the sizes of the papers; a result is kept after each cell, so that a run may be stopped.
"""

import argparse
import json
import sys
from typing import NamedTuple

from benchmarks.machine import RESULTS, keep
from seqloom.lab.memory import CELLS, attempt, line

NAME = "memory-tasks"


class Size(NamedTuple):
    """Steps to remember over, updates at most, units."""

    steps: int
    updates: int
    hidden: int


RATES = {("order", "LSTM"): 0.003}  # with the cell's own, 0.01, it stays a guess for 20,000 updates
SIZES = {"adding": Size(400, 3000, 64), "copy": Size(20, 20_000, 128), "order": Size(100, 20_000, 64)}


def main() -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=SIZES, action="append", help="only this one; repeatable")
    parser.add_argument("--cell", choices=CELLS, action="append", help="only this one; repeatable")
    given = parser.parse_args()
    for task in given.task or SIZES:
        size = SIZES[task]
        for cell in given.cell or CELLS:
            outcome = attempt(task, cell, seed=0, learning_rate=RATES.get((task, cell)), **size._asdict())
            print(*line(outcome), sep="  ", flush=True)
            kept = _kept()
            kept[f"{task} {cell}"] = outcome.to_dict()
            keep(NAME, {"outcomes": kept})
    return 0


def _kept() -> dict[str, object]:
    path = RESULTS / f"{NAME}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["outcomes"]) if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
