"""Pictures in IDX: each a series of its rows or of its values, never copied into lists."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from seqloom.data.idx import is_idx, read_idx
from seqloom.errors import DataError


def write_idx(path: Path, values: np.ndarray, kind: int = 0x08) -> Path:
    """An IDX file of `values`, packed where its name ends in .gz."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    data = bytes([0, 0, kind, values.ndim]) + sizes + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_pictures(folder: Path, count: int = 3, *, ending: str = "") -> Path:
    """Pictures of 4 rows and 5 columns, with their labels 0, 1, 2, 0 ... in a file of their own."""
    pictures = np.random.default_rng(0).integers(0, 256, (count, 4, 5)).astype(np.uint8)
    write_idx(folder / f"t-labels-idx1-ubyte{ending}", (np.arange(count) % 3).astype(np.uint8))
    return write_idx(folder / f"t-images-idx3-ubyte{ending}", pictures)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_step_is_a_row_or_a_value(tmp_path: Path, ending: str) -> None:
    path = write_pictures(tmp_path, ending=ending)
    assert is_idx(path)
    rows, pixels = read_idx(path), read_idx(path, by="pixels")
    assert [one.values.shape for one in rows.samples] == [(4, 5)] * 3
    assert [one.values.shape for one in pixels.samples] == [(20, 1)] * 3
    assert rows.samples[1].values.dtype == np.uint8
    np.testing.assert_array_equal(rows.samples[1].values.reshape(-1, 1), pixels.samples[1].values)
    assert [one.label for one in rows.samples] == ["0", "1", "2"]
    assert (rows.samples[2].line, rows.samples[2].name) == (3, "item 3")
    assert rows.notes == [f"labels: t-labels-idx1-ubyte{ending}"]
    assert list(rows.beside) == [f"t-labels-idx1-ubyte{ending}"]
    assert [one.label for one in read_idx(path, labelled=False).samples] == [None] * 3


def test_other_kinds_of_number_are_read_as_they_are(tmp_path: Path) -> None:
    values = np.array([[1, -2, 300], [4, 5, 6]])
    path = write_idx(tmp_path / "images", values.astype(">i2"), 0x0B)
    np.testing.assert_array_equal([one.values[:, 0] for one in read_idx(path, labelled=False).samples], values)
    path = write_idx(tmp_path / "images", (values / 4).astype(">f8"), 0x0E)
    np.testing.assert_array_equal([one.values[:, 0] for one in read_idx(path, labelled=False).samples], values / 4)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    path = write_pictures(tmp_path)
    labels = tmp_path / "t-labels-idx1-ubyte"
    for make, said in [
        (lambda: path.write_bytes(path.read_bytes()[:-1]), "is 75 bytes long, but its head says 76. Copy or download"),
        (
            lambda: write_idx(labels, np.zeros(2, np.uint8)),
            "t-labels-idx1-ubyte has labels of shape (2,), but t-images",
        ),
        (lambda: labels.write_bytes(b"text"), "t-labels-idx1-ubyte is no IDX file"),
        (labels.unlink, "there is no file"),
        (lambda: write_idx(path, np.zeros((0, 4, 5), np.uint8)), "holds no picture"),
        (lambda: write_idx(path, np.full((1, 2, 1), np.inf).astype(">f8"), 0x0E), "numbers that are not finite"),
    ]:
        write_pictures(tmp_path)
        make()
        with pytest.raises(DataError) as refused:
            read_idx(path)
        assert said in str(refused.value)
    write_pictures(tmp_path)
    with pytest.raises(DataError, match="holds a single number for each item"):
        read_idx(labels)
    with pytest.raises(DataError, match='input is "columns", but a step of a picture is one of its rows, or pixels'):
        read_idx(path, by="columns")
    path.rename(tmp_path / "numbers")
    with pytest.raises(DataError, match="where its labels are is told by its name"):
        read_idx(tmp_path / "numbers")


@pytest.mark.parametrize("sizes", [(1,) * 65, (0, 2**32 - 1, 2**32 - 1, 2**32 - 1), (2**32 - 1,) * 3 + (0,)])
def test_sizes_that_no_array_has(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    head = bytes([0, 0, 0x08, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    (tmp_path / "images").write_bytes(head + bytes(1 if all(sizes) else 0))
    with pytest.raises(DataError, match="images holds no picture: its head says [0-9]+ sizes that no array has"):
        read_idx(tmp_path / "images", labelled=False)


def test_labels_are_told_apart_to_the_last_digit(tmp_path: Path) -> None:
    path = write_pictures(tmp_path, 2)
    labels = np.array([1_000_001, 1_000_002])
    write_idx(tmp_path / "t-labels-idx1-ubyte", labels.astype(">i4"), 0x0C)
    assert [one.label for one in read_idx(path).samples] == ["1000001", "1000002"]


def test_what_is_told_from_idx(tmp_path: Path) -> None:
    for name, data in [("a.csv", b"text,label\n"), ("b", b"\0\0"), ("c", b"\0\0\x07\x01"), ("d.gz", b"\x1f\x8bxx")]:
        (tmp_path / name).write_bytes(data)
        assert not is_idx(tmp_path / name)
    assert not is_idx(tmp_path / "missing")
    assert not is_idx(tmp_path)
