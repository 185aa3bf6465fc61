"""BLEU by the length of the source as a picture: a line for each set, with the 95 % interval of every point."""

from collections.abc import Sequence
from typing import Any

from benchmarks.figure import text

COLOURS = ("#4477aa", "#cc3377", "#228833", "#ccbb44")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 60, 20, 76, 46
APART = 7  # between the points of two sets, so that their intervals do not cover each other


def draw(results: Sequence[dict[str, Any]]) -> str:
    """The picture as SVG; empty where no set has a BLEU."""
    sets = [(result["set"], spans(result)) for result in results if spans(result)]
    if not sets:
        return ""
    names = list(dict.fromkeys(name for _, points in sets for name, _, _ in points))
    highest = 10 * (1 + int(max(high for _, points in sets for _, _, (_, high) in points) // 10))

    def across(name: str) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (names.index(name) + 0.5) / len(names)

    def up(bleu: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * bleu / highest

    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', text(10, 20, _finding(sets), size=15)]
    for tick in range(0, highest + 1, 10):
        y = up(tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, str(tick), anchor="end"))
    parts += [text(across(name), HEIGHT - BOTTOM + 18, name, anchor="middle") for name in names]
    parts.append(text((LEFT + WIDTH) / 2, HEIGHT - 8, "length of the source (words)", anchor="middle"))
    parts.append(text(10, TOP - 10, "BLEU (0 to 100)"))
    for number, ((name, points), colour) in enumerate(zip(sets, COLOURS, strict=False)):
        shift = APART * (number - (len(sets) - 1) / 2)
        places = [(across(span) + shift, up(bleu)) for span, bleu, _ in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (span, bleu, (low, high)) in zip(places, points, strict=True):
            parts.append(f'<line x1="{x:.1f}" y1="{up(low):.1f}" x2="{x:.1f}" y2="{up(high):.1f}" stroke="{colour}"/>')
            title = f"<title>{name}, {span} words: {bleu:.1f} ({low:.1f} to {high:.1f})</title>"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">{title}</circle>')
        x = LEFT + 10 + 220 * number
        parts += [f'<circle cx="{x}" cy="44" r="5" fill="{colour}"/>', text(x + 10, 48, name)]
    body = "\n".join(parts)
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">\n{body}\n</svg>\n'


def spans(result: dict[str, Any]) -> list[tuple[str, float, tuple[float, float]]]:
    """The lengths of one set, such as "9-11", each with its BLEU and the interval of that."""
    found = [span for span in result["test"]["by_length"] if "bleu" in span]
    return [(span_name(span["words"]), span["bleu"], tuple(span["intervals"]["bleu"])) for span in found]


def span_name(words: Sequence[int]) -> str:
    """`9-11`, or `18+` where there is no end."""
    first, last = words
    return f"{first}+" if last >= 1000 else f"{first}-{last}"


def _finding(sets: Sequence[tuple[str, list[tuple[str, float, tuple[float, float]]]]]) -> str:
    """What each line does from its first length to its last."""
    ends = (f"{name} {points[0][1]:.0f} to {points[-1][1]:.0f}" for name, points in sets)
    return f"BLEU from the shortest to the longest sources: {', '.join(ends)}"
