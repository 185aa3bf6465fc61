"""The first thing a newcomer runs: three kinds of memory learn sentiment with negation from generated reviews."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import torch

from seqloom.bundle import Bundle
from seqloom.config import load_config
from seqloom.data import reviews
from seqloom.errors import StorageError
from seqloom.files import lock_folder, write_file
from seqloom.lens.report import LENS
from seqloom.nn import summary
from seqloom.training import Report, train_model

CELLS = ("simple_rnn", "lstm", "gru")
ROWS, ROWS_FAST = 4000, 2000
EPOCHS, EPOCHS_FAST = 5, 6
SETTINGS = (
    "model.embedding_size=32",
    "model.hidden_size=32",
    "model.bidirectional=false",
    "model.pooling=last",
    "model.dropout=0.1",
    "model.word_dropout=0",
    "training.batch_size=32",
    "training.learning_rate=0.01",
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
    """Generate the reviews into `folder`/reviews.csv, a file like the user's own.

    Raises StorageError where it is there already or cannot be written.
    """
    path = folder / "reviews.csv"
    if path.exists():
        raise StorageError(f"{path} is there already, and it is not overwritten. Choose another folder with --out.")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["text", "label"])
    writer.writerows(reviews(ROWS_FAST if fast else ROWS, seed=0))
    with lock_folder(folder):
        write_file(path, text.getvalue().encode())
    return path


def train_cell(cell: str, data: Path, folder: Path, *, fast: bool, report: Report) -> Trial:
    """Train one kind of cell on `data` into a folder of its own in `folder`; the kinds differ in nothing else.

    The baselines are the same for all, and computed with the first.
    """
    named = {
        "model.cell": cell,
        "training.epochs": EPOCHS_FAST if fast else EPOCHS,
        "training.baselines": cell == CELLS[0],
    }
    config = load_config(None, SETTINGS, named=named)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network gains nothing from a second one, and loses much on a busy machine
    try:
        bundle = train_model(config, data, folder / cell, report=report, lens=LENS)
    finally:
        torch.set_num_threads(threads)
    assert isinstance(bundle, Bundle)
    accuracy = bundle.metrics["metrics"]["accuracy"]
    return Trial(cell, summary(bundle.model).total, bundle.metrics["seconds"], accuracy, folder / cell, bundle)
