"""Images to captions, from Python: answers in order, several right captions, scores, a look, and what is on disk."""

import csv
import json
import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seqloom
from seqloom.bundle import Bundle, load_bundle, save_bundle
from seqloom.config import load_config
from seqloom.data import CaptionTargets, Example, read_table
from seqloom.data.examples import written_ids
from seqloom.data.generators_scenes import write_scenes
from seqloom.errors import ConfigError, DataError, Interrupted
from seqloom.inference import encode, write_for
from seqloom.lens import AttentionMap, RegionMap
from seqloom.lens.region_figures import region_figure
from seqloom.models import Captioner
from seqloom.training import Event, Progress, train_model
from seqloom.training.text_evaluation import mean_loss, questions, score_text_rows
from tests.captions import SMALL, Captioners, small_captioners
from tests.test_bundle import forge, refusal

pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def captioners(tmp_path_factory: pytest.TempPathFactory) -> Captioners:
    return small_captioners(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def model(captioners: Captioners) -> seqloom.Model:
    return seqloom.load(captioners.images)


@pytest.fixture(scope="module")
def reader(captioners: Captioners) -> seqloom.Model:
    return seqloom.load(captioners.features)


def bundle_of(model: seqloom.Model) -> Bundle:
    assert isinstance(model.bundle, Bundle) and isinstance(model.bundle.model, Captioner)
    return model.bundle


# Answers


def test_each_answer_stands_in_its_row_and_bad_rows_keep_theirs(
    model: seqloom.Model, captioners: Captioners, tmp_path: Path
) -> None:
    folder = captioners.scenes.parent
    first, second = folder / "scene-00001.png", str(folder / "scene-00002.png")
    (tmp_path / "text.png").write_text("no image")
    given: list[Any] = [first, "no.png", str(tmp_path / "text.png"), second]
    answers = model.predict(given)
    assert [row for row, answer in enumerate(answers) if "error" in answer] == [1, 2]
    assert answers[1]["error"] == 'line 2: there is no file "no.png" in .'
    assert 'text.png" is not an image that can be read' in answers[2]["error"]
    assert set(answers[0]) == {"input", "prediction", "score", "alternatives"}
    assert answers[0]["input"] == str(first)
    assert [answers[3]] == model.predict(second)
    file = model.predict_file(captioners.scenes)
    assert [answer["input"] for answer in file[:2]] == ["scene-00001.png", "scene-00002.png"]
    assert file[0]["prediction"] == answers[0]["prediction"] and file[0]["score"] == answers[0]["score"]
    assert len({text["prediction"] for text in model.predict(given[:1], suggest=3)[0]["alternatives"]}) == 2


def test_numbers_are_answered_from_columns_lists_and_files(
    reader: seqloom.Model, captioners: Captioners, tmp_path: Path
) -> None:
    rows = [("5000", "1", "0"), ("1000", "-1", "0")]
    path = tmp_path / "more.csv"
    path.write_text("z,y,x\n" + "".join(f"{z},{y},{x}\n" for x, y, z in rows) + "0,x,1\n")  # other order: by name
    np.save(tmp_path / "one.npy", np.array([5000.0, 1.0, 0.0]))
    answers = reader.predict_file(path)
    assert answers[2] == {"input": ("1", "x", "0"), "error": 'line 4: feature 2 is "x", not a finite number'}
    assert answers[0]["prediction"] == "a thing in the upper right corner"
    assert answers[1]["prediction"] == "a thing in the lower left corner"
    found = reader.predict([[5000, 1, 0], "5000 1 0", str(tmp_path / "one.npy"), [1, 2]])
    assert [answer.get("score") for answer in found[:3]] == [answers[0]["score"]] * 3
    assert found[3]["error"] == "line 4: 2 features where 3 must be"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match='has no column "x,y,z", which this model was trained with'):
        reader.predict_file(path)


# Scores


def several(tmp_path: Path) -> Path:
    """Six images with one, two or three captions each."""
    write_scenes(tmp_path, 6, seed=9, size=16)
    rows = [(f"scene-{n + 1:05}.png", f"caption {told} of {n}") for n in range(6) for told in range(1 + n % 3)]
    with (tmp_path / "several.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return tmp_path / "several.csv"


def test_an_image_is_one_question_and_all_of_its_captions_are_right(model: seqloom.Model, tmp_path: Path) -> None:
    bundle = bundle_of(model)
    rows = [row for row in encode(bundle, read_table(several(tmp_path)), with_target=True) if isinstance(row, Example)]
    assert len(rows) == 12 and [row.line for row in questions(rows)] == [2, 3, 5, 8, 9, 11]
    written = [best.text for [best] in write_for(bundle, questions(rows), alternatives=1)]
    right = [row._replace(target_text=written[number // 2]) if number == 11 else row for number, row in enumerate(rows)]
    right[11] = rows[11]._replace(target_text=written[5])  # the last of three captions of the last image
    scores = score_text_rows(bundle, right)
    assert scores.metrics["exact_match"] == pytest.approx(1 / 6)
    sizes = [len(written_ids(row)) + 1 for row in rows]
    assert isinstance(bundle.model, Captioner)
    losses = [size * mean_loss(bundle.model, [row]) for size, row in zip(sizes, rows, strict=True)]
    assert mean_loss(bundle.model, rows) == pytest.approx(math.fsum(losses) / sum(sizes))


def test_figures_stand_beside_the_most_frequent_caption(
    model: seqloom.Model, captioners: Captioners, tmp_path: Path
) -> None:
    assert set(model.metrics["baselines"]) == {"majority", "unigram", "bigram"}
    assert {"perplexity", "exact_match", "error_rate", "bleu", "chrf"} == set(model.metrics["metrics"])
    found = model.evaluate(several(tmp_path))
    assert found["rows"] == {"used": 12, "rejected": 0}
    assert set(found["baselines"]) == {"majority"}
    assert "nrefs" in str(found["signatures"])
    card = (captioners.images / "README.md").read_text(encoding="utf-8")
    assert "images of 16 x 16 pixels in 8 x 8 regions seen" in card


# A look


def test_a_look_shows_the_regions_of_each_word(model: seqloom.Model, captioners: Captioners) -> None:
    path = str(captioners.scenes.parent / "scene-00003.png")
    seen = model.look(path)
    assert isinstance(seen, RegionMap) and seen.weights is not None
    assert seen.prediction == model.predict(path)[0]["prediction"]
    assert np.array(seen.weights).shape == (len(seen.tokens), 8, 8)
    np.testing.assert_allclose(np.array(seen.weights).sum(axis=(1, 2)), 1, rtol=1e-5)
    assert set(json.loads(json.dumps(seen.to_dict()))) == {"input", "prediction", "tokens", "weights", "score"}
    with pytest.raises(DataError, match='this cannot be seen: there is no file "no.png"'):
        model.look("no.png")


def test_the_figure_lays_each_words_regions_over_the_image(model: seqloom.Model) -> None:
    weights = [[[0.0, 0.5], [0.25, 0.25]], [[1.0, 0.0], [0.0, 0.0]]]
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    seen = RegionMap("a<b.png", pixels, "<i> b", ["<i>", "b"], weights, -0.5)
    figure = region_figure(seen, title="a<b")
    assert figure is not None
    first, over, second, last = figure["data"]
    assert first["z"] == second["z"] == pixels.tolist()
    assert (over["z"], last["z"]) == (weights[0], weights[1])
    # Regions of 2 x 2 pixels, whose middles lie between the first two pixels, 0 and 1.
    assert {over[key] for key in ("x0", "y0")} == {0.5} and over["dx"] == over["dy"] == 2
    assert over["zmax"] == last["zmax"] == 1.0
    assert (over["xaxis"], last["xaxis"]) == ("x", "x2")
    assert [each["text"] for each in figure["layout"]["annotations"]] == ["&lt;i&gt;", "b"]
    assert figure["layout"]["title"]["text"] == "a&lt;b"
    assert figure["layout"]["paper_bgcolor"] == "rgba(0, 0, 0, 0)"  # the letters are light on a dark page
    assert region_figure(seen._replace(weights=None), title="") is None
    assert region_figure(seen._replace(tokens=[], weights=[]), title="") is None


def test_a_look_at_features_is_a_map_over_their_regions(reader: seqloom.Model, tmp_path: Path) -> None:
    np.save(tmp_path / "three.npy", np.ones((3, 3)))
    seen = reader.look(str(tmp_path / "three.npy"))
    assert isinstance(seen, AttentionMap) and seen.weights is not None
    assert seen.source == ["1", "2", "3"] and len(seen.weights[0]) == 3


# Training


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    more = {"training.scheduled_sampling": 0.3, "model.num_layers": 2, "training.baselines": False}
    config = load_config(None, named=SMALL | more | {"training.batch_size": 8})
    scenes = write_scenes(tmp_path, 24, seed=5, size=16)

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and (event.epoch, event.batch) == (2, 2):
            signal.raise_signal(signal.SIGINT)

    whole = train_model(config, scenes, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train_model(config, scenes, tmp_path / "cut", report=stop)
    resumed = train_model(config, scenes, tmp_path / "cut", resume=True)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert whole.metrics["metrics"] == resumed.metrics["metrics"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "model.bidirectional",
            False,
            "model.bidirectional is a setting of models that read step by step",
        ),
        ("model.initial_state", "learned", "model.initial_state is a setting of models that read step by step"),
        ("model.reverse_source", True, "model.reverse_source is a setting of translate, the task is caption."),
        ("decoding.replace_unknown", False, "decoding.replace_unknown is a setting of translate"),
        ("model.pooling", "mean", "model.pooling is a setting of classify and regress"),
        ("training.class_weights", "balanced", "training.class_weights is a setting for one label a row"),
    ],
)
def test_settings_that_captions_would_ignore_are_refused(
    captioners: Captioners, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        seqloom.train(captioners.scenes, out=tmp_path / "m", settings=SMALL | {key: value})
    assert said in str(error.value)


# On disk


@pytest.mark.parametrize(
    "changed",
    [{"model.attention": "none", "model.cell": "gru"}, {"model.tied_embeddings": True, "model.num_layers": 2}],
    ids=str,
)
def test_what_is_saved_comes_back_to_the_bit(captioners: Captioners, tmp_path: Path, changed: dict[str, Any]) -> None:
    model = seqloom.train(
        captioners.scenes, out=tmp_path / "m", settings=SMALL | changed | {"epochs": 1, "training.baselines": False}
    )
    save_bundle(tmp_path / "again", bundle_of(model), history=[], card="")
    loaded = load_bundle(tmp_path / "again")
    assert bundle_of(model)._replace(model=loaded.model) == loaded
    image = str(captioners.scenes.parent / "scene-00001.png")
    assert seqloom.load(tmp_path / "again").predict(image) == model.predict(image)
    assert not (tmp_path / "again" / "target_vocabulary.json").exists()


def change_targets(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what config.json says of the targets, and seal the folder anew."""
    targets = json.loads((folder / "config.json").read_text())["targets"]
    change(targets)
    forge(folder, "targets", value=targets)


FORGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another problem": (lambda t: t.update(problem="tags"), "have the problem 'tags'"),
    "a key more": (lambda t: t.update(more=1), "have the keys problem, most, sight and no other"),
    "no length": (lambda t: t.update(most=0), "most is 0, but must be a whole number from 1 on"),
    "no sight": (lambda t: t.update(sight=None), "must have kind, size, mean and scale"),
    "another kind": (lambda t: t["sight"].update(kind="sound"), "is of images or features, not of 'sound'"),
    "a huge image": (lambda t: t["sight"].update(size=10**9), "it must lie in 16..1024"),
    "features of none": (lambda t: t["sight"].update(kind="features"), "must have as mean 16 finite numbers"),
    "another size": (lambda t: t["sight"].update(size=40), "It belongs to another model"),
}


@pytest.mark.parametrize(("change", "message"), FORGED.values(), ids=FORGED)
def test_a_forged_model_is_refused(
    captioners: Captioners, tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    folder = Path(shutil.copytree(captioners.images, tmp_path / "forged"))
    change_targets(folder, change)
    assert message in refusal(folder)


def test_forged_scales_are_refused(captioners: Captioners, tmp_path: Path) -> None:
    for number, scale in enumerate([[1.0, 0.0, 1.0], [1.0, 1.0], [1.0, "x", 1.0], None]):
        folder = Path(shutil.copytree(captioners.features, tmp_path / str(number)))
        change_targets(folder, lambda targets, scale=scale: targets["sight"].update(scale=scale))
        assert "must have" in refusal(folder)


@pytest.mark.long
def test_scenes_are_told_right(tmp_path: Path) -> None:
    """Unseen scenes, of which hardly a pair of things was in training."""
    train, test = (
        write_scenes(tmp_path / name, count, seed=seed) for name, count, seed in (("a", 3000, 1), ("b", 300, 2))
    )
    settings = {"image_size": 48, "hidden_size": 64, "epochs": 12, "learning_rate": 3e-3, "training.baselines": False}
    settings |= {"dropout": 0.1, "word_dropout": 0.0}
    model = seqloom.train(train, test=test, out=tmp_path / "m", settings=settings)
    assert isinstance(model.bundle.targets, CaptionTargets)
    assert model.metrics["metrics"]["exact_match"] >= 0.95
