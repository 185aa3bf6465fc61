"""A series and its forecast as lines of a terminal."""

import math

from seqloom.cli.escape import escaped
from seqloom.cli.tables import width_of_output
from seqloom.lens import SeriesView

HEIGHT, NARROWEST, WIDEST = 12, 20, 120
SO_FAR, FORECAST, BAND = "·", "●", "░"


def print_series(seen: SeriesView) -> None:
    """The end of the series, then its forecast within the band of the outer quantiles; values at the left."""
    low, high = (list(seen.quantiles.values())[place] for place in (0, -1))
    known = [value for value in seen.history if value is not None]
    bottom, top = min([*known, *low, *seen.forecast]), max([*known, *high, *seen.forecast])
    margin = max(len(_short(bottom)), len(_short(top)))
    steps = len(seen.history) + len(seen.forecast)
    width = min(steps, max(NARROWEST, min(WIDEST, width_of_output() - margin - 2)))
    grid = [[" "] * width for _ in range(HEIGHT)]

    def height(value: float) -> int:
        return round((HEIGHT - 1) * (value - bottom) / (top - bottom)) if top > bottom else HEIGHT // 2

    def column(step: int) -> int:
        return step * width // steps

    for step, value in enumerate(seen.history):
        if value is not None:
            grid[height(value)][column(step)] = SO_FAR
    for step, (least, middle, most) in enumerate(zip(low, seen.forecast, high, strict=True), start=len(seen.history)):
        for line in range(height(least), height(most) + 1):
            grid[line][column(step)] = BAND if grid[line][column(step)] == " " else grid[line][column(step)]
        grid[height(middle)][column(step)] = FORECAST
    print(escaped(seen.series))
    for number, row in reversed(list(enumerate(grid))):
        label = _short(top) if number == HEIGHT - 1 else _short(bottom) if number == 0 else ""
        print(f"{label:>{margin}} {''.join(row)}".rstrip())
    first, last = escaped(seen.times[0]), escaped(seen.times[-1])
    print(f"{'':>{margin}} {first}{last:>{max(1, width - len(first))}}")
    names = list(seen.quantiles)
    legend = f"{SO_FAR} so far  {FORECAST} forecast"
    print(legend + (f"  {BAND} {names[0]} to {names[-1]}" if len(names) > 1 else ""))


def _short(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
        return f"{value:,.{min(digits, 6)}f}"
    return f"{value:.3g}"
