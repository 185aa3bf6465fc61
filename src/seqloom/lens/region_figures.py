"""The figure of a caption: the image once for each word, the regions that the word attended to coloured over it."""

from html import escape
from typing import Any

from seqloom.lens.captions import RegionMap
from seqloom.lens.figures import Figure, layout_of

ACROSS = 5  # words side by side
PANEL, GAP, ABOVE = 190, 10, 60  # pixels of a panel, between two, and above all
WORD = 24  # pixels for the word above its panel
OVER = [[0, "rgba(213, 94, 0, 0)"], [1, "rgba(213, 94, 0, 0.85)"]]  # nothing to orange, as far as it was attended to


def region_figure(seen: RegionMap, *, title: str) -> Figure | None:
    """A panel for each word; None without attention or without a word. Colours go to the highest share of any word."""
    if not seen.weights:
        return None
    down = -(-len(seen.tokens) // ACROSS)
    width, height = ACROSS * (PANEL + GAP), ABOVE + down * (PANEL + GAP + WORD)
    size = {"width": width, "height": height, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}}
    layout = layout_of(title) | size | {"annotations": []}
    highest = max(share for word in seen.weights for line in word for share in line)
    drawn: list[dict[str, Any]] = []
    for place, (token, weights) in enumerate(zip(seen.tokens, seen.weights, strict=True)):
        left, top = (place % ACROSS) * (PANEL + GAP), ABOVE + (place // ACROSS) * (PANEL + GAP + WORD)
        number = str(place + 1) if place else ""
        x = [left / width, (left + PANEL) / width]
        y = [1 - (top + WORD + PANEL) / height, 1 - (top + WORD) / height]
        hidden = {"visible": False, "constrain": "domain"}
        layout[f"xaxis{number}"] = hidden | {"domain": x, "anchor": f"y{number}"}
        layout[f"yaxis{number}"] = hidden | {"domain": y, "anchor": f"x{number}", "autorange": "reversed"}
        word = {"text": escape(token.strip() or "␣", quote=False), "showarrow": False, "xref": "paper", "yref": "paper"}
        layout["annotations"].append(word | {"x": x[0], "y": y[1], "xanchor": "left", "yanchor": "bottom"})
        drawn += _panel(seen, weights, highest=highest, axes={"xaxis": f"x{number}", "yaxis": f"y{number}"})
    return {"data": drawn, "layout": layout}


def _panel(
    seen: RegionMap, weights: list[list[float]], *, highest: float, axes: dict[str, str]
) -> list[dict[str, Any]]:
    """The image, and over it what a word attended to: a region covers as many pixels as it was made of."""
    side = len(seen.pixels) / len(weights)
    first = side / 2 - 0.5  # the middle of the first region, where the first pixel's is 0
    image = {"type": "image", "z": seen.pixels.tolist(), "hoverinfo": "skip"}
    regions = {"type": "heatmap", "z": weights, "x0": first, "dx": side, "y0": first, "dy": side}
    colours = {"zmin": 0, "zmax": highest, "colorscale": OVER, "showscale": False}
    return [image | axes, regions | colours | axes]
