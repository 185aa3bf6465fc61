"""Two small models that write captions, of images and of features, trained once for all tests that only read them."""

import csv
import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import seqloom
from seqloom.data.generators_scenes import write_scenes

SMALL: dict[str, Any] = {
    "model.hidden_size": 12,
    "model.embedding_size": 12,
    "model.dropout": 0.1,
    "training.learning_rate": 0.02,
    "training.batch_size": 16,
    "training.average": 0.8,
    "training.epochs": 2,
    "data.image_size": 16,
}


class Captioners(NamedTuple):
    """Models and the files they were trained on; to be read, never written."""

    images: Path
    scenes: Path
    features: Path
    vectors: Path


@functools.cache
def small_captioners(base: Path) -> Captioners:
    """Train them into `base`/captioners, once in a test run."""
    folder = base / "captioners"
    scenes = write_scenes(folder / "scenes", 60, seed=1, size=16)
    vectors = write_vectors(folder / "vectors.csv", 120)
    seqloom.train(scenes, out=folder / "images", settings=SMALL)
    numbers = SMALL | {
        "data.image_size": None,
        "training.epochs": 7,
        "training.batch_size": 8,
        "training.baselines": False,
    }
    seqloom.train(vectors, task="caption", out=folder / "features", settings=numbers)
    return Captioners(folder / "images", scenes, folder / "features", vectors)


def write_vectors(path: Path, count: int, *, seed: int = 1) -> Path:
    """A CSV file of a caption and three columns of numbers, far apart in size, that say which words are in it."""
    random = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["caption", "x", "y", "z"])
        for _ in range(count):
            right, up = (bool(random.integers(2)) for _ in range(2))
            caption = f"a thing in the {'upper' if up else 'lower'} {'right' if right else 'left'} corner"
            x, y = random.normal(5000 if right else 1000, 300), random.normal(1 if up else -1, 0.1)
            rows.writerow([caption, f"{x:.1f}", f"{y:.4f}", f"{random.normal():.4f}"])
    return path
