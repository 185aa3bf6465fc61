"""Series to forecasts, from Python: the same to the bit in any batch, beside the naive ones, kept and resumed."""

import csv
import functools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import seqloom
from seqloom.bundle import SeriesBundle, load_bundle, save_bundle
from seqloom.data import read_table
from seqloom.data.generators_series import seasonal
from seqloom.errors import BundleError, ConfigError, DataError, Interrupted, SeqloomError
from seqloom.inference import forecasts_of, series_of
from seqloom.training.series_evaluation import mean_loss
from tests.test_bundle import forge, refusal, seal

TINY: dict[str, Any] = {"hidden_size": 4, "epochs": 2, "horizon": 6, "context": 30, "windows": 60, "origins": 4}


def write(path: Path, rows: list[tuple[str, str, float]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("series", "time", "value"), *rows])
    return path


@functools.cache
def trained(base: Path) -> tuple[Path, Path]:
    """A small model and the file it was trained on; to be read, never written."""
    folder = base / "forecast"
    folder.mkdir()
    data = write(folder / "series.csv", seasonal(3, steps=160, seed=1))
    settings = TINY | {"epochs": 12, "learning_rate": 0.02, "hidden_size": 8, "windows": 200}
    seqloom.train(data, task="forecast", out=folder / "model", settings=settings)
    return folder / "model", data


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return trained(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def model(paths: tuple[Path, Path]) -> seqloom.Model:
    return seqloom.load(paths[0])


def bundle_of(model: seqloom.Model) -> SeriesBundle:
    assert isinstance(model.bundle, SeriesBundle)
    return model.bundle


def values_of(data: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with data.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["series"], []).append(float(row["value"]))
    return found


def test_it_learns_more_than_the_naive_forecasts_know(model: seqloom.Model) -> None:
    found = model.metrics
    assert found["metrics"]["mase"] < found["baselines"]["seasonal_naive"]["mase"] < found["baselines"]["naive"]["mase"]
    assert set(found["metrics"]) == {"mae", "rmse", "smape", "mase", "pinball", "coverage"}
    assert (found["task"], found["horizon"], found["season"], found["nominal_coverage"]) == ("forecast", 6, 24, 0.8)
    assert (found["series"], found["origins"], found["rows"]["used"]) == (3, 12, 12)


def test_each_series_is_forecast_from_its_end(model: seqloom.Model, paths: tuple[Path, Path]) -> None:
    answers = model.predict_file(paths[1])
    assert [answer["series"] for answer in answers] == ["a1", "a2", "a3"]
    for answer in answers:
        assert set(answer) == {"series", "time", "forecast", "quantiles"}
        assert answer["time"][0] == "2024-01-07 16:00:00"
        assert answer["time"][-1] == "2024-01-07 21:00:00"
        assert list(answer["quantiles"]) == ["0.1", "0.5", "0.9"]
        assert answer["forecast"] == answer["quantiles"]["0.5"]
        columns = np.array(list(answer["quantiles"].values()))
        assert columns.shape == (3, 6)
        assert (np.diff(columns, axis=0) >= 0).all()


def test_rows_that_cannot_be_used_are_answered_in_their_place(model: seqloom.Model, tmp_path: Path) -> None:
    rows: list[Any] = seasonal(2, steps=60, seed=5)
    del rows[70:]
    rows[3] = (*rows[3][:2], "x")
    answers = model.predict_file(write(tmp_path / "new.csv", rows))
    assert [answer.get("series") for answer in answers] == ["a1", None, "a2"]
    assert answers[1] == {"input": None, "error": 'line 5: value: "x" is not a finite number'}
    said = "line 62: series a2: 10 steps, but at least 24 are read, with a value among the last 30"
    assert answers[2]["error"] == said
    with pytest.raises(DataError, match="times are 1 day apart, but this model was trained on steps of 1 hour"):
        days = [("a", f"2024-01-{day:02}", 1.0) for day in range(1, 30)]
        model.predict_file(write(tmp_path / "days.csv", days))
    with pytest.raises(DataError, match='other.csv has no column "series"'):
        (tmp_path / "other.csv").write_text("time,x\n2024-01-01,1\n2024-01-02,2\n")
        model.predict_file(tmp_path / "other.csv")


def test_a_batch_changes_no_bit_of_a_forecast(model: seqloom.Model, paths: tuple[Path, Path]) -> None:
    bundle = bundle_of(model)
    reader = bundle.targets.reader
    series = series_of(bundle, read_table(paths[1])).series
    windows = [reader.window(one, at) for one in series for at in (24, 160, 31, 77, 29)]
    one, *others = (forecasts_of(bundle.model, bundle.targets, windows, batch_size=size) for size in (1, 4, 64))
    assert all(np.array_equal(one, other) for other in others)
    backwards = forecasts_of(bundle.model, bundle.targets, windows[::-1])
    assert np.array_equal(one, backwards[::-1])
    losses = [mean_loss(bundle.model, bundle.targets, chosen) for chosen in (windows, windows[::-1])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_scale_and_level_of_a_series_carry_over(paths: tuple[Path, Path], tmp_path: Path) -> None:
    """A series in another unit is forecast in that unit."""
    rows = seasonal(1, steps=160, seed=1)
    other = [(name, time, 1000 * value - 5e4) for name, time, value in rows]
    settings = TINY | {"transform": "none"}
    model = seqloom.train(paths[1], task="forecast", out=tmp_path / "m", settings=settings)
    plain = model.predict_file(write(tmp_path / "a.csv", rows))[0]["forecast"]
    scaled = model.predict_file(write(tmp_path / "b.csv", other))[0]["forecast"]
    assert scaled == pytest.approx([1000 * value - 5e4 for value in plain], rel=1e-4)


def test_evaluate_gives_the_figures_of_the_training_again(model: seqloom.Model, paths: tuple[Path, Path]) -> None:
    found = model.evaluate(paths[1])
    assert found["metrics"] == model.metrics["metrics"]
    assert found["baselines"] == model.metrics["baselines"]
    assert (found["task"], found["rows"]) == ("forecast", {"used": 12, "rejected": 0})


def test_evaluate_after_a_history_scores_the_new_steps(model: seqloom.Model, tmp_path: Path) -> None:
    rows = seasonal(2, steps=100, seed=9)
    before = write(tmp_path / "before.csv", [row for number, row in enumerate(rows) if number % 100 < 94])
    after = write(tmp_path / "after.csv", [row for number, row in enumerate(rows) if number % 100 >= 94])
    found = model.evaluate(after, history=before)
    assert found["rows"] == {"used": 2, "rejected": 0}
    answers = model.predict_file(before)
    truth = [[row[2] for row in rows[start : start + 6]] for start in (94, 194)]
    errors = np.abs(np.array(truth) - np.array([answer["forecast"] for answer in answers]))
    assert found["metrics"]["mae"] == pytest.approx(errors.mean())
    with pytest.raises(DataError, match="no series can be scored: line 2: series a1 is too short"):
        model.evaluate(after)


def test_numbers_in_memory_are_forecast_as_those_of_a_file(tmp_path: Path) -> None:
    lines = "".join(f"{value}\n" for *_, value in seasonal(1, steps=160, seed=1))
    (tmp_path / "y.csv").write_text(f"y\n{lines}")
    model = seqloom.train(tmp_path / "y.csv", task="forecast", target="y", out=tmp_path / "m", settings=TINY)
    numbers: list[float | None] = list(map(float, lines.split()))
    assert model.predict({"y": numbers}) == model.predict_file(tmp_path / "y.csv")
    numbers[-5] = None
    assert model.predict({"y": numbers})[0]["forecast"] != model.predict_file(tmp_path / "y.csv")[0]["forecast"]
    for wrong in ([1.0], "text", {"y": ["a"]}, {"y": [math.inf]}, {"y": [None]}):
        with pytest.raises(DataError):
            model.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="suggest: this model writes no texts"):
        model.predict_file(tmp_path / "y.csv", suggest=2)
    with pytest.raises(ConfigError, match="only the settings of"):
        model.with_decoding(["beam=1"])


def test_a_model_that_reads_the_calendar_needs_times(model: seqloom.Model) -> None:
    [answer] = model.predict({"a": [1.0, 2.0] * 20})
    assert answer == {
        "series": "a",
        "error": "line 1: series a: the hour, weekday of each step is read, so times are needed",
    }


def test_columns_beside_are_read_and_needed(tmp_path: Path) -> None:
    rows = [(time, value, number % 5) for number, (_, time, value) in enumerate(seasonal(1, steps=160, seed=1))]
    lines = [",".join(map(str, row)) for row in [("time", "y", "x"), *rows]]
    (tmp_path / "s.csv").write_text("\n".join(lines))
    model = seqloom.train(tmp_path / "s.csv", task="forecast", target="y", input="x", out=tmp_path / "m", settings=TINY)
    first = model.predict_file(tmp_path / "s.csv")
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *(f"{line[:-1]}9" for line in lines[1:])]))
    assert model.predict_file(tmp_path / "t.csv") != first
    (tmp_path / "u.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    with pytest.raises(DataError, match='u.csv has no column "x"'):
        model.predict_file(tmp_path / "u.csv")


def test_look_shows_the_end_of_a_series_and_its_forecast(model: seqloom.Model, paths: tuple[Path, Path]) -> None:
    seen = model.look(str(paths[1]), series="a2")
    answer = model.predict_file(paths[1])[1]
    assert seen.to_dict()["forecast"] == answer["forecast"]
    assert seen.to_dict()["history"] == values_of(paths[1])["a2"][-72:]
    assert seen.to_dict()["times"][-6:] == answer["time"]
    with pytest.raises(DataError, match='there is no series "a4" in series.csv: allowed: a1, a2, a3'):
        model.look(str(paths[1]), series="a4")


# On disk


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"decoder": "recursive", "bidirectional": False},
        {"quantiles": [0.05, 0.95], "cell": "gru", "num_layers": 2},
        {"highway": False, "calendar": False, "layer_norm": True},
    ],
    ids=str,
)
def test_every_kind_of_forecaster_comes_back_to_the_bit(
    paths: tuple[Path, Path], tmp_path: Path, changed: dict[str, Any]
) -> None:
    model = seqloom.train(paths[1], task="forecast", out=tmp_path / "m", settings=TINY | {"epochs": 1} | changed)
    save_bundle(tmp_path / "again", model.bundle, history=[], card="")
    loaded = load_bundle(tmp_path / "again")
    assert model.bundle._replace(model=loaded.model) == loaded
    answers = model.predict_file(paths[1])
    assert seqloom.Model(loaded).predict_file(paths[1]) == answers
    assert list(answers[0]["quantiles"]) == [f"{level:g}" for level in changed.get("quantiles", (0.1, 0.5, 0.9))]
    names = set(json.loads((tmp_path / "again" / "manifest.json").read_text())["files"])
    assert names == {"config.json", "weights.safetensors", "metrics.json", "history.jsonl", "README.md"}


@pytest.fixture
def copy(paths: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(paths[0], tmp_path / "model"))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("targets", "horizon"), 0, "horizon is 0, but must be a whole number"),
        (("targets", "horizon"), True, "horizon is True"),
        (("targets", "horizon"), 7, "of the wrong shape or type"),
        (("targets", "context"), 1 << 40, "context is 1099511627776"),
        (("targets", "season"), "24", "season is '24'"),
        (("targets", "quantiles"), [0.1, 0.9], "settings and targets have different quantiles"),
        (("targets", "quantiles"), [0.9, 0.1], "quantiles are"),
        (("targets", "quantiles"), "all", "quantiles must be a list"),
        (("targets", "log"), 1, "log is 1, but must be true or false"),
        (("targets", "calendar"), ["moon"], "the calendar ['moon'] is none of 1 hour"),
        (("targets", "calendar"), [["hour"]], "saved series targets"),
        (("targets", "frequency"), None, "the calendar"),
        (("targets", "frequency"), "often", 'data.frequency is "often"'),
        (("targets", "beside"), [{"name": "x", "mean": 0.0, "scale": 0.0}], "scale is 0.0, but must be above 0"),
        (("targets", "beside"), [3], "each column beside the target needs a name"),
        (("targets", "layout"), {"kind": "heap"}, "layout must have kind, series, time and values"),
        (("targets", "layout", "kind"), "heap", "there is no layout"),
        (("targets", "layout", "values"), [], "0 columns of values do not fit long"),
        (("targets", "problem"), "text", "the problem 'text'; allowed: series"),
        (("targets", "more"), 1, "and no other; found: "),
        (("targets",), [], "targets must be an object"),
        (("tokeniser",), {}, "keys missing or unknown: tokeniser"),
        (("task",), "classify", "keys missing or unknown: constant, tokeniser"),
        (("settings", "forecast", "decoder"), "other", "decoder"),
        (("settings", "task"), "classify", "the task is classify, but the targets are of a forecast"),
    ],
)
def test_a_forged_description_is_refused(copy: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    forge(copy, *path, value=value)
    assert said in refusal(copy)


def test_a_vocabulary_has_no_place_beside_numbers(copy: Path) -> None:
    (copy / "vocabulary.json").write_text('{"known": []}')
    seal(copy)
    assert "vocabulary.json belongs to a model of texts" in refusal(copy)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "metrics.json", "README.md", "history.jsonl"])
@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])], ids=["gone", "cut"]
)
def test_a_damaged_file_is_named(copy: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(copy / name)
    assert name in refusal(copy)


def test_a_weight_that_is_not_finite_is_never_loaded(copy: Path) -> None:
    weights = safetensors.torch.load_file(copy / "weights.safetensors")
    weights["head.bias"][0] = math.nan
    safetensors.torch.save_file(weights, copy / "weights.safetensors")
    seal(copy)
    with pytest.raises(BundleError, match="head.bias holds a NaN"):
        load_bundle(copy)


# Training


def test_resumed_training_ends_with_the_same_weights(paths: tuple[Path, Path], tmp_path: Path) -> None:
    def stop(event: Any) -> None:
        if getattr(event, "epoch", 0) == 2 and hasattr(event, "batch"):
            raise KeyboardInterrupt

    settings = TINY | {"epochs": 3, "decoder": "recursive", "bidirectional": False}
    whole = seqloom.train(paths[1], task="forecast", out=tmp_path / "whole", settings=settings)
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        seqloom.train(paths[1], task="forecast", out=tmp_path / "stopped", settings=settings, report=stop)
    resumed = seqloom.train(paths[1], task="forecast", out=tmp_path / "stopped", settings=settings, resume=True)
    assert resumed.metrics["metrics"] == whole.metrics["metrics"]
    before, after = (each.bundle.model.state_dict() for each in (whole, resumed))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pooling": "mean"}, "model.pooling is a setting of classify and regress, the task is forecast."),
        ({"embedding_size": 5}, "model.embedding_size is a setting of models of texts"),
        ({"class_weights": "balanced"}, "training.class_weights is a setting of models of texts"),
        ({"training.baselines": False}, "training.baselines is a setting of models of texts"),
        ({"beam": 3}, "decoding.beam is a setting of translate"),
        ({"attention": "dot"}, "model.attention is a setting of translate"),
        ({"decoder": "recursive"}, "Set model.bidirectional=false"),
        ({"decoder": "recursive", "bidirectional": False, "highway": False}, "forecast.highway is a part of"),
        ({"label_separator": "|"}, "label_separator is a setting of texts"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(
    paths: tuple[Path, Path], tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(SeqloomError) as refused:
        seqloom.train(paths[1], task="forecast", out=tmp_path / "m", settings=TINY | settings)
    assert said in str(refused.value)


def test_a_series_that_never_changes_does_no_harm(tmp_path: Path) -> None:
    rows = [("flat", time, 5.0) for _, time, _ in seasonal(1, steps=160, seed=1)]
    model = seqloom.train(write(tmp_path / "s.csv", rows), task="forecast", out=tmp_path / "m", settings=TINY)
    assert "mase" not in model.metrics["metrics"]
    assert model.predict_file(tmp_path / "s.csv")[0]["forecast"] == pytest.approx([5.0] * 6, abs=3)


def test_logarithms_are_read_of_positive_series_and_no_others(tmp_path: Path) -> None:
    rows = seasonal(2, steps=160, seed=1)
    logs = seqloom.train(write(tmp_path / "p.csv", rows), task="forecast", out=tmp_path / "p", settings=TINY)
    assert bundle_of(logs).targets.reader.log
    tenfold = write(tmp_path / "t.csv", [(name, time, 10 * value) for name, time, value in rows])
    for one, ten in zip(logs.predict_file(tmp_path / "p.csv"), logs.predict_file(tenfold), strict=True):
        assert min(one["quantiles"]["0.1"]) > 0
        assert ten["forecast"] == pytest.approx([10 * value for value in one["forecast"]], rel=1e-4)
    rows[150] = (*rows[150][:2], -0.5)
    below = write(tmp_path / "n.csv", rows)
    answers = logs.predict_file(below)
    assert answers[0]["error"] == "line 2: series a1: a value of 0 or less, and this model reads logarithms"
    assert "forecast" in answers[1]
    assert "a1 has a value of 0 or less" in logs.evaluate(below)["rejected"][0]["reason"]
    plain = seqloom.train(below, task="forecast", out=tmp_path / "n", settings=TINY)
    assert not bundle_of(plain).targets.reader.log
    asked = seqloom.train(below, task="forecast", out=tmp_path / "l", settings=TINY | {"transform": "log"})
    assert "a1 has a value of 0 or less" in asked.metrics["rejected"][0]["reason"]


def test_gaps_in_training_are_read_as_gaps(tmp_path: Path) -> None:
    rows = [row for number, row in enumerate(seasonal(2, steps=160, seed=1)) if number % 7]
    model = seqloom.train(write(tmp_path / "s.csv", rows), task="forecast", out=tmp_path / "m", settings=TINY)
    assert math.isfinite(model.metrics["metrics"]["mase"])
    assert len(model.predict_file(tmp_path / "s.csv")) == 2
