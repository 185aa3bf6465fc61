"""From a path to pixels or features that can be trusted, or a clear word why not; nothing in a file is ever run.

An image is decoded by Pillow, whose formats are named here: those that start other programs are not among them.
"""

import hashlib
import io
import logging
import math
import struct
import tokenize
import warnings
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from seqloom.data.content import open_regular
from seqloom.errors import DataError, import_extra

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
FEATURES_ENDING = ".npy"
MOST_BYTES = 1 << 27  # of a file
MOST_PIXELS = 1 << 26  # of an image before it is made smaller
# What decoders raise for a damaged file, beside what they should.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    tokenize.TokenError,  # by numpy, of a head that is no Python
    RecursionError,  # and of one that is nested without end
    MemoryError,
)

# Pillow tells its log of some damaged files too, which a terminal would show above the one clear line.
logging.getLogger("PIL").addHandler(logging.NullHandler())

Pixels = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


def read_file(folder: Path, name: str, *, what: str) -> bytes:
    """The bytes of a file that a row of a table in `folder` names. Raises DataError where it is none, empty or huge."""
    path = folder / name
    try:
        missing = not path.exists()
    except (OSError, ValueError):
        missing = False  # opening it says why
    if missing:
        raise DataError(f"there is no file {shown(name)} in {folder}")
    try:
        with open_regular(path) as file:
            data = file.read(MOST_BYTES + 1)
    except DataError as error:
        raise DataError(str(error).removesuffix(".")) from None
    except OSError as error:
        raise DataError(f"{shown(name)} cannot be read: {error.strerror}") from None
    if not data:
        raise DataError(f"{shown(name)} is empty: there is no {what} in it")
    if len(data) > MOST_BYTES:
        raise DataError(f"{shown(name)} is larger than {MOST_BYTES >> 20} MiB. Make it smaller first")
    return data


def decode_image(data: bytes, name: str, *, size: int) -> Pixels:
    """The image in `data`, made `size` x `size` pixels whatever its shape: red, green and blue of each.

    It is turned as its camera says, and what shows through is white. Raises DataError where it is no image or a
    damaged one, and MissingExtraError without Pillow.
    """
    images = pillow("images as input")
    exif = import_extra("PIL.ImageOps", extra="images", purpose="images as input")
    bomb = images.DecompressionBombError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", images.DecompressionBombWarning)
            with images.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size, name)
                small = _flat(exif.exif_transpose(image), images, name).resize((size, size), images.Resampling.BILINEAR)
                return np.asarray(small, dtype=np.uint8)
    except DataError:
        raise
    except images.UnidentifiedImageError:
        raise DataError(f"{shown(name)} is not an image that can be read ({', '.join(FORMATS)})") from None
    except (bomb, images.DecompressionBombWarning):
        raise DataError(_too_large(name)) from None
    except DAMAGED as error:
        why = " ".join(str(error).split())[:80] or type(error).__name__
        raise DataError(f"{shown(name)} is a damaged image, perhaps cut short ({why})") from None


def decode_features(data: bytes, name: str) -> Features:
    """The numbers (R, F) of an .npy file of R regions, or of one, (F,). Raises DataError, for Python objects too."""
    file = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an old format: whether its numbers are whole is seen below
            version = np.lib.format.read_magic(file)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, columns_first, dtype = header[version](file)
    except DAMAGED:
        raise DataError(f"{shown(name)} is not an .npy file of numbers. Write one with numpy.save") from None
    if dtype.hasobject:
        raise DataError(f"{shown(name)} holds Python objects, which are never loaded. Save plain numbers")
    if dtype.kind not in "fiu":
        raise DataError(f"{shown(name)} holds {dtype}, not numbers")
    if len(shape) not in (1, 2) or not all(type(length) is int and length > 0 for length in shape):
        raise DataError(f"{shown(name)} has the shape {shape}, but features are (numbers,) or (regions, numbers)")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise DataError(f"{shown(name)} is damaged, perhaps cut short: its numbers are not as many as it says")
    order: Any = "F" if columns_first else "C"
    return as_features(np.ndarray(shape, dtype, buffer=data, offset=file.tell(), order=order), name=shown(name))


def as_features(numbers: Any, *, name: str) -> Features:
    """Numbers as float32 (R, F). Raises DataError where one of them is not finite, or too large for that."""
    with np.errstate(over="ignore"):
        features: Features = np.atleast_2d(np.ascontiguousarray(numbers, dtype=np.float32))
    if not np.isfinite(features).all():
        raise DataError(f"{name}: a number is not finite, or beyond what can be computed with")
    return features


def digest_of(data: bytes) -> str:
    """The sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def pillow(purpose: str) -> ModuleType:
    """Pillow. Raises MissingExtraError."""
    return import_extra("PIL.Image", extra="images", purpose=purpose)


def shown(name: str) -> str:
    """A file's name in a message: not too long, on one line."""
    short = name if len(name) <= 80 else f"...{name[-77:]}"
    return '"' + " ".join(short.split()) + '"'


def _check_size(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise DataError(_too_large(name))
    if not min(size):
        raise DataError(f"{shown(name)} is an image without a pixel")


def _too_large(name: str) -> str:
    return f"{shown(name)} has more than {MOST_PIXELS / 1e6:.0f} million pixels. Make it smaller first"


def _flat(image: Any, images: ModuleType, name: str) -> Any:
    """The image in red, green and blue, on white where it is transparent."""
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{shown(name)} has pixels of mode {image.mode}, not of 8 bits. Save it as RGB or grey")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return images.alpha_composite(images.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
