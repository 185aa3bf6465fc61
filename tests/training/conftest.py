"""What the tests of training share."""

import os
from pathlib import Path

import pytest

from tests.training.tiny import write_reviews


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills of a process lose nothing that was written; what power loss needs is shown by the order of the calls."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small file of reviews."""
    return write_reviews(tmp_path / "reviews.csv")
