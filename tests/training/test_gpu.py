"""Every task on a GPU: trained there, it learns what it learns here, and its model is kept as one of the CPU."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch

import seqloom
from seqloom.data.generators_scenes import write_scenes
from seqloom.data.generators_series import seasonal, turns
from seqloom.training import Event
from seqloom.training.events import Progress, Validated
from tests.captions import write_vectors
from tests.tagging import write_tagged
from tests.training.tiny import write_pairs, write_reviews, write_rows

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device on this machine")

SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "epochs": 2,
    "learning_rate": 0.02,
    "batch_size": 8,
    "dropout": 0.0,  # a mask that is drawn on a GPU is another one
}


class Lesson(NamedTuple):
    """What one kind of model is trained on, and the settings it has besides those of all."""

    file: str
    write: Callable[[Path], Path]
    settings: Mapping[str, Any] = MappingProxyType({})


def _text(path: Path) -> Path:
    path.write_text("the film was not so good as the plot of it\nbut better than what I saw last\n" * 60)
    return path


def _turns(path: Path) -> Path:
    return write_rows(path, turns(60, seed=1), ("series", "time", "x", "y", "label"))


def _series(path: Path) -> Path:
    return write_rows(path, seasonal(2, steps=120, seed=1), ("series", "time", "value"))


def _products(path: Path) -> Path:
    return write_rows(path, [(n % 7, n % 5, (n % 7) * (n % 5)) for n in range(60)], ("a", "b", "target"))


READ = {"word_dropout": 0.0}
TRANSLATE = READ | {"task": "translate", "target": "reply"}
STREAM = READ | {"task": "generate", "window": 10, "batch_size": 4}
FORECAST = {"task": "forecast", "horizon": 6, "context": 30, "windows": 60, "origins": 4, "learning_rate": 0.002}
LESSONS = {
    "classify": Lesson("data.csv", write_reviews, READ),
    "attention": Lesson("data.csv", write_reviews, READ | {"pooling": "attention", "cell": "gru"}),
    "translate": Lesson("data.csv", write_pairs, TRANSLATE),
    "no attention": Lesson("data.csv", write_pairs, TRANSLATE | {"attention": "none"}),
    "tag": Lesson("data.conll", write_tagged, READ),
    "crf": Lesson("data.conll", write_tagged, READ | {"output": "crf"}),
    "words": Lesson("data.txt", _text, STREAM | {"tokens": "word", "tied_embeddings": True}),
    "characters": Lesson("data.txt", _text, STREAM | {"tokens": "character"}),
    "adaptive": Lesson("data.txt", _text, STREAM | {"tokens": "word", "softmax": "adaptive", "min_count": 1}),
    "scenes": Lesson("scenes", lambda path: write_scenes(path, 40, seed=1, size=16), {"image_size": 16}),
    "features": Lesson("data.csv", lambda path: write_vectors(path, 40), {"task": "caption"}),
    "forecast": Lesson("data.csv", _series, FORECAST),
    "recursive": Lesson("data.csv", _series, FORECAST | {"decoder": "recursive", "bidirectional": False}),
    "series": Lesson("data.csv", _turns),
    "rows": Lesson("data.csv", _products, {"task": "regress", "target": "target"}),
}


def learn(
    name: str, out: Path, device: str, *, until: float = math.inf, resume: bool = False
) -> tuple[list[float], seqloom.Model]:
    """Train it with a file beside it, and give the losses of its epochs; interrupted in the one after `until`."""
    losses: list[float] = []

    def report(event: Event) -> None:
        if isinstance(event, Validated):
            losses.extend((event.train_loss, event.valid_loss))
        elif isinstance(event, Progress) and event.epoch > until:
            raise KeyboardInterrupt

    lesson = LESSONS[name]
    data = lesson.write(out.with_name(f"{out.name}-{lesson.file}"))
    settings = {**SMALL, **lesson.settings, "device": device}
    return losses, seqloom.train(data, out=out, settings=settings, resume=resume, report=report)


@pytest.mark.parametrize("name", LESSONS)
def test_a_task_learns_on_a_gpu_what_it_learns_here(name: str, tmp_path: Path) -> None:
    here, _ = learn(name, tmp_path / "here", "cpu")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    there, model = learn(name, tmp_path / "there", "cuda")
    assert torch.cuda.max_memory_allocated() > before
    assert {p.device.type for p in model.bundle.model.parameters()} == {"cpu"}  # as it is loaded
    assert len(here) == 2 * SMALL["epochs"]
    assert there == pytest.approx(here, rel=0.02)


@pytest.mark.parametrize("name", ["classify", "translate", "crf", "words", "scenes", "forecast"])
def test_a_training_on_a_gpu_that_was_stopped_goes_on(name: str, tmp_path: Path) -> None:
    whole, _ = learn(name, tmp_path / "whole", "cuda")
    with pytest.raises(KeyboardInterrupt):
        learn(name, tmp_path / "other", "cuda", until=1)
    resumed, _ = learn(name, tmp_path / "other", "cuda", resume=True)
    assert resumed == pytest.approx(whole[2:], rel=0.02)
