"""A trained model on disk: what is saved comes back to the bit, and nothing else is ever taken for a model."""

import hashlib
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from seqloom.bundle import NEEDED, load_bundle, save_bundle
from seqloom.config import load_config
from seqloom.data import table_of_texts
from seqloom.errors import BundleError
from seqloom.inference import answer_table, logits_of
from seqloom.training import train_model
from tests.trained import Trained, small_models

FILES = ("config.json", "weights.safetensors", "vocabulary.json", "metrics.json", "history.jsonl", "README.md")
WRITES = (*FILES[:4], "target_vocabulary.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(trained.classifier, tmp_path / "model"))


def seal(folder: Path) -> None:
    """Make the manifest of a forger: valid for whatever lies in the folder."""
    names = [path.name for path in folder.iterdir() if path.is_file() and path.name not in (".lock", "manifest.json")]
    listed = {}
    for name in names:
        data = (folder / name).read_bytes()
        listed[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "files": listed}))


def forge(folder: Path, *path: str, value: Any) -> None:
    """Set one value of config.json and seal the folder anew."""
    described = json.loads((folder / "config.json").read_text())
    inner = described
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (folder / "config.json").write_text(json.dumps(described))
    seal(folder)


def refusal(folder: Path) -> str:
    """The one clear message with which the folder is refused."""
    with pytest.raises(BundleError) as refused:
        load_bundle(folder)
    message = str(refused.value)
    assert message.endswith((".", "?", ")")) or "\n" not in message
    return message


# What is saved comes back


@pytest.mark.parametrize("name", ["classifier", "regressor", "multilabel"])
def test_saved_model_comes_back_to_the_bit(trained: Trained, tmp_path: Path, name: str) -> None:
    first = load_bundle(getattr(trained, name))
    save_bundle(tmp_path / "again", first, history=[], card="")
    second = load_bundle(tmp_path / "again")
    assert first._replace(model=second.model) == second
    before, after = first.model.state_dict(), second.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    ids = [[2, 5, 3], [4], [1, 1, 6, 7]]
    assert torch.equal(logits_of(first.model, ids), logits_of(second.model, ids))


@pytest.mark.parametrize(
    "override",
    [
        "model.embedding=one_hot",
        "data.tokens=subword",
        "model.cell=gru",
        "model.pooling=attention",
        "model.num_layers=2",
        "model.initial_state=learned",
        "model.layer_norm=true",
    ],
)
def test_every_kind_of_model_answers_after_loading_as_before(trained: Trained, tmp_path: Path, override: str) -> None:
    small = ["model.hidden_size=4", "model.embedding_size=4", "training.epochs=1", "training.baselines=false"]
    vocabulary = ["data.max_vocabulary=60"] if "subword" in override else []
    bundle = train_model(load_config(None, [*small, *vocabulary, override]), trained.reviews, tmp_path / "model")
    save_bundle(tmp_path / "again", bundle, history=[], card="")
    texts = table_of_texts(["the film was not good", "unheard of"])
    assert list(answer_table(load_bundle(tmp_path / "again"), texts)) == list(answer_table(bundle, texts))


def test_a_weight_that_is_not_finite_is_never_saved(trained: Trained, tmp_path: Path) -> None:
    bundle = load_bundle(trained.classifier)
    with torch.no_grad():
        bundle.model.head.bias[0] = torch.inf
    with pytest.raises(BundleError, match=r"head.bias holds a NaN or an infinity. Such a model is not saved."):
        save_bundle(tmp_path / "model", bundle, history=[], card="")
    assert not (tmp_path / "model").exists()


# Damage


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def make_pickle(path: Path) -> None:
    path.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")


def make_pt(path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, path)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, make_pickle, make_pt], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_damaged_file_is_named_and_refused(model: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(model / name)
    message = refusal(model)
    assert name in message
    assert "\n" not in message


@pytest.mark.parametrize("make", [make_pickle, make_pt], ids=lambda f: f.__name__)
def test_a_pickle_with_a_valid_manifest_is_no_model(model: Path, make: Callable[[Path], None]) -> None:
    make(model / "weights.safetensors")
    seal(model)
    assert "weights.safetensors is not a safetensors file" in refusal(model)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("name", NEEDED)
def test_a_manifest_without_a_needed_file_is_no_model(model: Path, name: str) -> None:
    (model / name).unlink()
    seal(model)
    assert refusal(model) == f"{model} is not a whole model: {name} not in its manifest."


def test_files_beside_the_model_are_never_opened(model: Path) -> None:
    for name in ("weights.pt", "model.pkl", "code.py", "kernel.so"):
        make_pickle(model / name)
        (model / name).chmod(0)
    load_bundle(model)


# Forged settings


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("settings", "model", "hidden_size"), 2**31, "model.hidden_size = 2147483648"),
        (("settings", "model", "hidden_size"), 65_536, "of the wrong shape or type"),
        (("settings", "model", "embedding_size"), 10**18, "model.embedding_size"),
        (("settings", "model", "embedding_size"), 65_536, "of the wrong shape or type"),
        (("settings", "model", "num_layers"), 10**9, "model.num_layers = 1000000000"),
        (("settings", "model", "num_layers"), 64, "tensors missing"),
        (("settings", "model", "hidden_size"), -1, "model.hidden_size = -1"),
        (("settings", "model", "hidden_size"), "4", "model.hidden_size = '4'"),
        (("settings", "model", "cell"), "torch.nn.LSTM", "'simple_rnn', 'lstm' or 'gru'"),
        (("settings", "model", "cell"), "os.system", "'simple_rnn', 'lstm' or 'gru'"),
        (("settings", "model", "pooling"), "../../etc/passwd", "'last', 'mean', 'max' or 'attention'"),
        (("settings", "model", "class"), "subprocess.Popen", "class: unknown setting"),
        (("settings", "device"), "tpu", "'auto', 'cpu' or 'cuda'"),
        (("settings",), [], "settings must be an object"),
        (("tokeniser", "kind"), "builtins.eval", "Allowed: word, character, byte, subword"),
        (("tokeniser", "kind"), "subword", 'The kind "subword" needs one'),
        (("tokeniser", "normal_form"), "NFD", "Allowed: NFC, NFKC"),
        (("tokeniser", "lowercase"), 1, "lowercase is 1"),
        (("tokeniser",), {"class": "os"}, "a saved tokeniser has the keys"),
        (("targets", "problem"), "torch.load", "allowed: binary, multiclass, multilabel, squared"),
        (("targets", "problem"), "multiclass", "do not fit the problem multiclass"),
        (("targets", "problem"), "multilabel", "the constant answer"),
        (("targets", "labels"), ["a"], "1 labels (a) do not fit the problem binary"),
        (("targets", "labels"), ["a", "a"], "do not fit the problem binary"),
        (("targets", "labels"), [1, 2], "labels must be a list of texts"),
        (("targets", "scale"), 0, "scale is 0.0, but must be above 0"),
        (("targets", "mean"), "0", "mean is '0', but must be a finite number"),
        (("constant",), 2, "the constant answer 2 is none of a binary problem"),
        (("constant",), True, "the constant answer True is none of a binary problem"),
        (("constant",), {"__reduce__": []}, "is none of a binary problem"),
        (("task",), "regress", "the task is 'regress', but the targets are of classify"),
        (("task",), None, "task must be a text"),
        (("settings", "task"), "regress", "but the targets are of classify"),
        (("input",), 5, "input must be a text"),
        (("data",), {"reviews.csv": 5}, "data must map the name of each file to its sha256"),
        (("data",), "x", "data must be an object"),
        (("extra",), 1, "keys missing or unknown: extra"),
        (("format",), 2, "the model has format 2, this version of seqloom reads up to 1. It was made by seqloom 0.1.0"),
        (("format",), 0, "there is no format 0"),
        (("format",), True, "does not say the format"),
        (("format",), "1", "does not say the format"),
    ],
)
def test_forged_settings_are_refused_at_once(model: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    forge(model, *path, value=value)
    started, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert said in refusal(model)
    assert time.process_time() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000, "memory was taken, in kB"


STEERING = ["../../x", "/etc/passwd", "file:///etc/passwd", "..\\x", "a\0b", "\x1b[2J", "os.system", "__import__('os')"]


@pytest.mark.parametrize("text", STEERING)
@pytest.mark.parametrize("path", [("input",), ("target",), ("seqloom",), ("settings", "data", "vectors")])
def test_texts_in_the_settings_are_texts_and_nothing_else(model: Path, path: tuple[str, ...], text: str) -> None:
    forge(model, *path, value=text)
    bundle = load_bundle(model)
    if path == ("input",):
        assert bundle.input == text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"format": 1, "format": 1}', "the key 'format' is there twice"),
        (b"[" * 100_000, "nested more than 32 deep"),
        (b'{"format": NaN}', "NaN is not a finite number"),
        (b"\xff\xfe", "is not valid JSON"),
        (b"", "is not valid JSON"),
        (b"[]", "does not say the format of a seqloom model"),
    ],
)
def test_settings_that_json_only_tolerates_are_refused(model: Path, data: bytes, said: str) -> None:
    (model / "config.json").write_bytes(data)
    seal(model)
    assert said in refusal(model)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("vocabulary.json", b'{"known": ["a"], "known": ["b"]}', "the key 'known' is there twice"),
        ("vocabulary.json", b'{"known": ["a", "a"]}', 'the vocabulary holds "a" 2 times'),
        ("vocabulary.json", b'{"known": [["a"]]}', "Every token must be text"),
        ("vocabulary.json", b'{"known": ["a"]}', "of the wrong shape or type: embedding.weight"),
        ("vocabulary.json", b'{"classes": []}', "must be one JSON object"),
        ("metrics.json", b"[]", "must be an object"),
        ("metrics.json", b'{"baselines": 1}', "an object for each baseline"),
        ("metrics.json", b'{"baselines": {"a": {"accuracy": "1"}}}', "must be numbers"),
        ("metrics.json", b'{"baselines": {"a": {"intervals": {"accuracy": 1}}}}', "must be numbers"),
        ("metrics.json", b'{"accuracy": Infinity}', "is not a finite number"),
        ("subwords.model", b"no protobuf", "was given a subword model"),
        ("other.bin", b"", "lists 'other.bin', which does not belong there"),
    ],
)
def test_other_forged_files_are_refused(model: Path, name: str, data: bytes, said: str) -> None:
    (model / name).write_bytes(data)
    seal(model)
    assert said in refusal(model)


def test_damaged_subword_model_is_refused_when_loading(model: Path) -> None:
    pytest.importorskip("sentencepiece")
    (model / "subwords.model").write_bytes(b"no protobuf")
    forge(model, "tokeniser", "kind", value="subword")
    assert "the subword model (11 bytes) is damaged" in refusal(model)


def rename(weights: dict[str, torch.Tensor]) -> None:
    weights["head.waits"] = weights.pop("head.weight")


def widen(weights: dict[str, torch.Tensor]) -> None:
    weights["head.weight"] = weights["head.weight"].repeat(1, 2)


def halve(weights: dict[str, torch.Tensor]) -> None:
    weights["head.bias"] = weights["head.bias"].half()


def count(weights: dict[str, torch.Tensor]) -> None:
    weights["head.bias"] = weights["head.bias"].long()


def add(weights: dict[str, torch.Tensor]) -> None:
    weights["extra"] = torch.ones(1)


def empty(weights: dict[str, torch.Tensor]) -> None:
    weights.clear()


def spoil(weights: dict[str, torch.Tensor]) -> None:
    weights["head.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename, "tensors missing: head.weight. It belongs to another model."),
        (widen, "tensors of the wrong shape or type: head.weight."),
        (halve, "tensors of the wrong shape or type: head.bias."),
        (count, "tensors of the wrong shape or type: head.bias."),
        (add, "tensors unknown: extra."),
        (empty, "tensors missing: embedding.weight"),
        (spoil, "the tensor head.bias holds a NaN or an infinity. Such a model is not loaded."),
    ],
)
def test_weights_of_another_model_are_refused(model: Path, change: Callable[[Any], None], said: str) -> None:
    weights = safetensors.torch.load_file(model / "weights.safetensors")
    change(weights)
    (model / "weights.safetensors").write_bytes(safetensors.torch.save(weights))
    seal(model)
    assert said in refusal(model)


def raw_safetensors(header: dict[str, Any], payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


@pytest.mark.parametrize(
    "data",
    [
        raw_safetensors({"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}}, b"1234"),
        raw_safetensors({"a": {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 4]}}, b"1234"),
        raw_safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]}}, b"1234"),
        raw_safetensors({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"1"),
        raw_safetensors({"a": {"dtype": "F8_E8M0", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
        raw_safetensors({"a": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        (2**63).to_bytes(8, "little"),
        (100_000_000).to_bytes(8, "little") + b"{",
        b"",
    ],
)
def test_weight_files_that_lie_about_their_size_are_refused(model: Path, data: bytes) -> None:
    (model / "weights.safetensors").write_bytes(data)
    seal(model)
    assert "weights.safetensors" in refusal(model)


# Never a crash, never a silent change


@pytest.mark.parametrize(
    ("kind", "sealed", "count"),
    [
        ("multilabel", True, 100),
        ("multilabel", False, 100),
        ("translator", True, 50),
        pytest.param("multilabel", True, 250, marks=pytest.mark.long),
        pytest.param("multilabel", False, 250, marks=pytest.mark.long),
        pytest.param("translator", True, 100, marks=pytest.mark.long),
    ],
)
def test_mutants_load_as_they_are_or_are_refused(
    trained: Trained, tmp_path: Path, kind: str, sealed: bool, count: int
) -> None:
    model = Path(shutil.copytree(getattr(trained, kind), tmp_path / "model"))
    sealable = WRITES if kind == "translator" else FILES[:4]
    whole = {name: (model / name).read_bytes() for name in {*FILES, *sealable, "manifest.json"}}
    draw = random.Random(int(sealed))
    refused = changed = 0
    for _ in range(count):
        name = draw.choice(sealable if sealed else [*FILES, "manifest.json"])
        (model / name).write_bytes(mutate(whole[name], draw))
        changed += (model / name).read_bytes() != whole[name]
        if sealed:
            seal(model)
        try:
            bundle = load_bundle(model)
            list(answer_table(bundle, table_of_texts(["the film was good"], column=bundle.input)))
        except BundleError as error:
            refused += 1
            assert str(error).strip()
        else:
            assert sealed or (model / name).read_bytes() == whole[name], f"{name} was changed and not noticed"
        for restored in (name, "manifest.json"):
            (model / restored).write_bytes(whole[restored])
    assert changed > 0.8 * count
    assert refused > 0.4 * count if sealed else refused == changed


def mutate(data: bytes, draw: random.Random) -> bytes:
    """One of: a flipped bit, a cut, a doubled or a removed piece, a number blown up, a value of another kind."""
    start, stop = sorted(draw.randrange(len(data)) for _ in range(2))
    bigger = draw.choice([b"-1", b"9" * 30, b"1e400", b"2147483648"])
    other = draw.choice([b"{}", b'"x"', b"7"])
    match draw.randrange(6):
        case 0:
            return data[:start] + bytes([data[start] ^ (1 << draw.randrange(8))]) + data[start + 1 :]
        case 1:
            return data[:start]
        case 2:
            return data[:stop] + data[start:]
        case 3:
            return data[:start] + data[stop + 1 :]
        case 4:
            return data.replace(draw.choice([b"4", b"1", b"0"]), bigger, 1)
        case _:
            return data.replace(draw.choice([b"true", b"null", b'"lstm"', b'"word"', b"["]), other, 1)


EVENTS = ("exec", "compile", "import", "marshal", "pickle", "ctypes", "socket", "subprocess")
WATCHED = """
import pathlib, sys
from seqloom.bundle import load_bundle
load_bundle({other!r})
modules, opened, watching = set(sys.modules), [], True
def hook(event, details):
    if not watching:
        return
    if event == "open":
        if isinstance(details[0], int):
            return  # a file that is open already
        opened.append(str(details[0]))
    elif event.partition(".")[0] in {watched!r}:
        opened.append(event + " " + str(details[:1]))
sys.addaudithook(hook)
load_bundle({model!r})
watching = False
print(sorted(opened))
print(sorted(set(sys.modules) - modules))
"""


def test_loading_opens_its_own_files_and_runs_no_code(trained: Trained) -> None:
    script = WATCHED.format(watched=EVENTS, other=str(trained.regressor), model=str(trained.classifier))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    opened, imported = map(eval_list, done.stdout.splitlines())
    own = {*FILES, "manifest.json", "report.html", str(trained.classifier)}
    assert set(opened) <= own, "something else was opened or run"
    assert imported == []


def eval_list(line: str) -> list[str]:
    values: list[str] = json.loads(line.replace("'", '"'))
    return values
