"""A trained model at work: each row answered by itself, in its place, whatever stands beside it."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqloom.bundle import Bundle, load_bundle
from seqloom.data import Targets, read_table, reviews, table_of_texts
from seqloom.errors import DataError
from seqloom.inference import answer_table, decide, encode, logits_of
from tests.trained import Trained, small_models

TEXTS = [text for text, _ in reviews(150, seed=7)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module", params=["classifier", "regressor", "multilabel"])
def bundle(request: pytest.FixtureRequest, trained: Trained) -> Bundle:
    return load_bundle(getattr(trained, request.param))


def ids_of(bundle: Bundle, texts: list[str]) -> list[list[int]]:
    return [bundle.vocabulary.encode(bundle.tokeniser.texts(text)) for text in texts]


def test_batch_size_changes_neither_order_nor_answer(bundle: Bundle) -> None:
    sequences = ids_of(bundle, TEXTS)
    alone = torch.cat([logits_of(bundle.model, [ids]) for ids in sequences])
    for batch_size in (1, 7, 64, 1000):
        together = logits_of(bundle.model, sequences, batch_size=batch_size)
        assert (together - alone).abs().max() < 1e-6
        assert (
            torch.equal(
                decide(bundle.targets, bundle.model.probabilities(together)),
                decide(bundle.targets, bundle.model.probabilities(alone)),
            )
            or bundle.targets.problem == "squared"
        )


@given(order=st.permutations(range(12)))
def test_each_answer_stays_with_its_row(trained: Trained, order: list[int]) -> None:
    bundle = load_bundle(trained.classifier)
    answers = list(answer_table(bundle, table_of_texts(TEXTS[:12])))
    shuffled = list(answer_table(bundle, table_of_texts([TEXTS[row] for row in order])))
    for row, answer in zip(order, shuffled, strict=True):
        assert answer["input"] == TEXTS[row]
        assert answer["prediction"] == answers[row]["prediction"]
        assert answer["probabilities"] == pytest.approx(answers[row]["probabilities"], abs=2e-6)


def test_bad_rows_keep_their_place_and_their_error(bundle: Bundle) -> None:
    texts = [
        "a good film",
        "",
        " \t\n",
        "half \ud83d",
        "\u00a0\u3000",
        "unheard-of wordz",
        "x" * 10_000,
        "good " * 2_000,
    ]
    answers = list(answer_table(bundle, table_of_texts(texts, column=bundle.input)))
    assert [answer["input"] for answer in answers] == texts
    assert [row for row, answer in enumerate(answers) if "error" in answer] == [1, 2, 3, 4]
    assert answers[1]["error"] == "line 2: empty text"
    assert answers[2]["error"] == "line 3: empty text"
    assert "lone surrogate U+D83D" in answers[3]["error"]
    assert answers[4]["error"] == "line 5: empty text"
    assert all("prediction" not in answers[row] for row in (1, 2, 3, 4))


def test_no_rows_have_no_answers(bundle: Bundle) -> None:
    assert list(answer_table(bundle, table_of_texts([], column=bundle.input))) == []
    assert logits_of(bundle.model, []).shape == (0, bundle.model.head.out_features)


def test_only_bad_rows_are_answered_too(bundle: Bundle) -> None:
    answers = list(answer_table(bundle, table_of_texts(["", " "], column=bundle.input)))
    assert [answer["error"] for answer in answers] == ["line 1: empty text", "line 2: empty text"]


def test_refused_records_of_a_file_stand_in_order(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'text,label\ngood,x\n,x\nbad\nnot \xff text,x\n"two\nlines",x\n')
    answers = list(answer_table(load_bundle(trained.classifier), read_table(path)))
    said = [(answer["input"], answer.get("error")) for answer in answers]
    assert said == [
        ("good", None),
        ("", "line 3: empty text"),
        (None, "line 4: 1 fields where the header has 2"),
        (None, "line 5: not utf-8: byte 0xff at offset 29"),
        ("two\nlines", None),
    ]


def test_probabilities_are_those_of_the_logits(trained: Trained) -> None:
    bundle = load_bundle(trained.classifier)
    [answer] = answer_table(bundle, table_of_texts(TEXTS[:1]))
    [[logit]] = logits_of(bundle.model, ids_of(bundle, TEXTS[:1])).tolist()
    positive = 1 / (1 + math.exp(-logit))
    assert answer["probabilities"] == pytest.approx({"negative": 1 - positive, "positive": positive}, abs=1e-6)
    assert answer["prediction"] == ("positive" if positive > 0.5 else "negative")


def test_decisions_by_hand() -> None:
    classes = Targets("multiclass", ("a", "b", "c"))
    assert decide(classes, torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])).tolist() == [1, 0]
    several = Targets("multilabel", ("a", "b"))
    assert decide(several, torch.tensor([[0.5, 0.51], [0.9, 0.0]])).tolist() == [[0, 1], [1, 0]]
    number = Targets("squared", (), mean=10.0, scale=2.0)
    assert decide(number, torch.tensor([[0.5], [-1.0]])).tolist() == [11.0, 8.0]


def test_answering_leaves_the_model_in_its_mode(trained: Trained) -> None:
    bundle = load_bundle(trained.classifier)
    for training in (True, False):
        bundle.model.train(training)
        first, second = (logits_of(bundle.model, [[2, 3]]) for _ in range(2))
        assert torch.equal(first, second), "dropout was at work"
        assert bundle.model.training is training


@pytest.mark.parametrize("with_target", [False, True])
def test_file_without_a_column_of_the_model_is_refused_with_advice(
    trained: Trained, tmp_path: Path, with_target: bool
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("text,lable\ngood,positive\n" if with_target else "txet,label\ngood,positive\n")
    missing, there = ("label", "text, lable") if with_target else ("text", "txet, label")
    with pytest.raises(DataError) as refused:
        encode(load_bundle(trained.classifier), read_table(path), with_target=with_target)
    assert str(refused.value) == (
        f'other.csv has no column "{missing}", which this model was trained with (columns: {there}). '
        "Name a column of the file so, or train a model on this file."
    )
