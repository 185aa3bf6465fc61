"""python -m benchmarks.names: which of 18 languages a surname is of, read character by character.

Names with examples/names.toml, each name on one side of the split only, the test part scored once a seed, beside
logistic regression on runs of characters. Needs SEQLOOM_DATA.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, keep
from benchmarks.overrides import read_overrides
from seqloom.api import train
from seqloom.training import Event

EXAMPLE = RESULTS.parent.parent / "examples" / "names.toml"
SEEDS = (0, 1, 2)


def write_table(path: Path) -> Path:
    """One CSV of the files, which hold one language each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("name", "language"))
        for each in sorted((Path(os.environ["SEQLOOM_DATA"]) / "names").glob("*.txt")):
            rows.writerows((name.strip(), each.stem) for name in each.read_text(encoding="utf-8").splitlines())
    return path


def measure(seed: int, *, settings: dict[str, Any]) -> dict[str, Any]:
    """Train with one seed, which parts the names too; with `settings` to try, only validation rows are scored."""

    def report(event: Event) -> None:
        if not hasattr(event, "batch"):
            print(seed, event, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        model = train(
            write_table(Path(folder) / "names.csv"),
            config=EXAMPLE,
            settings={"seed": seed, **({"data.test_fraction": 0.0} if settings else {}), **settings},
            out=Path(folder) / "model",
            report=report,
        )
        return {"seed": seed, "minutes": round((time.perf_counter() - started) / 60, 2), "final": model.metrics}


def main() -> None:
    """All seeds, kept as results/names.json; with --set nothing is kept, and no test row is looked at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], help="section.key=value: to try, on validation rows")
    settings = read_overrides(parser.parse_args().set)
    runs = [measure(seed, settings=settings) for seed in SEEDS]
    for metric in ("accuracy", "macro_f1"):
        ours = statistics.mean(run["final"]["metrics"][metric] for run in runs)
        linear = statistics.mean(run["final"]["baselines"]["tfidf_logreg"][metric] for run in runs)
        print(f"{metric}: {ours:.4f}, linear model on runs of characters {linear:.4f}")
    if not settings:
        keep("names", {"runs": runs})


if __name__ == "__main__":
    main()
