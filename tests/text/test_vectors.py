"""Every line of a vector file is used or reported by its number."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seqloom.errors import DataError
from seqloom.text.vectors import read_vectors

GOOD = b"the 0.5 -1 2e-1\n. . . 1 2 3\nna\xc3\xafve 4 5 6\n"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "vectors.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("start", [b"", b"3 3\n"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b" \n"])
def test_the_same_vectors_are_read_from_every_form(tmp_path: Path, start: bytes, zipped: bool, line_end: bytes) -> None:
    content = (start + GOOD).replace(b"\n", line_end)
    vectors = read_vectors(write(tmp_path, gzip.compress(content) if zipped else content))
    assert vectors.words == ["the", ". . .", "naïve"]
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_array_equal(vectors.matrix, np.array([[0.5, -1, 0.2], [1, 2, 3], [4, 5, 6]], dtype=np.float32))
    assert vectors.rejected == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"short 1 2", "2 values, but 3 are needed"),
        (b"", "0 values, but 3 are needed"),
        (b"long 1 2 3 4", "more than 3 values"),
        (b"text 1 zwei 3", '"zwei" is not a number'),
        (b"text 1 2\xff 3", '"2\\xff" is not a number'),
        (b"hole 1 nan 3", "a value is not finite"),
        (b"huge 1 1e39 3", "a value is not finite"),
        (b" 1 2 3", "no word before the values"),
        (b"\x92s 1 2 3", "the word b'\\x92s' is not UTF-8"),
        (b"the 1 2 3", 'the word "the" came before; its first vector is kept'),
    ],
)
def test_a_bad_line_is_reported_and_the_rest_is_used(tmp_path: Path, line: bytes, reason: str) -> None:
    vectors = read_vectors(write(tmp_path, GOOD + line + b"\nlast 7 8 9"))
    assert vectors.rejected == [(4, reason)]
    assert vectors.words == ["the", ". . .", "naïve", "last"]
    np.testing.assert_array_equal(vectors.matrix[-1], [7, 8, 9])


def test_lines_end_at_a_line_feed_only(tmp_path: Path) -> None:
    vectors = read_vectors(write(tmp_path, "a\x85b 1 2\nc\u2028d 3 4\ne\xa0f 5 6\n".encode()))
    assert vectors.words == ["a\x85b", "c\u2028d", "e\xa0f"]


def test_a_file_shorter_than_announced_is_reported(tmp_path: Path) -> None:
    vectors = read_vectors(write(tmp_path, b"9 3\n" + GOOD))
    assert vectors.rejected == [(1, "9 vectors are announced, but 3 lines follow")]
    assert len(vectors.words) == 3


def test_only_wanted_words_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + b"other 1 x 3\n")
    vectors = read_vectors(path, wanted={"naïve", "absent"})
    assert (vectors.words, vectors.rejected) == (["naïve"], [])
    assert read_vectors(path, wanted=set()).matrix.shape == (0, 3)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"text,label\ngood film,1\n", b"3 1\n", b"\0" * 5000, b"good film\nbad film\n", b"word\n"]
)
def test_a_hopeless_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"vectors\.txt holds no word vector in its first \d+ lines.*good 0\.12"):
        read_vectors(write(tmp_path, content))


HOPELESS = {
    "one long line": b"a" * (1 << 20),
    "cut gzip": gzip.compress(GOOD * 99, mtime=0)[:-20],
    "no gzip": b"\x1f\x8bjunk",
}


@pytest.mark.parametrize("content", HOPELESS.values(), ids=HOPELESS)
def test_an_unreadable_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"cannot read the word vectors .*vectors\.txt: .*whole text file"):
        read_vectors(write(tmp_path, content))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_vectors(tmp_path / "absent.txt")


@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@example([b"\0"] * 8)
def test_every_line_is_used_or_reported(tmp_path: Path, lines: list[bytes]) -> None:
    vectors = read_vectors(write(tmp_path, GOOD + b"".join(line + b"\n" for line in lines)))
    assert len(vectors.words) + len(vectors.rejected) == 3 + len(lines)
    assert len(vectors.words) == len(set(vectors.words)) == len(vectors.matrix)


def test_real_vectors_lose_only_the_lines_that_are_not_utf8() -> None:
    if "SEQLOOM_DATA" not in os.environ:
        pytest.skip("SEQLOOM_DATA does not name the folder of data sets")
    folder = Path(os.environ["SEQLOOM_DATA"]) / "glove50_subset"
    damaged = read_vectors(folder / "glove.6B.50d.head2446.cp1252.raw.txt")
    whole = read_vectors(folder / "glove.6B.50d.head2446.utf8.txt")
    assert [number for number, _ in damaged.rejected] == [218, 785, 1329, 1409, 1420]
    assert all("is not UTF-8" in reason for _, reason in damaged.rejected)
    assert whole.rejected == [] and len(whole.words) == 2446
    kept = [row for row, word in enumerate(whole.words) if word not in {"–", "—", "“", "”", "’s"}]
    assert damaged.words == [whole.words[row] for row in kept]
    np.testing.assert_array_equal(damaged.matrix, whole.matrix[kept])
    lines = (folder / "glove.6B.50d.head2446.utf8.txt").read_text(encoding="utf-8").split("\n")
    reference = np.array([line.split(" ")[1:] for line in lines], dtype=np.float64)
    np.testing.assert_array_equal(whole.matrix, reference.astype(np.float32))
