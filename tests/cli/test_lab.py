"""seqloom lab, as it is read by a person and by a machine, and when it is stopped in the middle."""

import json
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import seqloom
from seqloom.lab import attention, pairs
from seqloom.training import Progress
from tests.cli.conftest import Run

SMALL = ("--set", "hidden_size=4", "--set", "embedding_size=4", "--set", "epochs=1", "--set", "batch_size=32")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to see the way, too little to see a result; plotly as where it is not installed."""
    monkeypatch.setattr(pairs, "ROWS", {"train": 64, "valid": 8, "test": 60})
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what another run may have otherwise."""
    for variant in result["variants"].values():
        del variant["seconds"], variant["folder"]
    return result


def test_attention_is_shown_by_length_and_leaves_models(run: Run, tmp_path: Path) -> None:
    code, out, err = run("lab", "attention", "--out", tmp_path / "lab", *SMALL)
    assert code == 0
    for name, label in attention.LABELS.items():
        assert re.search(rf"^ {name}: {label} +[\d,]+ +1 +\d+\.\d *$", out, re.MULTILINE)
        assert f"\n{label}\nepoch 1  train loss" in err
        assert (tmp_path / "lab" / name / "manifest.json").exists()
    interval = r"\d\.\d\d \(\d\.\d\d to \d\.\d\d\)"
    for span in ("6-10", "16-20", r"21-25\*", r"26-30\*"):
        assert len(re.findall(rf"^ {span} +\d+( +{interval}){{3}} *$", out, re.MULTILINE)) == 2
    assert "* longer than any source in training" in out
    assert "of the attention" in out
    assert len(re.findall(r"^- .*\.$", out, re.MULTILINE)) == 4
    assert "no page is written: a page with figures needs the package plotly" in err
    assert not list((tmp_path / "lab").glob("*.html"))
    assert err.endswith(f'models: {tmp_path}/lab\ntry:    seqloom look {tmp_path}/lab/attention "..."\n')
    assert run("look", tmp_path / "lab" / "attention", "abc")[0] == 0


def test_attention_json_is_one_object_with_all_the_numbers(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("lab", "attention", "--task", "reverse", "--json", "--out", tmp_path / "lab", *SMALL)
    result = json.loads(out)
    assert (code, out.count("\n")) == (0, 1)
    assert {name: result[name] for name in ("task", "seed", "units", "trained_to", "rows")} == {
        "task": "reverse",
        "seed": 0,
        "units": "characters",
        "trained_to": 20,
        "rows": {"train": 64, "test": 60},
    }
    assert list(result["variants"]) == list(attention.VARIANTS)
    for variant in result["variants"].values():
        assert {"label", "folder", "parameters", "seconds", "epochs", "lengths", "seen", "unseen"} == set(variant)
        spans = variant["lengths"]
        assert sum(span["rows"] for span in spans) == variant["seen"]["rows"] + variant["unseen"]["rows"] == 60
        assert [span["seen"] for span in spans] == [span["longest"] <= 20 for span in spans]
        for span in spans:
            assert {"shortest", "longest", "seen", "rows", "exact_match", "error_rate", "intervals"} <= set(span)
            assert set(span["intervals"]) >= {"exact_match", "error_rate"}
    assert len(result["findings"]) == 4
    assert "should hurt" in result["findings"][3]
    assert {"input", "source", "prediction", "tokens", "weights"} <= set(result["example"])


def test_page_is_written_where_plotly_is_there(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "plotly.offline", SimpleNamespace(get_plotlyjs=lambda: "/* draws */"))
    page = tmp_path / "elsewhere.html"
    code, out, err = run("lab", "attention", "--out", tmp_path / "lab", "--html", page, *SMALL)
    assert code == 0
    assert f"page:   {page}\n" in err
    text = page.read_text(encoding="utf-8")
    assert text.count('\ndraw("figure-') == 2
    for finding in re.findall(r"^- (.*)$", out, re.MULTILINE):
        assert f"<li>{finding}</li>" in text.replace("&nbsp;", " ")
    assert not re.search(r"https?:|\bsrc=|\bhref=", text)


def test_own_pairs_are_taken_from_a_file(run: Run, tmp_path: Path) -> None:
    rows = tmp_path / "mine.csv"
    rows.write_text("en,de\n" + "".join(f"the word {n},das wort {n}\n" for n in range(60)) + "empty,\n")
    code, out, err = run("lab", "attention", "--data", rows, "--out", tmp_path / "lab", *SMALL)
    assert code == 0
    assert "input: en (the first language)" in err
    assert err.count("mine.csv, line 62: not used: empty target") == 1
    assert "* longer than any source in training" not in out
    assert len(re.findall(r"^- ", out, re.MULTILINE)) == 3
    wrong = run("lab", "attention", "--data", rows, "--input", "fr", "--out", tmp_path / "other", *SMALL)
    assert wrong[0] == 2
    assert 'column "fr" is not in mine.csv' in wrong[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "sort"), "error: --task sort: there is no such task, allowed: copy, reverse, dates"),
        (("--set", "attention=none"), "error: model.attention=none: here one variant has none already."),
        (("--data", "none.csv"), "none.csv"),
    ],
)
def test_mistakes_of_the_user_end_with_2(run: Run, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    code, out, err = run("lab", "attention", "--out", tmp_path / "lab", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_stopped_in_the_middle_it_goes_on_to_the_same_numbers(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("lab", "attention", "--json", *SMALL)
    whole = timeless(json.loads(run(*words, "--out", "whole")[1]))
    train = attention.train_model

    def stopped(config: Any, data: Path, folder: Path, *, report: Any, **options: Any) -> Any:
        def press(event: Any) -> None:
            report(event)
            if folder.name == "reversed" and isinstance(event, Progress):
                signal.raise_signal(signal.SIGINT)

        return train(config, data, folder, report=press, **options)

    with monkeypatch.context() as patch:
        patch.setattr(attention, "train_model", stopped)
        code, out, err = run(*words)
    assert (code, out) == (130, "")
    assert err.endswith(
        f"interrupted: all is saved.\n  to go on: seqloom lab attention --json {' '.join(SMALL)} --out runs/attention\n"
    )
    assert sorted(path.name for path in Path("runs/attention").iterdir() if path.is_dir()) == ["plain", "reversed"]
    code, out, err = run(*words, "--out", "runs/attention")
    assert code == 0
    assert "epoch 1" not in err.partition(attention.LABELS["reversed"])[0]
    assert timeless(json.loads(out)) == whole


def test_stopped_outside_of_a_training_it_says_so_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(attention, "score_by_length", stopped)
    code, _, err = run("lab", "attention", "--out", tmp_path / "lab", *SMALL)
    assert code == 130
    assert "interrupted: all is saved.\n  to go on: seqloom lab attention --out" in err
    assert seqloom.load(tmp_path / "lab" / "plain").predict("abc")
