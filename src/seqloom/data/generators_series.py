"""Series to learn from, made without a file: a season of two waves, a trend and noise."""

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
