"""The ratios as a picture: how long torch takes for what takes seqloom one, and the fastest of the other peers."""

import math
import statistics
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = {"SimpleRNN": "#4477aa", "GRU": "#228833", "LSTM": "#cc3377"}
LEFT, ROW, TOP = 270, 22, 74
WIDTH, SPAN = 900, 610
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


class Mark(NamedTuple):
    """A peer's time over ours in one row of the picture; `torch` is filled, the others are rings."""

    row: str
    cell: str
    ratio: float
    torch: bool


def draw(marks: Sequence[Mark]) -> str:
    """The picture as SVG, a row for each case and mode, ratios on a logarithmic axis."""
    rows = list(dict.fromkeys(mark.row for mark in marks))
    height = TOP + ROW * len(rows) + 40
    least, most = min(mark.ratio for mark in marks), max(mark.ratio for mark in marks)
    ticks = [tick for tick in TICKS if tick == 1 or least / 2 < tick < most * 2]

    def across(ratio: float) -> float:
        low, high = math.log(min(ticks[0], least)), math.log(max(ticks[-1], most))
        return LEFT + 10 + (SPAN - 20) * (math.log(ratio) - low) / (high - low)

    parts = [f'<rect width="{WIDTH}" height="{height}" fill="white"/>', text(10, 20, _finding(marks), size=15)]
    parts += _legend()
    for tick in ticks:
        x, bottom = across(tick), TOP + ROW * len(rows)
        stroke = "#444" if tick == 1 else "#ddd"
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{stroke}"/>')
        parts.append(text(x, bottom + 16, f"{tick:g}", anchor="middle"))
    parts.append(text(LEFT + SPAN / 2, height - 6, "time of the peer / time of seqloom (log)", anchor="middle"))
    parts += [text(LEFT - 8, _middle(rows.index(row)) + 4, row, anchor="end") for row in rows]
    parts += [_circle(across(mark.ratio), _middle(rows.index(mark.row)), mark) for mark in marks]
    body = "\n".join(parts)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">\n{body}\n</svg>\n'


def _finding(marks: Sequence[Mark]) -> str:
    ratios = [mark.ratio for mark in marks if mark.torch]
    faster = sum(ratio > 1 for ratio in ratios)
    middle = f"the median ratio is {statistics.median(ratios):.1f}"
    return f"seqloom is faster than torch in {faster} of {len(ratios)} cases; {middle}"


def _legend() -> list[str]:
    parts = []
    for number, (cell, colour) in enumerate(COLOURS.items()):
        x = LEFT + 10 + 100 * number
        parts += [f'<circle cx="{x}" cy="46" r="5" fill="{colour}"/>', text(x + 10, 50, cell)]
    return [*parts, text(LEFT + 310, 50, "filled: torch · ring: the fastest other peer")]


def _middle(row: int) -> float:
    return TOP + ROW * (row + 0.5)


def _circle(x: float, y: float, mark: Mark) -> str:
    colour = COLOURS[mark.cell]
    fill = colour if mark.torch else "none"
    title = f"<title>{escape(f'{mark.cell}, {mark.row}: {mark.ratio:.2f}')}</title>"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{colour}" stroke-width="1.5">{title}</circle>'
    )


def text(x: float, y: float, said: str, *, anchor: str = "start", size: int = 12) -> str:
    """One line of text, its baseline at `y`."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(said)}</text>'
