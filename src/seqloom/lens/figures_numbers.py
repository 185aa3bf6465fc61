"""Figures of a reading of numbers: the series itself, and what each variable and each step adds.

A long series is shown in runs of steps.
"""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from seqloom.lens.figures import COLOURS, Curve, Figure, axis, curves, named
from seqloom.lens.figures_reading import heat, share_bars

if TYPE_CHECKING:
    from seqloom.lens.numbers import NumbersReading

COLUMNS, ROWS = 60, 30  # of a map: runs of steps, and variables
BARS = 60


def runs_of(steps: int, *, most: int, frames: int = 1) -> list[tuple[int, int]]:
    """The steps in at most `most` runs of one length, which is as many frames: where each starts, and the next one."""
    size = frames * ceil(ceil(steps / frames) / most)
    return [(start, min(start + size, steps)) for start in range(0, steps, size)]


def frames_of(runs: Sequence[tuple[int, int]], *, frames: int) -> list[tuple[int, int]]:
    """The frames of so many steps that each run has."""
    return [(start // frames, -(-end // frames)) for start, end in runs]


def mean_of(seen: "NumbersReading", place: int) -> str:
    """The mean of a variable over the steps where it is known, as it is shown."""
    known = [value for step in seen.values if (value := step[place]) is not None]
    return f"{sum(known) / len(known):.4g}" if known else "missing"


def run_names(runs: Sequence[tuple[int, int]]) -> list[str]:
    """The numbers of the steps of each run, from 1."""
    return [str(end) if end == start + 1 else f"{start + 1}-{end}" for start, end in runs]


def strongest_variables(seen: "NumbersReading", *, most: int) -> list[int]:
    """The places of the variables that count most, whatever the signs of their shares; first those that add most."""
    weights = [sum(abs(step[place]) for step in seen.saliency.shares) for place in range(len(seen.variables))]
    chosen = sorted(range(len(weights)), key=lambda place: (-weights[place], place))[:most]
    return sorted(chosen, key=lambda place: (-abs(seen.saliency.by_variable[place]), place))


def summed(shares: Sequence[float], runs: Sequence[tuple[int, int]]) -> list[float]:
    """The sum of shares over each run of steps."""
    return [sum(shares[start:end]) for start, end in runs]


def shares_map(seen: "NumbersReading") -> Figure:
    """What each variable adds at each step, or in each run of steps; the strongest variables."""
    runs = runs_of(len(seen.values), most=COLUMNS)
    shown = sorted(strongest_variables(seen, most=ROWS))
    rows = [summed([step[place] for step in seen.saliency.shares], runs) for place in shown]
    only = f" (the {ROWS} strongest)" if len(seen.variables) > ROWS else ""
    title = f"What each variable{only} adds at each step{_in_runs(runs)}"
    unit = "log odds" if seen.saliency.about is not None else "added"
    figure = heat(rows, [seen.variables[place].name for place in shown], title=title, unit=unit, both=True)
    figure["layout"]["xaxis"] = axis("step")
    return _with_names(figure, run_names(runs))


def course_figure(seen: "NumbersReading") -> Figure:
    """The series itself: the strongest variables, each by the mean and spread that it has in training."""
    shown = sorted(strongest_variables(seen, most=len(COLOURS)))
    lines = []
    for place in shown:
        name, mean, scale = seen.variables[place]
        read = [(number, step[place]) for number, step in enumerate(seen.values, start=1)]
        known = [(number, (value - mean) / scale) for number, value in read if value is not None]
        lines.append(Curve(name, [number for number, _ in known], [value for _, value in known]))
    only = f": the {len(shown)} variables that count most" if len(shown) < len(seen.variables) else ""
    figure = curves(lines, title=f"The series{only}", x="step", y="spreads from the mean")
    for line in figure["data"]:
        line["mode"] = "lines"
    figure["layout"]["xaxis"]["rangemode"] = "normal"
    return figure


def variables_figure(seen: "NumbersReading") -> Figure:
    """What each variable or feature adds in all, and what the answer loses where it is the mean; the strongest."""
    saliency, what = seen.saliency, "feature" if seen.kind == "row" else "variable"
    shown = sorted(strongest_variables(seen, most=BARS))
    lost = {
        at: saliency.occluded_variables[place] for at, place in enumerate(shown) if place in saliency.occluded_variables
    }
    shares = [saliency.by_variable[place] for place in shown]
    figure = share_bars(shares, lost, about=saliency.about, what=what)
    return _with_names(figure, [seen.variables[place].name for place in shown])


def steps_figure(seen: "NumbersReading") -> Figure:
    """What each step adds in all, or each run of steps, and what the answer loses where a single one is the mean."""
    runs = runs_of(len(seen.values), most=COLUMNS)
    lost = seen.saliency.occluded_steps if len(runs) == len(seen.values) else {}
    figure = share_bars(summed(seen.saliency.by_step, runs), lost, about=seen.saliency.about, what="step")
    figure["layout"]["title"]["text"] += _in_runs(runs)
    return _with_names(figure, run_names(runs))


def _with_names(figure: Figure, names: Sequence[str]) -> Figure:
    """The figure with names along its lower edge, slanted, and the title of that axis clear of them."""
    below = figure["layout"]["xaxis"]
    below |= named(names) | {"tickangle": -60, "automargin": True}
    below["title"]["standoff"] = 8
    return figure


def _in_runs(runs: Sequence[tuple[int, int]]) -> str:
    return f", in runs of {runs[0][1]} steps" if runs[0][1] > 1 else ""
