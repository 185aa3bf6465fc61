"""A trained model on disk: a folder of plain files, loaded without running any code.

`config.json` says what it is, `weights.safetensors` and `vocabulary.json` what it learned (a model that writes texts
has a `target_vocabulary.json` too, a tagger `characters.json` and `lexicon.json`), `metrics.json`, `history.jsonl` and
`README.md` how well, `report.html` shows it all; `manifest.json` seals them. Loading reads these names and no others.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import safetensors.torch
import torch

from seqloom import __version__
from seqloom.config import Config, config_from_dict
from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.next_targets import NextTargets
from seqloom.data.numbers import NumbersReader
from seqloom.data.series_targets import SeriesTargets
from seqloom.data.tag_targets import TagTargets
from seqloom.data.targets import Target, Targets
from seqloom.data.text_targets import AnyTargets, TextTargets
from seqloom.errors import BundleError, SeqloomError
from seqloom.files import read_folder, replace_folder, strict_json
from seqloom.models import AnyModel, Forecaster, OneAnswer
from seqloom.models.build import build_for_numbers, build_forecaster, build_model
from seqloom.models.weights import check_finite, fill
from seqloom.text import Tokeniser, Vocabulary

FORMAT = 1

MEGABYTE = 1 << 20
LIMITS = {
    "config.json": 16 * MEGABYTE,
    "weights.safetensors": 16 * 1024 * MEGABYTE,
    "vocabulary.json": 1024 * MEGABYTE,
    "subwords.model": 256 * MEGABYTE,
    "target_vocabulary.json": 1024 * MEGABYTE,
    "target_subwords.model": 256 * MEGABYTE,
    "characters.json": 16 * MEGABYTE,
    "lexicon.json": 1024 * MEGABYTE,
    "metrics.json": 16 * MEGABYTE,
    "history.jsonl": 256 * MEGABYTE,
    "README.md": 16 * MEGABYTE,
    "report.html": 256 * MEGABYTE,
}
TO_WRITE = {"target_vocabulary.json", "target_subwords.model"}
TO_TAG = {"characters.json", "lexicon.json"}
OF_TEXTS = {"vocabulary.json", "subwords.model", *TO_WRITE, *TO_TAG}
NEEDED = ("config.json", "weights.safetensors", "vocabulary.json", "metrics.json")  # of numbers: no vocabulary
BYTE = re.compile("[0-9a-f]{2}")
KEYS = {"format", "seqloom", "task", "input", "target", "tokeniser", "targets", "constant", "settings", "data"}
KEYS_OF_SERIES = KEYS - {"tokeniser", "constant"}
KEYS_OF_NUMBERS = KEYS - {"tokeniser"} | {"reader"}


class Bundle(NamedTuple):
    """A trained model with all it needs to answer.

    `constant` is the answer of one who never looks: the most frequent training target. `data` are the sha256 of the
    files it was trained on, by name.
    """

    config: Config
    input: str
    target: str
    tokeniser: Tokeniser
    vocabulary: Vocabulary
    targets: AnyTargets
    constant: Target | str
    data: dict[str, str]
    model: AnyModel
    metrics: dict[str, Any]


class SeriesBundle(NamedTuple):
    """A trained model of series: how they are read and what is forecast stands in its targets."""

    config: Config
    input: str
    target: str
    targets: SeriesTargets
    data: dict[str, str]
    model: Forecaster
    metrics: dict[str, Any]


class NumbersBundle(NamedTuple):
    """A trained model that answers once for a series or a row of numbers: `reader` says how it reads them."""

    config: Config
    input: str
    target: str
    reader: NumbersReader
    targets: Targets
    constant: Target
    data: dict[str, str]
    model: OneAnswer
    metrics: dict[str, Any]


AnyBundle = Bundle | NumbersBundle | SeriesBundle
Built = TypeVar("Built", bound=AnyModel)


def save_bundle(
    folder: Path, bundle: AnyBundle, *, history: Iterable[Mapping[str, Any]], card: str, report: str | None = None
) -> None:
    """Write `bundle` into `folder`, durably: whoever loads it meanwhile gets the old or the new, whole.

    Raises BundleError where a weight is not finite, StorageError where the folder cannot be written.
    """
    # Parameters, not the state dict: what is shared is written once.
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in bundle.model.named_parameters()}
    check_finite(weights, advice="Such a model is not saved.")
    described = {
        "format": FORMAT,
        "seqloom": __version__,
        "task": bundle.targets.task,
        "input": bundle.input,
        "target": bundle.target,
        "targets": bundle.targets.to_dict(),
        "settings": bundle.config.model_dump(),
        "data": bundle.data,
    }
    files: dict[str, bytes] = {}
    if isinstance(bundle, Bundle):
        described |= {"tokeniser": bundle.tokeniser.to_dict(), "constant": bundle.constant}
        files = _texts_of(bundle)
    if isinstance(bundle, NumbersBundle):
        described |= {"reader": bundle.reader.to_dict(), "constant": bundle.constant}
    files |= {
        "config.json": _to_json(described),
        "weights.safetensors": safetensors.torch.save(weights),
        "metrics.json": _to_json(bundle.metrics),
        "history.jsonl": "".join(json.dumps(row) + "\n" for row in history).encode(),
        "README.md": card.encode(),
    }
    if report is not None:
        files["report.html"] = report.encode()
    replace_folder(folder, files)


def _texts_of(bundle: Bundle) -> dict[str, bytes]:
    """The files of what a model reads and writes as texts. What writes captions reads none: it has one vocabulary."""
    files = {"vocabulary.json": bundle.vocabulary.to_json().encode()}
    if bundle.tokeniser.subword_model is not None:
        files["subwords.model"] = bundle.tokeniser.subword_model
    if isinstance(bundle.targets, TextTargets) and not isinstance(bundle.targets, CaptionTargets):
        files["target_vocabulary.json"] = bundle.targets.vocabulary.to_json().encode()
        if bundle.targets.tokeniser.subword_model is not None:
            files["target_subwords.model"] = bundle.targets.tokeniser.subword_model
    if isinstance(bundle.targets, TagTargets):
        files["characters.json"] = bundle.targets.characters.to_json().encode()
        files["lexicon.json"] = (json.dumps(bundle.targets.lexicon_to_dict(), ensure_ascii=False) + "\n").encode()
    return files


def load_bundle(folder: str | Path) -> AnyBundle:
    """Load a trained model, on the CPU and ready to answer.

    Raises BundleError where anything is missing, damaged, foreign or of a newer format.
    """
    folder = Path(folder)
    files = read_folder(folder, allowed=LIMITS)
    _check_there(folder, files, needed=("config.json",))
    described = strict_json(files["config.json"], name=str(folder / "config.json"))
    _check_described(described, name=str(folder / "config.json"))
    of_series, of_numbers = described["task"] == SeriesTargets.task, "reader" in described
    of_texts = not (of_series or of_numbers)
    _check_there(folder, files, needed=[name for name in NEEDED if of_texts or name not in OF_TEXTS])
    if not of_texts and (foreign := sorted(files.keys() & OF_TEXTS)):
        raise BundleError(f"{folder}: {foreign[0]} belongs to a model of texts, this one reads numbers.")
    with _readable(folder):
        config = config_from_dict(described["settings"], name=str(folder / "config.json"))
    load = _load_series if of_series else _load_numbers if of_numbers else _load_texts
    bundle: AnyBundle = load(folder, config, described, files)
    _check_metrics(bundle.metrics, name=str(folder / "metrics.json"))
    return bundle


def _check_there(folder: Path, files: Mapping[str, bytes], *, needed: Iterable[str]) -> None:
    missing = [name for name in needed if name not in files]
    if missing:
        raise BundleError(f"{folder} is not a whole model: {', '.join(missing)} not in its manifest.")


def _load_series(
    folder: Path, config: Config, described: Mapping[str, Any], files: Mapping[str, bytes]
) -> SeriesBundle:
    with _readable(folder):
        targets = SeriesTargets.from_dict(described["targets"])
    if config.task not in (None, targets.task):
        raise BundleError(f"{folder / 'config.json'}: the task is {config.task}, but the targets are of a forecast.")
    if targets.quantiles != tuple(config.forecast.quantiles):
        raise BundleError(f"{folder / 'config.json'}: settings and targets have different quantiles.")
    model = _filled(folder, files, lambda: build_forecaster(config, targets))
    return SeriesBundle(config=config, targets=targets, model=model, **_said(folder, described, files))


def _load_numbers(
    folder: Path, config: Config, described: Mapping[str, Any], files: Mapping[str, bytes]
) -> NumbersBundle:
    with _readable(folder):
        targets, reader = Targets.from_dict(described["targets"]), NumbersReader.from_dict(described["reader"])
    _check_answers(described, config, targets, name=str(folder / "config.json"))
    model = _filled(folder, files, lambda: build_for_numbers(config, reader=reader, targets=targets))
    return NumbersBundle(
        config=config,
        reader=reader,
        targets=targets,
        constant=described["constant"],
        model=model,
        **_said(folder, described, files),
    )


def _load_texts(folder: Path, config: Config, described: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    with _readable(folder):
        tokeniser = Tokeniser.from_dict(described["tokeniser"], subword_model=files.get("subwords.model"))
        vocabulary = _load_vocabulary(files, "vocabulary.json")
        targets = _load_targets(described, files, tokeniser, vocabulary)
        tokeniser.texts("a")  # a damaged subword model shows when it is first used
    _check_answers(described, config, targets, name=str(folder / "config.json"))
    if isinstance(targets, TextTargets) and config.data.joint_vocabulary and targets.vocabulary != vocabulary:
        raise BundleError(f"{folder}: vocabulary.json and target_vocabulary.json differ, but are joint in this model.")
    model = _filled(folder, files, lambda: build_model(config, vocabulary=vocabulary, targets=targets))
    return Bundle(
        config=config,
        tokeniser=tokeniser,
        vocabulary=vocabulary,
        targets=targets,
        constant=described["constant"],
        model=model,
        **_said(folder, described, files),
    )


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Raise BundleError where what is read of a model is nothing that this version knows."""
    try:
        yield
    except (SeqloomError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder} is not a model this version can read: {error}") from None


def _filled(folder: Path, files: Mapping[str, bytes], build: Callable[[], Built]) -> Built:
    """The model with its weights. Raises BundleError unless these are exactly its own."""
    # On the meta device a model takes no memory: settings that ask for a huge one are caught by comparing shapes.
    with torch.device("meta"):
        model = build()
    fill(model, files["weights.safetensors"], name=f"{folder}/weights.safetensors")
    model.eval()
    return model


def _said(folder: Path, described: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What is said of every model."""
    metrics = strict_json(files["metrics.json"], name=str(folder / "metrics.json"))
    return {name: described[name] for name in ("input", "target", "data")} | {"metrics": metrics}


def _load_json(files: Mapping[str, bytes], name: str) -> Any:
    if name not in files:  # only that of the targets: the others were looked for before
        raise BundleError(f"{name} is not in its manifest.")
    return strict_json(files[name], name=name)


def _load_vocabulary(files: Mapping[str, bytes], name: str) -> Vocabulary:
    _load_json(files, name)
    return Vocabulary.from_json(files[name].decode("utf-8"))


def _load_targets(
    described: Mapping[str, Any], files: Mapping[str, bytes], tokeniser: Tokeniser, vocabulary: Vocabulary
) -> AnyTargets:
    task, saved = described["task"], described["targets"]
    for owner, names, whose in (("translate", TO_WRITE, "model that writes texts"), ("tag", TO_TAG, "tagger")):
        if task != owner and (foreign := sorted(files.keys() & names)):
            raise BundleError(f"{foreign[0]} belongs to a {whose}, the task is {task[:80]}.")
    if task == "tag":
        characters = _load_vocabulary(files, "characters.json")
        return TagTargets.from_dict(saved, lexicon=_load_json(files, "lexicon.json"), characters=characters)
    if task == "generate":
        _check_bytes(tokeniser, vocabulary, name="vocabulary.json")
        return NextTargets.from_dict(saved, tokeniser=tokeniser, vocabulary=vocabulary)
    if task == "caption":
        _check_bytes(tokeniser, vocabulary, name="vocabulary.json")
        return CaptionTargets.from_saved(saved, tokeniser=tokeniser, vocabulary=vocabulary)
    if task != "translate":
        return Targets.from_dict(saved)
    vocabulary = _load_vocabulary(files, "target_vocabulary.json")
    model = files.get("target_subwords.model")
    targets = TextTargets.from_dict(described["targets"], vocabulary=vocabulary, subword_model=model)
    targets.tokeniser.texts("a")
    _check_bytes(targets.tokeniser, vocabulary, name="target_vocabulary.json")
    return targets


def _check_bytes(tokeniser: Tokeniser, vocabulary: Vocabulary, *, name: str) -> None:
    """Raise BundleError where bytes are written, and the vocabulary holds something else."""
    if tokeniser.kind == "byte" and not all(BYTE.fullmatch(token) for token in vocabulary.known):
        raise BundleError(f"{name} holds what is no byte.")


def _check_described(described: Any, *, name: str) -> None:
    """Raise BundleError unless `config.json` has the keys and kinds of value of a format this version knows."""
    if not isinstance(described, dict) or type(described.get("format")) is not int:
        raise BundleError(f"{name} does not say the format of a seqloom model.")
    if described["format"] < 1:
        raise BundleError(f"{name}: there is no format {described['format']}.")
    if described["format"] > FORMAT:
        raise BundleError(
            f"{name}: the model has format {described['format']}, this version of seqloom reads up to {FORMAT}. "
            f"It was made by seqloom {described.get('seqloom', '?')}: install that version or a newer one."
        )
    keys = KEYS_OF_NUMBERS if "reader" in described else KEYS
    keys = KEYS_OF_SERIES if described.get("task") == SeriesTargets.task else keys
    if set(described) != keys:
        odd = ", ".join(sorted(set(described) ^ keys))
        raise BundleError(f"{name}: keys missing or unknown: {odd}.")
    texts = dict.fromkeys(("seqloom", "task", "input", "target"), str)
    for key, kind in (texts | dict.fromkeys(("tokeniser", "targets", "settings", "data"), dict)).items():
        if key in keys and not isinstance(described[key], kind):
            raise BundleError(f"{name}: {key} must be {'a text' if kind is str else 'an object'}.")
    if not all(isinstance(digest, str) for digest in described["data"].values()):
        raise BundleError(f"{name}: data must map the name of each file to its sha256.")


def _check_answers(described: Mapping[str, Any], config: Config, targets: AnyTargets, *, name: str) -> None:
    """Raise BundleError where task, targets and constant answer do not belong together."""
    if described["task"] != targets.task or config.task not in (None, targets.task):
        raise BundleError(f"{name}: the task is {described['task'][:80]!r}, but the targets are of {targets.task}.")
    constant, classes = described["constant"], range(len(targets.labels))
    match targets.problem:
        case "text" | "next":
            fits = isinstance(constant, str)
        case "squared":
            fits = type(constant) is float
        case "multilabel":
            fits = isinstance(constant, list) and len(constant) == len(classes) and all(_is_bit(x) for x in constant)
        case _:
            fits = type(constant) is int and constant in classes
    if not fits:
        raise BundleError(f"{name}: the constant answer {constant!r:.80} is none of a {targets.problem} problem.")


def _check_metrics(metrics: Any, *, name: str) -> None:
    """Raise BundleError unless the figures that are shown again are figures."""
    baselines = metrics.get("baselines", {}) if isinstance(metrics, dict) else None
    if not isinstance(baselines, dict) or not all(isinstance(scores, dict) for scores in baselines.values()):
        raise BundleError(f'{name} must be an object, and its "baselines" an object for each baseline.')
    for scores in baselines.values():
        intervals = scores.get("intervals", {})
        ends = [end for pair in intervals.values() for end in pair] if _are_pairs(intervals) else [None]
        figures = [value for key, value in scores.items() if key != "intervals"]
        if not all(type(value) in (int, float) for value in figures + ends):
            raise BundleError(f"{name}: what the baselines reached must be numbers.")


def _are_pairs(intervals: Any) -> bool:
    pairs = intervals.values() if isinstance(intervals, dict) else [None]
    return all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)


def _is_bit(value: Any) -> bool:
    return type(value) is int and value in (0, 1)


def _to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
