"""What the tests of training share."""

from pathlib import Path

import pytest

from tests.training.tiny import write_reviews


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small file of reviews."""
    return write_reviews(tmp_path / "reviews.csv")
