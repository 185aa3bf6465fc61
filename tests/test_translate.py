"""Texts to texts, from Python: answers in order, the same in any batch, scored beside what must be beaten."""

import itertools
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import seqloom
from seqloom.bundle import Bundle, load_bundle
from seqloom.config import DecodingSettings
from seqloom.data import TextTargets, pad, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import Wanted, answer_table, encode, write_for, write_texts, writing
from seqloom.kernels import native
from seqloom.models import Seq2Seq
from seqloom.text import UNKNOWN
from tests.trained import Trained, small_models
from tests.training.tiny import pairs, train, write_pairs, write_rows

TEXTS = [text for text, _ in pairs(40)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> Bundle:
    return load_bundle(trained.translator)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> seqloom.Model:
    return seqloom.Model(bundle)


def parts(bundle: Bundle) -> tuple[Seq2Seq, TextTargets]:
    assert isinstance(bundle.model, Seq2Seq) and isinstance(bundle.targets, TextTargets)
    return bundle.model, bundle.targets


def ids_of(bundle: Bundle, texts: list[str]) -> list[list[int]]:
    return [bundle.vocabulary.encode(bundle.tokeniser.texts(text)) for text in texts]


def biased(bundle: Bundle, token: int, *, by: float) -> Bundle:
    """The same model, but with a liking for one token."""
    other = load_bundle_again(bundle)
    with torch.no_grad():
        parts(other)[0].output.bias[token] += by
    return other


def load_bundle_again(bundle: Bundle) -> Bundle:
    """A copy whose weights may be changed."""
    model, _ = parts(bundle)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    own = Seq2Seq(
        bundle.config.model, vocabulary_size=len(bundle.vocabulary), target_size=len(bundle.targets.vocabulary)
    )
    own.load_state_dict(state)
    return bundle._replace(model=own.eval())


# Answers


def test_each_answer_stands_in_its_row_and_bad_rows_keep_theirs(model: seqloom.Model) -> None:
    texts = ["the film was good", "", " \t", "half \ud83d", "unheard-of wordz", "x" * 10_000, "the film was good"]
    answers = model.predict(texts)
    assert [answer["input"] for answer in answers] == texts
    assert [row for row, answer in enumerate(answers) if "error" in answer] == [1, 2, 3]
    assert answers[1] == {"input": "", "error": "line 2: empty text"}
    assert "lone surrogate U+D83D" in answers[3]["error"]
    good = [answers[row] for row in (0, 4, 5, 6)]
    assert all(set(answer) == {"input", "prediction", "score", "alternatives"} for answer in good)
    assert answers[0] == answers[6]
    assert all(len(answer["alternatives"]) == model.bundle.config.decoding.beam - 1 for answer in good)
    assert model.predict([]) == []
    assert model.predict(["", " "]) == [
        {"input": text, "error": f"line {line}: empty text"} for line, text in ((1, ""), (2, " "))
    ]


@pytest.mark.parametrize("settings", [[], ["beam=1"], ["temperature=1.0"], ["coverage_penalty=0.5"]], ids=str)
def test_a_batch_changes_no_bit_of_an_answer(model: seqloom.Model, settings: list[str]) -> None:
    """Texts, scores and attention; the drawn ones hang on the row's number, which stays here."""
    if not native.available() or os.environ.get("SEQLOOM_KERNELS") == "reference":
        pytest.skip(f"not on the compiled core, and torch's products hang on the batch: {native.reason()}")
    bundle = model.with_decoding(settings).bundle
    sequences, decoding = ids_of(bundle, TEXTS), bundle.config.decoding
    one, *others = (
        write_texts(*parts(bundle), sequences, decoding, wanted=Wanted(3), batch_size=size) for size in (1, 7, 64)
    )
    for other in others:
        for row, expected in zip(other, one, strict=True):
            assert [written[:3] for written in row] == [written[:3] for written in expected]
            for found, wanted in zip(row, expected, strict=True):
                assert found.attention is not None and wanted.attention is not None
                assert torch.equal(found.attention, wanted.attention)


def test_rows_in_another_order_get_the_same_answers(model: seqloom.Model) -> None:
    forwards, backwards = model.predict(TEXTS), model.predict(TEXTS[::-1])
    assert [answer["prediction"] for answer in backwards[::-1]] == [answer["prediction"] for answer in forwards]
    assert len({answer["prediction"] for answer in forwards}) > 1, "one answer to all: nothing could be mixed up"


def test_attention_is_of_the_tokens_that_were_read_and_written(bundle: Bundle) -> None:
    rows = encode(bundle, table_of_texts(["the film was good", "bad"]), with_target=False)
    for row, texts in zip(rows, write_for(bundle, rows), strict=True):
        for written in texts:
            assert written.attention is not None
            assert written.attention.shape == (len(written.tokens), len(row.ids))
            assert torch.allclose(written.attention.sum(dim=1), torch.ones(len(written.tokens)))


def test_score_is_the_mean_log_probability_of_tokens_and_end(bundle: Bundle) -> None:
    model, targets = parts(bundle)
    [source] = ids_of(bundle, ["the film was good"])
    [[best, *_]] = write_texts(model, targets, [source], DecodingSettings(beam=1))
    written = targets.vocabulary.encode(best.tokens)
    with torch.inference_mode():
        expected = model.log_likelihood(pad([source]), pad([written])).item() / (len(written) + 1)
    assert best.score == pytest.approx(expected, abs=1e-5)


def test_writing_leaves_the_model_in_its_mode(bundle: Bundle) -> None:
    model, targets = parts(load_bundle_again(bundle))
    for training in (True, False):
        model.train(training)
        first, second = (write_texts(model, targets, [[2, 3]], DecodingSettings())[0][0].score for _ in range(2))
        assert first == second, "dropout was at work"
        assert model.training is training


# Suggestions


def test_three_suggestions_differ_in_more_than_case_and_signs(model: seqloom.Model) -> None:
    for answer in model.predict(["the film was good", "not bad at all", "zzz"], suggest=3):
        texts = [answer["prediction"], *(other["prediction"] for other in answer["alternatives"])]
        assert len(texts) == 3
        assert len({" ".join(text.lower().replace(".", "").split()) for text in texts}) == 3
        assert all(text.strip() for text in texts)


def test_a_model_that_writes_signs_only_suggests_one_of_them_and_does_not_fail(tmp_path: Path) -> None:
    rows = [(text, ("!", "?", "! ?")[number % 3]) for number, (text, _) in enumerate(pairs(30))]
    changed = {"task": "translate", "data.target_tokens": "word", "training.epochs": 1}
    bundle = train(write_rows(tmp_path / "signs.csv", rows, ("text", "reply")), tmp_path / "out", changed)
    model = seqloom.Model(bundle).with_decoding(["replace_unknown=false", "max_output=3"])
    model = seqloom.Model(biased(model.bundle, UNKNOWN, by=-math.inf))
    [answer] = model.predict("the film was good", suggest=3)
    assert (answer["prediction"].strip("!? "), answer["alternatives"]) == ("", [])


@pytest.mark.parametrize("suggest", [0, -1, 101])
def test_a_number_of_suggestions_that_makes_no_sense_is_refused(model: seqloom.Model, suggest: int) -> None:
    with pytest.raises(ConfigError, match=rf"^suggest is {suggest}, but must lie in 1\.\.100\.$"):
        model.predict("good", suggest=suggest)


def test_suggestions_are_of_models_that_write(trained: Trained) -> None:
    with pytest.raises(ConfigError, match=r"^suggest: this model writes no texts\. Train one with --task translate"):
        seqloom.load(trained.classifier).predict("good", suggest=3)


# Decoding settings


def test_decoding_can_be_changed_afterwards_and_nothing_else(model: seqloom.Model, trained: Trained) -> None:
    [greedy] = model.with_decoding(["decoding.beam=1"]).predict("the film was good")
    assert greedy["alternatives"] == []
    assert model.with_decoding([]) is model
    assert len(model.predict("the film was good")[0]["alternatives"]) == 4, "the model itself was changed"
    for setting in ("model.hidden_size=3", "seed=1", "tokens=character"):
        with pytest.raises(ConfigError, match=r"only the settings of \[decoding\] can still be changed"):
            model.with_decoding(["beam=1", setting])
    with pytest.raises(ConfigError, match=r"only the settings of \[decoding\] can still be changed"):
        seqloom.load(trained.classifier).with_decoding(["beam=1"])
    with pytest.raises(ConfigError, match=r'baem: unknown setting, did you mean "beam"\?'):
        model.with_decoding(["baem=1"])


def test_decoding_that_would_change_nothing_is_refused_and_what_was_there_is_not(model: seqloom.Model) -> None:
    with pytest.raises(ConfigError, match=r"decoding\.top_k cuts what is drawn from"):
        model.with_decoding(["top_k=3"])
    drawing = model.with_decoding(["beam=7"]).with_decoding(["temperature=0.5", "top_k=3"])
    assert drawing.bundle.config.decoding.beam == 7
    with pytest.raises(ConfigError, match=r"with a decoding\.temperature texts are drawn"):
        drawing.with_decoding(["coverage_penalty=0.5"])


def test_no_run_is_written_twice_where_that_is_forbidden(model: seqloom.Model) -> None:
    def repeats(answers: list[dict[str, Any]]) -> list[bool]:
        words = [answer["prediction"].split() for answer in answers]
        return [len(set(itertools.pairwise(each))) < len(each) - 1 for each in words]

    assert any(repeats(model.predict(TEXTS[:5])))
    assert not any(repeats(model.with_decoding(["no_repeat=2"]).predict(TEXTS[:5])))


def test_drawn_texts_are_a_function_of_the_seed(model: seqloom.Model) -> None:
    drawing = model.with_decoding(["temperature=1.0"])
    first, again = (drawing.predict(TEXTS[:8]) for _ in range(2))
    assert first == again
    other = seqloom.Model(drawing.bundle._replace(config=drawing.bundle.config.model_copy(update={"seed": 1})))
    assert other.predict(TEXTS[:8]) != first


# Unknown words


def test_the_attended_source_word_stands_for_an_unknown_one(bundle: Bundle) -> None:
    writer = biased(bundle, UNKNOWN, by=50)
    text = "Xanthippe snored"
    [row] = encode(writer, table_of_texts([text]), with_target=False)
    short = seqloom.Model(writer).with_decoding(["beam=1", "max_output=3"])
    [[with_words, *_]] = write_for(short.bundle, [row])
    assert with_words.attention is not None
    words = writer.tokeniser.texts(text)
    assert with_words.tokens == [words[place] for place in with_words.attention.argmax(dim=1).tolist()]
    plain = short.with_decoding(["replace_unknown=false"])
    assert plain.predict(text)[0]["prediction"] == "<unknown> <unknown> <unknown>"


@pytest.mark.parametrize(
    ("read", "written", "allowed"),
    [
        ("character", "word", {"Zoë's", "cat-nap", "."}),
        ("subword", "word", {"Zoë's", "cat-nap", "."}),
        ("word", "character", {"\ufffd"}),
        ("word", "byte", {"\ufffd"}),
    ],
)
def test_a_whole_word_stands_for_an_unknown_one_where_letters_are_read(
    tmp_path: Path, read: str, written: str, allowed: set[str]
) -> None:
    """And no word stands among letters or bytes."""
    if read == "subword":
        pytest.importorskip("sentencepiece")
    changed = {"task": "translate", "data.tokens": read, "data.target_tokens": written, "training.epochs": 1}
    bundle = train(write_pairs(tmp_path / "pairs.csv", 30), tmp_path / "out", changed)
    text = "Zoë's cat-nap."
    table = table_of_texts([text], column="text")
    model = seqloom.Model(biased(bundle, UNKNOWN, by=50)).with_decoding(["beam=1", "max_output=2"])
    [answer] = answer_table(model.bundle, table)
    assert set(answer["prediction"].replace("\ufffd", "\ufffd ").split()) <= allowed | {".."}


# Long sources


def test_a_source_too_long_to_write_from_is_a_row_with_an_error(model: seqloom.Model, trained: Trained) -> None:
    """20,000 tokens against as many, for five texts at once, would be 8 GB of attention."""
    answers = model.predict(["good " * 20_000, "the film was good"])
    assert answers[0]["error"] == (
        f"line 1: 20,000 tokens to read and {parts(model.bundle)[1].longest(20_000):,} to write are too many at once. "
        "Split the text, or set decoding.max_output to 671 or less"
    )
    assert answers[1] == model.predict("the film was good")[0]
    [short] = model.with_decoding(["max_output=5", "beam=1"]).predict("good " * 20_000)
    assert len(short["prediction"].split()) <= 5
    with pytest.raises(DataError, match=r"^the text cannot be read: 20,000 tokens to read and "):
        model.look("good " * 20_000)


def test_ten_thousand_tokens_are_read_where_only_one_text_is_followed(model: seqloom.Model) -> None:
    [answer] = model.with_decoding(["beam=1", "max_output=20"]).predict("good bad " * 5_000)
    assert "error" not in answer


def test_rows_without_room_for_all_are_written_in_smaller_batches(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = ids_of(bundle, TEXTS)
    expected = write_texts(*parts(bundle), sequences, DecodingSettings())
    sizes: list[int] = []
    read = writing.read

    def watched(rows: Any) -> Any:
        sizes.append(len(rows))
        return read(rows)

    monkeypatch.setattr(writing, "read", watched)
    monkeypatch.setattr(writing, "ROOM", 4_000)
    found = write_texts(*parts(bundle), sequences, DecodingSettings())
    assert max(sizes) < 10 and sum(sizes) == len(TEXTS)
    assert [best.text for best, *_ in found] == [best.text for best, *_ in expected]


def test_a_row_that_has_no_room_alone_is_cut_short_in_validation(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROOM", 8)
    likes_a_word = biased(bundle, 3, by=50)
    [[best, *_]] = write_texts(*parts(likes_a_word), [[2, 3]], DecodingSettings(beam=1))
    assert len(best.tokens) == 4
