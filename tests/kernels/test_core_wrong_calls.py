"""Wrong and odd calls by the thousand, in child processes: no crash, no unclear refusal, no wrong answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.cases import needs_core

ROOT = Path(__file__).resolve().parents[2]


@needs_core
@pytest.mark.parametrize(
    ("first", "count"),
    [
        (0, 200),
        pytest.param(200, 300, marks=pytest.mark.long),
        *(pytest.param(500 + 2500 * part, 2500, marks=pytest.mark.long) for part in range(8)),
    ],
)
def test_a_call_is_answered_rightly_or_refused_in_words(first: int, count: int) -> None:
    command = [sys.executable, "-m", "tests.kernels.calls_child", str(first), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    *made, summary = done.stdout.splitlines() or ["none"]
    assert done.returncode == 0, f"exit code {done.returncode} at call {summary}\n{done.stderr[-3000:]}"
    assert len(made) == count
    found = json.loads(summary)
    assert found["wrong"] == []
    # The calls must stay odd, not senseless: most kinds of outcome are among them.
    assert found["became"]["answered"] > count // 4
    assert found["became"]["refused: ShapeError"] > count // 10
    assert found["became"]["refused: LengthError"] > count // 50
