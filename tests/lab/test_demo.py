"""The demonstration's parts: its data are like a user's own, its three models differ in nothing but the cell."""

from pathlib import Path

import pytest

import seqloom
from seqloom.data import read_table, reviews
from seqloom.errors import StorageError
from seqloom.lab import demo


def test_written_reviews_are_the_generated_ones(tmp_path: Path) -> None:
    path = demo.write_reviews(tmp_path / "new" / "folder", fast=True)
    table = read_table(path)
    assert [row.values for row in table.rows] == reviews(demo.ROWS_FAST, seed=0)
    assert (table.columns, table.rejected) == (("text", "label"), [])


def test_a_file_of_the_user_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("mine")
    with pytest.raises(StorageError, match=r"reviews.csv is there already, and it is not overwritten. Choose another"):
        demo.write_reviews(tmp_path, fast=True)
    assert (tmp_path / "reviews.csv").read_text() == "mine"


def test_trials_differ_in_nothing_but_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "ROWS_FAST", 40)
    monkeypatch.setattr(demo, "EPOCHS_FAST", 1)
    data = demo.write_reviews(tmp_path, fast=True)
    trials = [demo.train_cell(cell, data, tmp_path, fast=True, report=lambda event: None) for cell in demo.CELLS]
    settings = [trial.bundle.config.model_dump() for trial in trials]
    assert [each["model"].pop("cell") for each in settings] == ["simple_rnn", "lstm", "gru"]
    assert [each["training"].pop("baselines") for each in settings] == [True, False, False]
    assert settings[0] == settings[1] == settings[2]
    for trial in trials:
        loaded = seqloom.load(trial.folder)
        assert trial.parameters == loaded.summary().total
        assert trial.accuracy == loaded.metrics["metrics"]["accuracy"]
    one_gate = trials[0].parameters - (embedding := trials[0].bundle.model.embedding.weight).numel()
    four_gates = trials[1].parameters - embedding.numel()
    head = sum(weight.numel() for weight in trials[0].bundle.model.head.parameters())
    assert four_gates - head == 4 * (one_gate - head)
