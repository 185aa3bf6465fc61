"""What the tests of the commands share: the small models, and a command run as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from seqloom import cli
from tests.trained import Trained, small_models

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: its exit code, stdout and stderr."""

    def run_command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqloom", *map(str, words)])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return code, *capfd.readouterr()

    return run_command


def command(*words: object) -> list[str]:
    """A command as a child process takes it, whether or not it is installed."""
    script = "import sys; sys.argv[0] = 'seqloom'; from seqloom.cli import main; main()"
    return [sys.executable, "-c", script, *map(str, words)]


def child(*words: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own."""
    return subprocess.run(
        command(*words), input=stdin, env=os.environ | environment, capture_output=True, check=False, timeout=120
    )
