"""The proof of a whole run: what it refuses to train over, what it says, and that its final figures are honest."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

import seqloom
from seqloom.api import Model, load
from seqloom.bundle import load_bundle
from seqloom.data import prepare
from seqloom.errors import ConfigError, DataError, SeqloomError, StorageError, TrainingError
from seqloom.files import lock_folder
from seqloom.training import Event, Progress, Said, run, settings_of, train_model
from tests.training.tiny import TINY, config_of, train, write_reviews, write_rows


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(training: Callable[[], Any], folder: Path, *, error: type[SeqloomError], match: str) -> None:
    """The error, and not a byte of the folder changed."""
    before = contents(folder) if folder.exists() else None
    with pytest.raises(error, match=match):
        training()
    assert (contents(folder) if folder.exists() else None) == before


# What is not trained over


def test_a_folder_with_a_training_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(data, out)
    match = (
        r"out holds a training already, and it is not overwritten\. Go on with --resume, remove the folder, or choose"
    )
    assert_refused(lambda: train(data, out), out, error=TrainingError, match=match)


def test_a_folder_with_a_copied_model_is_neither_overwritten_nor_resumed(data: Path, tmp_path: Path) -> None:
    out, copied = tmp_path / "out", tmp_path / "copied"
    train(data, out)
    copied.mkdir()
    for path in out.iterdir():
        if path.is_file() and path.name != ".lock":
            (copied / path.name).write_bytes(path.read_bytes())
    for resume in (False, True):
        assert_refused(
            lambda resume=resume: train(data, copied, resume=resume),
            copied,
            error=TrainingError,
            match=r"copied holds a model without the checkpoints of its training, and it is not overwritten\. Remove",
        )


def test_a_second_training_in_the_same_folder_is_refused_while_the_first_runs(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with lock_folder(tmp_path / "out"):
        other = os.fork()
        if other == 0:
            try:
                train(data, out)
            except StorageError as error:
                (tmp_path / "said").write_text(str(error), encoding="utf-8")
            finally:
                os._exit(0)
        os.waitpid(other, 0)
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert f"{out} is being written by process {os.getpid()} on " in said
    assert "Wait for its end, or choose another folder." in said
    assert set(contents(out)) == {".lock"}


def test_a_training_that_came_and_went_while_the_data_was_read_is_not_overwritten(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def slowly(*files: Any, **options: Any) -> Any:
        monkeypatch.setattr(run, "prepare", prepare)
        train(data, out, {"seed": 1})
        return prepare(*files, **options)

    monkeypatch.setattr(run, "prepare", slowly)
    with pytest.raises(TrainingError, match="holds a training already, and it is not overwritten"):
        train(data, out)
    assert load_bundle(out).config.seed == 1


def test_data_that_cannot_be_used_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        train(write_rows(tmp_path / "empty.csv", []), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_validation_rows_the_way_to_get_some_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"^no validation rows: .* Give --valid FILE, more rows, or a larger data\."
    ):
        train(data, tmp_path / "out", {"data.valid_fraction": 0.0})


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_gpu_that_is_not_there_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^device is cuda, but this torch finds no GPU\. Use --device cpu"):
        train(data, tmp_path / "out", {"device": "cuda"})


# Pretrained vectors


def said_with_vectors(data: Path, folder: Path, text: str, **changed: Any) -> str:
    path = folder / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    said: list[Event] = []
    still = {"training.learning_rate": 1e-30, "data.vectors": str(path)}
    train(data, folder / "out", {**still, **changed}, report=said.append)
    return "\n".join(event.text for event in said if isinstance(event, Said))


def test_known_tokens_start_from_their_pretrained_vectors(data: Path, tmp_path: Path) -> None:
    said = said_with_vectors(data, tmp_path, "good 1 2 3 4\nunheard 9 9 9 9\nthe 5 6 7 x\nwas 5 6 7 8\n")
    bundle = load_bundle(tmp_path / "out")
    good, was, the, film = bundle.model.embedding.weight[bundle.vocabulary.encode(["good", "was", "the", "film"])]
    assert good.tolist() == [1, 2, 3, 4]
    assert was.tolist() == [5, 6, 7, 8]
    assert len({tuple(row.tolist()) for row in (good, was, the, film)}) == 4
    assert f"vectors: 2 of {len(bundle.vocabulary) - 2} known tokens found in vectors.txt" in said
    assert 'vectors.txt:3: "x" is not a number' in said


def test_only_the_first_five_bad_lines_of_a_vectors_file_are_told(data: Path, tmp_path: Path) -> None:
    said = said_with_vectors(data, tmp_path, "good 1 2 3 4\n" + "bad 1 2 3 x\n" * 9)
    assert said.count("is not a number") == 5
    assert "vectors.txt: 4 more bad lines" in said


def test_vectors_of_no_known_token_are_told_and_not_fatal(data: Path, tmp_path: Path) -> None:
    assert "vectors: 0 of " in said_with_vectors(data, tmp_path, "unheard 1 2 3 4\n")


@pytest.mark.parametrize("changed", [{"model.embedding_size": 5}, {"model.embedding": "one_hot"}])
def test_vectors_that_do_not_fit_the_model_are_refused(data: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    match = r"vectors\.txt have 4 values\. Set model\.embedding_size=4 and model\.embedding=learned to use them"
    with pytest.raises(TrainingError, match=match):
        said_with_vectors(data, tmp_path, "good 1 2 3 4\n", **changed)


# The final figures


def test_final_metrics_are_those_of_the_saved_model_on_rows_it_never_saw(tmp_path: Path) -> None:
    data, test = write_reviews(tmp_path / "reviews.csv", 120), write_reviews(tmp_path / "test.csv", 50)
    config = config_of({"training.baselines": True, "training.epochs": 3, "training.learning_rate": 0.02})
    train_model(config, data, tmp_path / "out", test=test)
    model = load(tmp_path / "out")
    prepared = prepare(config, data, test=test)
    truth = [prepared.targets.labels[int(str(row.target))] for row in prepared.test]
    predicted = [answer["prediction"] for answer in model.predict([row.text for row in prepared.test])]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["split"] == "test"
    assert metrics["metrics"]["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert metrics["metrics"]["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert metrics["rows"] == {"used": 50, "train": 108, "valid": 12, "test": 50, "rejected": 0}
    assert metrics["epochs"] == 3
    assert metrics["parameters"] == sum(parameter.numel() for parameter in model.bundle.model.parameters())
    assert set(metrics["baselines"]) == {"majority", "tfidf_logreg"}
    assert_same_figures(model, test, metrics)


def assert_same_figures(model: Model, test: Path, metrics: dict[str, Any]) -> None:
    evaluated = model.evaluate(test)
    assert {key: evaluated[key] for key in ("metrics", "intervals")} == {
        key: metrics[key] for key in ("metrics", "intervals")
    }
    assert evaluated["baselines"] == metrics["baselines"]


def test_a_number_is_compared_with_the_mean_in_its_own_unit(tmp_path: Path) -> None:
    rows = [(f"word{n % 7} and {n}", str(1000 + 10 * (n % 7))) for n in range(60)]
    config = {"task": "regress", "training.baselines": True}
    metrics = train(write_rows(tmp_path / "n.csv", rows), tmp_path / "out", config).metrics
    assert set(metrics["baselines"]) == {"mean", "tfidf_ridge"}
    assert metrics["baselines"]["tfidf_ridge"]["rmse"] < metrics["baselines"]["mean"]["rmse"] < 30
    assert metrics["metrics"]["rmse"] < 40


def test_several_labels_are_trained_and_compared_too(tmp_path: Path) -> None:
    rows = [(f"word{n % 3} and {n}", ("a|b", "b", "a")[n % 3]) for n in range(60)]
    config = {"data.label_separator": "|", "training.baselines": True}
    bundle = train(write_rows(tmp_path / "n.csv", rows), tmp_path / "out", config)
    assert bundle.targets.problem == "multilabel"
    assert set(bundle.metrics["metrics"]) == {"exact_match", "macro_f1"}
    assert bundle.metrics["baselines"]["tfidf_logreg"]["exact_match"] == 1.0


def test_no_trained_model_is_the_same_as_its_start(data: Path, tmp_path: Path) -> None:
    """Every weight learns: one that kept its first value would be a weight that the loss does not reach."""
    learned = train(data, tmp_path / "learned").model.state_dict()
    start = train(data, tmp_path / "start", {"training.learning_rate": 1e-30}).model.state_dict()
    assert [name for name, tensor in learned.items() if torch.equal(tensor, start[name])] == []


def test_the_model_is_there_from_the_first_validation_on(data: Path, tmp_path: Path) -> None:
    there: dict[tuple[int, int], bool] = {}

    def look(event: Event) -> None:
        if isinstance(event, Progress):
            there[event.epoch, event.batch] = (tmp_path / "out" / "manifest.json").exists()
            if there[event.epoch, event.batch]:
                assert load_bundle(tmp_path / "out").metrics["split"] == "valid"

    train(data, tmp_path / "out", report=look)
    assert there == {(epoch, batch): epoch == 2 for epoch in (1, 2) for batch in (1, 2, 3)}


def test_numbers_far_from_zero_are_scored_as_exactly_as_those_near_it(tmp_path: Path) -> None:
    """Points in time: the spread is a billionth of the mean, less than float32 can hold."""
    near = write_rows(tmp_path / "near.csv", [(f"word{n % 7} {n}", str(n % 7)) for n in range(60)])
    far = write_rows(tmp_path / "far.csv", [(f"word{n % 7} {n}", str(1_700_000_000 + n % 7)) for n in range(60)])
    scores = [train(file, tmp_path / file.stem, {"task": "regress"}).metrics["metrics"] for file in (near, far)]
    assert scores[0]["mae"] > 0.1
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)


def test_what_does_not_fit_the_problem_is_refused(tmp_path: Path) -> None:
    numbers = write_rows(tmp_path / "n.csv", [(f"word{n % 7} {n}", str(n % 7 + n / 100)) for n in range(60)])
    with pytest.raises(
        ConfigError, match=r"^training\.class_weights is a setting for one label a row; the problem is sq"
    ):
        train(numbers, tmp_path / "a", {"task": "regress", "training.class_weights": "balanced"})
    with pytest.raises(
        ConfigError, match=r"^training\.label_smoothing is a setting for classes; the target is a number"
    ):
        train(numbers, tmp_path / "b", {"task": "regress", "training.label_smoothing": 0.1})


def test_figures_that_mean_little_are_said_to(tmp_path: Path) -> None:
    events: list[Event] = []
    train(write_reviews(tmp_path / "r.csv"), tmp_path / "out", report=events.append)
    said = [event.text for event in events if isinstance(event, Said)]
    assert "scored on 6 rows only: these figures say little" in said
    assert any(text.startswith("this model is not better than the baseline majority (accuracy 0.") for text in said)


def test_a_resumed_training_needs_no_settings_again(tmp_path: Path) -> None:
    data, out = write_reviews(tmp_path / "r.csv"), tmp_path / "out"
    train(data, out, {"training.max_minutes": 1e-9})
    settings = settings_of(out)
    assert settings["model"]["hidden_size"] == TINY["model.hidden_size"]
    seqloom.train(data, out=out, resume=True, settings={"training.max_minutes": 9.0})
    assert seqloom.load(out).metrics["epochs"] == TINY["training.epochs"]
    with pytest.raises(TrainingError, match=r"model\.hidden_size was 4, now 5"):
        seqloom.train(data, out=out, resume=True, settings={"model.hidden_size": 5})
    with pytest.raises(TrainingError, match=r"the checkpoint was trained on r\.csv, but other\.csv is given\."):
        seqloom.train(write_reviews(tmp_path / "other.csv"), out=out, resume=True)
