"""Series on the command line: trained, scored, forecast, looked at, and a clear line for each mistake."""

import csv
import io
import json
from pathlib import Path

import pytest

import seqloom
from seqloom.data.generators_series import seasonal
from tests.cli.conftest import Run

SMALL = ("--set", "hidden_size=4", "--set", "horizon=6", "--set", "context=24", "--set", "windows=40", "--epochs", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with series.csv, wide.csv and a model of the first."""
    place = tmp_path_factory.mktemp("forecast")
    rows = seasonal(2, steps=150, seed=1)
    with (place / "series.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("series", "time", "value"), *rows])
    with (place / "wide.csv").open("w", newline="", encoding="utf-8") as file:
        wide = [(time, value, other[2]) for (_, time, value), other in zip(rows[:150], rows[150:], strict=True)]
        csv.writer(file).writerows([("date", "a1", "a2"), *wide])
    settings = {"hidden_size": 4, "horizon": 6, "context": 24, "windows": 40, "epochs": 2}
    seqloom.train(place / "series.csv", out=place / "model", settings=settings)
    return place


def test_task_and_columns_are_inferred_and_said(run: Run, folder: Path, tmp_path: Path) -> None:
    code, out, err = run("train", folder / "wide.csv", "--out", tmp_path / "m", "--json", *SMALL)
    result = json.loads(out)
    assert (code, result["task"], result["horizon"]) == (0, "forecast", 6)
    assert {"mae", "rmse", "smape", "mase", "pinball", "coverage"} == set(result["metrics"])
    assert {"naive", "seasonal_naive"} == set(result["baselines"])
    assert {"parameters", "tokens_per_second", "epochs", "seconds", "rows"} <= set(result)
    for said in ("task: forecast", "time: date", "each row is a step of 2 series: a1, a2", "frequency: 1 hour"):
        assert said in err
    assert "horizon: 6 steps (as given); context: 24 (as given); season: 24 (of steps of 1 hour)" in err


def test_resume_goes_on_and_another_training_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ("train", folder / "series.csv", "--out", tmp_path / "m", *SMALL)
    assert run(*words)[0] == 0
    code, _, err = run(*words)
    assert (code, "holds a training already" in err) == (2, True)
    code, _, err = run("train", folder / "series.csv", "--out", tmp_path / "m", "--resume")
    assert (code, "has finished already" in err) == (0, True)
    code, _, err = run("train", folder / "series.csv", "--out", tmp_path / "m", "--resume", "--set", "horizon=7")
    assert (code, "forecast.horizon was 6, now 7" in err) == (2, True)


def test_evaluate_keeps_the_contract(run: Run, folder: Path) -> None:
    code, out, _ = run("evaluate", folder / "model", folder / "series.csv", "--json")
    result = json.loads(out)
    assert (code, result["task"], result["rows"]["rejected"]) == (0, "forecast", 0)
    assert {"task", "metrics", "baselines", "rows", "seconds", "intervals", "nominal_coverage"} <= set(result)
    code, out, err = run("evaluate", folder / "model", folder / "series.csv")
    assert (code, err) == (0, "")
    assert "seasonal_naive" in out
    assert f"{result['rows']['used']} forecasts" in out


def test_predict_answers_each_series(run: Run, folder: Path) -> None:
    code, out, err = run("predict", folder / "model", folder / "series.csv")
    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert answers == seqloom.load(folder / "model").predict_file(folder / "series.csv")
    code, out, _ = run("predict", folder / "model", folder / "series.csv", "--format", "csv")
    header, *lines = csv.reader(io.StringIO(out))
    assert header == ["series", "time", "forecast", "q(0.1)", "q(0.5)", "q(0.9)", "error"]
    assert [line[0] for line in lines] == ["a1"] * 6 + ["a2"] * 6
    assert float(lines[7][2]) == answers[1]["forecast"][1]
    assert lines[7][1] == answers[1]["time"][1]


def test_look_draws_in_the_terminal_and_on_a_page(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ("look", folder / "model", folder / "series.csv", "--series", "a2")
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert out.startswith("a2\n")
    assert 1 < out.count("●") <= 7  # with the legend
    assert "· so far  ● forecast  ░ 0.1 to 0.9" in out
    code, out, _ = run(*words, "--json")
    assert set(json.loads(out)) == {"series", "times", "history", "forecast", "quantiles"}
    pytest.importorskip("plotly")
    assert run(*words, "--html", tmp_path / "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "a2: the next 6 steps" in page
    assert "0.1 to 0.9" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "model", "--text", "x"), "this model forecasts series: give a FILE that has them."),
        (("predict", "model", "-"), "this model forecasts series: give a FILE that has them."),
        (("predict", "model", "wide.csv"), 'wide.csv has no column "series"'),
        (("look", "model", "series.csv", "--series", "b"), 'there is no series "b" in series.csv'),
        (
            ("evaluate", "model", "series.csv", "--set", "beam=2"),
            "only the settings of [decoding] can still be changed",
        ),
        (("train", "series.csv", "--task", "forecast", "--set", "horizon=500"), "no series is long enough"),
        (("train", "series.csv", "--task", "forecast", "--target", "series"), "no series can be used"),
        (("train", "series.csv", "--task", "forecast", "--input", "valu"), 'did you mean "value"?'),
        (("train", "series.csv", "--task", "forecast", "--set", "season=0"), "forecast.season = 0"),
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


def test_a_page_is_of_forecasts_only(run: Run, folder: Path) -> None:
    code, _, err = run("look", folder / "model", folder / "missing.csv")
    assert (code, "missing.csv" in err) == (2, True)
