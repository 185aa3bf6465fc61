"""Figures from plain data, as plotly reads them: plain values too, so that one is made, kept and tested without it.

Axes have units, and a title says what is to be seen. `plotly.graph_objects.Figure(figure)` makes an object of one.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from seqloom.lens.attention import AttentionMap
    from seqloom.lens.series import SeriesView

Figure = dict[str, Any]  # {"data": [...], "layout": {...}}

COLOURS = ("#7f7f7f", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00")  # told apart by colour-blind eyes too
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star")  # and without colours
LETTER = 22  # pixels for a token of a map
ABOVE, BELOW = 130, 70  # pixels of a map for title, axis and its name, and below it
# Nothing where nothing is, so that a map can lie on a light and on a dark page.
SHADES = [[0, "rgba(0, 114, 178, 0)"], [1, "rgba(0, 114, 178, 1)"]]


class Curve(NamedTuple):
    """A line through points, and where they are known the ends of each point's interval."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    intervals: Sequence[tuple[float, float]] = ()


def curves(
    lines: Sequence[Curve], *, title: str, x: str, y: str, mark: tuple[float, str] | None = None, first: int = 0
) -> Figure:
    """Lines over one axis; `mark` is a place on it that matters, and why; `first` the colour of the first line."""
    layout = layout_of(title)
    layout["xaxis"] = axis(x) | {"rangemode": "tozero"}
    layout["yaxis"] = axis(y) | {"rangemode": "tozero"}
    if mark is not None:
        at, why = mark
        line = {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
        layout["shapes"] = [line | {"line": {"dash": "dot", "color": "#999999"}}]
        place = {"x": at, "yref": "paper", "y": 1, "xanchor": "left", "yanchor": "top", "xshift": 4}
        layout["annotations"] = [place | {"text": why, "showarrow": False}]
    return {"data": [_line(line, number) for number, line in enumerate(lines, start=first)], "layout": layout}


def heat_map(seen: "AttentionMap", *, title: str) -> Figure | None:
    """What each token written attended to; None for a model without attention."""
    if seen.weights is None:
        return None
    down, across = len(seen.tokens), len(seen.source)
    size = {"height": ABOVE + BELOW + LETTER * down, "width": 220 + LETTER * max(across, 20)}
    layout = layout_of(title) | size | {"margin": {"t": ABOVE, "b": BELOW}}
    # Tokens repeat, and an axis of names would fold them into one: places are drawn, and names written beside them.
    layout["xaxis"] = axis("source, as it was read") | named(seen.source) | {"side": "top"}
    layout["yaxis"] = axis("written") | named(seen.tokens) | {"autorange": "reversed"}
    cells = {"type": "heatmap", "z": seen.weights, "zmin": 0, "zmax": 1, "colorscale": SHADES}
    return {"data": [cells | {"colorbar": {"title": {"text": "share of attention"}}}], "layout": layout}


def forecast_figure(seen: "SeriesView", *, title: str) -> Figure:
    """The end of a series, what is forecast of it, and the band between the outer quantiles."""
    before, after = seen.times[: len(seen.history)], seen.times[len(seen.history) :]
    layout = layout_of(title)
    layout["xaxis"] = axis("time" if "-" in seen.times[0] else "step")
    layout["yaxis"] = axis(seen.series)
    lines = {"type": "scatter", "mode": "lines"}
    low, high = (list(seen.quantiles)[place] for place in (0, -1))
    drawn: list[dict[str, Any]] = [
        lines | {"name": "so far", "x": before, "y": seen.history, "line": {"color": COLOURS[0]}}
    ]
    if len(seen.quantiles) > 1:
        edge = lines | {"x": after, "line": {"width": 0}, "hoverinfo": "skip"}
        drawn.append(edge | {"y": seen.quantiles[high], "showlegend": False})
        filled = {"fill": "tonexty", "fillcolor": "rgba(0, 114, 178, 0.2)", "name": f"{low} to {high}"}
        drawn.append(edge | {"y": seen.quantiles[low]} | filled)
    drawn.append(lines | {"name": "forecast", "x": after, "y": seen.forecast, "line": {"color": COLOURS[2]}})
    return {"data": drawn, "layout": layout}


def _line(line: Curve, number: int) -> dict[str, Any]:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    drawn: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(line.name, quote=False),
        "x": list(line.x),
        "y": list(line.y),
    }
    dash = ("solid", "dash", "dot")[number // len(COLOURS) % 3]
    drawn |= {"line": {"color": colour, "dash": dash}, "marker": {"symbol": marker, "size": 8}}
    if line.intervals:
        drawn["error_y"] = error_bars(line.intervals, line.y)
    return drawn


def error_bars(intervals: Sequence[tuple[float, float]], values: Sequence[float]) -> dict[str, Any]:
    """The intervals of these values, as lines above and below them."""
    up = [high - value for (_, high), value in zip(intervals, values, strict=True)]
    down = [value - low for (low, _), value in zip(intervals, values, strict=True)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1}


def layout_of(title: str) -> dict[str, Any]:
    """What all figures have in common; plotly reads tags in texts, so that a title could become a link."""
    clear = "rgba(0, 0, 0, 0)"
    plain = {"paper_bgcolor": clear, "plot_bgcolor": clear, "font": {"family": "sans-serif", "size": 14}}
    plain |= {"modebar": {"bgcolor": clear, "color": "#8a939b"}}
    # The title sits at the top of the picture, the legend above the plot, so that neither meets the name of an axis.
    heading = {
        "text": escape(title, quote=False),
        "font": {"size": 16},
        "x": 0.02,
        "yref": "container",
        "y": 0.98,
        "yanchor": "top",
    }
    return {"title": heading, "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"}, **plain}


def axis(name: str) -> dict[str, Any]:
    """An axis with its name, which has the unit."""
    return {
        "title": {"text": escape(name, quote=False)},
        "gridcolor": "#e3e6e8",
        "linecolor": "#999999",
        "zeroline": False,
    }


def named(tokens: Sequence[str]) -> dict[str, Any]:
    """An axis of whole numbers with a name at each."""
    shown = ["␣" if token.isspace() else escape(token, quote=False) for token in tokens]
    return {"tickmode": "array", "tickvals": list(range(len(shown))), "ticktext": shown, "showgrid": False}
