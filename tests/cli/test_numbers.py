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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "model", "--text", "x"), "this model reads numbers: give a FILE that has them."),
        (("predict", "model", "-"), "this model reads numbers: give a FILE that has them."),
        (("predict", "model", "x.ts", "--suggest", "2"), "suggest: this model writes no texts"),
        (("predict", "model", "rows.csv"), "rows.csv has no line @data"),
        (("look", "model", "x.ts"), "a model that answers for numbers has nothing to show yet"),
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
