"""What a reading of numbers says, in sentences: each is computed from its numbers, which bear it out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqloom.lens.reading_findings import NAMED, checked, for_and_against, kept, left_out, turned

if TYPE_CHECKING:
    from seqloom.lens.numbers import NumbersReading


def findings_of_numbers(seen: "NumbersReading", *, marked: bool) -> list[str]:
    """A sentence for each thing that is worth knowing; `marked` says whether the model is told what is missing."""

    def variable(place: int) -> str:
        return f'"{seen.variables[place].name}"'

    def step(place: int) -> str:
        return f"step {place + 1}"

    saliency, several, steps = seen.saliency, len(seen.variables) > 1, len(seen.values) > 1
    what = "features" if seen.kind == "row" else "variables"
    about = saliency.about
    found = [
        for_and_against(saliency.by_variable, variable, about=about) if several else "",
        for_and_against(saliency.by_step, step, about=about) if steps else "",
        _half(seen) if steps else "",
        "" if seen.arrivals is None else turned(seen.arrivals, seen.labels, seen.answer["prediction"], unit="step"),
        checked(saliency.by_variable, saliency.occluded_variables, variable, what=what, about=about) if several else "",
        checked(saliency.by_step, saliency.occluded_steps, step, what="steps", about=about) if steps else "",
        left_out(saliency),
        f"It reads {seen.frames} steps as one, a frame." if seen.frames > 1 else "",
        *kept(seen.layers, unit="step" if seen.frames == 1 else "frame"),
        _missing(seen, marked=marked),
        f"The last {seen.cut:,} steps were not read: it reads {len(seen.values):,} at most." if seen.cut else "",
    ]
    return [sentence for sentence in found if sentence]


def _half(seen: "NumbersReading") -> str:
    """In how few steps half of all shares lies, whatever their sign."""
    weights = [sum(map(abs, step)) for step in seen.saliency.shares]
    order = sorted(range(len(weights)), key=lambda place: (-weights[place], place))
    count, reached = 0, 0.0
    while reached < sum(weights) / 2:
        reached += weights[order[count]]
        count += 1
    if not count:
        return ""
    runs = _runs(sorted(order[:count]))
    named = ", ".join(
        str(first + 1) if first == last else f"{first + 1} to {last + 1}" for first, last in sorted(runs[:NAMED])
    )
    some = "among them " if len(runs) > NAMED else ""
    return f"Half of all shares, for and against, lies in {count:,} of {len(weights):,} steps: {some}{named}."


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Places that follow each other, as the first and the last of each run; the longest runs first."""
    runs: list[tuple[int, int]] = []
    for place in places:
        first = runs.pop()[0] if runs and runs[-1][1] == place - 1 else place
        runs.append((first, place))
    return sorted(runs, key=lambda run: (run[0] - run[1], run[0]))


def _missing(seen: "NumbersReading", *, marked: bool) -> str:
    """What was not there to be read."""
    missing = sum(value is None for step in seen.values for value in step)
    if not missing:
        return ""
    mark = "with a mark beside it" if marked else "as if it were there: training had none missing"
    return f"{missing:,} of {len(seen.values) * len(seen.variables):,} numbers missing, each read as the mean, {mark}."
