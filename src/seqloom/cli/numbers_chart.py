"""How numbers were read, in a terminal: what each variable adds and its course, then the same step by step."""

from rich.text import Text

from seqloom.cli.charts import BLOCKS, blocks_of
from seqloom.cli.escape import escaped
from seqloom.cli.reading_chart import answer_line, memory_rows, style_of
from seqloom.cli.tables import plain_table, print_table, width_of_output
from seqloom.lens import NumbersReading
from seqloom.lens.figures_numbers import frames_of, mean_of, run_names, runs_of, strongest_variables, summed
from seqloom.lens.memory import averaged
from seqloom.lens.reading_findings import signed

MOST = 12  # variables that are shown
COURSE, COLUMNS = 24, 16  # runs of steps: of a course, and of the table by step


def print_numbers(seen: NumbersReading) -> None:
    """The sample, the answer, its variables (of many the strongest), its steps or runs of them, and what they say."""
    print(escaped(seen.title))
    print(escaped(answer_line(seen.answer)))
    _print_variables(seen)
    if seen.kind == "series":
        _print_steps(seen)
    for sentence in seen.findings:
        print(escaped(f"- {sentence}").replace("\n", " "))


def _print_variables(seen: NumbersReading) -> None:
    """A line for each variable: its value, and that of training; its share; its course, coloured by the shares."""
    saliency, series = seen.saliency, seen.kind == "series"
    head = ("variable", "mean") if series else ("feature", "value")
    table = plain_table(*head, "in training", "share", "without", *(["course"] if series else []))
    shown = strongest_variables(seen, most=MOST)
    for place in shown:
        name, mean, _ = seen.variables[place]
        lost = saliency.occluded_variables.get(place)
        table.add_row(
            Text(escaped(name)),
            mean_of(seen, place),
            f"{mean:.4g}",
            signed(saliency.by_variable[place], about=saliency.about),
            "" if lost is None else signed(0 - lost, about=saliency.about),
            *([_course(seen, place)] if series else []),
        )
    rest = [share for place, share in enumerate(saliency.by_variable) if place not in shown]
    if rest:
        table.add_row(f"{len(rest):,} others", "", "", signed(sum(rest), about=saliency.about))
    print_table(table)


def _course(seen: NumbersReading, place: int) -> Text:
    """A variable over the steps: its height is the mean of a run, blue where that speaks for the answer, or orange."""
    runs = runs_of(len(seen.values), most=COURSE)
    shares = summed([step[place] for step in seen.saliency.shares], runs)
    most = max(map(abs, shares)) or 1.0
    known = [[value for step in seen.values[start:end] if (value := step[place]) is not None] for start, end in runs]
    heights = [sum(run) / len(run) for run in known if run]
    bottom, spread = min(heights, default=0.0), (max(heights, default=0.0) - min(heights, default=0.0)) or 1.0
    shown = Text()
    for run, share in zip(known, shares, strict=True):
        block = BLOCKS[1 + round(7 * (sum(run) / len(run) - bottom) / spread)] if run else " "
        shown.append(block, style=style_of(share / most))
    return shown


def _print_steps(seen: NumbersReading) -> None:
    """A column for each step, of a long series for a run of them, in as many tables as the width needs."""
    runs = runs_of(len(seen.values), most=COLUMNS, frames=seen.frames)
    shares = [
        (seen.variables[place].name, summed([step[place] for step in seen.saliency.shares], runs))
        for place in sorted(strongest_variables(seen, most=MOST))
    ]
    if len(seen.variables) > 1:
        shares.append(("all variables", summed(seen.saliency.by_step, runs)))
    most = max((abs(share) for _, each in shares for share in each), default=0.0) or 1.0
    about = seen.saliency.about
    rows = [
        (name, [Text(signed(share, about=about), style=style_of(share / most)) for share in each])
        for name, each in shares
    ]
    others = _arrived(seen, runs)
    frames = frames_of(runs, frames=seen.frames)
    for layer in seen.layers:
        others |= memory_rows(averaged(layer, frames), several=len(seen.layers) > 1)
    rows += [(name, list(map(Text, cells))) for name, cells in others.items()]
    names = run_names(runs)
    margin = max(len(escaped(name)) for name, _ in rows) + 2
    widths = [max(len(names[at]), *(len(cells[at]) for _, cells in rows)) for at in range(len(names))]
    for start, end in blocks_of(widths, room=width_of_output() - margin):
        table = plain_table("step" if runs[0][1] == 1 else "steps", *names[start:end])
        for name, cells in rows:
            table.add_row(Text(escaped(name)), *cells[start:end])
        print_table(table)


def _arrived(seen: NumbersReading, runs: list[tuple[int, int]]) -> dict[str, list[str]]:
    """The answer at the end of each run, or as late in it as it was asked for."""
    assert seen.arrivals is not None
    asked = dict(zip(seen.arrivals.steps, seen.arrivals.values, strict=True))
    last = [max((step for step in asked if start < step <= end), default=None) for start, end in runs]
    about = seen.saliency.about
    if about is None:
        return {"so far": ["" if step is None else f"{asked[step][0]:.4g}" for step in last]}
    label = seen.labels.index(about)
    return {f"{about} by then": ["" if step is None else f"{asked[step][label]:.0%}" for step in last]}
