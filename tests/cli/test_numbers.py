"""Series and rows of numbers on the command line: trained, checked, scored, answered, and a clear line a mistake."""

import csv
import io
import json
from pathlib import Path

import pytest

import seqloom
from seqloom.data.generators_series import turns
from tests.cli.conftest import Run

SMALL = ("--set", "hidden_size=4", "--set", "baselines=false", "--epochs", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with x.ts, turns.csv, rows.csv and a model of the first."""
    place = tmp_path_factory.mktemp("numbers")
    with (place / "turns.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("series", "time", "x", "y", "label"), *turns(20, seed=1)])
    rows = "".join(f"{n},{n % 3}.5,{'ab'[n % 2]}\n" for n in range(20))
    (place / "rows.csv").write_text("a,b,label\n" + rows)
    lines = "".join(f"{n},{n % 2},{n}:{'ab'[n % 2]}\n" for n in range(20))
    (place / "x.ts").write_text(f"@univariate true\n@classLabel true a b\n@data\n{lines}")
    settings = {"hidden_size": 4, "baselines": False, "epochs": 1}
    seqloom.train(place / "x.ts", out=place / "model", settings=settings)
    return place


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.ts", ("task: classify (by the labels of x.ts)", "series with steps of one number")),
        ("turns.csv", ("layout: each row is a step of the series that series names, in the order of time: x, y",)),
        ("rows.csv", ("layout: each row is a sample: a, b", "task: classify (label holds 2 different values)")),
    ],
)
def test_what_was_inferred_is_said(run: Run, folder: Path, tmp_path: Path, name: str, said: tuple[str, ...]) -> None:
    code, out, err = run("train", folder / name, "--out", tmp_path / "m", "--json", *SMALL)
    result = json.loads(out)
    assert (code, result["task"], set(result["metrics"])) == (0, "classify", {"accuracy", "macro_f1"})
    assert list(result["baselines"]) == ["majority"]
    for each in said:
        assert each in err
    code, out, _ = run("check", folder / name)
    assert code == 0
    for number in ("D101", "D103", "D201", "D705"):
        assert number in out


def test_evaluate_and_predict_keep_the_contract(run: Run, folder: Path) -> None:
    code, out, err = run("evaluate", folder / "model", folder / "x.ts", "--json")
    assert (code, err) == (0, "")
    assert {"task", "metrics", "baselines", "rows", "seconds", "intervals"} <= set(json.loads(out))
    code, out, err = run("predict", folder / "model", folder / "x.ts")
    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, err, len(answers), answers[0]["input"]) == (0, "", 20, "line 4")
    assert set(answers[0]) == {"input", "prediction", "probabilities"}
    code, out, _ = run("predict", folder / "model", folder / "x.ts", "--format", "csv")
    header, *lines = csv.reader(io.StringIO(out))
    assert header == ["input", "prediction", "p(a)", "p(b)", "error"]
    assert [line[1] for line in lines] == [answer["prediction"] for answer in answers]


def test_look_shows_the_sample_that_was_asked_for(run: Run, folder: Path) -> None:
    model, data = seqloom.load(folder / "model"), folder / "x.ts"
    for words, number in (((), 1), (("--row", 5), 5), (("--series", "line 8"), 5)):
        code, out, err = run("look", folder / "model", data, *words)
        answer = model.predict_file(data)[number - 1]
        lines = out.splitlines()
        assert (code, err) == (0, "")
        assert lines[0] == f"series line {number + 3} ({number} of 20): 3 steps of 1 variable"
        assert lines[1].startswith(f"{answer['prediction']}   (")
        assert lines[3].split() == ["variable", "mean", "in", "training", "share", "without", "course"]
        assert {"step", "dimension"} <= {line.split()[0] for line in lines if line.strip()}
        assert f"{answer['prediction']} by then" in out and "forget gate" in out
        assert any(line.startswith("- What speaks most") for line in lines)
        seen = json.loads(run("look", folder / "model", data, *words, "--json", "--points", 9)[1])
        assert {name: seen[name] for name in answer} == answer
        assert (seen["place"], seen["of"], seen["kind"]) == (number, 20, "series")
        assert seen["saliency"]["points"] <= 9 and len(seen["saliency"]["shares"]) == 3


def test_a_long_wide_series_keeps_to_the_width_of_a_terminal(run: Run, tmp_path: Path) -> None:
    names = [f"v{n}" for n in range(15)]
    rows = [(f"s{s}", t, *((s * t + n) % 7 for n in range(15)), "ab"[s % 2]) for s in range(8) for t in range(40)]
    with (tmp_path / "wide.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("series", "time", *names, "label"), *rows])
    settings = {"hidden_size": 4, "baselines": False, "epochs": 1, "frames": 3, "bidirectional": False}
    seqloom.train(tmp_path / "wide.csv", out=tmp_path / "m", settings=settings)
    code, out, _ = run("look", tmp_path / "m", tmp_path / "wide.csv", "--series", "s2")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "series s2 (3 of 8): 40 steps of 15 variables"
    assert sum(line.strip().startswith("v") for line in lines) == 1 + 12 + 12 and "3 others" in out
    assert next(line for line in lines if line.startswith(" steps")).split()[1:] == [
        *(f"{start}-{start + 2}" for start in range(1, 40, 3)), "40",
    ]  # fmt: skip
    assert max(map(len, lines[: len(lines) - 12])) <= 200


def test_look_at_a_row_and_as_a_page(run: Run, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    (tmp_path / "rows.csv").write_text("a,b,label\n1,2.5,a\n2,x,b\n3,0.5,a\n" + "4,1.5,b\n2,0.5,a\n" * 8)
    run("train", folder / "rows.csv", "--out", tmp_path / "m", *SMALL)
    code, out, err = run("look", tmp_path / "m", tmp_path / "rows.csv", "--html", tmp_path / "row.html")
    assert (code, err, out.splitlines()[0]) == (0, "", "row line 2 (1 of 19): 2 features")
    assert "by then" not in out and "course" not in out
    assert run("look", tmp_path / "m", tmp_path / "rows.csv", "--row", 2) == (
        2, "", 'error: rows.csv, line 3: b: "x" is not a finite number\n',
    )  # fmt: skip
    assert run("look", folder / "model", folder / "x.ts", "--html", tmp_path / "x.html")[0] == 0
    for name, figures in (("row", 1), ("x", 5)):
        page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert f'draw("figure-{figures - 1}"' in page and "default-src 'none'" in page
        head, _, scripts = page.partition("<script>")
        assert "src=" not in head and "href=" not in head and scripts


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "model", "--text", "x"), "this model reads numbers: give a FILE that has them."),
        (("predict", "model", "-"), "this model reads numbers: give a FILE that has them."),
        (("predict", "model", "x.ts", "--suggest", "2"), "suggest: this model writes no texts"),
        (("predict", "model", "rows.csv"), "rows.csv has no line @data"),
        (("look", "model", "y.ts"), "there is no file y.ts"),
        (("look", "model", "rows.csv"), "rows.csv has no line @data"),
        (("look", "model", "x.ts", "--row", 0), "row is 0, but must lie in 1..20, the answers that predict gives"),
        (("look", "model", "x.ts", "--row", 21), "row is 21, but must lie in 1..20"),
        (("look", "model", "x.ts", "--series", "line 3"), 'there is no series "line 3" in x.ts: did you mean "line'),
        (("look", "model", "x.ts", "--series", "line 4", "--row", 1), "series and row both say which sample to show"),
        (("look", "model", "x.ts", "--points", 1), "points is 1: a whole number from 2 on, for models of classify"),
        (("train", "x.ts", "--input", "x"), "has no columns to choose from"),
        (("train", "x.ts", "--set", "tokens=word"), "tokens is a setting of texts, here numbers are read."),
        (("train", "rows.csv", "--set", "cell=gru"), "model.cell is a setting of recurrent models."),
        (("train", "rows.csv", "--input", "a,c"), 'column "c" is not in rows.csv'),
        (("train", "missing.ts"), "there is no file missing.ts"),
    ],
)
def test_each_mistake_is_one_clear_line(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(folder)
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
