"""The first thing a newcomer runs: three kinds of memory learn sentiment with negation from generated reviews."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from seqloom.bundle import Bundle
from seqloom.config import load_config
from seqloom.data import reviews
from seqloom.files import write_file
from seqloom.nn import summary
from seqloom.training import Report, train_model

CELLS = ("simple_rnn", "lstm", "gru")
ROWS, ROWS_FAST = 4000, 1500
EPOCHS, EPOCHS_FAST = 5, 3
SETTINGS = (
    "model.embedding_size=32",
    "model.hidden_size=32",
    "model.bidirectional=false",
    "model.pooling=last",
    "model.dropout=0.1",
    "model.word_dropout=0",
    "training.batch_size=32",
    "training.learning_rate=0.01",
    "training.baselines=false",
)

SENTENCES = (
    "the movie was good",
    "the movie was bad",
    "the movie was not good",
    "the film was not bad at all",
    "the acting was wonderful, but the plot was boring",
)


class Trial(NamedTuple):
    """One cell's outcome."""

    cell: str
    parameters: int
    seconds: float
    accuracy: float
    folder: Path
    bundle: Bundle


def write_reviews(folder: Path, *, fast: bool) -> Path:
    """Generate the reviews into `folder`/reviews.csv, a file like the user's own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["text", "label"])
    writer.writerows(reviews(ROWS_FAST if fast else ROWS, seed=0))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "reviews.csv"
    write_file(path, text.getvalue().encode())
    return path


def train_cells(data: Path, folder: Path, *, fast: bool, report: Callable[[str], Report]) -> list[Trial]:
    """Train SimpleRNN, LSTM and GRU on `data`, alike but for the cell, each into a folder of its own.

    `report(cell)` gives what the training of that cell reports to.
    """
    trials = []
    for cell in CELLS:
        epochs = EPOCHS_FAST if fast else EPOCHS
        config = load_config(None, [*SETTINGS, f"model.cell={cell}", f"training.epochs={epochs}"])
        bundle = train_model(config, data, folder / cell, report=report(cell))
        metrics = bundle.metrics
        accuracy = metrics["metrics"]["accuracy"]
        trials.append(Trial(cell, summary(bundle.model).total, metrics["seconds"], accuracy, folder / cell, bundle))
    return trials
