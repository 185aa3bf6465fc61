"""A model that writes texts is scored beside what must be beaten, and trained from any kind of pairs."""

import json
import math
from pathlib import Path

import pytest
import torch

import seqloom
from seqloom.bundle import Bundle, load_bundle
from seqloom.data import pad, read_table
from seqloom.data.examples import written_ids
from seqloom.errors import DataError
from seqloom.inference import encode
from seqloom.models import Seq2Seq
from seqloom.training import Said
from tests.trained import SMALL, Trained, small_models
from tests.training.tiny import pairs, train, write_pairs, write_rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> Bundle:
    return load_bundle(trained.translator)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> seqloom.Model:
    return seqloom.Model(bundle)


# Figures


def test_evaluate_follows_the_contract(model: seqloom.Model, trained: Trained) -> None:
    result = json.loads(json.dumps(model.evaluate(trained.pairs)))
    assert result["task"] == "translate"
    assert {"perplexity", "exact_match", "error_rate", "bleu", "chrf"} == set(result["metrics"])
    assert set(result["baselines"]) == {"copy", "majority"}
    assert result["rows"] == {"used": 60, "rejected": 0}
    said = [answer["prediction"] for answer in model.predict_file(trained.pairs)]
    truth = [target for _, target in pairs(60)]
    assert result["metrics"]["exact_match"] == sum(map(str.__eq__, said, truth)) / 60
    assert result["metrics"]["perplexity"] > 1
    low, high = result["intervals"]["error_rate"]
    assert low <= result["metrics"]["error_rate"] <= high
    copies = sum(source == target for source, target in pairs(60))
    assert result["baselines"]["copy"]["exact_match"] == copies / 60


def test_training_compares_with_four_baselines(model: seqloom.Model) -> None:
    metrics = model.metrics
    assert set(metrics["baselines"]) == {"copy", "majority", "unigram", "bigram"}
    for name in ("copy", "majority"):
        assert {"exact_match", "error_rate", "bleu", "chrf"} <= set(metrics["baselines"][name])
    assert metrics["baselines"]["bigram"]["perplexity"] < metrics["baselines"]["unigram"]["perplexity"]
    assert metrics["parameters"] == sum(parameter.numel() for parameter in model.bundle.model.parameters())


def test_evaluate_on_the_test_file_of_the_training_shows_all_baselines(tmp_path: Path) -> None:
    test = write_rows(tmp_path / "test.csv", pairs(70)[60:], ("text", "reply"))
    settings = SMALL | {"training.baselines": True}
    data = write_pairs(tmp_path / "pairs.csv")
    model = seqloom.train(data, task="translate", target="reply", test=test, out=tmp_path / "m", settings=settings)
    result = model.evaluate(test)
    assert result["metrics"] == model.metrics["metrics"]
    assert result["baselines"] == model.metrics["baselines"]
    assert set(model.evaluate(data)["baselines"]) == {"copy", "majority"}


def test_perplexity_is_that_of_the_model_itself(bundle: Bundle, trained: Trained) -> None:
    model = bundle.model
    assert isinstance(model, Seq2Seq)
    rows = encode(bundle, read_table(trained.pairs), with_target=True)
    with torch.inference_mode():
        total = sum(model.log_likelihood(pad([row.ids]), pad([written_ids(row)])).item() for row in rows)
    tokens = sum(len(written_ids(row)) + 1 for row in rows)
    found = seqloom.Model(bundle).evaluate(trained.pairs)["metrics"]["perplexity"]
    assert found == pytest.approx(math.exp(-total / tokens), rel=1e-5)


def test_any_target_of_the_same_source_counts_as_right(bundle: Bundle, tmp_path: Path) -> None:
    text = "the film was good"
    [best] = seqloom.Model(bundle).predict(text)
    rows = [(text, "something else"), (text, best["prediction"]), ("another text", "something else")]
    path = write_rows(tmp_path / "rows.csv", rows, ("text", "reply"))
    metrics = seqloom.Model(bundle).evaluate(path)["metrics"]
    assert metrics["exact_match"] == pytest.approx(2 / 3)


def test_rows_that_cannot_be_used_are_named(model: seqloom.Model, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [("good", "fine"), ("", "x"), ("bad", " "), ("x", "y")], ("text", "reply"))
    result = model.evaluate(path)
    assert result["rows"] == {"used": 2, "rejected": 2}
    assert [row["reason"] for row in result["rejected"]] == ["empty text", "empty target"]


# Training


def test_aligned_files_are_trained_on_and_answered(tmp_path: Path) -> None:
    for ending, side in (("de", 0), ("en", 1)):
        lines = [pair[side] for pair in pairs(60)]
        (tmp_path / f"train.{ending}").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (tmp_path / f"test.{ending}").write_text("\n".join(lines[:9]) + "\n", encoding="utf-8")
    said: list[str] = []
    model = seqloom.train(
        tmp_path / "train",
        input="en",
        target="de",
        test=tmp_path / "test",
        out=tmp_path / "model",
        settings=SMALL,
        report=lambda event: said.append(event.text) if isinstance(event, Said) else None,
    )
    assert (model.bundle.config.task, model.bundle.targets.task) == (None, "translate")
    assert (model.bundle.input, model.bundle.target) == ("en", "de")
    assert model.evaluate(tmp_path / "test")["rows"] == {"used": 9, "rejected": 0}
    (tmp_path / "test.de").unlink()
    assert [answer["input"] for answer in model.predict_file(tmp_path / "test")] == [pair[1] for pair in pairs(60)[:9]]


def test_equal_sources_stay_on_one_side(tmp_path: Path) -> None:
    rows = [(text, f"{reply} {number}") for number in range(3) for text, reply in pairs(20)]
    bundle = train(write_rows(tmp_path / "p.csv", rows, ("text", "reply")), tmp_path / "m", {"task": "translate"})
    counts = bundle.metrics["rows"]
    assert all(counts[part] % 3 == 0 for part in ("train", "valid", "test"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("one", "eins")], "1 different text"),
        ([("", "eins"), (" ", "zwei")], "no row can be used. The first, in line 2: empty text."),
        ([("one", ""), ("two", " ")], "no row can be used. The first, in line 2: empty target."),
    ],
)
def test_pairs_from_which_nothing_can_be_learned_are_refused(
    tmp_path: Path, rows: list[tuple[str, str]], said: str
) -> None:
    path = write_rows(tmp_path / "pairs.csv", rows, ("text", "reply"))
    with pytest.raises(DataError) as refused:
        seqloom.train(path, task="translate", input="text", target="reply", out=tmp_path / "m", settings=SMALL)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_was_read_with_copies_only_trains_and_says_that_copying_is_as_good(tmp_path: Path) -> None:
    said: list[str] = []
    train(
        write_rows(tmp_path / "same.csv", [(text, text) for text, _ in pairs(40)], ("text", "reply")),
        tmp_path / "m",
        {"task": "translate"},
        report=lambda event: said.append(event.text) if isinstance(event, Said) else None,
    )
    assert any(line.startswith("this model is not better than the baseline copy (error_rate 0.000)") for line in said)


def test_the_card_says_what_it_writes(trained: Trained, model: seqloom.Model) -> None:
    card = (trained.translator / "README.md").read_text(encoding="utf-8")
    known = len(model.bundle.targets.vocabulary.known)
    assert "# A model that reads `text` and writes `reply`" in card
    assert f"Writes: text, word by word, of {known:,} tokens." in card
    assert "Attention: additive." in card
    assert f"| bigram | {model.metrics['baselines']['bigram']['perplexity']:.4f} |" in card
    assert "What it writes may sound right and be wrong." in card
