"""Tables of images or features and captions: the columns found, captions of one image together, bad rows named."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.config import load_config
from seqloom.data import Album, CaptionTargets, Prepared, Sight, check, infer_columns, prepare, read, read_table, sight
from seqloom.data.captions import joined
from seqloom.data.generators_scenes import scenes, write_scenes
from seqloom.errors import ConfigError, DataError

PIL = pytest.importorskip("PIL.Image")


def write(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def paint(folder: Path, *names: str) -> None:
    """An image of its own colour for each name."""
    for number, name in enumerate(names):
        PIL.new("RGB", (4, 4), (number, 40 * number % 256, 0)).save(folder / name, format="PNG")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Twenty images with two captions each, in the order of the captions, and rows that cannot be used."""
    names = [f"{number}.png" for number in range(20)]
    paint(tmp_path, *names)
    (tmp_path / "broken.png").write_bytes((tmp_path / "3.png").read_bytes()[:50])
    rows = [(name, f"{told} thing {number}") for told in ("one", "two") for number, name in enumerate(names)]
    bad = [("no.png", "a caption"), ("broken.png", "a caption"), ("4.png", " "), ("1 2 3", "a caption")]
    return write(tmp_path / "captions.csv", ("image", "caption"), *rows, *bad)


def ready(path: Path, *settings: str, **files: Any) -> Prepared:
    found = prepare(load_config(None, ["image_size=16", *settings]), path, **files)
    assert isinstance(found, Prepared)
    return found


# Columns


@pytest.mark.parametrize(
    ("header", "rows", "given", "expected"),
    [
        (("id", "file", "caption"), [("1", "a.png", "a b"), ("2", "b.JPG", "c d")], {}, ("file", "caption")),
        (("words", "path"), [("a b", "a.npy"), ("c d", "b.npy")], {"task": "caption"}, ("path", "words")),
        (("x", "y", "says"), [("1", "2", "a b"), ("3", "4.5", "c d")], {"task": "caption"}, ("x,y", "says")),
        (
            ("x", "y", "z", "a", "b"),
            [("1", "2", "3", "k l", "m"), ("3", "4", "5", "n o", "p")],
            {"task": "caption", "input": "z,x", "target": "b"},
            ("z,x", "b"),
        ),
        (("image", "photo", "caption"), [("a.png", "b.png", "a b")], {"input": "photo"}, ("photo", "caption")),
    ],
)
def test_columns_are_found_by_what_they_hold(
    tmp_path: Path, header: Any, rows: Any, given: dict[str, Any], expected: tuple[str, str]
) -> None:
    table = joined(read_table(write(tmp_path / "a.csv", header, *rows)), given.get("input"))
    columns = infer_columns(table, **given)
    assert (columns.task, columns.input, columns.target) == ("caption", *expected)


def test_several_columns_are_one_only_where_captions_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("a", "b", "c"), *[(f"some {n}", f"words {n}", f"others {n}") for n in range(8)])
    with pytest.raises(DataError, match='column "a,b" is not in a.csv'):
        prepare(load_config(None, ["task=translate", "input=a,b", "target=c"]), path)


def test_a_file_of_several_rows_is_looked_at_once_to_find_what_most_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, width in (("wide", 3), ("a", 2), ("b", 2)):
        np.save(tmp_path / f"{name}.npy", np.ones(width))
    opened: list[str] = []
    monkeypatch.setattr(sight, "read_file", lambda at, name, what: opened.append(name) or (at / name).read_bytes())
    found = sight.find_sight(["wide.npy"] * 5 + ["a.npy", "b.npy"] * 2, tmp_path, image_size=None)
    assert (found.size, opened) == (3, ["wide.npy", "a.npy", "b.npy"])  # of most rows, not of most files


def test_files_with_labels_are_not_captioned_unasked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("file", "label"), *[(f"{n}.png", "ab"[n % 2]) for n in range(8)])
    assert infer_columns(read_table(path)).task == "classify"


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (("a", "b"), ("some text", "more text"), "has no column of image files, .npy files or numbers"),
        (("image", "x"), ("a.png", "3"), "has no column of captions. Name it with --target."),
    ],
)
def test_a_table_without_the_columns_is_refused(tmp_path: Path, header: Any, row: Any, message: str) -> None:
    table = read_table(write(tmp_path / "a.csv", header, row))
    with pytest.raises(DataError, match=r"a\.csv \(columns: .*\) ") as error:
        infer_columns(table, task="caption")
    assert message in str(error.value)


# Rows


def test_captions_of_an_image_stay_on_one_side_and_bad_rows_are_named(album: Path) -> None:
    data = ready(album)
    sides = [{row.key for row in part} for part in (data.train, data.valid, data.test)]
    assert [len(side) for side in sides] == [16, 2, 2]
    assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
    assert len(data.train) == 32
    reasons = {row.line: row.reason for row in data.rejected}
    assert list(reasons) == [42, 43, 44, 45]
    assert reasons[42].startswith('there is no file "no.png" in ')
    assert reasons[43].startswith('"broken.png" is a damaged image')
    assert reasons[44] == "empty target"
    assert reasons[45] == "features where an image must be"


def test_one_image_under_two_names_stays_on_one_side(tmp_path: Path) -> None:
    paint(tmp_path, *(f"{n}.png" for n in range(12)))
    for number in range(12):
        (tmp_path / f"copy-{number}.png").write_bytes((tmp_path / f"{number}.png").read_bytes())
    rows = [(f"{prefix}{n}.png", f"thing {n}") for n in range(12) for prefix in ("", "copy-")]
    data = ready(write(tmp_path / "a.csv", ("image", "caption"), *rows))
    known = {row.key for row in data.train}
    assert not any(row.key in known for row in data.valid + data.test)


def test_leaks_between_files_are_said_and_found(album: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "test.csv", ("image", "caption"), ("3.png", "a caption"), ("5.png", "another"))
    leak = "2 of 2 test images or features are also in train: their scores flatter"
    assert leak in ready(album, test=other).notes
    report = check(load_config(None, ["image_size=16"]), album, test=other)
    assert [finding.text for finding in report.findings if finding.number == "D502"] == [leak]
    numbers = {finding.number: finding.text for finding in report.findings}
    assert numbers["D801"].endswith("different ones to train on: images of 16 x 16 pixels in 8 x 8 regions")
    assert numbers["D802"] == "2 to 2 captions of each, 2.0 on average"
    assert not {"D301", "D303", "D401", "D501", "D503"} & set(numbers)


def test_most_rows_say_how_wide_features_are_and_what_is_seen(tmp_path: Path) -> None:
    rows = [(f"{n} {n % 3} 2", f"thing {n}") for n in range(40)]
    np.save(tmp_path / "regions.npy", np.ones((4, 3)))
    odd = [("1 2", "short"), ("a.png", "an image"), ("regions.npy", "four regions"), ("1 x 2", "no numbers")]
    path = write(tmp_path / "a.csv", ("seen", "caption"), *rows, *odd)
    data = prepare(load_config(None, ["task=caption", "valid_fraction=0.2"]), path)
    assert isinstance(data, Prepared) and isinstance(data.targets, CaptionTargets)
    assert (data.targets.sight.kind, data.targets.sight.size) == ("features", 3)
    assert [(row.line, row.reason) for row in data.rejected] == [
        (42, "2 features where 3 must be"),
        (43, "an image where features must be"),
        (45, "an image where features must be"),
    ]
    assert sorted({len(row.source) for row in data.train + data.valid + data.test}) == [1, 4]
    train = np.array([row.source.values() for row in data.train if len(row.source) == 1])  # type: ignore[union-attr]
    assert np.abs(train).max() < 10


def test_batches_hold_images_as_bytes_and_features_with_zeros_after_their_end(tmp_path: Path) -> None:
    paint(tmp_path, "a.png")
    image = Sight("image", 16).read("a.png", tmp_path)
    assert read([image, image]).values.shape == (2, 16, 16, 3)
    some = [Sight("features", 2).read(value, tmp_path) for value in ("1 2", "3 4")]
    np.save(tmp_path / "two.npy", np.full((2, 2), 5.0))
    batch = read([*some, Sight("features", 2).read("two.npy", tmp_path)])
    assert batch.lengths.tolist() == [1, 1, 2]
    assert batch.values.tolist() == [[[1, 2], [0, 0]], [[3, 4], [0, 0]], [[5, 5], [5, 5]]]


def test_what_does_not_fit_in_memory_is_read_again(album: Path) -> None:
    table = read_table(album)
    whole = Album(Sight("image", 16)).of(table, "image")
    tight = Album(Sight("image", 16), room=3 * 16 * 16 * 3).of(table, "image")
    kept = {seen.digest for seen in tight.seen.values() if seen.kept is not None}
    assert len(kept) == 3
    for line, seen in whole.seen.items():
        assert np.array_equal(seen.values(), tight.seen[line].values())
    (album.parent / "9.png").unlink()
    lost = next(seen for line, seen in tight.seen.items() if line == 11)
    with pytest.raises(DataError, match='there is no file "9.png"'):
        lost.values()


def test_a_changed_image_changes_the_fingerprints(album: Path) -> None:
    before = ready(album).fingerprints
    paint(album.parent, "7.png")
    after = ready(album).fingerprints
    assert before["captions.csv"] == after["captions.csv"]
    assert before["captions.csv: what it shows"] != after["captions.csv: what it shows"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["tokens=word"], "tokens is a setting of tasks that read texts; what is written is set by target_tokens"),
        (["joint_vocabulary=true"], "joint_vocabulary is a setting of translate, the task is caption"),
        (["label_separator=,"], "label_separator is a setting of classify, the task is caption"),
    ],
)
def test_settings_of_other_tasks_are_refused(album: Path, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        ready(album, *settings)
    assert message in str(error.value)


def test_image_size_is_refused_where_features_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("x", "y", "says"), ("1", "2", "a b"), ("3", "4", "c d"))
    with pytest.raises(DataError, match="image_size is a setting of images; the rows hold features"):
        ready(path, "task=caption")


# Scenes


def test_scenes_are_told_as_they_are() -> None:
    found = scenes(60, seed=3, size=48)
    assert [scene.caption for scene in scenes(60, seed=3, size=48)] == [scene.caption for scene in found]
    assert any(not np.array_equal(a.pixels, b.pixels) for a, b in zip(found, scenes(60, seed=4, size=48), strict=True))
    colours = {"red": (214, 39, 40), "blue": (31, 119, 230)}
    for scene in found:
        words = scene.caption.split()
        for colour, values in colours.items():
            near = np.abs(scene.pixels.astype(int) - values).max(axis=-1) < 40
            assert near.any() == (colour in words), scene.caption
        if words.count("red") == words.count("blue") == 1:
            red, blue = (
                np.argwhere(np.abs(scene.pixels.astype(int) - colours[name]).max(axis=-1) < 40).mean(axis=0)
                for name in ("red", "blue")
            )
            axis = 0 if "above" in words else 1
            first, second = (red, blue) if words.index("red") < words.index("blue") else (blue, red)
            assert first[axis] < second[axis] - 10, scene.caption
    with pytest.raises(ValueError, match="8 pixels are too few"):
        scenes(1, seed=0, size=8)


def test_written_scenes_are_a_table_and_its_images(tmp_path: Path) -> None:
    path = write_scenes(tmp_path / "scenes", 3, seed=1, size=32)
    table = Album(Sight("image", 32)).of(read_table(path), "image")
    for row, scene in zip(table.rows, scenes(3, seed=1, size=32), strict=True):
        assert row.values[1] == scene.caption
        assert np.array_equal(table.seen[row.line].values(), scene.pixels)
