"""The smallest training there is: generated reviews and a handful of units, a moment from file to model."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqloom.bundle import Bundle
from seqloom.config import Config
from seqloom.data import reviews
from seqloom.training import Event, train_model

TINY: dict[str, Any] = {
    "model.embedding_size": 4,
    "model.hidden_size": 4,
    "training.epochs": 2,
    "training.batch_size": 16,
    "training.baselines": False,
}


def write_rows(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_reviews(path: Path, count: int = 60) -> Path:
    """A CSV file of `count` generated reviews with the columns text and label."""
    return write_rows(path, reviews(count, seed=1))


def pairs(count: int) -> list[tuple[str, str]]:
    """Generated reviews, each with its words from the last to the first."""
    return [(text, " ".join(reversed(text.split()))) for text, _ in reviews(count, seed=1)]


def write_pairs(path: Path, count: int = 60) -> Path:
    """A CSV file of `count` pairs of texts with the columns text and reply."""
    return write_rows(path, pairs(count), ("text", "reply"))


def config_of(changed: Mapping[str, Any] | None = None) -> Config:
    """TINY settings, changed by `section.key`."""
    values: dict[str, Any] = {}
    for key, value in {**TINY, **(changed or {})}.items():
        section, _, name = key.rpartition(".")
        (values.setdefault(section, {}) if section else values)[name] = value
    return Config.model_validate(values)


def train(
    data: Path,
    folder: Path,
    changed: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    report: Callable[[Event], None] = lambda event: None,
) -> Bundle:
    """A tiny training of `data` into `folder`, in this process."""
    return train_model(config_of(changed), data, folder, resume=resume, report=report)
