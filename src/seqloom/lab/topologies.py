"""The shapes of a task side by side: one small world, and each shape asked what only it can answer.

Every shape is trained by the same call as a file of a user's own, and scored on walks that it has never seen.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqloom.config import load_config
from seqloom.data.generators_walks import arounds, points, walks
from seqloom.files import lock_folder, write_file
from seqloom.lab.learning import one_thread
from seqloom.lens.figures import Curve, Figure, curves
from seqloom.lens.html import Html, table
from seqloom.nn import summary
from seqloom.training import Report, train_model

ABOUT = (
    "The same recurrent layers answer questions of any shape: what differs is which steps are read, and which answer. "
    "Here each shape is asked about walks through a town, and scored on walks that it has never seen."
)
ROWS = {"train": 600, "valid": 100, "test": 200}
SETTINGS: dict[str, Any] = {"hidden_size": 32, "dropout": 0.0, "learning_rate": 0.01, "batch_size": 16}
TEXTS: dict[str, Any] = {"embedding_size": 16, "word_dropout": 0.0}


class Shape(NamedTuple):
    """One shape: how it is drawn, what it is asked, how the rows are made into a file, and what else is set."""

    name: str
    drawing: str
    question: str
    columns: Sequence[str]
    rows: Callable[[int, int], list[Sequence[Any]]]
    settings: dict[str, Any]
    metric: str
    baseline: str
    epochs: int


class Trial(NamedTuple):
    """What became of a shape: its score and the baseline's on the test rows, its size, and the score by epoch."""

    shape: Shape
    score: float
    baseline: float
    parameters: int
    seconds: float
    read: str
    wanted: str
    by_epoch: list[float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told = {name: value for name, value in self._asdict().items() if name != "shape"}
        return told | {"metric": self.shape.metric, "baseline_name": self.shape.baseline}


def _points(count: int, seed: int) -> list[Sequence[Any]]:
    return list(points(count, seed=seed))


def _arounds(count: int, seed: int) -> list[Sequence[Any]]:
    return list(arounds(count, seed=seed))


def _sides(count: int, seed: int) -> list[Sequence[Any]]:
    return [(" ".join(walk.words), walk.side) for walk in walks(count, seed=seed)]


def _turns(count: int, seed: int) -> list[Sequence[Any]]:
    return [(walk.words, walk.turns) for walk in walks(count, seed=seed)]


def _ways_back(count: int, seed: int) -> list[Sequence[Any]]:
    return [(" ".join(walk.words), " ".join(walk.back)) for walk in walks(count, seed=seed)]


SHAPES = (
    Shape(
        name="one to one",
        drawing="□ → ○",
        question="where does this step go?",
        columns=("x", "y", "way"),
        rows=_points,
        settings={"task": "classify"},
        metric="accuracy",
        baseline="majority",
        epochs=10,
    ),
    Shape(
        name="one to many",
        drawing="□ → ○ ○ ○ ○",
        question="from this step, always turning to this side: what walk is it?",
        columns=("x", "y", "side", "walk"),
        rows=_arounds,
        settings={"task": "caption"},
        metric="exact_match",
        baseline="majority",
        epochs=12,
    ),
    Shape(
        name="many to one",
        drawing="□ □ □ □ → ○",
        question="to which side are most of the turns?",
        columns=("walk", "side"),
        rows=_sides,
        settings={"task": "classify", **TEXTS},
        metric="accuracy",
        baseline="majority",
        epochs=15,
    ),
    Shape(
        name="many to many, step by step",
        drawing="□ □ □ □ ⇉ ○ ○ ○ ○",
        question="what turn was made at each step?",
        columns=("walk", "turns"),
        rows=_turns,
        settings={"task": "tag", "model.characters": False, **TEXTS},  # four words need no spelling
        metric="accuracy",
        baseline="most_frequent",
        epochs=8,
    ),
    Shape(
        name="many to many, read first",
        drawing="□ □ □ □ → ○ ○ ○ ○",
        question="what is the way back?",
        columns=("walk", "back"),
        rows=_ways_back,
        settings={"task": "translate", **TEXTS},
        metric="exact_match",
        baseline="copy",
        epochs=15,
    ),
)


def measure(shape: Shape, folder: Path, *, seed: int, report: Report) -> Trial:
    """Train one shape into a folder of its own in `folder`, and score it on walks that it has not seen.

    Raises what a training raises: StorageError, Interrupted.
    """
    own = folder / shape.name.replace(",", "").replace(" ", "-")
    paths = _write(shape, own, seed=seed)
    *read, learned = shape.columns
    about = {"data.input": ",".join(read), "data.target": learned, "epochs": shape.epochs, "seed": seed}
    with one_thread():
        config = load_config(None, named=SETTINGS | shape.settings | about)
        bundle = train_model(
            config, paths["train"], own / "model", valid=paths["valid"], test=paths["test"], report=report
        )
    metrics = bundle.metrics
    history = (own / "model" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    example = shape.rows(1, seed + 1)[0]
    return Trial(
        shape=shape,
        score=metrics["metrics"][shape.metric],
        baseline=metrics["baselines"][shape.baseline][shape.metric],
        parameters=summary(bundle.model).total,
        seconds=metrics["seconds"],
        read=_told(example[:-1]),
        wanted=_told(example[-1:]),
        by_epoch=[json.loads(line)["metrics"][shape.metric] for line in history],
    )


def findings(trials: Sequence[Trial]) -> list[str]:
    """What the shapes reached, from the numbers."""
    found = [
        f"{trial.shape.name}: {100 * trial.score:.1f} % against {100 * trial.baseline:.1f} % ({trial.shape.baseline}), "
        f"{trial.parameters:,} parameters."
        for trial in trials
    ]
    hardest = min(trials, key=lambda trial: trial.score)
    if hardest.score < 1:
        found.append(f"The hardest here is {hardest.shape.name}: {hardest.shape.question}")
    return found


def line(trial: Trial) -> list[str]:
    """The cells of a table: shape, drawing, score, baseline, parameters, seconds."""
    shape, baseline = trial.shape, f"{100 * trial.baseline:.1f} % {trial.shape.baseline}"
    score = f"{100 * trial.score:.1f} %"
    return [shape.name, shape.drawing, score, baseline, f"{trial.parameters:,}", f"{trial.seconds:.1f}"]


def asked(trials: Sequence[Trial]) -> Html:
    """What each shape is asked, and an example, as a table of a page."""
    rows = [[trial.shape.name, trial.shape.question, trial.read, trial.wanted] for trial in trials]
    return table(["shape", "what is asked", "read", "to be answered"], rows, caption="What is asked", texts=4)


def figure(trials: Sequence[Trial]) -> Figure:
    """The score on validation rows by epoch, a curve a shape."""
    lines = [
        Curve(trial.shape.name, list(range(1, len(trial.by_epoch) + 1)), [100 * score for score in trial.by_epoch])
        for trial in trials
    ]
    return curves(lines, title="Each shape on its own question", x="epochs", y="right (%)")


def _write(shape: Shape, folder: Path, *, seed: int) -> dict[str, Path]:
    """The rows in files like a user's own: a table, or where words are lists JSON lines."""
    rows = shape.rows(sum(ROWS.values()), seed)
    paths, start = {}, 0
    lists = isinstance(rows[0][0], list)
    with lock_folder(folder):
        for part, count in ROWS.items():
            paths[part] = folder / f"{part}.{'jsonl' if lists else 'csv'}"
            some = rows[start : start + count]
            write_file(paths[part], (_lines(shape, some) if lists else _table(shape, some)).encode())
            start += count
    return paths


def _lines(shape: Shape, rows: Sequence[Sequence[Any]]) -> str:
    return "".join(json.dumps(dict(zip(shape.columns, row, strict=True))) + "\n" for row in rows)


def _table(shape: Shape, rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(shape.columns)
    writer.writerows(rows)
    return text.getvalue()


def _told(values: Sequence[Any]) -> str:
    return ", ".join(" ".join(value) if isinstance(value, list) else str(value) for value in values)
