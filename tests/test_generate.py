"""A language model from file to text: the same in any batch, scored as a loop would score it, kept whole."""

import itertools
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import seqloom
from seqloom.bundle import Bundle, load_bundle, save_bundle
from seqloom.config import Config, ModelSettings, for_task
from seqloom.data import reviews
from seqloom.data.prepare_streams import encode_text, open_text
from seqloom.errors import ConfigError, DataError
from seqloom.kernels import native
from seqloom.models import LanguageModel
from seqloom.shapes import Batch
from seqloom.training import stream_evaluation
from seqloom.training.stream_evaluation import judge_stream, score_stream, token_surprises
from tests.test_bundle import forge, refusal, seal
from tests.training.tiny import train, write_rows

LINES = [text for text, _ in reviews(60, seed=1)]
SETTINGS: dict[str, Any] = {
    "model.hidden_size": 12,
    "model.dropout": 0.0,
    "training.epochs": 3,
    "training.learning_rate": 0.03,
    "training.average": 0.5,
    "training.window": 20,
    "training.batch_size": 8,
    "training.baselines": True,
    "decoding.max_output": 30,
}
STARTS = ["the film was", "", "not", "i never", "the film was", "zzz", "The plot\nwas"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generate") / "model"
    train(text, out, SETTINGS | {"data.tokens": "word"})
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> seqloom.Model:
    return seqloom.load(folder)


def parts(bundle: Bundle) -> LanguageModel:
    assert isinstance(bundle.model, LanguageModel)
    return bundle.model


# Writing


def test_each_start_is_gone_on_with_in_its_place(model: seqloom.Model) -> None:
    answers = model.predict([*STARTS, "half \ud83d"])
    assert [answer["input"] for answer in answers] == [*STARTS, "half \ud83d"]
    assert "lone surrogate U+D83D" in answers[-1]["error"] and answers[-1]["error"].startswith("line 8: ")
    for answer in answers[:-1]:
        assert set(answer) == {"input", "prediction", "score", "alternatives"}
        assert answer["score"] < 0 and answer["alternatives"] == []
        assert "<unknown>" not in answer["prediction"] and "<end>" not in answer["prediction"]
    assert answers[0]["prediction"] != answers[4]["prediction"], "rows are drawn apart"
    assert model.predict(STARTS) == model.predict(STARTS)


@pytest.mark.parametrize(
    "settings", [[], ["temperature=0"], ["temperature=0", "beam=1"], ["top_k=3", "no_repeat=2"]], ids=str
)
def test_a_batch_changes_no_bit(model: seqloom.Model, settings: list[str]) -> None:
    if not native.available() or os.environ.get("SEQLOOM_KERNELS") == "reference":
        pytest.skip("not on the compiled core, and torch's products hang on the batch")
    writing = model.with_decoding([*settings, "max_output=15"])
    together = writing.predict(STARTS)
    for place, start in enumerate(STARTS):
        alone = writing.predict([*[""] * place, start] if not settings or "top_k=3" in settings else [start])[-1]
        assert alone == together[place]
    assert writing.predict([STARTS[0], *["not bad at all " * 20] * 70])[0] == together[0]


def test_a_score_is_the_mean_log_probability_of_what_was_written(model: seqloom.Model) -> None:
    bundle = model.with_decoding(["max_output=6"]).bundle
    [answer] = seqloom.Model(bundle).predict("the film")
    targets = bundle.targets
    ids = [targets.start, *targets.encode("the film" + answer["prediction"])]  # type: ignore[union-attr]
    read = torch.tensor([ids])
    features, _ = parts(bundle)(Batch(read, torch.tensor([len(ids)])))
    logs = parts(bundle).log_probabilities(features[0])
    expected = [logs[place - 1, ids[place]].item() for place in range(3, len(ids))]
    assert len(expected) == 6
    assert answer["score"] == pytest.approx(sum(expected) / 6, abs=1e-5)


def test_settings_of_writing_do_what_they_say(model: seqloom.Model) -> None:
    assert model.bundle.config.decoding.temperature == 0.8
    assert for_task(Config(), "generate").decoding.max_output == 200
    assert for_task(Config(model=ModelSettings(bidirectional=True)), "generate").model.bidirectional
    assert for_task(Config(), "classify") == Config()
    written = model.with_decoding(["max_output=7"]).predict("the film")[0]["prediction"]
    assert 3 < len(written.split()) <= 2 * 7
    likeliest = model.with_decoding(["temperature=0", "beam=4", "max_output=6"]).predict("the film")[0]
    assert len(likeliest["alternatives"]) == 3
    sure = model.with_decoding(["top_k=1", "max_output=6"]).predict("the film")[0]["prediction"]
    assert sure == model.with_decoding(["temperature=0", "beam=1", "max_output=6"]).predict("the film")[0]["prediction"]
    other = seqloom.Model(model.bundle._replace(config=model.bundle.config.model_copy(update={"seed": 5})))
    assert other.predict("the film") != model.predict("the film")
    for setting, said in (
        (
            "coverage_penalty=1",
            "decoding.coverage_penalty is a setting of translate and caption, the task is generate.",
        ),
        ("replace_unknown=false", "decoding.replace_unknown is a setting of translate"),
        ("beam=3", "with a decoding.temperature texts are drawn"),
        ("hidden_size=3", "only the settings of [decoding] can still be changed"),
    ):
        with pytest.raises(ConfigError) as caught:
            model.with_decoding([setting])
        assert said in str(caught.value)
    with pytest.raises(ConfigError, match=r"^suggest: this model goes on with texts, it answers none"):
        model.predict("good", suggest=3)


def test_what_is_written_is_shown_at_once_and_whole(model: seqloom.Model) -> None:
    for settings in (["max_output=9"], ["temperature=0", "max_output=9"]):
        writing, shown = model.with_decoding(settings), list[str]()
        answers = writing.predict(["the film", "", "not"], show=shown.append)
        assert "".join(shown) == "".join(f"{a['input']}{a['prediction']}\n" for a in answers)
        assert answers == writing.predict(["the film", "", "not"])
        assert len(shown) > (20 if "temperature=0" not in settings else 3)


# Scoring


def test_figures_are_those_of_the_text_read_token_by_token(model: seqloom.Model, text: Path) -> None:
    bundle = model.bundle
    ids = [bundle.targets.start, *(n for line in LINES for n in [*bundle.targets.encode(line), bundle.targets.start])]  # type: ignore[union-attr]
    state, losses = None, list[float]()
    with torch.inference_mode():
        for read, wanted in itertools.pairwise(ids):
            features, state = parts(bundle)(Batch(torch.tensor([[read]]), torch.tensor([1])), state)
            losses.append(parts(bundle).losses(features[0], torch.tensor([wanted])).item())
    found = model.evaluate(text)
    total = math.fsum(losses)
    assert found["metrics"]["loss"] == pytest.approx(total / len(losses), abs=1e-6)
    assert found["metrics"]["perplexity"] == pytest.approx(math.exp(total / len(losses)), rel=1e-5)
    bits = total / math.log(2) / text.stat().st_size
    assert found["metrics"]["bits_per_character"] == pytest.approx(bits, rel=1e-5)
    assert found["rows"] == {"used": 60, "rejected": 0} and found["tokens"]["used"] == len(losses)


def test_windows_change_no_bit_and_warm_tracks_next_to_nothing(
    model: seqloom.Model, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = encode_text(open_text(text, model.bundle.targets, column="text")[0], model.bundle.targets, [])  # type: ignore[arg-type]
    whole = torch.cat(list(token_surprises(parts(model.bundle), stream)))
    assert len(whole) == len(stream)
    monkeypatch.setattr(stream_evaluation, "WINDOW", 7)
    cut = torch.cat(list(token_surprises(parts(model.bundle), stream)))
    if native.available() and os.environ.get("SEQLOOM_KERNELS") != "reference":
        assert torch.equal(whole, cut)
    monkeypatch.setattr(stream_evaluation, "LEAST", 50)
    exact, quick = score_stream(parts(model.bundle), stream), judge_stream(parts(model.bundle), stream)
    assert exact.loss != quick.loss and exact.loss == pytest.approx(quick.loss, rel=0.01)


def test_baselines_stand_beside_the_very_text_that_was_scored(text: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.txt"
    test.write_text("the film was good\nnot bad\n", encoding="utf-8")
    model = seqloom.train(text, test=test, out=tmp_path / "m", settings={**SETTINGS, "data.tokens": "character"})
    assert set(model.metrics["baselines"]) == {"unigram", "bigram"}
    assert model.metrics["split"] == "test" and model.metrics["rows"]["used"] == 2
    found = model.evaluate(test)
    assert found["baselines"] == model.metrics["baselines"]
    assert found["metrics"] == pytest.approx(model.metrics["metrics"])
    assert model.evaluate(text)["baselines"] == {}
    counts = {character: text.read_text().count(character) for character in set(text.read_text())}
    assert found["baselines"]["unigram"]["perplexity"] > 2 and len(counts) < 40


def test_files_of_another_kind_are_refused(model: seqloom.Model, tmp_path: Path) -> None:
    table = write_rows(tmp_path / "a.csv", [("good",), ("bad",)], ("text",))
    with pytest.raises(DataError, match=r"a\.csv is a table, but this model was trained on a text file"):
        model.evaluate(table)
    (tmp_path / "b.txt").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"no line can be used: line 1: not utf-8"):
        model.evaluate(tmp_path / "b.txt")


# Tables


def test_a_table_of_texts_is_learned_and_its_texts_end(tmp_path: Path) -> None:
    table = write_rows(tmp_path / "a.csv", [(line,) for line in LINES], ("review",))
    settings = SETTINGS | {"data.tokens": "word", "training.epochs": 6}
    model = seqloom.train(table, task="generate", out=tmp_path / "m", settings=settings)
    assert (model.bundle.input, model.bundle.targets.to_dict()) == ("review", {"problem": "next", "ends": True})
    answers = model.predict(["the film"] * 20)
    assert all("\n" not in answer["prediction"] for answer in answers)
    assert min(len(answer["prediction"].split()) for answer in answers) < 40, "none of them ended"
    assert model.evaluate(table)["rows"] == {"used": 60, "rejected": 0}
    (tmp_path / "b.txt").write_text("good\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"b\.txt is no table, but this model was trained on one"):
        model.evaluate(tmp_path / "b.txt")
    assert len(model.predict_file(table)) == 60


# Looking


def test_look_has_the_surprise_of_each_token(model: seqloom.Model) -> None:
    seen = model.look("the film zzz")
    assert seen.tokens == ["the", "film", "<unknown>"]
    ids = [model.bundle.targets.start, *model.bundle.targets.encode("the film zzz")]  # type: ignore[union-attr]
    features, _ = parts(model.bundle)(Batch(torch.tensor([ids]), torch.tensor([4])))
    logs = parts(model.bundle).log_probabilities(features[0])
    expected = [-logs[place, ids[place + 1]].item() / math.log(2) for place in range(3)]
    assert seen.bits == pytest.approx(expected, abs=1e-4)  # type: ignore[union-attr]
    assert seen.bits_per_token == pytest.approx(sum(expected) / 3, abs=1e-4)  # type: ignore[union-attr]
    for place, best in enumerate(seen.likeliest):  # type: ignore[union-attr]
        assert best[0][1] == pytest.approx(logs[place].max().exp().item(), abs=1e-5)
    assert json.loads(json.dumps(seen.to_dict()))["input"] == "the film zzz"
    assert "nan" not in seen._repr_html_() and "<bdi>...</bdi>" in seen._repr_html_()
    assert model.look("").tokens == [] and len(model.look("").likeliest) == 1  # type: ignore[union-attr]


# On disk


@pytest.mark.parametrize(
    "changed",
    [
        {"data.tokens": "character", "model.tied_embeddings": True},
        {"data.tokens": "byte", "model.cell": "gru", "model.num_layers": 2, "model.initial_state": "learned"},
        {"data.tokens": "subword", "data.max_vocabulary": 60, "model.softmax": "adaptive"},
        {"data.tokens": "whitespace", "model.cell": "simple_rnn", "model.embedding": "one_hot"},
        {"data.tokens": "word", "model.layer_norm": True, "model.variational_dropout": True, "model.dropout": 0.2},
    ],
    ids=str,
)
def test_every_kind_of_language_model_writes_after_loading_as_before(
    text: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    if changed["data.tokens"] == "subword":
        pytest.importorskip("sentencepiece")
    bundle = train(text, tmp_path / "m", {**changed, "training.epochs": 1, "decoding.max_output": 20})
    save_bundle(tmp_path / "again", bundle, history=[], card="")
    loaded = load_bundle(tmp_path / "again")
    assert bundle._replace(model=loaded.model) == loaded
    starts = ["the film was", "", "zß"]
    assert seqloom.Model(loaded).predict(starts) == seqloom.Model(bundle).predict(starts)
    if changed.get("model.tied_embeddings"):
        assert parts(loaded).output.weight is parts(loaded).embedding.weight


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("constant",), 2, "the constant answer 2 is none of a next problem"),
        (("task",), "classify", "saved targets have the keys"),
        (("task",), "translate", "target_vocabulary.json is not in its manifest."),
        (("settings", "task"), "classify", "but the targets are of generate"),
        (("targets", "ends"), 1, "have problem next and ends true or false"),
        (("targets", "problem"), "text", "have problem next and ends true or false"),
        (("tokeniser", "kind"), "byte", "vocabulary.json holds what is no byte."),
        (("settings", "model", "softmax"), "adaptive", "tensors missing: output.head.bias"),
        (("settings", "model", "tied_embeddings"), True, "tensors missing: projection.weight."),
        (("settings", "model", "num_layers"), 2, "tensors missing: recurrent.layers.1.bias"),
    ],
)
def test_forged_language_models_are_refused(
    folder: Path, tmp_path: Path, path: tuple[str, ...], value: Any, said: str
) -> None:
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    forge(model, *path, value=value)
    assert said in refusal(model)


def test_files_of_a_translation_are_none_of_a_language_model(folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    (model / "target_vocabulary.json").write_bytes((model / "vocabulary.json").read_bytes())
    seal(model)
    assert "target_vocabulary.json belongs to a model that writes texts, the task is generate." in refusal(model)


def test_the_card_says_what_the_model_does(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# A model that goes on with `text`\n")
    assert "one direction" in card and "| bigram |" in card and "perplexity" in card
