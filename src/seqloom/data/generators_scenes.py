"""Scenes to tell of, made without a file: one or two shapes on a grey ground, and the caption that is right.

What is told needs sight of each thing (its size, colour and shape) and of where it lies to the other. Pairs of things
are many more than a model sees in training, so that it must see the things and cannot know the scenes.
"""

import csv
import io
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqloom.data.images import Pixels, pillow

COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 119, 230),
    "yellow": (240, 215, 40),
    "white": (250, 250, 250),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle")
SIZES = {"small": 0.11, "big": 0.2}  # half the width, as a share of the image's
PLACES = ("top left", "top right", "bottom left", "bottom right")
ALONE = 0.2
GROUND = (128, 128, 128)
NOISE = 6.0


class Scene(NamedTuple):
    """An image (S, S, 3) and what is to be said of it."""

    pixels: Pixels
    caption: str


class _Thing(NamedTuple):
    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.size} {self.colour} {self.shape}"


def scenes(count: int, *, seed: int, size: int = 48) -> list[Scene]:
    """`count` scenes of `size` x `size` pixels, such as "a small red circle above a big blue square".

    Two things lie above each other or side by side, and the upper or the left one is named first; a thing alone is told
    with its corner: "a big white triangle in the top left". The same seed gives the same scenes.
    Raises ValueError below 16 pixels.
    """
    if size < 16:
        raise ValueError(f"{size} pixels are too few to tell shapes apart")
    random = Random(seed)
    noise = np.random.default_rng(seed)
    return [_scene(random, noise, size) for _ in range(count)]


def write_scenes(folder: Path, count: int, *, seed: int, size: int = 48) -> Path:
    """Write scenes as PNG files into `folder`, with a table of image and caption, captions.csv; its path.

    Raises MissingExtraError without Pillow.
    """
    images = pillow("images as files")
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image", "caption"])
    for number, scene in enumerate(scenes(count, seed=seed, size=size), start=1):
        file = io.BytesIO()
        images.fromarray(scene.pixels).save(file, format="PNG")
        (folder / f"scene-{number:05}.png").write_bytes(file.getvalue())
        rows.writerow([f"scene-{number:05}.png", scene.caption])
    path = folder / "captions.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


def _scene(random: Random, noise: np.random.Generator, size: int) -> Scene:
    canvas = np.full((size, size, 3), GROUND, dtype=np.float64)
    first = _thing(random)
    if random.random() < ALONE:
        down, right = random.random() < 0.5, random.random() < 0.5
        _draw(canvas, first, random.uniform(0.22, 0.32) + 0.46 * right, random.uniform(0.22, 0.32) + 0.46 * down)
        caption = f"{first} in the {PLACES[2 * down + right]}"
    else:
        second = _thing(random, unlike=first)
        # Along the one axis they are apart, along the other they are not: only one relation is true.
        across, near, far = random.uniform(0.3, 0.7), random.uniform(0.22, 0.28), random.uniform(0.72, 0.78)
        other = min(0.75, max(0.25, across + random.uniform(-0.08, 0.08)))
        above = random.random() < 0.5
        _draw(canvas, first, *((across, near) if above else (near, across)))
        _draw(canvas, second, *((other, far) if above else (far, other)))
        caption = f"{first} {'above' if above else 'to the left of'} {second}"
    canvas += noise.normal(0, NOISE, canvas.shape)
    return Scene(canvas.clip(0, 255).round().astype(np.uint8), caption)


def _thing(random: Random, *, unlike: _Thing | None = None) -> _Thing:
    """A thing; in one of its three ways at least it differs from the other, or nobody could name the upper one."""
    while (thing := _Thing(*(random.choice(list(way)) for way in (SIZES, COLOURS, SHAPES)))) == unlike:
        pass
    return thing


def _draw(canvas: npt.NDArray[np.float64], thing: _Thing, x: float, y: float) -> None:
    """Colour the pixels of a thing whose middle lies at the shares `x` and `y` of the image, from its top left."""
    size = len(canvas)
    places = (np.arange(size) + 0.5) / size
    across, down = places[None] - x, places[:, None] - y
    half = SIZES[thing.size]
    inside = {
        "circle": across**2 + down**2 < half**2,
        "square": np.maximum(abs(across), abs(down)) < half,
        "triangle": (abs(down) < half) & (abs(across) < (down + half) / 2 * 1.1),
    }
    canvas[inside[thing.shape]] = COLOURS[thing.colour]
