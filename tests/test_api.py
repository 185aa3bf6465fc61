"""The Python face, from any kind of file to answers and figures."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import seqloom
from seqloom.errors import BundleError, ConfigError, DataError, SeqloomError, StorageError, TrainingError
from seqloom.training import Event, Said, Validated
from tests.trained import SMALL, Trained, small_models


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


def rows_of(trained: Trained) -> list[tuple[str, str]]:
    lines = trained.reviews.read_text().splitlines()[1:]
    return [(text.strip('"'), label) for text, _, label in (line.rpartition(",") for line in lines)]


def test_load_predicts_as_the_model_that_was_trained(trained: Trained, tmp_path: Path) -> None:
    model = seqloom.train(
        trained.reviews, task="classify", input="text", target="label", out=tmp_path / "model", settings=SMALL
    )
    assert isinstance(model, seqloom.Model)
    texts = ["the film was good", "", "the film was bad"]
    answers = model.predict(texts)
    assert seqloom.load(tmp_path / "model").predict(texts) == answers
    assert [set(answer) for answer in answers] == [{"input", "prediction", "probabilities"}, {"input", "error"}] * 1 + [
        {"input", "prediction", "probabilities"}
    ]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1, abs=2e-6)
    assert model.predict("the film was good") == answers[:1]
    assert model.predict(text for text in texts) == answers
    assert model.predict([]) == []


def test_metrics_follow_the_contract(trained: Trained) -> None:
    model = seqloom.load(trained.classifier)
    metrics = model.metrics
    assert metrics["task"] == "classify"
    assert set(metrics["metrics"]) == {"accuracy", "macro_f1"}
    assert set(metrics["baselines"]) == {"majority", "tfidf_logreg"}
    assert all(set(scores) == {"accuracy", "macro_f1", "intervals"} for scores in metrics["baselines"].values())
    low, high = metrics["intervals"]["accuracy"]
    assert 0 <= low <= metrics["metrics"]["accuracy"] <= high <= 1
    assert metrics["rows"] == {"used": 6, "train": 48, "valid": 6, "test": 6, "rejected": 0}
    assert metrics["parameters"] == sum(weight.numel() for weight in model.bundle.model.parameters())
    assert metrics["parameters"] == model.summary().total
    assert metrics["tokens_per_second"] > 0
    assert metrics["seconds"] > 0
    assert metrics["epochs"] == 1


def test_evaluate_counts_what_predict_says(trained: Trained) -> None:
    model = seqloom.load(trained.classifier)
    result = model.evaluate(trained.reviews)
    labels = [label for _, label in rows_of(trained)]
    right = [answer["prediction"] for answer in model.predict_file(trained.reviews)]
    assert result["metrics"]["accuracy"] == sum(map(str.__eq__, right, labels)) / len(labels)
    assert result["baselines"]["majority"]["accuracy"] == 0.5
    assert result["rows"] == {"used": 60, "rejected": 0}
    assert set(result) == {"task", "metrics", "intervals", "baselines", "rows", "rejected", "seconds", "details"}


def test_evaluate_reports_each_row_it_cannot_use(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nthe film was good,positive\n,negative\nthe film was bad,neutral\nbad\n")
    result = seqloom.load(trained.classifier).evaluate(path)
    assert result["rows"] == {"used": 1, "rejected": 3}
    assert result["rejected"] == [
        {"line": 3, "reason": "empty text"},
        {"line": 4, "reason": 'label "neutral" does not occur in training (known: negative, positive)'},
        {"line": 5, "reason": "1 fields where the header has 2"},
    ]


def test_evaluate_on_the_test_file_of_the_training_shows_the_linear_baseline(trained: Trained, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text(trained.reviews.read_text().replace("film", "movie"))
    settings = SMALL | {"training.baselines": True}
    model = seqloom.train(trained.reviews, test=test, out=tmp_path / "model", settings=settings)
    result = model.evaluate(test)
    assert result["metrics"] == model.metrics["metrics"]
    assert result["baselines"] == model.metrics["baselines"]
    assert set(model.evaluate(trained.reviews)["baselines"]) == {"majority"}


def test_numbers_are_learned_and_answered_in_their_unit(trained: Trained) -> None:
    model = seqloom.load(trained.regressor)
    answers = model.predict(["a short one", "a film that goes on and on"])
    assert all(isinstance(answer["prediction"], float) and 3 < answer["prediction"] < 20 for answer in answers)
    result = model.evaluate(trained.numbers)
    numbers = [json.loads(line)["words"] for line in trained.numbers.read_text().splitlines()]
    said = [answer["prediction"] for answer in model.predict_file(trained.numbers)]
    errors = [abs(a - b) for a, b in zip(said, numbers, strict=True)]
    assert result["task"] == "regress"
    assert result["metrics"]["mae"] == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert result["metrics"]["rmse"] == pytest.approx((sum(e * e for e in errors) / len(errors)) ** 0.5, rel=1e-5)
    assert set(result["baselines"]) == {"mean"}


def test_several_labels_are_answered_as_a_list(trained: Trained) -> None:
    model = seqloom.load(trained.multilabel)
    [answer] = model.predict(["the film was good"])
    chances = answer["probabilities"]
    assert list(chances) == ["long", "negative", "positive"]
    assert answer["prediction"] == [label for label, chance in chances.items() if chance > 0.5]
    result = model.evaluate(trained.topics)
    assert set(result["metrics"]) == {"exact_match", "macro_f1"}
    assert result["rows"] == {"used": 60, "rejected": 0}


def write_jsonl(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return path


def write_tsv(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return path


def write_gz(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_bytes(gzip.compress(write_tsv(path.with_suffix(""), rows).read_bytes()))
    return path


def write_parquet(path: Path, rows: list[tuple[str, str]]) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": [row[0] for row in rows], "label": [row[1] for row in rows]}), path)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [("r.jsonl", write_jsonl), ("r.tsv", write_tsv), ("r.tsv.gz", write_gz), ("r.parquet", write_parquet)],
)
def test_the_same_rows_make_the_same_model_from_any_kind_of_file(
    trained: Trained, tmp_path: Path, name: str, write: Any
) -> None:
    path = write(tmp_path / name, rows_of(trained))
    model = seqloom.train(path, task="classify", input="text", target="label", out=tmp_path / "m", settings=SMALL)
    reference = seqloom.load(trained.classifier).bundle.model.state_dict()
    weights = model.bundle.model.state_dict()
    assert all(torch.equal(weights[key], reference[key]) for key in reference)
    assert model.evaluate(path)["rows"]["used"] == 60


def test_split_column_decides_which_rows_are_for_what(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "parted.csv"
    parts = ["train"] * 40 + ["dev"] * 15 + ["test"] * 5
    rows = [f'"{text}",{label},{part}\n' for (text, label), part in zip(rows_of(trained), parts, strict=True)]
    path.write_text("text,label,split\n" + "".join(rows))
    model = seqloom.train(path, out=tmp_path / "model", settings=SMALL)
    assert model.metrics["rows"] == {"used": 5, "train": 40, "valid": 15, "test": 5, "rejected": 0}


def test_valid_and_test_files_are_used_as_given(trained: Trained, tmp_path: Path) -> None:
    rows = rows_of(trained)
    valid, test = write_tsv(tmp_path / "valid.tsv", rows[:10]), write_jsonl(tmp_path / "test.jsonl", rows[10:17])
    events: list[Event] = []
    model = seqloom.train(
        trained.reviews, valid=valid, test=test, out=tmp_path / "m", settings=SMALL, report=events.append
    )
    assert model.metrics["rows"] == {"used": 7, "train": 60, "valid": 10, "test": 7, "rejected": 0}
    assert model.metrics["split"] == "test"
    assert set(model.bundle.data) == {"reviews.csv", "valid.tsv", "test.jsonl"}
    said = [event.text for event in events if isinstance(event, Said)]
    assert "10 of 10 valid texts are also in train: their scores flatter" in said
    assert [event.epoch for event in events if isinstance(event, Validated)] == [1]


def test_pretrained_vectors_start_the_words_and_bad_lines_are_said(trained: Trained, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("the 1 2 3 4\nfilm 5 6 7\nwas 1 x 3 4\ngood 9 9 9 9\nunheard 1 1 1 1\n")
    events: list[Event] = []
    settings = SMALL | {"data.vectors": str(vectors), "model.freeze_embedding": True}
    model = seqloom.train(trained.reviews, out=tmp_path / "model", settings=settings, report=events.append)
    table = model.bundle.model.embedding.weight
    [the] = model.bundle.vocabulary.encode(["the"])
    assert isinstance(table, torch.Tensor)
    assert table[the].tolist() == [1, 2, 3, 4]
    said = [event.text for event in events if isinstance(event, Said)]
    assert [line for line in said if line.startswith("vectors: 2 of ")]
    assert [line for line in said if line.startswith("vectors.txt:2: ")]
    assert [line for line in said if line.startswith("vectors.txt:3: ")]


def test_names_in_any_script_are_names(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    rows = [{"té😀xt": f"film {number}", 'lab"el': "ab"[number % 2]} for number in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = seqloom.train(path, input="té😀xt", target='lab"el', out=tmp_path / "m", settings=SMALL)
    assert (model.bundle.input, model.bundle.target) == ("té😀xt", 'lab"el')


def test_runs_without_a_name_get_folders_of_their_own(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("reviews", "reviews-2"):
        seqloom.train(trained.reviews, settings=SMALL)
        assert (tmp_path / "runs" / name / "manifest.json").exists()


def test_config_file_and_settings_are_joined_and_the_settings_win(trained: Trained, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[model]\ncell = "gru"\nhidden_size = 9\n')
    model = seqloom.train(trained.reviews, config=config, out=tmp_path / "m", settings=SMALL)
    assert (model.bundle.config.model.cell, model.bundle.config.model.hidden_size) == ("gru", 4)


def test_task_and_columns_may_stand_among_the_settings_and_the_arguments_win(trained: Trained, tmp_path: Path) -> None:
    named = SMALL | {"task": "regress", "data.input": "text", "target": "words"}
    assert seqloom.train(trained.numbers, settings=named, out=tmp_path / "a").metrics["task"] == "regress"
    other = SMALL | {"task": "regress", "data.target": "no column of this name"}
    model = seqloom.train(trained.reviews, task="classify", target="label", settings=other, out=tmp_path / "b")
    assert model.metrics["task"] == "classify"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"data": "nowhere.csv"}, DataError, "there is no file nowhere.csv"),
        ({"target": "lable"}, DataError, 'did you mean "label"?'),
        (
            {"task": "guess"},
            ConfigError,
            "'classify', 'regress', 'translate', 'tag', 'generate', 'caption' or 'forecast'",
        ),
        ({"settings": {"model.cel": "gru"}}, ConfigError, 'did you mean "cell"?'),
        ({"settings": {"model.hidden_size": 2**31}}, ConfigError, "less than or equal to 65536"),
        ({"resume": True}, TrainingError, "holds no checkpoint to resume from"),
        ({"task": "regress"}, DataError, "is not a finite number"),
        ({"config": "nowhere.toml"}, ConfigError, "cannot read the settings file nowhere.toml"),
    ],
)
def test_each_mistake_is_an_error_of_ours(
    trained: Trained, tmp_path: Path, given: dict[str, Any], error: type[SeqloomError], said: str
) -> None:
    with pytest.raises(error) as raised:
        seqloom.train(**{"data": trained.reviews, "out": tmp_path / "model", **given})
    assert said in str(raised.value)
    assert isinstance(raised.value, SeqloomError)


def test_a_finished_model_is_never_trained_over(trained: Trained) -> None:
    before = (trained.classifier / "manifest.json").read_bytes()
    with pytest.raises(TrainingError, match=r"holds a training already, and it is not overwritten"):
        seqloom.train(trained.reviews, out=trained.classifier, settings=SMALL)
    assert (trained.classifier / "manifest.json").read_bytes() == before


def test_a_file_in_the_place_of_the_folder_is_left_alone(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StorageError, match=r"cannot write .*taken: File exists. Choose another folder."):
        seqloom.train(trained.reviews, out=tmp_path / "taken", settings=SMALL)
    assert (tmp_path / "taken").read_text() == "mine"


def test_what_is_no_model_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere does not exist. Check the path, or train a model into it."):
        seqloom.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"manifest.json is missing"):
        seqloom.load(tmp_path)
