"""The proof of the model card: what it says is what is in the model."""

from pathlib import Path

import pytest

from seqloom.bundle import Bundle
from seqloom.data import read_table
from seqloom.training.card import model_card
from tests.training.tiny import train, write_reviews, write_rows


@pytest.fixture
def trained(tmp_path: Path) -> Bundle:
    return train(write_reviews(tmp_path / "reviews.csv"), tmp_path / "out", {"training.baselines": True})


def test_the_card_tells_what_it_answers_on_which_data_and_how_well(trained: Bundle, tmp_path: Path) -> None:
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "# A model that reads `text` and answers `label`" in card
    assert "Answers: negative, positive." in card
    assert f"reviews.csv: sha256 {read_table(tmp_path / 'reviews.csv').fingerprint}" in card
    parameters = sum(parameter.numel() for parameter in trained.model.parameters())
    assert (
        f"both directions, {parameters:,} parameters, {len(trained.vocabulary.known):,} known tokens, 2 epoch(s)."
        in card
    )
    low, high = trained.metrics["intervals"]["accuracy"]
    accuracy, f1 = (trained.metrics["metrics"][name] for name in ("accuracy", "macro_f1"))
    assert f"| this model | {accuracy:.4f} ({low:.4f} to {high:.4f}) | {f1:.4f} |" in card
    for name in ("majority", "tfidf_logreg"):
        assert f"| {name} | {trained.metrics['baselines'][name]['accuracy']:.4f} (" in card
    assert "On the test rows" in card


def test_a_card_without_figures_says_so(trained: Bundle) -> None:
    assert "not evaluated yet" in model_card(trained._replace(metrics={}), [])


def test_a_perplexity_without_end_fits_into_the_card(trained: Bundle) -> None:
    figures = {"metrics": {"perplexity": 1e304, "error_rate": 0.25}, "baselines": {"copy": {"error_rate": 1.5}}}
    card = model_card(trained._replace(metrics=figures), [])
    assert "| this model | 1e+304 | 0.2500 |" in card
    assert "| copy |  | 1.5000 |" in card


def test_a_card_names_twenty_classes_and_counts_the_rest(tmp_path: Path) -> None:
    rows = [(f"word{n % 25} and {n}", f"class{n % 25:02}") for n in range(250)]
    train(write_rows(tmp_path / "rows.csv", rows), tmp_path / "out", {"training.epochs": 1})
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "class18, class19 and 5 more." in card
