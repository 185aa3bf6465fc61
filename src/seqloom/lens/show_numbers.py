"""What a model saw in numbers, as the parts of a page."""

from typing import TYPE_CHECKING

from seqloom.lens.figures_numbers import (
    COLUMNS,
    course_figure,
    frames_of,
    mean_of,
    run_names,
    runs_of,
    shares_map,
    steps_figure,
    strongest_variables,
    variables_figure,
)
from seqloom.lens.figures_reading import arriving
from seqloom.lens.html import Html, bullets, paragraph, table
from seqloom.lens.memory import averaged
from seqloom.lens.page import Part
from seqloom.lens.reading_findings import signed
from seqloom.lens.show import answer_said, legend_of, memory_parts

if TYPE_CHECKING:
    from seqloom.lens.numbers import NumbersReading

ROWS = 30  # variables of the table


def brief_numbers(seen: "NumbersReading") -> list[Part]:
    """The answer, what it says, and what each variable adds: of a series at each step, of a row in all."""
    without = "where each number is the mean of training"
    signs = ("Above zero", "below") if seen.kind == "row" else ("Blue", "orange")
    said = [paragraph(seen.title), answer_said(seen.answer), legend_of(seen.saliency, without=without, signs=signs)]
    parts: list[Part] = [*said, bullets(seen.findings)]
    parts.append(variables_figure(seen) if seen.kind == "row" else shares_map(seen))
    if seen.arrivals is not None:
        parts.append(arriving(seen.arrivals, seen.labels, unit="step"))
    return [*parts, _variables(seen)]


def whole_numbers(seen: "NumbersReading") -> list[Part]:
    """All of a reading: of a series with its course, what variables and steps add, and gates and states by layer.

    The memory of a long series is shown as means over runs of frames.
    """
    parts = brief_numbers(seen)
    if seen.kind == "row":
        return parts
    parts += [course_figure(seen), variables_figure(seen), steps_figure(seen)]
    runs = runs_of(len(seen.values), most=COLUMNS, frames=seen.frames)
    frames = frames_of(runs, frames=seen.frames)
    return [*parts, *memory_parts([averaged(each, frames) for each in seen.layers], run_names(runs), unit="step")]


def _variables(seen: "NumbersReading") -> Html:
    """The variables that add most: what they were and usually are, what they add, and the check of it."""
    saliency, row = seen.saliency, seen.kind == "row"
    shown, rows = strongest_variables(seen, most=ROWS), []
    for place in shown:
        name, mean, _ = seen.variables[place]
        lost = saliency.occluded_variables.get(place)
        checked = "" if lost is None else signed(lost, about=saliency.about)
        rows.append(
            [
                name,
                mean_of(seen, place),
                f"{mean:.4g}",
                signed(saliency.by_variable[place], about=saliency.about),
                checked,
            ]
        )
    head = ["feature" if row else "variable", "value" if row else "mean", "in training", "share", "lost without it"]
    only = f"The {len(shown)} of {len(seen.variables)} that add most" if len(shown) < len(seen.variables) else "All"
    caption = f"{only}, what they add, and what the answer loses where one alone is the mean of training"
    return table(head, rows, caption=caption)
