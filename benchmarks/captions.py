"""python -m benchmarks.captions SET: captions of images that were not trained on, scored once.

scenes: generated, with one right caption each; needs no data. flickr8k: photographs with five captions each, the parts
of its own lists; needs SEQLOOM_DATA. Time is the wall clock of the whole training.
"""

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import keep
from benchmarks.overrides import read_overrides
from seqloom.api import Model, train
from seqloom.data.generators_scenes import write_scenes
from seqloom.training import Event, Validated

PARTS = {"train": "train", "dev": "valid", "test": "test"}
SHOWN = 20
KEPT = ("metrics", "intervals", "signatures", "baselines", "rows", "seconds")  # details name files of this machine


class Files(NamedTuple):
    """What is trained on, what chooses the epoch, what is scored at the end."""

    train: Path
    valid: Path
    test: Path


class Task(NamedTuple):
    """How a set becomes files, and the settings beside the defaults."""

    files: Callable[[Path], Files]
    settings: dict[str, Any]


def scenes(folder: Path) -> Files:
    """3,000 scenes to train on, 300 to choose the epoch, 1,000 to score; of each part its own."""
    counts = {"train": 3000, "valid": 300, "test": 1000}
    parts = enumerate(counts.items(), start=1)
    return Files(*(write_scenes(folder / part, count, seed=seed) for seed, (part, count) in parts))


def flickr8k(folder: Path) -> Files:
    """A row for each caption, by the official lists; images that stand in none of them are left out."""
    root = Path(os.environ["SEQLOOM_DATA"]) / "flickr8k_1000"
    rows: dict[str, list[tuple[str, str]]] = {part: [] for part in PARTS.values()}
    with (root / "captions_1000.tsv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if (part := PARTS.get(row["official_split"])) is not None:
                rows[part].append((str((root / "images_96" / row["image"]).resolve()), row["caption"]))
    for part, pairs in rows.items():
        with (folder / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("image", "caption"), *pairs])
    return Files(*(folder / f"{part}.csv" for part in rows))


TASKS = {
    "scenes": Task(
        scenes,
        {
            "data.image_size": 48,
            "model.hidden_size": 64,
            "model.dropout": 0.1,
            "model.word_dropout": 0.0,
            "training.epochs": 12,
            "training.learning_rate": 3e-3,
        },
    ),
    "flickr8k": Task(
        flickr8k,
        {"data.target_tokens": "word", "data.lowercase": True, "data.min_count": 3, "model.dropout": 0.5},
    ),
}


def measure(name: str, *, settings: dict[str, Any], out: Path | None = None) -> dict[str, Any]:
    """Train on one set, score its test rows once; kept as results/captions-NAME.json where nothing was changed."""
    task, epochs = TASKS[name], []

    def report(event: Event) -> None:
        if isinstance(event, Validated):
            epochs.append(event._asdict())
        if not hasattr(event, "batch"):
            print(name, event, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        files = task.files(Path(folder))
        started = time.perf_counter()
        model = train(
            files.train,
            valid=files.valid,
            task="caption",
            settings={**task.settings, **settings},
            out=out or Path(folder) / "model",
            report=report,
        )
        result: dict[str, Any] = {
            "set": name,
            "settings": {**task.settings, **settings},
            "minutes": round((time.perf_counter() - started) / 60, 2),
            "valid": {key: model.metrics[key] for key in KEPT},
            "test": score(model, files.test) if not settings else None,
            "epochs": epochs,
        }
    if not settings:
        keep(f"captions-{name}", result)
    return result


def score(model: Model, path: Path) -> dict[str, Any]:
    """The program's own metrics of the test rows, and examples: what was written, and the captions it had to be."""
    found = model.evaluate(path)
    with path.open(newline="", encoding="utf-8") as file:
        captions: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            captions.setdefault(row["image"], []).append(row["caption"])
    chosen = list(captions)[:: max(1, len(captions) // SHOWN)]
    answers = model.predict([str(path.parent / name) for name in chosen])
    examples = [
        {"image": Path(name).name, "written": answer["prediction"], "right": captions[name]}
        for name, answer in zip(chosen, answers, strict=True)
    ]
    return {**{key: found[key] for key in KEPT}, "images": len(captions), "examples": examples}


def main() -> None:
    """Measure the sets that are named; with --set only their validation rows, to try settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=TASKS, metavar="SET", help=", ".join(TASKS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting to try")
    parser.add_argument("--out", type=Path, help="folder that keeps the model")
    given = parser.parse_args()
    for name in given.sets:
        result = measure(name, settings=read_overrides(given.set), out=given.out)
        print(name, f"{result['minutes']} min", (result["test"] or result["valid"])["metrics"])


if __name__ == "__main__":
    main()
