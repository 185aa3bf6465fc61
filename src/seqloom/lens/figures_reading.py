"""Figures of a reading: the answer as each token arrives, what tokens add, gates and states step by step.

What is drawn by step takes the names of the steps: tokens of a text, or the numbers of steps of a series.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seqloom.lens.figures import COLOURS, LETTER, SHADES, Curve, Figure, axis, curves, layout_of, named

if TYPE_CHECKING:
    from seqloom.lens.arrivals import Arrivals
    from seqloom.lens.memory import Layer
    from seqloom.lens.reading import Reading

# Nothing where a value is zero; vermilion below, blue above.
BOTH_WAYS = [[0, "rgba(213, 94, 0, 1)"], [0.5, "rgba(128, 128, 128, 0)"], [1, "rgba(0, 114, 178, 1)"]]
NAMED = 80  # tokens that are named one by one on an axis
SIGNED = ("hidden", "cell", "candidate")  # values on both sides of zero
LABELS = 6


def arrivals_figure(seen: "Reading") -> Figure:
    """The probability of each label, or the number, after each of the first tokens; the likeliest labels at the end."""
    figure = arriving(seen.arrivals, seen.labels, unit="token")
    if len(seen.tokens) <= NAMED:
        names = named([token.text for token in seen.tokens])
        figure["layout"]["xaxis"] |= names | {"tickvals": [place + 1 for place in names["tickvals"]], "tickangle": -60}
        figure["layout"]["xaxis"] |= {"title": {"text": "read up to"}, "rangemode": "normal"}
    return figure


def arriving(arrivals: "Arrivals", labels: Sequence[str], *, unit: str) -> Figure:
    """The same by the number of tokens or steps, as `unit` calls them."""
    steps, values = arrivals.steps, arrivals.values
    title, read = f"The answer as each {unit} arrives", f"{unit}s read"
    if not labels:
        lines = [Curve("answer", steps, [value[0] for value in values])]
        return curves(lines, title=title, x=read, y="answer")
    last = values[-1]
    shown = sorted(range(len(last)), key=lambda label: (-last[label], label))[:LABELS]
    lines = [Curve(labels[label], steps, [value[label] for value in values]) for label in sorted(shown)]
    figure = curves(lines, title=title, x=read, y="probability", first=1)
    figure["layout"]["yaxis"]["range"] = [0, 1]
    return figure


def shares_figure(seen: "Reading") -> Figure:
    """What each token adds, as bars, and beside it what its absence takes away, where that was checked."""
    saliency = seen.saliency
    figure = share_bars(saliency.shares, saliency.occluded, about=saliency.about, what="token")
    figure["layout"]["xaxis"] |= _tokens(token_names(seen))
    return figure


def share_bars(shares: Sequence[float], lost: Mapping[int, float], *, about: str | None, what: str) -> Figure:
    """What each token, variable or step adds, as bars, and beside it what its absence takes away."""
    checked = sorted(lost)
    layout = layout_of(f"What each {what} adds" + ", and what the answer loses without it" * bool(checked))
    layout["xaxis"] = axis(what)
    layout["yaxis"] = axis("log odds" if about is not None else "in the unit of the target")
    bars: dict[str, Any] = {"type": "bar", "name": "share", "x": list(range(len(shares))), "y": list(shares)}
    bars |= {"marker": {"color": COLOURS[2]}}
    dots: dict[str, Any] = {"type": "scatter", "mode": "markers", "name": "lost without it", "x": checked}
    dots |= {"y": [lost[place] for place in checked]}
    dots |= {"marker": {"color": COLOURS[1], "symbol": "diamond", "size": 8}}
    return {"data": [bars, dots] if checked else [bars], "layout": layout}


def token_names(seen: "Reading") -> list[str]:
    """The tokens as they stand on an axis; none in a long text, where their numbers do."""
    return [token.text for token in seen.tokens] if len(seen.tokens) <= NAMED else []


def gates_figure(layer: "Layer", steps: Sequence[str], *, unit: str = "token") -> Figure:
    """The mean of each gate at each step, and how far the state moved."""
    rows = layer.gates | {"state moved": layer.moved}
    # A candidate lies between -1 and 1, all others between 0 and 1.
    title = f"Gates of {layer.name}: the mean over all units"
    figure = heat(list(rows.values()), list(rows), title=title, unit="mean", both=True)
    figure["layout"]["xaxis"] = axis(unit) | _tokens(steps)
    return figure


def values_figure(layer: "Layer", what: str, steps: Sequence[str], *, unit: str = "token") -> Figure:
    """One kind of value, such as the cell, of the units that move most, step by step."""
    rows = [f"unit {number}" for number in layer.units]
    title = f"{layer.name}: {what} of the {len(rows)} units that move most"
    figure = heat(layer.values[what], rows, title=title[0].upper() + title[1:], unit=what, both=what in SIGNED)
    figure["layout"]["xaxis"] = axis(unit) | _tokens(steps)
    return figure


def heat(rows: Sequence[Sequence[float]], names: Sequence[str], *, title: str, unit: str, both: bool) -> Figure:
    """A row of cells for each name; `both` sides of zero are coloured, or from 0 to 1."""
    layout = layout_of(title) | {"height": 150 + LETTER * len(rows), "margin": {"t": 50, "b": 100, "l": 110}}
    layout["yaxis"] = axis("") | named(names) | {"autorange": "reversed"}
    most = (max((abs(value) for row in rows for value in row), default=0.0) or 1.0) if both else 1.0
    cells: dict[str, Any] = {
        "type": "heatmap",
        "z": [list(row) for row in rows],
        "zmin": -most if both else 0,
        "zmax": most,
    }
    cells |= {"colorscale": BOTH_WAYS if both else SHADES, "colorbar": {"title": {"text": unit}}}
    return {"data": [cells], "layout": layout}


def _tokens(names: Sequence[str]) -> dict[str, Any]:
    """The names on an axis, if there are any."""
    return named(names) | {"tickangle": -60} if names else {}
