"""The pieces of a page: paragraphs, tables, coloured texts. Here, and only here, a text becomes HTML, and is escaped.

Colours are laid over the background with some transparency, so that a text is readable on a light and on a dark page.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

FOR, AGAINST = "0, 114, 178", "213, 94, 0"  # blue and vermilion: told apart by colour-blind eyes too
STRONGEST = 0.65  # the opacity of the largest value


class Html(str):
    """A text that is HTML already. All others are escaped before they become a part of it."""


class Piece(NamedTuple):
    """A part of a text with a value from -1 to 1, which colours it, and what is said of it; None for no value."""

    text: str
    value: float | None = None
    said: str = ""


def heading(text: str, *, level: int = 2) -> Html:
    """A heading; the title of a page has the level 1."""
    return Html(f"<h{level}>{escape(text)}</h{level}>")


def paragraph(text: str) -> Html:
    """A paragraph; a percentage is not parted from its sign."""
    return Html(f"<p>{escape(text).replace(' %', '&nbsp;%')}</p>")


def bullets(texts: Iterable[str]) -> Html:
    """A list, a line for each text."""
    lines = "\n".join(f"<li>{escape(text).replace(' %', '&nbsp;%')}</li>" for text in texts)
    return Html(f"<ul>\n{lines}\n</ul>")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, texts: int = 1) -> Html:
    """A table with a caption. The first `texts` columns are texts, to the left; the others numbers, to the right."""

    def line(cells: Sequence[str], tag: str) -> str:
        sides = ["" if place < texts else ' class="number"' for place in range(len(cells))]
        # Each cell keeps to itself what its text does to the direction of writing.
        return "".join(
            f"<{tag}{side}><bdi>{escape(cell)}</bdi></{tag}>" for cell, side in zip(cells, sides, strict=True)
        )

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    top = f"<thead><tr>{line(head, 'th')}</tr></thead>"
    return Html(
        f'<div class="wide"><table><caption>{escape(caption)}</caption>{top}\n<tbody>\n{body}\n</tbody></table></div>'
    )


def preformatted(text: str) -> Html:
    """A text with its line breaks and blanks."""
    return Html(f"<pre>{escape(text)}</pre>")


def folded(title: str, inside: Html) -> Html:
    """A part that opens when it is asked for."""
    return Html(f"<details><summary>{escape(title)}</summary>\n{inside}\n</details>")


def strip(pieces: Iterable[Piece], *, label: str) -> Html:
    """A text whose pieces are coloured by their values: blue above zero, vermilion below."""
    return Html(f'<p class="strip" dir="auto" aria-label="{escape(label)}">{"".join(map(_coloured, pieces))}</p>')


def _coloured(piece: Piece) -> str:
    if piece.value is None:
        said = f'<span class="faint" title="{escape(piece.said)}">{escape(piece.text)}</span>'
        return said if piece.said else escape(piece.text)
    colour = FOR if piece.value > 0 else AGAINST
    opacity = STRONGEST * min(1.0, abs(piece.value))
    style = f' style="background: rgba({colour}, {opacity:.3f})"' if opacity >= 0.005 else ""
    return f'<span title="{escape(piece.said)}"{style}>{escape(piece.text)}</span>'
