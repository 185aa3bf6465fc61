"""Figures of a reading: the answer as each token arrives, what tokens add, gates and states step by step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seqloom.lens.figures import COLOURS, LETTER, SHADES, Curve, Figure, axis, curves, layout_of, named

if TYPE_CHECKING:
    from seqloom.lens.memory import Layer
    from seqloom.lens.reading import Reading

# Nothing where a value is zero; vermilion below, blue above.
BOTH_WAYS = [[0, "rgba(213, 94, 0, 1)"], [0.5, "rgba(128, 128, 128, 0)"], [1, "rgba(0, 114, 178, 1)"]]
NAMED = 80  # tokens that are named one by one on an axis
LABELS = 6


def arrivals_figure(seen: "Reading") -> Figure:
    """The probability of each label, or the number, after each of the first tokens; the likeliest labels at the end."""
    steps, values = seen.arrivals.steps, seen.arrivals.values
    if not seen.labels:
        lines = [Curve("answer", steps, [value[0] for value in values])]
        return _by_token(curves(lines, title="The answer as each token arrives", x="tokens read", y="answer"), seen)
    last = values[-1]
    shown = sorted(range(len(last)), key=lambda label: (-last[label], label))[:LABELS]
    lines = [Curve(seen.labels[label], steps, [value[label] for value in values]) for label in sorted(shown)]
    figure = curves(lines, title="The answer as each token arrives", x="tokens read", y="probability", first=1)
    figure["layout"]["yaxis"]["range"] = [0, 1]
    return _by_token(figure, seen)


def shares_figure(seen: "Reading") -> Figure:
    """What each token adds, as bars, and beside it what its absence takes away, where that was checked."""
    layout = layout_of("What each token adds, and what the answer loses without it")
    unit = "log odds" if seen.saliency.about is not None else "in the unit of the target"
    layout["xaxis"] = axis("token") | _tokens(seen)
    layout["yaxis"] = axis(unit)
    shares = seen.saliency.shares
    bars: dict[str, Any] = {"type": "bar", "name": "share", "x": list(range(len(shares))), "y": shares}
    checked = sorted(seen.saliency.occluded)
    dots: dict[str, Any] = {"type": "scatter", "mode": "markers", "name": "lost without it", "x": checked}
    dots |= {"y": [seen.saliency.occluded[place] for place in checked]}
    dots |= {"marker": {"color": COLOURS[1], "symbol": "diamond", "size": 8}}
    return {"data": [bars | {"marker": {"color": COLOURS[2]}}, dots], "layout": layout}


def gates_figure(layer: "Layer", seen: "Reading") -> Figure:
    """The mean of each gate at each step, and how far the state moved."""
    rows = layer.gates | {"state moved": layer.moved}
    # A candidate lies between -1 and 1, all others between 0 and 1.
    title = f"Gates of {layer.name}: the mean over all units"
    return _map(list(rows.values()), list(rows), seen, title=title, unit="mean", both=True)


def values_figure(layer: "Layer", what: str, seen: "Reading") -> Figure:
    """One kind of value, such as the cell, of the units that move most, step by step."""
    rows = [f"unit {unit}" for unit in layer.units]
    title = f"{layer.name}: {what} of the {len(rows)} units that move most"
    both = what in ("hidden", "cell", "candidate")
    return _map(layer.values[what], rows, seen, title=title[0].upper() + title[1:], unit=what, both=both)


def _map(
    rows: Sequence[Sequence[float]], names: Sequence[str], seen: "Reading", *, title: str, unit: str, both: bool
) -> Figure:
    """A row of cells for each name, a column for each token."""
    layout = layout_of(title) | {"height": 150 + LETTER * len(rows), "margin": {"t": 50, "b": 100, "l": 110}}
    layout["xaxis"] = axis("token") | _tokens(seen)
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


def _tokens(seen: "Reading") -> dict[str, Any]:
    """The tokens on an axis; in a long text their numbers."""
    if len(seen.tokens) > NAMED:
        return {}
    return named([token.text for token in seen.tokens]) | {"tickangle": -60}


def _by_token(figure: Figure, seen: "Reading") -> Figure:
    """The tokens below the steps after which the answer was asked for."""
    if len(seen.tokens) <= NAMED:
        names = named([token.text for token in seen.tokens])
        figure["layout"]["xaxis"] |= names | {"tickvals": [place + 1 for place in names["tickvals"]], "tickangle": -60}
        figure["layout"]["xaxis"] |= {"title": {"text": "read up to"}, "rangemode": "normal"}
    return figure
