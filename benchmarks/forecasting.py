"""Forecasts on real series, beside the naive ones: trained, scored on the test part, kept as results.

ETTh1 (oil temperature, or all seven columns) at horizons of 24 and 96 steps; M4's hourly series at 48, on its own
test file. SEQLOOM_DATA names the folder of the data.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import keep
from benchmarks.overrides import read_overrides
from seqloom.api import train
from seqloom.training import Event, Validated


class Task(NamedTuple):
    """A training file, a test file that continues it if there is one, and what is forecast how far."""

    train: str
    test: str | None = None
    target: str | None = None
    settings: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, and never changed


ETT, M4 = "ett/ETTh1.csv", "m4_hourly/Hourly-{}.csv"
TASKS = {
    "etth1-ot-24": Task(ETT, target="OT", settings={"forecast.horizon": 24}),
    "etth1-ot-96": Task(ETT, target="OT", settings={"forecast.horizon": 96}),
    "etth1-all-24": Task(ETT, settings={"forecast.horizon": 24}),
    "etth1-all-96": Task(ETT, settings={"forecast.horizon": 96}),
    "m4-hourly": Task(M4.format("train"), test=M4.format("test")),
}


def measure(name: str, *, settings: dict[str, Any], out: Path | None = None) -> dict[str, Any]:
    """Train on one set and score its test part; kept as results/forecasting-NAME.json where nothing was changed."""
    task, root, epochs = TASKS[name], Path(os.environ["SEQLOOM_DATA"]), []

    def report(event: Event) -> None:
        if isinstance(event, Validated):
            epochs.append(event._asdict())
        if not hasattr(event, "batch"):
            print(name, event, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        model = train(
            root / task.train,
            test=None if task.test is None else root / task.test,
            task="forecast",
            target=task.target,
            settings={**task.settings, **settings},
            out=out or Path(folder) / "model",
            report=report,
        )
        minutes = (time.perf_counter() - started) / 60
    result = {
        "set": name,
        "settings": {**task.settings, **settings},
        "minutes": round(minutes, 2),
        "test": model.metrics,
        "bars": bars(model.metrics),
        "epochs": epochs,
    }
    if not settings:
        keep(f"forecasting-{name}", result)
    return result


def bars(metrics: dict[str, Any]) -> dict[str, bool]:
    """What is promised: better than the seasonal naive forecast, and a band that holds what it says."""
    reached, naive = metrics["metrics"], metrics["baselines"]["seasonal_naive"]
    return {
        "mase": reached["mase"] < naive["mase"],
        "smape": reached["smape"] < naive["smape"],
        "coverage": abs(reached["coverage"] - metrics["nominal_coverage"]) <= 0.05,
    }


def main() -> None:
    """One set, or all of them; with --set nothing is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*TASKS, "all"])
    parser.add_argument("--set", action="append", default=[], help="section.key=value: to try")
    parser.add_argument("--out", type=Path, help="keep the model here")
    given = parser.parse_args()
    settings = read_overrides(given.set)
    for name in TASKS if given.name == "all" else [given.name]:
        result = measure(name, settings=settings, out=given.out)
        print(name, result["minutes"], "minutes", result["test"]["metrics"], result["bars"])


if __name__ == "__main__":
    main()
