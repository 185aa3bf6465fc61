"""The labs on memory end to end: what is printed, what a machine reads, the page, and mistakes of the user."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqloom.lab import cells, memory, vanishing
from tests.cli.conftest import Run

LABS = ("notes", "vanishing", "memory", "cells")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Enough to see the way, too little to see a result; plotly as where it is not installed."""
    monkeypatch.setattr(vanishing, "UPDATES", 1)
    monkeypatch.setattr(vanishing, "LONGEST", 12)
    monkeypatch.setattr(vanishing, "TESTED", 4)
    monkeypatch.setattr(memory, "SHORT", dict.fromkeys(memory.SHORT, (10, 1)))
    monkeypatch.setattr(memory, "TESTED", 100)
    monkeypatch.setattr(cells, "TRAINED", 40)
    monkeypatch.setattr(cells, "TESTED", 20)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.chdir(tmp_path)


def options(name: str) -> tuple[str, ...]:
    return ("--seeds", "2") if name in ("vanishing", "cells") else ()


@pytest.mark.parametrize("name", LABS)
def test_a_lab_prints_its_findings_and_says_why_there_is_no_page(run: Run, name: str) -> None:
    code, out, err = run("lab", name, *options(name))
    assert code == 0, err
    assert len(re.findall(r"^- .*\.$", out, re.MULTILINE)) >= 3
    assert "no page is written: a page with figures needs the package plotly" in err
    assert not list(Path().rglob("*.html"))


@pytest.mark.parametrize("name", LABS)
def test_a_lab_gives_one_object_to_a_machine_and_a_page_that_asks_no_network(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "plotly.offline", SimpleNamespace(get_plotlyjs=lambda: "/* draws */"))
    page = Path("new") / f"{name}.html"
    code, out, err = run("lab", name, "--json", "--html", page, *options(name))
    assert (code, out.count("\n")) == (0, 1), err
    findings = json.loads(out)["findings"]
    text = page.read_text(encoding="utf-8")
    assert f"page:   {page}\n" in err
    assert text.count("Plotly.newPlot(") >= 1
    assert len(re.findall("<li>", text)) >= len(findings) >= 3
    assert not re.search(r"https?:|\bsrc=|\bhref=", text)


def test_notes_print_every_section(run: Run) -> None:
    out = run("lab", "notes")[1]
    assert "5·3 + 3·3 + 3 + (3 + 1) = 31" in out
    assert "O_4 = tanh(" in out
    assert "dL/dW_h = sum of O_(t-1)ᵀ d_t" in out
    assert "agrees with autograd's" in out


def test_one_memory_task_is_asked_at_a_length_of_ones_own(run: Run) -> None:
    code, out, _ = run("lab", "memory", "--task", "order", "--steps", "11", "--updates", "2", "--json")
    assert code == 0
    told = json.loads(out)["outcomes"]
    assert [(each["task"], each["steps"], each["updates"]) for each in told] == [("order", 11, 2)] * 4
    assert [each["cell"] for each in told] == list(memory.CELLS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("memory", "--task", "add"), 'error: there is no task "add": did you mean "adding"'),
        (("memory", "--task", "order", "--steps", "3"), "error: order: 3 steps: this task needs 10 or more."),
        (("vanishing", "--seeds", "1"), "Invalid value for '--seeds'"),
        (("cells", "--seeds", "11"), "Invalid value for '--seeds'"),
    ],
)
def test_mistakes_of_the_user_end_with_2(run: Run, words: tuple[str, ...], message: str) -> None:
    code, out, err = run("lab", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
