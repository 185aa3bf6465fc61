"""Captions on the command line: trained, checked, answered, scored, looked at, and a clear line for each mistake."""

import csv
import io
import json
from pathlib import Path

import pytest

import seqloom
from seqloom.cli.region_charts import print_regions
from seqloom.data.generators_scenes import write_scenes
from seqloom.lens import RegionMap
from tests.captions import Captioners, small_captioners
from tests.cli.conftest import Run

PIL = pytest.importorskip("PIL.Image")
SMALL = ("--set", "hidden_size=4", "--set", "embedding_size=4", "--set", "image_size=16", "--epochs", "1")


@pytest.fixture(scope="module")
def captioners(tmp_path_factory: pytest.TempPathFactory) -> Captioners:
    return small_captioners(tmp_path_factory.getbasetemp())


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with 24 scenes whose third image is cut short and whose fourth has gone."""
    monkeypatch.chdir(tmp_path)
    path = write_scenes(tmp_path / "scenes", 24, seed=1, size=16)
    third = path.parent / "scene-00003.png"
    third.write_bytes(third.read_bytes()[:200])
    (path.parent / "scene-00004.png").unlink()
    return path


def test_train_json_keeps_the_contract_and_bad_images_are_named(run: Run, scenes: Path) -> None:
    code, out, err = run("train", scenes, "--out", "m", "--json", *SMALL)
    result = json.loads(out)
    assert (code, out.count("\n"), result["task"]) == (0, 1, "caption")
    assert {"perplexity", "exact_match", "error_rate", "bleu", "chrf"} == set(result["metrics"])
    assert set(result["baselines"]) == {"majority", "unigram", "bigram"}
    assert result["rows"]["rejected"] == 2 and result["rows"]["train"] == 18
    assert "task: caption (image names images or features, caption tells of them)" in err
    assert 'captions.csv, line 4: not used: "scene-00003.png" is a damaged image, perhaps cut short' in err
    assert 'captions.csv, line 5: not used: there is no file "scene-00004.png" in ' in err
    code, out, err = run("evaluate", "m", scenes)
    assert code == 0 and "majority" in out and "copy" not in out
    assert "2 more" not in err and "scene-00003.png" in err


def test_check_says_what_is_seen(run: Run, scenes: Path) -> None:
    code, out, _ = run("check", scenes)
    assert code == 0
    assert "22 rows used (18 train, 2 valid, 2 test), 2 rejected" in out
    assert "D801" in out and "images of 64 x 64 pixels in 8 x 8 regions" in out


def test_answers_stand_beside_their_files(run: Run, captioners: Captioners, scenes: Path) -> None:
    code, out, err = run("predict", captioners.images, scenes)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(answers) == 24
    assert [answer["input"] for answer in answers] == [f"scene-{n:05}.png" for n in range(1, 25)]
    assert ["error" in answer for answer in answers] == [n in (2, 3) for n in range(24)]
    assert err == "2 of 24 rows could not be answered: see their errors\n"
    code, out, _ = run("predict", captioners.images, "--text", "scenes/scene-00001.png", "--format", "csv")
    [header, row] = list(csv.reader(io.StringIO(out)))
    assert header[:3] == ["input", "prediction", "score"]
    assert row[:2] == ["scenes/scene-00001.png", answers[0]["prediction"]]


def test_look_draws_a_square_for_each_word(run: Run, captioners: Captioners, scenes: Path) -> None:
    image = str(scenes.parent / "scene-00001.png")
    code, out, _ = run("look", captioners.images, image)
    assert code == 0
    assert out.startswith(seqloom.load(captioners.images).predict(image)[0]["prediction"])
    assert "██" in out and "the region that a word attended to most, of 64" in out
    code, out, _ = run("look", captioners.images, image, "--json")
    assert len(json.loads(out)["weights"][0]) == 8
    pytest.importorskip("plotly")
    assert run("look", captioners.images, image, "--html", "page.html")[0] == 0
    assert "Where it looked, word by word" in Path("page.html").read_text(encoding="utf-8")


def test_squares_are_as_dark_as_their_shares_and_words_do_not_steer(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    weights = [[[0.4, 0.2], [0.3, 0.1]], [[0.0, 0.0], [0.0, 1.0]]]
    seen = RegionMap("a", np.zeros((2, 2, 3), np.uint8), "x \x1b[2J", ["x", "\x1b[2J"], weights, 0.0)
    print_regions(seen)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = [line.split() for line in out.splitlines() if "█" in line]
    assert lines[0][0] == "██▒▒" and lines[1] == ["▓▓░░", "██"]
    print_regions(seen._replace(weights=None))
    assert "this model has no attention" in capsys.readouterr().out
    print_regions(seen._replace(prediction="", tokens=[], weights=[]))
    assert not capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("look", "IMAGES", "no.png"), 'error: this cannot be seen: there is no file "no.png" in .'),
        (("train", "none.csv"), "error: none.csv: no row can be used. The first, in line 2: there is no file"),
        (("train", "scenes/captions.csv", "--set", "image_size=4"), "image_size = 4: input should be greater than"),
        (("train", "scenes/captions.csv", "--set", "tokens=word"), "error: tokens is a setting of tasks that read"),
        (("train", "x.csv", "--task", "caption", "--input", "x,q"), 'error: column "x,q" is not in x.csv'),
        (("evaluate", "FEATURES", "x.csv"), 'error: x.csv has no column "x,y,z", which this model was trained with'),
    ],
)
def test_a_mistake_costs_one_clear_line(
    run: Run, captioners: Captioners, scenes: Path, words: tuple[str, ...], message: str
) -> None:
    Path("none.csv").write_text("image,caption\na.png,a thing\nb.png,a thing\n")
    Path("x.csv").write_text("x,y,says\n1,2,a thing\n3,4,a thing\n")
    places = {"IMAGES": captioners.images, "FEATURES": captioners.features}
    code, out, err = run(*(places.get(word, word) for word in words))
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
