"""Series with one label each, on real data: trained with three seeds, the test part scored once each, kept as results.

JapaneseVowels, BasicMotions and GunPoint of the UCR and UEA archives with examples/series.toml, and MNIST read row by
row (28 steps of 28 values) with the defaults. SEQLOOM_DATA names the folder of the data.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import keep
from benchmarks.overrides import read_overrides
from seqloom.api import train
from seqloom.training import Event

SEEDS = (0, 1, 2)
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "series.toml"


class Task(NamedTuple):
    """A training and a test file, the accuracy that is promised as the mean of the seeds, and how it is trained."""

    train: str
    test: str
    bar: float
    config: Path | None = None
    seeds: Sequence[int] = SEEDS
    settings: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, and never changed


def _archive(name: str, bar: float) -> Task:
    return Task(f"ts_{name}/{name}_TRAIN.ts", f"ts_{name}/{name}_TEST.ts", bar, EXAMPLE)


TASKS = {
    "japanese-vowels": _archive("JapaneseVowels", 0.97),
    "basic-motions": _archive("BasicMotions", 0.975),
    "gun-point": _archive("GunPoint", 0.92),
    "mnist-rows": Task(
        "mnist/train-images-idx3-ubyte.gz",
        "mnist/t10k-images-idx3-ubyte.gz",
        0.985,
        seeds=(0,),
        settings={"training.epochs": 8, "training.max_minutes": 9.0},
    ),
}


def _say(name: str, event: Event) -> None:
    if not hasattr(event, "batch"):
        print(name, event, flush=True)


def measure(name: str, *, seeds: Sequence[int], settings: dict[str, Any], valid_only: bool = False) -> dict[str, Any]:
    """Train on one set with each seed and score its test part; kept as results/series-NAME.json if nothing is changed.

    With `valid_only` a fifth of the training part is scored in place of the test part: to choose settings by.
    """
    task, root = TASKS[name], Path(os.environ["SEQLOOM_DATA"])
    runs = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            model = train(
                root / task.train,
                test=None if valid_only else root / task.test,
                config=task.config,
                settings={**task.settings, **settings, "seed": seed} | ({"test_fraction": 0.2} if valid_only else {}),
                out=Path(folder) / "model",
                report=partial(_say, name),
            )
            minutes = round((time.perf_counter() - started) / 60, 2)
        runs.append({"seed": seed, "minutes": minutes, "test": model.metrics})
    accuracies = [run["test"]["metrics"]["accuracy"] for run in runs]
    result = {
        "set": name,
        "settings": {**task.settings, **settings},
        "accuracy": statistics.mean(accuracies),
        "accuracies": accuracies,
        "minutes": max(run["minutes"] for run in runs),
        "bar": task.bar,
        "runs": runs,
    }
    if not (settings or valid_only) and tuple(seeds) == tuple(task.seeds):
        keep(f"series-{name}", result)
    return result


def main() -> None:
    """One set, or all of them; with --set, --seed or --valid-only nothing is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*TASKS, "all"])
    parser.add_argument("--seed", type=int, action="append", help="instead of those of the set")
    parser.add_argument("--set", action="append", default=[], help="section.key=value: to try")
    parser.add_argument("--valid-only", action="store_true", help="score a part of the training rows, no test row")
    given = parser.parse_args()
    for name in TASKS if given.name == "all" else [given.name]:
        seeds = given.seed or TASKS[name].seeds
        result = measure(name, seeds=seeds, settings=read_overrides(given.set), valid_only=given.valid_only)
        reached = [round(accuracy, 4) for accuracy in result["accuracies"]]
        print(name, reached, f"mean {result['accuracy']:.4f}, bar {result['bar']}, {result['minutes']} minutes at most")


if __name__ == "__main__":
    main()
