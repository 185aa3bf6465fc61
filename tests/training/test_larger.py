"""A training whose data lies on the disk is the training whose data is in memory: the same weights and figures."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from seqloom.bundle import Bundle
from seqloom.config import Config
from seqloom.data import kept
from seqloom.training import baselines, stream_evaluation, tag_baselines, train_model
from seqloom.training.events import Event, Said
from tests.training.tiny import write_reviews

TINY: dict[str, Any] = {
    "seed": 0,
    "model": {"embedding_size": 4, "hidden_size": 4},
    "training": {"epochs": 2, "batch_size": 8},
}


def write_sentences(path: Path) -> Path:
    """Sixty sentences of a word a line."""
    words = "".join(f"{{0}}{word}\t{'NVA'[word % 3]}\n" for word in range(7))
    path.write_text("".join(words.format("xyz"[row % 3] * (row % 5)) + "\n" for row in range(60)), encoding="utf-8")
    return path


@pytest.mark.parametrize("task", ["classify", "tag", "generate"])
def test_the_same_model_comes_of_data_on_the_disk(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_reviews(tmp_path / "a.csv") if task != "tag" else write_sentences(tmp_path / "a.conll")
    columns = {"data": {"input": "text"}} if task == "generate" else {}
    config = Config.model_validate({"task": task, **TINY, **columns})
    said: list[list[Event]] = [[], []]
    before = train_model(config, data, tmp_path / "memory", report=said[0].append)
    monkeypatch.setattr(kept, "FEW", -1)
    monkeypatch.setattr(kept, "BUFFER", 64)
    after = train_model(config, data, tmp_path / "disk", report=said[1].append)
    assert isinstance(before, Bundle) and isinstance(after, Bundle)
    weights, others = before.model.state_dict(), after.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    times = ("seconds", "tokens_per_second")
    first, second = ({k: v for k, v in each.metrics.items() if k not in times} for each in (before, after))
    assert first == second
    notes, others_noted = ([event for event in each if isinstance(event, Said)] for each in said)
    assert notes == others_noted


@pytest.mark.parametrize(("task", "module"), [("classify", baselines), ("tag", tag_baselines)])
def test_a_baseline_that_has_not_learned_from_all_says_so(
    task: str, module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    data = write_reviews(tmp_path / "a.csv") if task != "tag" else write_sentences(tmp_path / "a.conll")
    monkeypatch.setattr(module, "LEARNED_FROM", 200)
    monkeypatch.setattr(module, "SAMPLE", 200, raising=False)
    said: list[Event] = []
    train_model(Config.model_validate({"task": task, **TINY}), data, tmp_path / "model", report=said.append)
    told = [event.text for event in said if isinstance(event, Said) and "evenly spread" in event.text]
    assert len(told) == 1 and re.match(r"the linear model learns from \d+ of (48|52) training rows", told[0])


def test_baselines_that_have_not_counted_the_whole_text_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_evaluation, "COUNTED", 200)
    config = Config.model_validate({"task": "generate", "data": {"input": "text"}, **TINY})
    said: list[Event] = []
    train_model(config, write_reviews(tmp_path / "a.csv"), tmp_path / "model", report=said.append)
    told = [event.text for event in said if isinstance(event, Said) and "learn from" in event.text]
    assert len(told) == 1 and told[0].startswith("unigram and bigram learn from the first 200 of ")
