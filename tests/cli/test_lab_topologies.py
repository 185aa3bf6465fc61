"""seqloom lab topologies, on few walks."""

import json
from pathlib import Path

import pytest

from seqloom.lab import topologies as lab
from tests.cli.conftest import Run


def test_each_shape_is_trained_and_scored_beside_its_baseline(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "ROWS", {"train": 24, "valid": 8, "test": 8})
    monkeypatch.setattr(lab, "SHAPES", [shape._replace(epochs=1) for shape in lab.SHAPES])
    code, out, _ = run("lab", "topologies", "--out", tmp_path / "all", "--json")
    found = json.loads(out)
    assert code == 0
    assert [*found["shapes"]] == [shape.name for shape in lab.SHAPES] and len(found["findings"]) >= len(lab.SHAPES)
    for told in found["shapes"].values():
        assert 0 <= told["score"] <= 1 and 0 <= told["baseline"] <= 1 and len(told["by_epoch"]) == 1
    assert found["shapes"]["one to one"]["parameters"] == 2 * 32 + 32 + 32 * 4 + 4  # a dense layer, and the head
    assert found["shapes"]["many to one"]["read"] and (tmp_path / "all" / "topologies.html").exists()
