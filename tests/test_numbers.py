"""Series and rows of numbers to one answer, from Python: learned, scored, answered, kept and resumed."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seqloom
from seqloom.bundle import NumbersBundle, load_bundle, save_bundle
from seqloom.config import config_from_dict
from seqloom.data import NumericExample, pad_numbers
from seqloom.data.check import check
from seqloom.data.generators_series import turns
from seqloom.data.targets import Targets
from seqloom.errors import ConfigError, DataError, Interrupted, SeqloomError
from seqloom.inference import logits_of
from seqloom.training.numbers_baselines import decide_summaries, summary_features
from tests.data.test_idx import write_pictures
from tests.test_bundle import forge, refusal, seal

TINY: dict[str, Any] = {"hidden_size": 4, "epochs": 1, "training.baselines": False}


def write(path: Path, rows: Sequence[tuple[object, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of series that only their order tells apart, and one of rows, each with its file."""
    place = tmp_path_factory.mktemp("numbers")
    data = write(place / "turns.csv", [("series", "time", "x", "y", "label"), *turns(80, seed=1)])
    settings = {"hidden_size": 8, "epochs": 8, "learning_rate": 0.03, "average": 0.9, "batch_size": 8}
    seqloom.train(data, out=place / "turns", settings=settings)
    rows = [(n % 7, n % 5 * 100.0, (n % 7) * (n % 5) / 4) for n in range(60)]
    write(place / "rows.csv", [("a", "b", "price"), *rows])
    dense = {"hidden_size": 16, "epochs": 30, "learning_rate": 0.02, "average": 0.9}
    seqloom.train(place / "rows.csv", task="regress", target="price", out=place / "rows", settings=dense)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> seqloom.Model:
    return seqloom.load(folder / "turns")


def bundle_of(model: seqloom.Model) -> NumbersBundle:
    assert isinstance(model.bundle, NumbersBundle)
    return model.bundle


def test_order_is_learned_which_summaries_cannot_tell(model: seqloom.Model, folder: Path) -> None:
    found = model.evaluate(folder / "turns.csv")
    assert found["metrics"]["accuracy"] > 0.9
    assert set(model.metrics["baselines"]) == {"majority", "summary_logreg"}
    assert found["baselines"]["majority"]["accuracy"] < 0.7
    assert (found["task"], found["rows"]) == ("classify", {"used": 80, "rejected": 0})


def test_rows_are_learned_by_dense_layers(folder: Path) -> None:
    dense = seqloom.load(folder / "rows")
    found = dense.metrics
    assert found["metrics"]["rmse"] < found["baselines"]["mean"]["rmse"]
    assert set(found["baselines"]) == {"mean", "ridge"}
    assert set(dense.bundle.model.state_dict()) == {
        f"{part}.{name}" for part in ("layers.0", "head") for name in ("weight", "bias")
    }
    assert repr(dense) == "Model(a, b -> price, dense, 65 parameters)"
    [answer, wrong] = dense.predict([[3, 100.0], [1, 2, 3]])
    assert answer["input"] == "item 1"
    assert wrong == {"input": None, "error": "line 2: the shape is (3,), but must be (2,)"}
    assert dense.predict_file(folder / "rows.csv")[3]["input"] == "line 5"


def test_files_and_arrays_are_answered_alike(model: seqloom.Model, folder: Path) -> None:
    answers = model.predict_file(folder / "turns.csv")
    assert [answer["input"] for answer in answers] == [f"t{number}" for number in range(1, 81)]
    arrays: dict[str, list[tuple[float, float]]] = {}
    for name, _, x, y, _ in turns(80, seed=1):
        arrays.setdefault(name, []).append((x, y))
    for answer, again in zip(answers, model.predict(list(arrays.values())), strict=True):
        assert answer["prediction"] in ("left", "right")
        assert (answer["prediction"], answer["probabilities"]) == (again["prediction"], again["probabilities"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("x", "not an array of numbers"),
        ([[1, 2, 3]], "the shape is (1, 3), but must be (time, 2)"),
        ([1, 2], "the shape is (2,), but must be (time, 2)"),
        ([[1, np.inf]], "a value is infinite"),
        ([[1, 10**400]], "not an array of numbers"),
        ([[None, np.nan]], "no value"),
        (np.zeros((0, 2)), "no value"),
    ],
)
def test_an_array_that_cannot_be_read_keeps_its_place(model: seqloom.Model, given: Any, said: str) -> None:
    fine: list[Any] = [[0.5, 1], [None, 2]]
    answers = model.predict([fine, given, fine])
    assert "prediction" in answers[0]
    assert answers[1]["error"].startswith(f"line 2: {said}")
    assert answers[0]["probabilities"] == answers[2]["probabilities"]
    with pytest.raises(DataError, match="this model reads numbers: give a list of arrays"):
        model.predict("text")


def test_bad_rows_of_a_file_keep_their_place(model: seqloom.Model, tmp_path: Path) -> None:
    rows = [
        ("series", "time", "x", "y"),
        ("a", 0, 1, 2),
        ("a", 0, 1, 2),
        ("b", 0, "?", 1),
        ("b", 1, 1, 1),
        ("c", 0, "", ""),
    ]
    answers = model.predict_file(write(tmp_path / "new.csv", rows))
    assert [answer["input"] for answer in answers] == ["a", None, "b", None, None]
    assert [answer.get("error") for answer in answers] == [
        None,
        "line 3: the time 0.0 of series a stands in line 2 already",
        None,
        'line 4: x: "?" is not a finite number',
        "line 6: series c: no value",
    ]
    with pytest.raises(DataError, match='other.csv has no column "y"'):
        model.predict_file(write(tmp_path / "other.csv", [("series", "time", "x"), ("a", 1, 2)]))
    labels = [("series", "time", "x", "y", "label"), ("a", 0, 1, 2, "left"), ("b", 0, 1, 2, "up"), ("c", 0, 1, 2, "")]
    found = model.evaluate(write(tmp_path / "labels.csv", labels))
    assert found["rows"] == {"used": 1, "rejected": 2}
    assert 'series b: label "up" does not occur in training' in found["rejected"][0]["reason"]


def test_a_batch_changes_no_bit_of_an_answer(model: seqloom.Model) -> None:
    steps = [np.random.default_rng(n).normal(size=(1 + n, 2)).astype(np.float32) for n in range(9)]
    one, *others = (logits_of(bundle_of(model).model, steps, batch_size=size) for size in (1, 4, 64))
    assert all(torch.equal(one, other) for other in others)


def test_resumed_training_ends_with_the_same_weights(folder: Path, tmp_path: Path) -> None:
    def stop(event: Any) -> None:
        if getattr(event, "epoch", 0) == 2 and hasattr(event, "batch"):
            raise KeyboardInterrupt

    settings = TINY | {"epochs": 2, "frames": 3}
    whole = seqloom.train(folder / "turns.csv", out=tmp_path / "whole", settings=settings)
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        seqloom.train(folder / "turns.csv", out=tmp_path / "stopped", settings=settings, report=stop)
    resumed = seqloom.train(folder / "turns.csv", out=tmp_path / "stopped", settings=settings, resume=True)
    before, after = (each.bundle.model.state_dict() for each in (whole, resumed))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert before["recurrent.layers.0.forward_layer.weight_input"].shape[0] == 6


# Kept


def test_it_comes_back_to_the_bit(folder: Path, tmp_path: Path) -> None:
    for name in ("turns", "rows"):
        first = seqloom.load(folder / name)
        save_bundle(tmp_path / name, first.bundle, history=[], card="")
        second = load_bundle(tmp_path / name)
        assert first.bundle._replace(model=second.model) == second
        data = folder / f"{name}.csv"
        assert seqloom.Model(second).predict_file(data) == first.predict_file(data)
        names = set(json.loads((tmp_path / name / "manifest.json").read_text())["files"])
        assert names == {"config.json", "weights.safetensors", "metrics.json", "history.jsonl", "README.md"}
    card = (folder / "rows" / "README.md").read_text()
    assert "1 dense layer(s), 16 units" in card
    assert "2 number(s) a row: a, b" in card


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("reader", "kind"), "heap", "there is no kind 'heap'"),
        (("reader", "kind"), ["long"], "there is no kind ['long']"),
        (("reader", "kind"), "rows", "tensors missing"),
        (("reader", "series"), None, "a long table needs the name of its column of series"),
        (("reader", "series"), 3, "there is no kind 'long' with such columns"),
        (("reader", "gaps"), 1, "gaps is 1, but must be true or false"),
        (("reader", "gaps"), True, "of the wrong shape or type"),
        (("reader", "frames"), 0, "frames is 0, but must lie in 1..65,536"),
        (("reader", "frames"), True, "frames is True"),
        (("reader", "frames"), 2, "of the wrong shape or type"),
        (("reader", "channels"), [], "channels must be a list, and not an empty one"),
        (("reader", "channels"), [{"name": "x", "mean": 0.0, "scale": 1.0}] * 2, "two channels have one name"),
        (("reader", "channels"), [{"name": "x", "mean": 0.0, "scale": 0.0}], "scale is 0.0, but must be above 0"),
        (("reader", "channels"), [{"name": "x", "mean": "0", "scale": 1.0}], "mean is '0', but must be a finite"),
        (("reader", "channels"), [3], "each channel needs a name, a mean and a scale"),
        (("reader", "more"), 1, "has the keys kind, series, time, channels, gaps, frames and no other; found: "),
        (("reader",), None, "has the keys kind, series, time, channels, gaps, frames and no other; found: none"),
        (("constant",), 2, "the constant answer 2 is none of a binary problem"),
        (("targets", "labels"), ["left"], "do not fit the problem binary"),
        (("task",), "regress", "the task is 'regress', but the targets are of classify"),
        (("task",), "forecast", "keys missing or unknown: constant, reader"),
        (("tokeniser",), {}, "keys missing or unknown: tokeniser"),
    ],
)
def test_a_forged_description_is_refused(
    folder: Path, tmp_path: Path, path: tuple[str, ...], value: Any, said: str
) -> None:
    copy = Path(shutil.copytree(folder / "turns", tmp_path / "model"))
    forge(copy, *path, value=value)
    assert said in refusal(copy)


def test_a_vocabulary_has_no_place_beside_numbers(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "turns", tmp_path / "model"))
    (copy / "vocabulary.json").write_text('{"known": []}')
    seal(copy)
    assert "vocabulary.json belongs to a model of texts, this one reads numbers" in refusal(copy)


# Other files


def test_pictures_and_archives_are_learned(tmp_path: Path) -> None:
    path = write_pictures(tmp_path, 24, ending=".gz")
    model = seqloom.train(path, out=tmp_path / "m", settings=TINY)
    assert bundle_of(model).reader.input_size == 5
    assert len({(one.mean, one.scale) for one in bundle_of(model).reader.channels}) == 1
    assert model.evaluate(path)["rows"]["used"] == 24
    assert model.predict_file(path)[0]["input"] == "item 1"
    assert set(bundle_of(model).data) == {"t-images-idx3-ubyte.gz", "t-labels-idx1-ubyte.gz"}
    lines = "".join(f"{n},{n % 3},{-n}:{n}.5\n" for n in range(24))
    (tmp_path / "x.ts").write_text(f"@univariate true\n@targetLabel true\n@data\n{lines}")
    numbers = seqloom.train(tmp_path / "x.ts", out=tmp_path / "n", settings=TINY | {"max_length": 2})
    assert (numbers.metrics["task"], set(numbers.metrics["metrics"])) == ("regress", {"mae", "rmse"})
    assert isinstance(numbers.predict([[1.0, 2.0, 3.0]])[0]["prediction"], float)
    with pytest.raises(DataError, match="this model reads .ts files"):
        numbers.predict_file(path)
    with pytest.raises(DataError, match="is no IDX file"):
        model.predict_file(tmp_path / "x.ts")


def test_findings_tell_of_lengths_channels_and_leaks(tmp_path: Path) -> None:
    rows = [(f"s{n}", t, n % 5 + t, 7, "ab"[n % 2]) for n in range(20) for t in range(1 + n % 3)]
    rows.append(("s0", 9, "", 7, "a"))
    data = write(tmp_path / "t.csv", [("series", "time", "x", "y", "label"), *rows])
    report = check(config_from_dict({}, name="test"), data, test=data)
    found = {finding.number: finding.text for finding in report.findings}
    assert found["D101"] == "40 rows used (18 train, 2 valid, 20 test), 0 rejected"
    assert found["D201"].startswith("2 classes (binary): ")
    assert "18 training series of 1 to 3 steps, half of them to 2" in found["D701"]
    assert found["D705"].startswith("2 channels, mean and spread: x ")
    assert "y 7 ± 1" in found["D705"]
    assert "test samples are also in train: their scores flatter" in found["D502"]
    assert any("channels that never change in training: y" in finding.text for finding in report.findings)
    one = write(tmp_path / "one.csv", [("a", "b", "label"), *[(n, n, "x") for n in range(8)]])
    graves = check(config_from_dict({}, name="test"), one).findings
    assert graves[-1].text.startswith("training could not start: all ")


# Settings and baselines


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        (
            "turns",
            {"embedding_size": 5},
            "model.embedding_size is a setting of models of texts, this one reads numbers",
        ),
        ("turns", {"word_dropout": 0.2}, "model.word_dropout is a setting of models of texts"),
        ("turns", {"attention": "dot"}, "model.attention is a setting of translate"),
        ("turns", {"vectors": "x"}, "vectors is a setting of texts, here numbers are read"),
        ("turns", {"horizon": 3}, "forecast.horizon is a setting of forecast"),
        ("rows", {"cell": "gru"}, "model.cell is a setting of recurrent models. A row of features is read by dense"),
        ("rows", {"pooling": "mean"}, "which have hidden_size, num_layers, dropout."),
        ("rows", {"frames": 3}, "a row of features has a single one"),
        ("rows", {"label_smoothing": 0.1}, "training.label_smoothing is a setting for classes"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(
    folder: Path, tmp_path: Path, name: str, settings: dict[str, Any], said: str
) -> None:
    task = "regress" if name == "rows" else None
    target = "price" if name == "rows" else None
    with pytest.raises(SeqloomError) as refused:
        data = folder / f"{name}.csv"
        seqloom.train(data, task=task, target=target, out=tmp_path / "m", settings=TINY | settings)
    assert said in str(refused.value)


def test_frames_are_refused_where_texts_are_read(tmp_path: Path) -> None:
    data = write(tmp_path / "t.csv", [("text", "label"), *[(f"word {n}", "ab"[n % 2]) for n in range(9)]])
    with pytest.raises(ConfigError, match="frames is a setting of series of numbers that are answered once"):
        seqloom.train(data, out=tmp_path / "m", settings={"frames": 2})


def test_what_texts_have_is_refused(model: seqloom.Model, folder: Path) -> None:
    with pytest.raises(ConfigError, match="suggest: this model writes no texts"):
        model.predict([[[1, 2]]], suggest=2)
    with pytest.raises(ConfigError, match="suggest: this model writes no texts"):
        model.predict_file(folder / "turns.csv", suggest=2)
    with pytest.raises(ConfigError, match=r"only the settings of \[decoding\]"):
        model.with_decoding(["beam=2"])
    with pytest.raises(ConfigError, match="only a forecaster needs the steps before"):
        model.evaluate(folder / "turns.csv", history=folder / "turns.csv")


def test_summaries_are_those_of_a_loop() -> None:
    steps = np.array([[1, 5], [3, 5], [8, 5], [2, 5]], np.float32)
    found = summary_features(steps).reshape(-1)
    times = np.linspace(-1, 1, 4)
    slope = float(np.polyfit(times, steps[:, 0].astype(np.float64), 1)[0])
    assert found[[0, 2, 4, 10, 16]] == pytest.approx([3.5, steps[:, 0].std(), 1, 2.5, 8])
    assert found[18:26] == pytest.approx([slope, 0, 1, 5, 2, 5, 13 / 3, 0])
    assert found[-1] == 4
    assert len(found) == 2 * 13 + 1


def test_the_linear_baseline_tells_what_a_summary_tells() -> None:
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    rows = [
        NumericExample(n, "", random.normal(n % 2 * 3, 1, (1 + n % 4, 2)).astype(np.float32), n % 2) for n in range(60)
    ]
    targets = Targets("binary", ("a", "b"))
    decided = decide_summaries(targets, rows[:40], rows[40:50], rows[50:])
    assert decided.tolist() == [row.target for row in rows[50:]]
    assert pad_numbers([row.steps for row in rows]).values.shape == (60, 4, 2)
