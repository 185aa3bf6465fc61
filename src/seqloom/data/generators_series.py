"""Series to learn from, made without a file: seasons with a trend, and turns that only their order tells apart."""

import math
from datetime import datetime, timedelta
from random import Random

FIRST = datetime(2024, 1, 1)


def seasonal(
    count: int, *, steps: int, seed: int, season: int = 24, noise: float = 0.1
) -> list[tuple[str, str, float]]:
    """`count` hourly series of `steps` steps each: (series, time, value), as rows of a file.

    ("a1", "2024-01-01 00:00:00", 103.214): a level of 50 to 150, a trend of at most half the level over all steps, a
    wave of the season and one twice as fast, and noise, a share of the wave's height.
    The same seed gives the same rows.
    Raises ValueError where there are no steps or no season.
    """
    if steps < 1 or season < 1:
        raise ValueError(f"{steps} steps with a season of {season} cannot be made")
    random = Random(seed)
    rows = []
    for number in range(1, count + 1):
        level, trend = random.uniform(50, 150), random.uniform(-0.5, 0.5)
        height, second = level * random.uniform(0.1, 0.3), random.uniform(0, 0.5)
        phase, shift = random.uniform(0, math.tau), random.uniform(0, math.tau)
        for step in range(steps):
            turn = math.tau * step / season
            wave = math.sin(turn + phase) + second * math.sin(2 * turn + shift) + random.gauss(0, noise)
            value = level * (1 + trend * step / steps) + height * wave
            rows.append((f"a{number}", (FIRST + timedelta(hours=step)).isoformat(sep=" "), round(value, 3)))
    return rows


def turns(count: int, *, seed: int, noise: float = 0.1) -> list[tuple[str, int, float, float, str]]:
    """`count` ways of a point around a circle, to the left or to the right: (series, time, x, y, label), a row a step.

    ("t1", 0, 0.913, -0.204, "left"): 8 to 16 steps from anywhere on the circle, most of the way around, with noise.
    Without their order the points of both are the same. The same seed gives the same rows.
    """
    random = Random(seed)
    rows = []
    for number in range(1, count + 1):
        label, steps = random.choice(("left", "right")), random.randint(8, 16)
        angle, way = random.uniform(0, math.tau), random.uniform(4, 6) * (1 if label == "left" else -1)
        for step in range(steps):
            x, y = (turn(angle + way * step / steps) + random.gauss(0, noise) for turn in (math.cos, math.sin))
            rows.append((f"t{number}", step, round(x, 3), round(y, 3), label))
    return rows
