"""Files of images and features: what is in them, made one size, and one clear line for all that is none."""

import contextlib
import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.data import images as module
from seqloom.data.images import decode_features, decode_image
from seqloom.data.sight import Sight
from seqloom.errors import DataError, MissingExtraError

PIL = pytest.importorskip("PIL.Image")


def encoded(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    """An image file of these pixels, or of an image of Pillow's."""
    file = io.BytesIO()
    image = PIL.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    image.save(file, format=kind, **options)
    return file.getvalue()


def plain(height: int, width: int, colour: tuple[int, ...] = (200, 100, 50)) -> Any:
    return np.full((height, width, len(colour)), colour, dtype=np.uint8)


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_that_says(head: str, body: bytes = b"") -> bytes:
    """An .npy file with this text where its type and shape must be."""
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + body


def npy_of_shape(shape: str, body: bytes) -> bytes:
    return npy_that_says(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}", body)


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes that say they are a huge image."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


# Images


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_each_format_is_read_as_what_it_shows(kind: str) -> None:
    found = decode_image(encoded(plain(30, 20), kind), "a", size=16)
    assert found.shape == (16, 16, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (PIL.new("L", (8, 8), 90), (90, 90, 90)),
        (PIL.new("1", (8, 8), 1), (255, 255, 255)),
        (PIL.new("RGBA", (8, 8), (200, 100, 50, 0)), (255, 255, 255)),
        (PIL.new("RGBA", (8, 8), (255, 0, 0, 51)), (255, 204, 204)),
        (PIL.new("LA", (8, 8), (0, 255)), (0, 0, 0)),
        (PIL.new("P", (8, 8)), (0, 0, 0)),
    ],
    ids=lambda each: getattr(each, "mode", ""),
)
def test_grey_and_transparent_images_are_read_on_white(image: Any, expected: tuple[int, ...]) -> None:
    assert decode_image(encoded(image), "a", size=16)[3, 3].tolist() == list(expected)


def test_an_image_is_turned_as_its_camera_says() -> None:
    left_red = np.zeros((8, 8, 3), dtype=np.uint8)
    left_red[:, :4, 0] = 255
    image = PIL.fromarray(left_red)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held on its side: turned to the right, what was left is on top
    found = decode_image(encoded(image, "PNG", exif=exif), "a", size=16)
    assert found[0, 8, 0] > 200 and found[15, 8, 0] < 50


def test_an_image_keeps_its_corners_whatever_its_shape() -> None:
    wide = np.zeros((10, 50, 3), dtype=np.uint8)
    wide[:5, :25] = (255, 0, 0)
    found = decode_image(encoded(wide), "a", size=16)
    assert found[0, 0, 0] == 255 and found[0, 15, 0] == found[15, 0, 0] == 0


NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
BAD_IMAGES = {
    "not an image": (
        b"hello, this is a text",
        "is not an image that can be read (PNG, JPEG, GIF, BMP, WEBP, TIFF, PPM)",
    ),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "is not an image that can be read"),
    "cut short": (
        encoded(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))[:900],
        "is a damaged image",
    ),
    "cut in its head": (encoded(plain(9, 9))[:20], "is a damaged image"),
    "huge": (png_that_claims(9_000, 9_000), "has more than 67 million pixels. Make it smaller first"),
    "a bomb": (png_that_claims(60_000, 60_000), "has more than 67 million pixels. Make it smaller first"),
    "without a pixel": (b"P6 0 5 255\n", ""),
    "of 16 bits": (encoded(PIL.new("I;16", (4, 4))), "has pixels of mode I;16, not of 8 bits. Save it as RGB or grey"),
    "of fractions": (encoded(PIL.new("F", (4, 4)), "TIFF"), "has pixels of mode F, not of 8 bits"),
}


@pytest.mark.parametrize(("data", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_what_is_no_image_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        decode_image(data, "dir/a.png", size=16)
    assert str(error.value).startswith('"dir/a.png" ')
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_a_damaged_image_is_read_or_refused_and_nothing_else(kind: str) -> None:
    whole = bytearray(encoded(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8), kind))
    random = np.random.default_rng(1)
    for _ in range(80):
        broken = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for place in random.integers(0, len(broken), 3):
            broken[place] = random.integers(256)
        try:
            assert decode_image(bytes(broken), "a", size=16).shape == (16, 16, 3)
        except DataError as error:
            assert "\n" not in str(error)


def test_nothing_is_said_beside_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    head, samples = encoded(plain(12, 12), "TIFF"), struct.pack("<HHI", 277, 3, 1)
    at = head.index(samples)
    with pytest.raises(DataError), contextlib.ExitStack() as without_handlers:
        root = logging.getLogger()
        without_handlers.callback(root.handlers.extend, root.handlers[:])
        root.handlers.clear()  # pytest's own, which would keep from a terminal what is logged
        decode_image(head[: at + 8] + struct.pack("<I", 2048) + head[at + 12 :], "a", size=16)
    assert capsys.readouterr().err == ""


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"needs the package PIL.*pip install 'seqloom\[images\]'"):
        decode_image(b"", "a", size=16)


# Features


def test_features_are_one_region_or_several() -> None:
    assert decode_features(npy(np.array([1, 2, 3])), "a").tolist() == [[1, 2, 3]]
    several = np.arange(6, dtype=np.float64).reshape(2, 3)
    found = decode_features(npy(np.asfortranarray(several)), "a")
    assert found.tolist() == several.tolist() and found.dtype == np.float32


BAD_FEATURES = {
    "objects": (npy(np.array([{}], dtype=object), allow_pickle=True), "holds Python objects, which are never loaded"),
    "an archive": (b"PK\x03\x04" + bytes(60), "is not an .npy file of numbers. Write one with numpy.save"),
    "a pickle": (b"\x80\x04K\x01.", "is not an .npy file of numbers"),
    "texts": (npy(np.array(["a"])), "holds <U1, not numbers"),
    "truth values": (npy(np.array([True])), "holds bool, not numbers"),
    "one number": (npy(np.float32(3)), "has the shape (), but features are (numbers,) or (regions, numbers)"),
    "three axes": (npy(np.zeros((1, 2, 3))), "has the shape (1, 2, 3), but"),
    "none": (npy(np.zeros((0, 3))), "has the shape (0, 3), but"),
    "cut short": (npy(np.zeros(9))[:-3], "is damaged, perhaps cut short"),
    "too long": (npy(np.zeros(9)) + b"more", "is damaged, perhaps cut short"),
    "far more than there is": (npy(np.zeros(9)).replace(b"(9,), ", b"(9999999999999999,), ")[:128], "damaged"),
    "less than nothing": (npy_of_shape("(-2, -3)", bytes(24)), "has the shape (-2, -3), but"),
    "a truth value as a length": (npy_of_shape("(True, 3)", bytes(12)), "has the shape (True, 3), but"),
    "a head without end": (npy_that_says("(" * 9000), "is not an .npy file of numbers"),
    "a head of signs": (npy_that_says("-" * 9000 + "1"), "is not an .npy file of numbers"),
    "a head of names": (npy_that_says("a" + ".b" * 4900), "is not an .npy file of numbers"),
    "no number": (npy(np.array([1.0, np.nan])), "a number is not finite"),
    "beyond float32": (npy(np.array([1e300])), "beyond what can be computed with"),
}


@pytest.mark.parametrize(("data", "message"), BAD_FEATURES.values(), ids=BAD_FEATURES)
def test_what_are_no_features_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        decode_features(data, "a.npy")
    assert str(error.value).startswith('"a.npy"')
    assert message in str(error.value) or (message == "damaged" and "is not an .npy file" in str(error.value))


# Cells


def test_a_cell_is_read_by_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(plain(4, 4)))
    (tmp_path / "a.npy").write_bytes(npy(np.array([[1.0, 2.0], [3.0, 4.0]])))
    sees, reads = Sight("image", 16), Sight("features", 2)
    assert sees.read("a.png", tmp_path).values().shape == (16, 16, 3)
    assert sees.read(tmp_path / "a.png", Path("/")).digest == sees.read(" a.png ", tmp_path).digest
    assert reads.read("a.npy", tmp_path).values().tolist() == [[1, 2], [3, 4]]
    for numbers in ("1 2.5", "1, 2.5", ("1", "2.5"), [1, 2.5], np.array([1, 2.5])):
        assert reads.read(numbers, tmp_path).values().tolist() == [[1, 2.5]]


@pytest.mark.parametrize(
    ("kind", "cell", "message"),
    [
        ("image", "no.png", 'there is no file "no.png" in '),
        ("image", "empty.png", '"empty.png" is empty: there is no image in it'),
        ("image", ".", " is a folder. Name a file in it"),
        ("image", "", "no image is named"),
        ("image", "a\0b", "there is no file"),
        ("image", "x" * 5000, "cannot read"),
        ("image", ("1", "2"), "features where an image must be"),
        ("image", "1 2", "features where an image must be"),
        ("image", "big.png", "is larger than 0 MiB. Make it smaller first"),
        ("features", "a.png", "an image where features must be"),
        ("features", "1 2 3", "3 features where 2 must be"),
        ("features", (), "no features"),
        ("features", ("1", ""), "feature 2 is empty"),
        ("features", ("1", "x"), 'feature 2 is "x", not a finite number'),
        ("features", ("1", "1,5"), 'feature 2 is "1,5", not a finite number'),
        ("features", [1, None], "feature 2 is a NoneType, not a number"),
        ("features", [1, float("nan")], "a number is not finite"),
        ("features", None, "None where features are needed"),
        ("features", "empty.npy", '"empty.npy" is empty: there is no number in it'),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_cell_that_shows_nothing_is_refused_with_the_reason(
    tmp_path: Path, kind: Any, cell: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    (tmp_path / "big.png").write_bytes(bytes(101))
    for name in ("empty.png", "empty.npy"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        Sight(kind, 16 if kind == "image" else 2).read(cell, tmp_path)
    assert message in str(error.value)
    assert not str(error.value).endswith(".")  # it stands behind a line number, in a list


def test_features_are_read_by_the_mean_and_scale_of_training() -> None:
    sight = Sight("features", 2)
    seen = [sight.read(row, Path()) for row in ([1e6, 7], [3e6, 7], [2e6, 7])]
    fitted = sight.fitted(seen)
    assert fitted.mean == (2e6, 7.0) and fitted.scale[1] == 1.0
    scaled = np.concatenate([fitted.scaled(one).values() for one in seen])
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 0], atol=1e-6)
    assert Sight.from_dict(fitted.to_dict()) == fitted
