"""A tagger on disk: what is saved comes back to the bit, and a forged one is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from seqloom.bundle import load_bundle, save_bundle
from seqloom.config import load_config
from seqloom.data import table_of_texts
from seqloom.inference import answer_table
from seqloom.nn import summary
from seqloom.training import train_model
from tests.tagging import Taggers, small_taggers, write_tagged
from tests.test_bundle import cut, flip, forge, make_pickle, refusal, seal


@pytest.fixture(scope="module")
def taggers(tmp_path_factory: pytest.TempPathFactory) -> Taggers:
    return small_taggers(tmp_path_factory.getbasetemp())


@pytest.fixture
def tagger(taggers: Taggers, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(taggers.speech, tmp_path / "tagger"))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.output=crf", "model.num_layers=2", "model.residual=true"),
        ("model.characters=false", "model.embedding=one_hot"),
        ("model.cell=gru", "model.initial_state=learned", "model.bidirectional=false", "data.min_count=2"),
    ],
    ids=" ".join,
)
def test_every_kind_of_tagger_answers_after_loading_as_before(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    small = ["model.hidden_size=4", "model.embedding_size=4", "training.epochs=1", "training.baselines=false"]
    data = write_tagged(tmp_path / "data.conll", 30)
    bundle = train_model(load_config(None, [*small, *overrides]), data, tmp_path / "model")
    save_bundle(tmp_path / "again", bundle, history=[], card="")
    loaded = load_bundle(tmp_path / "again")
    assert bundle._replace(model=loaded.model) == loaded
    for name, tensor in bundle.model.state_dict().items():
        assert torch.equal(tensor, loaded.model.state_dict()[name])
    texts = table_of_texts(["we watch the watch", "Unheard of"], column="form")
    assert list(answer_table(loaded, texts)) == list(answer_table(bundle, texts))
    assert summary(loaded.model).total == bundle.metrics["parameters"]


def test_the_card_says_what_it_tags(taggers: Taggers) -> None:
    card = (taggers.spans / "README.md").read_text(encoding="utf-8")
    assert "# A model that reads `form` and tags `tag`" in card
    assert "Tags: B-LOC, B-ORG, B-PER, I-LOC, I-ORG, I-PER, O." in card
    assert "Characters: read too; output: crf." in card
    assert "| this model | " in card and "span_f1" in card


@pytest.mark.parametrize("name", ["characters.json", "lexicon.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, make_pickle], ids=lambda f: f.__name__)
def test_a_damaged_file_of_a_tagger_is_named_and_refused(tagger: Path, name: str, damage: Any) -> None:
    damage(tagger / name)
    assert name in refusal(tagger)


@pytest.mark.parametrize("name", ["characters.json", "lexicon.json"])
def test_a_tagger_without_its_words_is_no_model(tagger: Path, name: str) -> None:
    (tagger / name).unlink()
    seal(tagger)
    assert f"{name} is not in its manifest." in refusal(tagger)


def test_files_of_other_tasks_are_foreign(tagger: Path) -> None:
    shutil.copy(tagger / "vocabulary.json", tagger / "target_vocabulary.json")
    seal(tagger)
    assert "target_vocabulary.json belongs to a model that writes texts, the task is tag." in refusal(tagger)
    (tagger / "target_vocabulary.json").unlink()
    forge(tagger, "task", value="classify")
    assert "characters.json belongs to a tagger, the task is classify." in refusal(tagger)


@pytest.mark.parametrize(
    ("lexicon", "said"),
    [
        ([], "the lexicon must be an object with the keys words, tags"),
        ({"words": ["a"]}, "the lexicon must be an object with the keys words, tags"),
        ({"words": [], "tags": []}, "the lexicon must have words, and a tag for each"),
        ({"words": ["a"], "tags": [0, 1]}, "the lexicon must have words, and a tag for each"),
        ({"words": ["a", "a"], "tags": [0, 1]}, "must be texts, each of them once"),
        ({"words": [1], "tags": [0]}, "must be texts, each of them once"),
        ({"words": ["a"], "tags": [8]}, "must be numbers of the 8 labels"),
        ({"words": ["a"], "tags": [-1]}, "must be numbers of the 8 labels"),
        ({"words": ["a"], "tags": [True]}, "must be numbers of the 8 labels"),
    ],
)
def test_a_forged_lexicon_is_refused(tagger: Path, lexicon: Any, said: str) -> None:
    (tagger / "lexicon.json").write_text(json.dumps(lexicon))
    seal(tagger)
    assert said in refusal(tagger)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("constant",), 8, "the constant answer 8 is none of a tags problem"),
        (("constant",), "NOUN", "is none of a tags problem"),
        (("settings", "task"), "translate", "but the targets are of tag"),
        (("targets", "problem"), "multiclass", "saved tags have the problem 'multiclass'"),
        (("targets", "labels"), ["A"], "labels must be two or more, each of them once"),
        (("targets", "labels"), ["A"] * 8, "labels must be two or more, each of them once"),
        (("targets", "labels"), ["A", " "], "labels must be a list of texts, none of them empty"),
        (("targets", "scale"), 1.0, "saved tags have the keys problem, labels and no other"),
        (("targets", "labels"), list("ABCDEFGHI"), "of the wrong shape or type: head.bias, head.weight"),
        (("settings", "model", "output"), "crf", "tensors missing: crf.change, crf.end, crf.start"),
        (("settings", "model", "characters"), False, "characters.embedding.weight"),
        (("settings", "model", "output"), "argmax", "'softmax' or 'crf'"),
    ],
)
def test_forged_settings_of_a_tagger_are_refused(tagger: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    if path == ("settings", "model", "characters"):
        forge(tagger, "settings", "model", "character_size", value=64)
    forge(tagger, *path, value=value)
    assert said in refusal(tagger)


def test_characters_are_single_ones(tagger: Path) -> None:
    known = json.loads((tagger / "characters.json").read_text())["known"]
    (tagger / "characters.json").write_text(json.dumps({"known": ["ab", *known[1:]]}))
    seal(tagger)
    assert "the characters must be single ones" in refusal(tagger)
