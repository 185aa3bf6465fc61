"""The main job on real data: `seqloom train` with its defaults on SST-2 and IMDB, beside its baselines.

Needs SEQLOOM_DATA. Quality is read on the rows the data set gives for it; time is the wall clock of the whole command.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, keep
from seqloom.api import train
from seqloom.config import load_config
from seqloom.data import prepare
from seqloom.training import Event, Validated, compare
from seqloom.training.baselines import constant_target

SETS = {
    "sst2": {"data": "sst2/train.tsv", "valid": "sst2/dev.tsv", "input": "sentence"},
    "imdb": {"data": "imdb/train.csv.gz", "input": "text"},
}


def measure(name: str, *, settings: dict[str, Any]) -> dict[str, Any]:
    """Train on one set and keep the outcome as results/sentiment-NAME.json."""
    root = Path(os.environ["SEQLOOM_DATA"])
    files = SETS[name]
    epochs: list[dict[str, Any]] = []

    def report(event: Event) -> None:
        if isinstance(event, Validated):
            epochs.append(event._asdict())
            print(name, event, flush=True)

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = train(
            root / files["data"],
            valid=root / files["valid"] if "valid" in files else None,
            task="classify",
            input=files["input"],
            target="label",
            out=Path(folder) / "model",
            settings=settings,
            report=report,
        )
    minutes = (time.perf_counter() - started) / 60
    result = {"set": name, "settings": settings, "minutes": round(minutes, 2), "final": model.metrics, "epochs": epochs}
    label = (
        "" if not settings else "-" + "-".join(f"{key.rpartition('.')[2]}={value}" for key, value in settings.items())
    )
    keep(f"sentiment-{name}{label}", result)
    return result


def rescore(name: str) -> dict[str, Any]:
    """Compute the baselines of a kept result again: they depend on the data alone, not on the model."""
    path = RESULTS / f"sentiment-{name}.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    root, files = Path(os.environ["SEQLOOM_DATA"]), SETS[name]
    config = load_config(named={"task": "classify", "data.input": files["input"], "data.target": "label"})
    data = prepare(config, root / files["data"], valid=root / files["valid"] if "valid" in files else None)
    rows = data.test or data.valid
    constant = constant_target(data.targets, data.train)
    result["final"]["baselines"] = compare(data.targets, constant, rows, learn_from=data, report=print)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result
