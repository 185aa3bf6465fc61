"""seqloom look and report for models that answer once: in the terminal, as a page, as JSON; clear mistakes."""

import json
import shutil
from pathlib import Path

import pytest

import seqloom
from seqloom.bundle import save_bundle
from tests.cli.conftest import Run
from tests.trained import Trained


def test_look_shows_answer_tokens_and_findings(run: Run, trained: Trained) -> None:
    code, out, err = run("look", trained.classifier, "the film was not qqq")
    lines = out.splitlines()
    [answer] = seqloom.load(trained.classifier).predict("the film was not qqq")
    assert (code, err) == (0, "")
    assert lines[0].startswith(f"{answer['prediction']}   (")
    assert lines[1] == "the film was not qqq"
    assert lines[3].split() == ["the", "film", "was", "not", "qqq", "*"]
    rows = {line.split("  ")[0].strip(): line for line in lines[5:12]}
    assert {"share", "without", f"{answer['prediction']} by then", "layer 1: forget gate"} <= set(rows)
    assert any(line.startswith("- What speaks most") for line in lines)


def test_look_at_long_texts_and_numbers(run: Run, trained: Trained) -> None:
    code, out, _ = run("look", trained.classifier, "the film was good and " * 20)
    assert code == 0 and "place" in out and "from token 4 to 100: |" in out
    code, out, _ = run("look", trained.regressor, "the film was good")
    assert code == 0 and "so far" in out
    float(out.splitlines()[0])


def test_look_as_json_and_as_a_page(run: Run, trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "look.html"
    code, out, _ = run("look", trained.classifier, "<b>good</b> film", "--json", "--html", page, "--points", 9)
    seen = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    assert seen["saliency"]["points"] <= 9 and len(seen["layers"]) == 2
    text = page.read_text(encoding="utf-8")
    assert "<b>good" not in text and 'draw("figure-3"' in text and "http-equiv" in text
    assert run("look", trained.translator, "the film", "--html", page)[0] == 0
    assert "What each token written attended to" in page.read_text(encoding="utf-8")


def test_nothing_in_a_text_steers_the_terminal(run: Run, trained: Trained) -> None:
    out = run("look", trained.classifier, "good \x1b[31m film\u202e")[1]
    assert "\x1b" not in out and "\u202e" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "--points", 1], "points is 1: a whole number from 2 on, for models of classify and regress."),
        ([""], "the text cannot be read: empty text"),
        (["x", "--series", "a"], 'series is "a", but only a file of numbers has series to choose. Leave it out.'),
        (
            ["x", "--row", 1],
            "row is 1, but only a file of numbers that are answered once has rows to choose. Leave it out.",
        ),
    ],
)
def test_mistakes_end_with_2_and_a_clear_line(run: Run, trained: Trained, words: list[object], said: str) -> None:
    assert run("look", trained.classifier, *words) == (2, "", f"error: {said}\n")


def test_report_and_evaluate_write_the_page_of_the_model(run: Run, trained: Trained, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained.classifier, model)
    (model / "report.html").unlink()
    assert run("report", model)[0] == 2  # it is in the manifest
    shutil.rmtree(model)
    shutil.copytree(trained.classifier, model)
    assert run("evaluate", model, trained.reviews)[0] == 0
    assert "Evaluated on reviews.csv" in (model / "report.html").read_text(encoding="utf-8")
    assert run("report", model) == (0, f"{model}/report.html\n", "")
    assert "Evaluated on" not in (model / "report.html").read_text(encoding="utf-8")
    code, out, _ = run("report", model, trained.reviews, "--out", tmp_path / "r.html")
    assert (code, out) == (0, f"{tmp_path}/r.html\n")
    assert "Evaluated on reviews.csv" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert seqloom.load(model).predict("good") == seqloom.load(trained.classifier).predict("good")


def test_scores_are_told_where_no_report_can_be_written(run: Run, trained: Trained, tmp_path: Path) -> None:
    bundle = seqloom.load(trained.classifier).bundle
    foreign = bundle._replace(metrics={**bundle.metrics, "details": {"by_class": "x"}})
    save_bundle(tmp_path / "m", foreign, history=[], card="")
    code, out, err = run("evaluate", tmp_path / "m", trained.reviews)
    assert code == 0 and "this model" in out and "no report: " in err
