"""Figures drawn as SVG, for pages that need no script: the report, and what a notebook shows.

Reads the figures of figures.py, and of plotly's many kinds of them those that are made there: lines, bars, heat maps.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape, unescape
from typing import Any, NamedTuple

from seqloom.lens.html import AGAINST, FOR, Html

WIDTH, HEIGHT = 720, 300
TOP, BOTTOM, RIGHT = 52, 52, 16
LETTER = 6.6  # the width of a letter, about
TICKS = 6
LONG = 1e12  # a number that is written with an exponent
CROWDED = 14  # pixels of a name beside an axis
WIDEST = 90  # pixels of a bar
MARKED = 40  # points of a line that are still marked one by one


class _Axis(NamedTuple):
    """Where values lie: `low` at the pixel `first`, `high` at `last`; and the names of some of them."""

    low: float
    high: float
    first: float
    last: float
    ticks: list[tuple[float, str]]
    name: str

    def at(self, value: float) -> float:
        """The pixel of a value."""
        spread = self.high - self.low
        return self.first + (self.last - self.first) * ((value - self.low) / spread if spread else 0.5)


def draw(figure: Mapping[str, Any]) -> Html:
    """A figure as SVG, as wide as the page lets it be; its title is what a screen reader says.

    Raises ValueError for a kind of figure that figures.py does not make.
    """
    data, layout = figure["data"], figure["layout"]
    kinds = {part["type"] for part in data}
    if not kinds <= {"scatter", "bar", "heatmap"}:
        raise ValueError(f"no way to draw {', '.join(sorted(kinds))}")
    height = float(layout.get("height", HEIGHT))
    names = _names(data)
    y = _axis(layout["yaxis"], _values(data, "y"), (height - BOTTOM, TOP), whole="heatmap" in kinds)
    left = 34 + LETTER * max((len(label) for _, label in y.ticks), default=0)
    x = _axis(layout["xaxis"], _values(data, "x", names), (left, WIDTH - RIGHT), whole=kinds != {"scatter"})
    parts = [*_frame(x, y, left, grid="heatmap" not in kinds), *_marks(layout, x, y), *_legend(data, left)]
    before: list[tuple[float, float]] = []
    for part in data:
        if part["type"] == "heatmap":
            parts += _cells(part, x, y)
        elif part["type"] == "bar":
            parts += _bars(part, x, y)
        else:
            points = [(names.get(at, at), value) for at, value in zip(part["x"], part["y"], strict=True)]
            drawn = [(x.at(at), y.at(value)) for at, value in points if value is not None]
            parts += _line(part, drawn, before, y)
            before = drawn
    title = escape(unescape(layout["title"]["text"]))
    return Html(
        f'<svg class="drawn" role="img" viewBox="0 0 {WIDTH} {height:.0f}" aria-label="{title}">'
        f"<title>{title}</title>\n"
        f'<text x="4" y="18" class="title">{title}</text>\n' + "\n".join(parts) + "\n</svg>"
    )


def _names(data: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    """The place of each value that is a text, such as a date, in the order in which they come."""
    texts = dict.fromkeys(at for part in data if part["type"] != "heatmap" for at in part["x"] if isinstance(at, str))
    return {text: place for place, text in enumerate(texts)}


def _values(data: Sequence[Mapping[str, Any]], axis: str, names: Mapping[Any, int] | None = None) -> list[Any]:
    """All the values along an axis, with the ends of intervals; texts that have a place by their place."""
    found: list[Any] = []
    for part in data:
        if part["type"] == "heatmap":
            found += range(len(part["z"]) if axis == "y" else len(part["z"][0]) if part["z"] else 0)
            continue
        values = [value for value in part[axis] if value is not None]
        found += values
        if axis == "y" and "error_y" in part:
            found += [v + up for v, up in zip(values, part["error_y"]["array"], strict=True)]
            found += [v - down for v, down in zip(values, part["error_y"]["arrayminus"], strict=True)]
        if part["type"] == "bar" and axis == "y":
            found.append(0)
    if names and found and isinstance(found[0], str):
        return list(names)
    return found


def _axis(settings: Mapping[str, Any], values: list[Any], pixels: tuple[float, float], *, whole: bool) -> _Axis:
    """An axis for these values; with `whole` a place of its own for each whole number."""
    named = list(zip(settings.get("tickvals", []), map(unescape, settings.get("ticktext", [])), strict=True))
    if values and isinstance(values[0], str):
        named = [(place, text) for place, text in enumerate(values)]
        low, high = 0.0, float(len(values) - 1)
    else:
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if whole and (named or settings.get("tickmode") == "array"):
        low, high = low - 0.5, high + 0.5
    elif settings.get("rangemode") == "tozero":
        low, high = min(0.0, low), max(0.0, high)
    if "range" in settings:
        low, high = settings["range"]
    if low == high:
        around = max(0.5, 1e-6 * abs(low))  # half a unit is nothing beside 1e17
        low, high = low - around, high + around
    if settings.get("autorange") == "reversed":
        low, high = high, low
    if named:
        across = abs(pixels[1] - pixels[0])
        space = max(CROWDED, LETTER * max(len(text) for _, text in named)) if pixels[0] < pixels[1] else CROWDED
        every = max(1, math.ceil(len(named) * space / max(across, 1)))
        ticks = [(float(at), text) for at, text in named[::every]]
    else:
        ticks = _round_ticks(min(low, high), max(low, high))
    return _Axis(low, high, *pixels, ticks, unescape(settings["title"]["text"]))


def _round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers between `low` and `high`."""
    step = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step *= next(times for times in (1, 2, 5, 10, 20) if (high - low) / (step * times) <= TICKS)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    ticks = [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
    # A perplexity has no end, and hundreds of digits would leave no room for the figure.
    return [(at, f"{at:,.{digits}f}" if abs(at) < LONG else f"{at:.4g}") for at in ticks]


def _frame(x: _Axis, y: _Axis, left: float, *, grid: bool) -> list[str]:
    """Axes, their names, ticks and the grid."""
    bottom, top = max(y.first, y.last), min(y.first, y.last)
    parts = [f'<path class="axis" d="M{left:.1f} {top:.1f}V{bottom:.1f}H{WIDTH - RIGHT}"/>']
    for value, label in y.ticks:
        at = y.at(value)
        parts += [f'<path class="grid" d="M{left:.1f} {at:.1f}H{WIDTH - RIGHT}"/>'] * grid
        parts.append(f'<text x="{left - 6:.1f}" y="{at + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    for value, label in x.ticks:
        parts.append(f'<text x="{x.at(value):.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{escape(label)}</text>')
    middle = (left + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{bottom + 40:.1f}" text-anchor="middle">{escape(x.name)}</text>')
    across = (top + bottom) / 2
    parts.append(
        f'<text transform="translate(12 {across:.1f}) rotate(-90)" text-anchor="middle">{escape(y.name)}</text>'
    )
    return parts


def _marks(layout: Mapping[str, Any], x: _Axis, y: _Axis) -> list[str]:
    """The places on the axis that matter, and why."""
    shapes, notes = layout.get("shapes", []), layout.get("annotations", [])
    top, bottom = min(y.first, y.last), max(y.first, y.last)
    parts = [f'<path class="mark" d="M{x.at(shape["x0"]):.1f} {top:.1f}V{bottom:.1f}"/>' for shape in shapes]
    for note in notes:
        at = x.at(note["x"])
        # Beside its line, on the side where there is room.
        place, anchor = (at + 4, "start") if at < WIDTH / 2 else (at - 4, "end")
        said = escape(unescape(note["text"]))
        parts.append(f'<text x="{place:.1f}" y="{top + 12:.1f}" text-anchor="{anchor}">{said}</text>')
    return parts


def _legend(data: Sequence[Mapping[str, Any]], left: float) -> list[str]:
    """The name of each line beside its colour, in a row below the title."""
    parts, at = [], left
    named = [part for part in data if part.get("name") and part.get("showlegend", True)]
    if len(named) < 2:
        return []
    for part in named:
        name = unescape(part["name"])
        parts.append(f'<rect x="{at:.1f}" y="29" width="14" height="8" fill="{escape(_colour(part))}"/>')
        parts.append(f'<text x="{at + 19:.1f}" y="37">{escape(name)}</text>')
        at += 34 + LETTER * len(name)
    return parts


def _colour(part: Mapping[str, Any]) -> str:
    colour: str = part.get("line", {}).get("color") or part.get("fillcolor") or part["marker"]["color"]
    return colour


def _line(
    part: Mapping[str, Any], points: list[tuple[float, float]], before: list[tuple[float, float]], y: _Axis
) -> list[str]:
    """A line with its points and intervals; or what lies between it and the line before."""
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    if part.get("fill") == "tonexty":
        back = " ".join(f"{a:.1f},{b:.1f}" for a, b in reversed(before))
        return [f'<polygon points="{path} {back}" fill="{escape(part["fillcolor"])}"/>']
    if part.get("line", {}).get("width") == 0:
        return []
    colour = escape(_colour(part))
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    if len(points) <= MARKED and "markers" in part["mode"]:
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
    return parts + _intervals(part, [a for a, _ in points], y, colour)


def _bars(part: Mapping[str, Any], x: _Axis, y: _Axis) -> list[str]:
    """Bars from zero, each with its interval."""
    wide = min(WIDEST, 0.7 * abs(x.at(1) - x.at(0)))
    parts = []
    for at, value in zip(part["x"], part["y"], strict=True):
        top, bottom = sorted((y.at(value), y.at(0)))
        box = f'x="{x.at(at) - wide / 2:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}"'
        parts.append(f'<rect {box} fill="{escape(_colour(part))}"/>')
    return parts + _intervals(part, [x.at(at) for at in part["x"]], y, "currentColor")


def _intervals(part: Mapping[str, Any], places: Sequence[float], y: _Axis, colour: str) -> list[str]:
    if "error_y" not in part:
        return []
    ends = zip(places, part["y"], part["error_y"]["array"], part["error_y"]["arrayminus"], strict=True)
    return [
        f'<path d="M{at:.1f} {y.at(value + up):.1f}V{y.at(value - down):.1f}" stroke="{colour}" stroke-width="1.5"/>'
        for at, value, up, down in ends
    ]


def _cells(part: Mapping[str, Any], x: _Axis, y: _Axis) -> list[str]:
    """Cells coloured by their values: blue above zero, vermilion below, the more opaque the further from it."""
    largest = max(abs(part["zmin"]), abs(part["zmax"])) or 1
    wide, high = abs(x.at(1) - x.at(0)), abs(y.at(1) - y.at(0))
    written = part.get("text")
    parts = []
    for row, values in enumerate(part["z"]):
        for column, value in enumerate(values):
            left, top = x.at(column) - wide / 2, y.at(row) - high / 2
            opacity = min(1.0, abs(value) / largest)
            box = f'x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}"'
            parts.append(
                f'<rect {box} fill="rgb({FOR if value > 0 else AGAINST})" fill-opacity="{0.7 * opacity:.3f}"/>'
            )
            if written:
                where = f'x="{x.at(column):.1f}" y="{y.at(row) + 4:.1f}"'
                parts.append(f'<text {where} text-anchor="middle">{escape(written[row][column])}</text>')
    return parts
