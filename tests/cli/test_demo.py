"""seqloom demo, as a newcomer meets it: once through a pipe, once at a terminal."""

import os
import pty
import re
import select
import signal
import time
from pathlib import Path

import pytest

from seqloom.lab import demo
from tests.cli.conftest import Run, command

PROMPT = b"your own sentence (or just Enter): "


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to see the way, too little to see a result."""
    monkeypatch.setattr(demo, "ROWS_FAST", 60)
    monkeypatch.setattr(demo, "EPOCHS_FAST", 1)


def test_demo_compares_the_three_cells_and_judges_sentences(run: Run, tmp_path: Path) -> None:
    code, out, err = run("demo", "--fast", "--out", tmp_path / "demo")
    assert code == 0
    for cell in demo.CELLS:
        assert re.search(rf"^ {cell} +[\d,]+ +\d+\.\d +\d\.\d{{3}} *$", out, re.MULTILINE)
        assert f"\n{cell}\nepoch 1  train loss" in err
    for sentence in demo.SENTENCES:
        assert re.search(rf"^ {sentence}( +(positive|negative) \d\.\d\d){{3}} *$", out, re.MULTILINE)
    assert "your own sentence" not in out + err
    tried = rf'try:    seqloom predict {tmp_path}/demo/\w+ --text "not good at all"\nthen:   seqloom train your.csv\n'
    assert re.search(tried + "$", err)


def test_sentences_that_are_given_are_judged_and_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("demo", "so \x1b[2J good", "", "--fast", "--out", tmp_path / "demo")
    assert code == 0
    assert re.search(r"^ so \\u001b\[2J good( +\w+ \d\.\d\d){3} *$", out, re.MULTILINE)
    assert "line 2: empty text" in out
    assert demo.SENTENCES[0] not in out


def test_second_demo_gets_a_folder_of_its_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    assert run("demo", "good", "--fast")[0] == 0
    assert (tmp_path / "runs" / "demo-2" / "lstm" / "manifest.json").exists()


@pytest.mark.parametrize("end", [pytest.param(b"\x04", marks=pytest.mark.long), b"\x03"], ids=["Ctrl-D", "Ctrl-C"])
def test_own_sentence_is_judged_until_the_user_ends_it(tmp_path: Path, end: bytes) -> None:
    code, shown = at_terminal(tmp_path, answers=["it was été".encode() + b"\r", end])
    assert code == 0, shown
    assert len(re.findall(r"it was été +(?:positive|negative) ", shown)) == 1
    assert "Traceback" not in shown
    assert "then:   seqloom train your.csv" in shown


def at_terminal(folder: Path, *, answers: list[bytes]) -> tuple[int, str]:
    """Run the demo at a terminal of its own, giving an answer at each prompt: exit code and all that was shown."""
    words = command("demo", "--fast", "--out", folder / "demo")
    few = "from seqloom.lab import demo; demo.ROWS_FAST, demo.EPOCHS_FAST = 60, 1; "
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background may have it ignored
        os.execv(words[0], [words[0], "-c", few + words[2], *words[3:]])
    shown, answered, before, deadline = b"", 0, 0, time.monotonic() + 90
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 5)[0]:
                if answered and len(shown) == before:  # pressed before the prompt listened, and lost: press it again
                    os.write(terminal, answers[answered - 1])
                continue
            try:
                shown += os.read(terminal, 65_536)
            except OSError:  # the terminal closes with its process
                break
            if shown.count(PROMPT) > answered < len(answers):
                time.sleep(0.3)
                os.write(terminal, answers[answered])
                answered, before = answered + 1, len(shown)
    finally:
        os.close(terminal)
        if time.monotonic() >= deadline:
            os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
    return os.waitstatus_to_exitcode(status), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
