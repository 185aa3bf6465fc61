"""The proof that every setting does something: change it, and what it promises to change is another.

A setting without an entry here fails, as does an entry without a setting.
"""

import functools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
import torch
from torch import Tensor

from seqloom.bundle import Bundle
from seqloom.config import Config, Settings
from seqloom.data import reviews, table_of_texts
from seqloom.data.generators_scenes import write_scenes
from seqloom.data.generators_series import turns
from seqloom.errors import SeqloomError
from seqloom.inference import answer_table
from seqloom.training import Event, Said
from tests.training.tiny import train, write_rows


class Run(NamedTuple):
    """A training, or what was said when it was refused."""

    bundle: Bundle | None
    said: str
    checkpoints: list[str]

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.whole.model.state_dict()

    @property
    def whole(self) -> Bundle:
        assert self.bundle is not None, self.said
        return self.bundle


class Alive(NamedTuple):
    """A value other than the default, what it must show (of the run before and after), and what both runs share."""

    value: Any
    shows: Callable[[Run, Run], bool]
    given: Mapping[str, Any] = MappingProxyType({})


def other_weights(before: Run, after: Run) -> bool:
    """The same tensors, trained to other values."""
    shapes = [{name: tensor.shape for name, tensor in run.weights.items()} for run in (before, after)]
    return shapes[0] == shapes[1] and not same_weights(before, after)


def other_tensors(before: Run, after: Run) -> bool:
    """Other parameters: their names or shapes."""
    shapes = [{name: tensor.shape for name, tensor in run.weights.items()} for run in (before, after)]
    return shapes[0] != shapes[1]


def same_weights(before: Run, after: Run) -> bool:
    return before.weights.keys() == after.weights.keys() and all(
        torch.equal(tensor, after.weights[name]) for name, tensor in before.weights.items()
    )


def tensors_gained(part: str) -> Callable[[Run, Run], bool]:
    """Parameters with `part` in their names, which were not there before."""
    return lambda before, after: any(part in name for name in set(after.weights) - set(before.weights))


def tensors_lost(part: str) -> Callable[[Run, Run], bool]:
    return lambda before, after: tensors_gained(part)(after, before)


def epochs(run: Run) -> int:
    found: int = run.whole.metrics["epochs"]
    return found


def rows(run: Run, part: str) -> int:
    found: int = run.whole.metrics["rows"][part]
    return found


def moved(run: Run, name: str) -> bool:
    """Whether training changed a tensor from how it started."""
    return not torch.equal(run.weights[name], run_with(**{"training.learning_rate": 1e-30}).weights[name])


def answers(run: Run) -> list[list[str]]:
    """What is written for some texts: the best first, then its alternatives."""
    texts = table_of_texts(["the film was not good", "A dull plot", "zzz"], column="text")
    rows = list(answer_table(run.whole, texts))
    return [[row["prediction"], *(other["prediction"] for other in row["alternatives"])] for row in rows]


def scores(run: Run) -> list[float]:
    """How sure the model is of what it writes."""
    texts = table_of_texts(["the film was not good", "A dull plot"], column="text")
    return [row["score"] for row in answer_table(run.whole, texts)]


def other_answers(before: Run, after: Run) -> bool:
    """The same model, which writes something else."""
    return same_weights(before, after) and answers(before) != answers(after)


def twice(text: str) -> bool:
    """Whether a word stands in a text more than once."""
    return len(set(text.split())) < len(text.split())


FLAT = {"training.learning_rate": 1e-30, "training.epochs": 4}
TWO_LAYERS = {"model.num_layers": 2}
NAMES = ("one", "two", "three", "four", "five", "six", "seven")
PLAIN_CELL = {"model.cell": "simple_rnn"}
WRITES = {"task": "translate", "data.target": "title", "training.learning_rate": 0.05, "training.epochs": 4}
WRITES_LONG = WRITES | {"decoding.length_penalty": 3.0}
TAGS = {"task": "tag", "training.learning_rate": 0.01}
DRAWS = WRITES | {"decoding.temperature": 1.0}
NUMBERS = {"data.input": "x,y", "model.embedding_size": 128}  # the default: numbers have none
GENERATES = {"task": "generate", "data.target": None}  # which is the text itself

FORECASTS = {
    "task": "forecast",
    "data.input": None,
    "data.target": "sold",
    "forecast.horizon": 4,
    "forecast.context": 12,
    "forecast.windows": 60,
    "model.embedding_size": 128,  # the default: series have none
    "training.baselines": True,
}
CAPTIONS = {"task": "caption", "data.input": "image", "data.target": "caption"}
NEEDED = {"caption": CAPTIONS, "forecast": FORECASTS, "generate": GENERATES, "tag": TAGS}
FORECASTS_ONE_WAY = FORECASTS | {"model.bidirectional": False}

ALIVE: dict[str, Alive] = {
    "task": Alive(
        "regress",
        lambda a, b: (a.whole.targets.problem, b.whole.targets.problem) == ("binary", "squared"),
        {"data.target": "two"},
    ),
    "seed": Alive(1, lambda a, b: not same_weights(a, b)),
    "device": Alive("cuda", lambda a, b: b.said.startswith("device is cuda, but this torch finds no GPU")),
    "data.input": Alive("title", lambda a, b: (a.whole.input, b.whole.input) == ("text", "title")),
    "data.target": Alive("two", lambda a, b: (a.whole.target, b.whole.target) == ("label", "two")),
    "data.tokens": Alive("character", lambda a, b: "good" in a.whole.vocabulary and "good" not in b.whole.vocabulary),
    "data.target_tokens": Alive(
        "character",
        lambda a, b: [r.whole.targets.tokeniser.kind for r in (a, b)] == ["word", "character"],
        WRITES,
    ),
    "data.joint_vocabulary": Alive(
        True, lambda a, b: [r.whole.vocabulary == r.whole.targets.vocabulary for r in (a, b)] == [False, True], WRITES
    ),
    "data.lowercase": Alive(False, lambda a, b: "The" not in a.whole.vocabulary and "The" in b.whole.vocabulary),
    "data.normal_form": Alive(
        "NFKC",
        lambda a, b: "ﬁne" in a.whole.vocabulary and "ﬁne" not in b.whole.vocabulary and "fine" in b.whole.vocabulary,
    ),
    "data.min_count": Alive(3, lambda a, b: len(b.whole.vocabulary) < len(a.whole.vocabulary)),
    "data.max_vocabulary": Alive(10, lambda a, b: len(a.whole.vocabulary) > 13 >= len(b.whole.vocabulary)),
    "data.max_length": Alive(3, lambda a, b: "rows are cut to 3 tokens" in b.said and other_weights(a, b)),
    "data.frames": Alive(3, other_tensors, NUMBERS),
    "data.vectors": Alive("vectors.txt", lambda a, b: "vectors: 2 of " in b.said and other_weights(a, b)),
    "data.label_separator": Alive(
        "|", lambda a, b: (len(a.whole.targets.labels), len(b.whole.targets.labels)) == (3, 2), {"data.target": "tags"}
    ),
    "data.series": Alive(
        "shop", lambda a, b: [r.whole.targets.layout.series for r in (a, b)] == ["store", "shop"], FORECASTS
    ),
    "data.time": Alive(
        "later", lambda a, b: [r.whole.targets.layout.time for r in (a, b)] == ["when", "later"], FORECASTS
    ),
    "data.frequency": Alive(
        "30 minutes",
        lambda a, b: [str(r.whole.targets.frequency) for r in (a, b)] == ["1 hour", "30 minutes"],
        FORECASTS,
    ),
    "data.image_size": Alive(20, lambda a, b: [r.whole.targets.sight.size for r in (a, b)] == [64, 20], CAPTIONS),
    "data.valid_fraction": Alive(0.3, lambda a, b: (rows(a, "valid"), rows(b, "valid")) == (6, 18)),
    "data.test_fraction": Alive(0.3, lambda a, b: (rows(a, "test"), rows(b, "test")) == (6, 18)),
    "model.cell": Alive("gru", other_tensors),
    "model.embedding": Alive("one_hot", tensors_lost("embedding.weight")),
    "model.embedding_size": Alive(5, lambda a, b: b.weights["embedding.weight"].shape[1] == 5),
    "model.freeze_embedding": Alive(
        True, lambda a, b: (moved(a, "embedding.weight"), moved(b, "embedding.weight")) == (True, False)
    ),
    "model.hidden_size": Alive(3, lambda a, b: [r.weights["head.weight"].shape[1] for r in (a, b)] == [8, 6]),
    "model.num_layers": Alive(2, tensors_gained("layers.1.")),
    "model.bidirectional": Alive(False, tensors_lost("backward")),
    "model.residual": Alive(True, other_weights, TWO_LAYERS),
    "model.pooling": Alive("mean", other_weights),
    "model.attention": Alive("general", other_tensors, WRITES | {"model.bidirectional": False}),
    "model.reverse_source": Alive(True, other_weights, WRITES),
    "model.readout": Alive("direct", tensors_lost("readout"), WRITES),
    "model.tied_embeddings": Alive(
        True,
        lambda a, b: (
            [torch.equal(r.weights["output.weight"], r.weights["target_embedding.weight"]) for r in (a, b)]
            == [False, True]
        ),
        WRITES,
    ),
    "model.output": Alive("crf", tensors_gained("crf."), TAGS),
    "model.characters": Alive(False, tensors_lost("characters."), TAGS),
    "model.character_size": Alive(
        5, lambda a, b: [r.weights["characters.embedding.weight"].shape[1] for r in (a, b)] == [64, 5], TAGS
    ),
    "model.softmax": Alive("adaptive", other_tensors, GENERATES),
    "model.variational_dropout": Alive(True, other_weights, GENERATES),
    "model.activation": Alive("relu", other_weights, PLAIN_CELL),
    "model.init": Alive("identity", other_weights),
    "model.initial_state": Alive("learned", tensors_gained("first_state")),
    "model.reset_after": Alive(True, other_tensors, {"model.cell": "gru"}),
    "model.bias": Alive(False, tensors_lost("layers.0.forward_layer.bias")),
    "model.layer_norm": Alive(True, tensors_gained("norm_hidden")),
    "model.dropout": Alive(0.0, other_weights),
    "model.word_dropout": Alive(0.0, other_weights),
    "model.recurrent_dropout": Alive(0.4, other_weights),
    "model.weight_dropout": Alive(0.4, other_weights),
    "training.class_weights": Alive("balanced", other_weights),
    "training.epochs": Alive(3, lambda a, b: (epochs(a), epochs(b)) == (2, 3)),
    "training.max_minutes": Alive(1e-9, lambda a, b: (epochs(a), epochs(b)) == (2, 1)),
    "training.batch_size": Alive(10, lambda a, b: ("3 batches" in a.said, "5 batches" in b.said) == (True, True)),
    "training.window": Alive(10, other_weights, GENERATES),
    "training.optimizer": Alive("sgd", other_weights),
    "training.learning_rate": Alive(0.01, other_weights),
    "training.weight_decay": Alive(0.5, other_weights),
    "training.warmup": Alive(0.9, other_weights),
    "training.decay": Alive("constant", other_weights),
    "training.clip_norm": Alive(1e-6, other_weights),
    "training.label_smoothing": Alive(0.2, other_weights),
    "training.scheduled_sampling": Alive(0.5, other_weights, WRITES),
    "training.patience": Alive(1, lambda a, b: (epochs(a), epochs(b)) == (4, 2), FLAT),
    "training.average": Alive(0.0, other_weights),
    "training.checkpoint_minutes": Alive(
        0.0, lambda a, b: ("step-00000003" in a.checkpoints, "step-00000005" in b.checkpoints) == (True, True)
    ),
    "training.baselines": Alive(
        True, lambda a, b: set(b.whole.metrics["baselines"]) - set(a.whole.metrics["baselines"]) == {"tfidf_logreg"}
    ),
    "decoding.beam": Alive(2, lambda a, b: {len(texts) for texts in answers(a) + answers(b)} == {5, 2}, WRITES),
    "decoding.length_penalty": Alive(3.0, other_answers, WRITES),
    "decoding.coverage_penalty": Alive(5.0, other_answers, WRITES),
    "decoding.max_output": Alive(
        2,
        lambda a, b: [max(len(text.split()) for text, *_ in answers(r)) > 2 for r in (a, b)] == [True, False],
        WRITES_LONG,
    ),
    "decoding.no_repeat": Alive(
        1, lambda a, b: [any(twice(text) for text, *_ in answers(r)) for r in (a, b)] == [True, False], WRITES_LONG
    ),
    "decoding.replace_unknown": Alive(
        False,
        lambda a, b: ["<unknown>" in str(answers(r)) for r in (a, b)] == [False, True] and "zzz" in str(answers(a)),
        WRITES_LONG | {"data.min_count": 1000},
    ),
    "decoding.weights": Alive("int8", lambda a, b: scores(a) != scores(b), WRITES),
    "decoding.temperature": Alive(1.0, lambda a, b: other_answers(a, b) and answers(b) == answers(b), WRITES),
    "decoding.top_k": Alive(1, other_answers, DRAWS),
    "decoding.top_p": Alive(0.01, other_answers, DRAWS),
    "forecast.horizon": Alive(3, lambda a, b: [r.whole.targets.reader.horizon for r in (a, b)] == [4, 3], FORECASTS),
    "forecast.context": Alive(9, lambda a, b: [r.whole.targets.reader.context for r in (a, b)] == [12, 9], FORECASTS),
    "forecast.season": Alive(5, lambda a, b: [r.whole.targets.reader.season for r in (a, b)] == [24, 5], FORECASTS),
    "forecast.transform": Alive(
        "none", lambda a, b: [r.whole.targets.reader.log for r in (a, b)] == [True, False], FORECASTS
    ),
    "forecast.quantiles": Alive([0.2, 0.8], other_weights, FORECASTS),
    "forecast.decoder": Alive("recursive", other_tensors, FORECASTS_ONE_WAY),
    "forecast.highway": Alive(False, tensors_lost("highway"), FORECASTS),
    "forecast.calendar": Alive(False, other_tensors, FORECASTS),
    "forecast.origins": Alive(2, lambda a, b: (rows(a, "test") > 4, rows(b, "test")) == (True, 4), FORECASTS),
    "forecast.windows": Alive(20, lambda a, b: 60 >= rows(a, "train") > 20 >= rows(b, "train"), FORECASTS),
}


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """60 reviews, two in three of them good, with capitals, ligatures and columns enough to choose from."""
    folder = tmp_path_factory.mktemp("alive")
    chosen = random.Random(1)
    pairs = [pair for pair in reviews(200, seed=1) if pair[1] == "positive"][:40]
    pairs += [pair for pair in reviews(200, seed=1) if pair[1] == "negative"][:20]
    table = []
    for number, (text, label) in enumerate(pairs):
        said = f"{text[0].upper()}{text[1:]} {('ﬁne', 'fine')[number % 4 // 2]}" if number % 2 else text
        tags = chosen.choice(["a", "b", "a|b"])
        table.append((said, f"{label} título {NAMES[number % 7]}", label, str(1 + number % 2), tags))
    write_rows(folder / "rows.csv", table, ("text", "title", "label", "two", "tags"))
    hours = [
        f"2024-{month}-{day:02} {hour:02}:00" for month in ("01", "03") for day in range(1, 6) for hour in range(24)
    ]
    sold = [
        (store, "xy"[of], hours[step], hours[120 + step], str(round(chosen.gauss(10, 2) + step % 24, 2)))
        for of, store in enumerate("ab")
        for step in range(120)
    ]
    write_rows(folder / "series.csv", sold, ("store", "shop", "when", "later", "sold"))
    ways = [tuple(map(str, row)) for row in turns(20, seed=1)]
    write_rows(folder / "turns.csv", ways, ("series", "time", "x", "y", "label"))
    write_scenes(folder / "scenes", 40, seed=1, size=16)
    lists = [{"text": said.split(), "label": [word[-1] for word in said.split()]} for said, *_ in table]
    lists = [row | {"two": row["label"]} for row in lists]
    (folder / "lists.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lists), encoding="utf-8")
    (folder / "vectors.txt").write_text("good 1 2 3 4\nbad -1 -2 -3 -4\nunheard 0 0 0 0\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
    run.cache_clear()


def run_with(**changed: Any) -> Run:
    settings = {"data.input": "text", "data.target": "label", "task": "classify"} | changed
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return run(tuple(sorted(frozen.items())))


@functools.cache
def run(frozen: tuple[tuple[str, Any], ...]) -> Run:
    settings = [(key, list(value) if isinstance(value, tuple) else value) for key, value in frozen]
    said: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Said):
            said.append(event.text)

    folder = Path(f"run-{len(list(Path().iterdir()))}")
    try:
        kinds = {"forecast": "series.csv", "tag": "lists.jsonl", "caption": "scenes/captions.csv"}
        data = Path(kinds.get(dict(settings).get("task", ""), "rows.csv"))
        data = Path("turns.csv") if dict(settings).get("data.input") == "x,y" else data
        bundle = train(data, folder, dict(settings), report=note)
    except SeqloomError as error:
        return Run(None, str(error), [])
    checkpoints = sorted(path.name for path in (folder / "checkpoints").glob("step-*"))
    return Run(bundle, "\n".join(said), checkpoints)


def fields(settings: type[Settings], prefix: str = "") -> dict[str, Any]:
    """The annotation of every setting by its dotted name."""
    found: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            found |= fields(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = inner
    return found


def test_every_setting_has_an_entry_and_every_entry_a_setting() -> None:
    assert set(ALIVE) == set(fields(Config))


def test_the_same_settings_give_the_same_bits() -> None:
    """Without this, any two runs would differ, and every setting would seem alive."""
    first = run_with()
    run.cache_clear()
    assert same_weights(first, run_with())


@pytest.mark.parametrize("key", ALIVE)
def test_a_setting_shows(key: str) -> None:
    alive = ALIVE[key]
    if key == "device" and torch.cuda.is_available():
        pytest.skip("there is a GPU, so asking for it is not refused")
    assert alive.shows(run_with(**alive.given), run_with(**{**alive.given, key: alive.value}))


def choices(kind: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, or of one that may also be None."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(value for one in get_args(kind) if get_origin(one) is Literal for value in get_args(one))


UNTRAINED = ("device", "decoding.weights")  # what is trained is the same
CHOICES = {key: found for key, kind in fields(Config).items() if key not in UNTRAINED and (found := choices(kind))}


def test_choices_that_may_be_left_to_the_data_are_choices_too() -> None:
    assert CHOICES["data.tokens"] == ("word", "character", "byte", "subword", "whitespace")
    assert CHOICES["task"] == ("classify", "regress", "translate", "tag", "generate", "caption", "forecast")


@pytest.mark.parametrize("key", CHOICES)
def test_each_choice_of_a_setting_is_its_own(key: str) -> None:
    if "subword" in CHOICES[key]:
        pytest.importorskip("sentencepiece")
    given = [NEEDED.get(choice, ALIVE[key].given) for choice in CHOICES[key]]
    runs = [run_with(**{**other, key: choice}) for other, choice in zip(given, CHOICES[key], strict=True)]
    for number, one in enumerate(runs):
        for another in runs[:number]:
            assert not same_weights(one, another)


# Settings of one task in another


OF_TASKS = {key: task for key, alive in ALIVE.items() if (task := alive.given.get("task"))}


@pytest.mark.parametrize("key", OF_TASKS)
def test_a_setting_of_writing_is_refused_where_nothing_is_written(key: str) -> None:
    refused = run_with(**{key: ALIVE[key].value})
    assert refused.bundle is None
    assert f"{key.removeprefix('data.')} is a setting of {OF_TASKS[key]}" in refused.said
    assert refused.said.endswith(", the task is classify.")


TRANSLATES_ONLY = ["model.attention", "model.reverse_source", "model.readout", "training.scheduled_sampling"]
TRANSLATES_ONLY += ["decoding.coverage_penalty", "decoding.replace_unknown", "data.target_tokens"]


@pytest.mark.parametrize("key", [*TRANSLATES_ONLY, "model.pooling", "data.label_separator", "data.max_length"])
def test_a_setting_of_other_tasks_is_refused_where_texts_are_gone_on_with(key: str) -> None:
    refused = run_with(**GENERATES, **{key: ALIVE[key].value})
    assert refused.bundle is None
    assert f"{key.removeprefix('data.')} is a setting of " in refused.said
    assert refused.said.endswith(", the task is generate.")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model.bidirectional": True}, "what comes next cannot be read before it is told"),
        ({"model.softmax": "adaptive", "model.tied_embeddings": True}, "model.tied_embeddings is for a full softmax"),
        ({"model.softmax": "adaptive", "training.label_smoothing": 0.1}, "label_smoothing is for a full softmax"),
        ({"model.softmax": "adaptive", "decoding.weights": "int8"}, "decoding.weights=int8 is for a full softmax"),
        ({"decoding.beam": 9}, "with a decoding.temperature texts are drawn. Leave out one."),
        ({"training.class_weights": "balanced"}, "a setting for one label a row; the problem is next"),
    ],
)
def test_settings_that_do_not_go_with_a_language_model_are_refused(settings: dict[str, Any], said: str) -> None:
    refused = run_with(**GENERATES, **settings)
    assert refused.bundle is None
    assert said in refused.said


@pytest.mark.parametrize("key", ["model.pooling", "training.class_weights", "data.label_separator"])
def test_a_setting_of_answers_is_refused_where_texts_are_written(key: str) -> None:
    refused = run_with(**WRITES, **{key: ALIVE[key].value})
    assert refused.bundle is None
    assert f"{key.removeprefix('data.')} is a setting " in refused.said


@pytest.mark.parametrize("key", [key for key, alive in ALIVE.items() if alive.given.get("task") == "forecast"])
def test_a_setting_of_forecasts_is_refused_where_texts_are_read(key: str) -> None:
    refused = run_with(**{key: ALIVE[key].value})
    assert refused.bundle is None
    assert f"{key.removeprefix('data.')} is a setting of forecast, the task is classify." in refused.said


@pytest.mark.parametrize("key", [key for key, alive in ALIVE.items() if alive.given.get("task") == "tag"])
def test_a_setting_of_tagging_is_refused_where_no_words_are_tagged(key: str) -> None:
    for given in ({}, WRITES):
        refused = run_with(**given | {key: ALIVE[key].value})
        assert refused.bundle is None
        assert f"{key} is a setting of tag, the task is {given.get('task', 'classify')}." in refused.said


REFUSED_BY_TAG = [
    *("data.tokens", "data.target_tokens", "data.joint_vocabulary", "data.max_length", "data.label_separator"),
    *("model.pooling", "model.attention", "model.reverse_source", "training.class_weights", "decoding.beam"),
]


@pytest.mark.parametrize("key", REFUSED_BY_TAG)
def test_a_setting_of_other_tasks_is_refused_where_words_are_tagged(key: str) -> None:
    refused = run_with(**TAGS, **{key: ALIVE[key].value})
    assert refused.bundle is None
    assert f"{key.removeprefix('data.')} is " in refused.said


SHARED = [
    key
    for key, alive in ALIVE.items()
    if (key.startswith("model.") or key == "training.label_smoothing") and not {"task"} & set(alive.given)
]


@pytest.mark.parametrize("key", [key for key in SHARED if key != "model.pooling"])
def test_a_setting_of_models_changes_those_that_tag_too(key: str) -> None:
    given = TAGS | ALIVE[key].given | {"training.epochs": 1}
    assert not same_weights(run_with(**given), run_with(**given | {key: ALIVE[key].value}))


def test_settings_of_tagging_that_would_do_nothing_beside_others_are_refused() -> None:
    refused = run_with(**TAGS | {"model.output": "crf", "training.label_smoothing": 0.1})
    assert "training.label_smoothing is a setting of model.output=softmax; it is crf." in refused.said
    with pytest.raises(ValueError, match="character_size is a setting of models that read characters"):
        run_with(**TAGS | {"model.characters": False, "model.character_size": 5})


@pytest.mark.parametrize("key", [key for key in SHARED if key != "model.pooling"])
def test_a_setting_of_models_changes_those_that_write_too(key: str) -> None:
    given = WRITES | ALIVE[key].given | {"training.epochs": 1}
    assert not same_weights(run_with(**given), run_with(**given | {key: ALIVE[key].value}))


OF_TEXTS = ("embedding", "embedding_size", "freeze_embedding", "word_dropout", "pooling")


@pytest.mark.parametrize("key", [key for key in SHARED if key.startswith("model.") and key[6:] not in OF_TEXTS])
def test_a_setting_of_models_changes_those_that_forecast_too(key: str) -> None:
    given = FORECASTS | ALIVE[key].given | {"training.epochs": 1}
    assert not same_weights(run_with(**given), run_with(**given | {key: ALIVE[key].value}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model.attention": "dot"}, "model.attention=dot compares states of one size"),
        ({"decoding.top_k": 3}, "decoding.top_k cuts what is drawn from. Set decoding.temperature above 0 to draw."),
        ({"decoding.top_p": 0.5}, "decoding.top_p cuts what is drawn from."),
        ({"decoding.beam": 9, "decoding.temperature": 1.0}, "decoding.beam follows the likeliest texts"),
        (
            {"decoding.coverage_penalty": 1.0, "decoding.temperature": 1.0},
            "with a decoding.temperature texts are drawn",
        ),
        ({"decoding.coverage_penalty": 1.0, "model.attention": "none"}, "but this model has no attention."),
    ],
)
def test_settings_that_would_do_nothing_beside_others_are_refused(settings: dict[str, Any], said: str) -> None:
    refused = run_with(**WRITES, **settings)
    assert refused.bundle is None
    assert said in refused.said
