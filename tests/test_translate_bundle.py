"""A trained writer on disk: what both sides share is there once, and a target vocabulary is checked like all else."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from seqloom.bundle import load_bundle, save_bundle
from seqloom.config import load_config
from seqloom.data import table_of_texts
from seqloom.inference import answer_table
from seqloom.models import Seq2Seq
from seqloom.nn import summary
from seqloom.training import train_model
from tests.test_bundle import cut, flip, forge, make_pickle, refusal, seal
from tests.trained import Trained, small_models


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    """A copy of a classifier, to tamper with."""
    return Path(shutil.copytree(trained.classifier, tmp_path / "model"))


@pytest.fixture
def writer(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the model that writes texts, to tamper with."""
    return Path(shutil.copytree(trained.translator, tmp_path / "writer"))


@pytest.mark.parametrize(
    "overrides",
    [
        ("data.joint_vocabulary=true",),
        ("data.joint_vocabulary=true", "model.tied_embeddings=true"),
        ("model.tied_embeddings=true", "data.target_tokens=character", "model.freeze_embedding=true"),
        ("data.target_tokens=subword", "data.tokens=byte", "data.max_vocabulary=60"),
        ("model.attention=none", "model.reverse_source=true", "model.num_layers=2", "model.initial_state=learned"),
        ("model.attention=general", "model.cell=gru", "model.embedding=one_hot", "model.readout=direct"),
        ("model.attention=dot", "model.bidirectional=false", "model.layer_norm=true"),
    ],
    ids=" ".join,
)
def test_every_kind_of_writer_answers_after_loading_as_before(
    trained: Trained, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    if "data.target_tokens=subword" in overrides:
        pytest.importorskip("sentencepiece")
    small = ["task=translate", "model.hidden_size=4", "model.embedding_size=4", "training.epochs=1"]
    bundle = train_model(
        load_config(None, [*small, "training.baselines=false", *overrides]), trained.pairs, tmp_path / "model"
    )
    save_bundle(tmp_path / "again", bundle, history=[], card="")
    loaded = load_bundle(tmp_path / "again")
    assert bundle._replace(model=loaded.model) == loaded
    texts = table_of_texts(["the film was not good", "unheard of"])
    assert list(answer_table(loaded, texts)) == list(answer_table(bundle, texts))
    assert_shared_once(tmp_path / "again", joint="joint" in overrides[0], tied="tied" in str(overrides))


def assert_shared_once(folder: Path, *, joint: bool, tied: bool) -> None:
    """What two parts of a model share is one tensor: in the file, in memory, and where parameters are counted."""
    bundle = load_bundle(folder)
    model = bundle.model
    assert isinstance(model, Seq2Seq)
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    written = sum(tensor.numel() for tensor in weights.values())
    assert written == summary(model).total == bundle.metrics["parameters"]
    assert ("output.weight" in weights, "target_embedding.weight" in weights) == (
        not tied,
        not joint and isinstance(model.target_embedding, torch.nn.Embedding),
    )
    assert (model.embedding is model.target_embedding) == joint
    if tied:
        assert model.output.weight is model.target_embedding.weight


# Forged


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, make_pickle], ids=lambda f: f.__name__)
def test_a_damaged_vocabulary_of_the_targets_is_named_and_refused(writer: Path, damage: Callable[[Path], None]) -> None:
    damage(writer / "target_vocabulary.json")
    assert "target_vocabulary.json" in refusal(writer)


def test_a_writer_without_a_vocabulary_of_its_targets_is_no_model(writer: Path) -> None:
    (writer / "target_vocabulary.json").unlink()
    seal(writer)
    assert "target_vocabulary.json is not in its manifest." in refusal(writer)


@pytest.mark.parametrize("name", ["target_vocabulary.json", "target_subwords.model"])
def test_a_classifier_has_no_files_of_a_writer(model: Path, name: str) -> None:
    (model / name).write_bytes((model / "vocabulary.json").read_bytes())
    seal(model)
    assert f"{name} belongs to a model that writes texts, the task is classify." in refusal(model)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"known": ["a"], "known": ["b"]}', "the key 'known' is there twice"),
        (b'{"known": ["a", "a"]}', 'the vocabulary holds "a" 2 times'),
        (b'{"known": ["a"]}', "of the wrong shape or type: output.bias, output.weight, target_embedding.weight"),
    ],
)
def test_a_forged_vocabulary_of_the_targets_is_refused(writer: Path, data: bytes, said: str) -> None:
    (writer / "target_vocabulary.json").write_bytes(data)
    seal(writer)
    assert said in refusal(writer)


def test_joint_vocabularies_that_differ_are_refused(writer: Path) -> None:
    forge(writer, "settings", "data", "joint_vocabulary", value=True)
    (writer / "target_vocabulary.json").write_bytes(b'{"known": ["a"]}')
    seal(writer)
    assert "vocabulary.json and target_vocabulary.json differ, but are joint in this model." in refusal(writer)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("constant",), 2, "the constant answer 2 is none of a text problem"),
        (("constant",), None, "the constant answer None is none of a text problem"),
        (("constant",), ["a"], "is none of a text problem"),
        (("task",), "classify", "target_vocabulary.json belongs to a model that writes texts, the task is classify."),
        (("settings", "task"), "classify", "but the targets are of translate"),
        (("targets", "problem"), "binary", "have the problem 'binary'"),
        (("targets", "most"), 0, "most is 0"),
        (("targets", "most"), 1.5, "most is 1.5"),
        (("targets", "per_source"), -1.0, "per_source is -1.0"),
        (("targets", "tokeniser"), "word", "tokeniser must be an object"),
        (("targets", "tokeniser", "kind"), "subword", 'The kind "subword" needs one'),
        (("targets", "tokeniser", "kind"), "byte", "target_vocabulary.json holds what is no byte."),
        (("settings", "model", "attention"), "none", "tensors missing: decoder.bias, decoder.weight_hidden"),
        (("settings", "model", "attention"), "torch.load", "'additive', 'general', 'dot' or 'none'"),
        (("settings", "model", "tied_embeddings"), True, "tensors unknown: output.weight."),
        (("settings", "decoding", "beam"), 10**9, "decoding.beam = 1000000000"),
        (("settings", "decoding", "beam"), 0, "decoding.beam = 0"),
    ],
)
def test_forged_settings_of_a_writer_are_refused(writer: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    forge(writer, *path, value=value)
    assert said in refusal(writer)
