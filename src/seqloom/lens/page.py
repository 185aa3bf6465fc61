"""A page that needs nothing but itself: texts and figures in one HTML file, which no network is asked for.

With Plotly's script, which comes from its own Python package, figures can be zoomed and asked for their values; without
it they are drawn as SVG, and the page is small and runs no script. A policy in the page forbids to load anything.
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from seqloom.errors import import_extra
from seqloom.files import write_file
from seqloom.lens.figures import Figure
from seqloom.lens.html import Html, heading, paragraph
from seqloom.lens.svg import draw

Part = Html | Figure

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:"
SCRIPTS = "; script-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --faint: #667078; --line: #d5dade; --paper: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --faint: #97a1a9; --line: #3b444b; --paper: #15191c; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60em;
  margin: 2em auto; padding: 0 1em; }
""".strip()
OF_PARTS = """
h1 { font-size: 1.7em; } h2 { font-size: 1.25em; margin-top: 2em; } h3 { font-size: 1.05em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 0.92em; }
caption { text-align: left; white-space: nowrap; color: var(--faint); padding-bottom: 0.4em; }
th, td { text-align: left; padding: 0.2em 1.2em 0.2em 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.wide, pre { overflow-x: auto; }
.strip { line-height: 1.9; white-space: pre-wrap; overflow-wrap: anywhere; }
.strip span { border-radius: 3px; padding: 0.1em 0; }
.faint { color: var(--faint); }
.drawn { display: block; width: 100%; max-width: 760px; height: auto; margin: 1em 0; font: 12px system-ui, sans-serif; }
.drawn text { fill: currentColor; } .drawn .title { font-size: 14px; font-weight: 600; } .drawn path { fill: none; }
.drawn .axis { stroke: var(--faint, #888); } .drawn .grid { stroke: var(--line, #8883); }
.drawn .mark { stroke: var(--faint, #888); stroke-dasharray: 3 3; }
""".strip()
OPTIONS = {"displaylogo": False, "plotlyServerURL": "", "responsive": True}
DRAW = """
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
function draw(place, data, layout) {
  layout.font.color = dark ? "#e4e8eb" : "#1c2024";
  for (const axis of ["xaxis", "yaxis"]) Object.assign(layout[axis], {gridcolor: dark ? "#3b444b" : "#e3e6e8"});
  Plotly.newPlot(place, data, layout, OPTIONS);
}
""".strip()


def write_page(path: Path, *, title: str, paragraphs: Sequence[str], figures: Sequence[Figure]) -> None:
    """Write a page of paragraphs and, below them, figures.

    Raises MissingExtraError without plotly, StorageError where the file cannot be written.
    """
    write_parts(path, title=title, parts=[*map(paragraph, paragraphs), *figures])


def write_parts(path: Path, *, title: str, parts: Sequence[Part]) -> None:
    """Write a page of these parts, one below the other, its figures drawn by Plotly. Raises as `write_page` does."""
    offline = import_extra("plotly.offline", extra="look", purpose="a page with figures")
    write_file(path, page(title=title, parts=parts, plotly=offline.get_plotlyjs()).encode())


def page(*, title: str, parts: Sequence[Part], plotly: str | None = None) -> str:
    """The page itself; `plotly` is the script that draws, without which figures are SVG."""
    policy = POLICY + SCRIPTS * (plotly is not None)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>
{STYLE}
{OF_PARTS}
</style>
</head>
<body>
{heading(title, level=1)}
{static(parts) if plotly is None else _interactive(parts, plotly)}
</body>
</html>
"""


def static(parts: Sequence[Part]) -> Html:
    """The parts, their figures as SVG: a page without a script."""
    return Html("\n".join(part if isinstance(part, Html) else draw(part) for part in parts))


def fragment(parts: Sequence[Part]) -> str:
    """The parts with their style, to stand within another page, such as a notebook."""
    return f'<div class="seqloom"><style>.seqloom {{\n{OF_PARTS}\n}}</style>\n{static(parts)}\n</div>'


def _interactive(parts: Sequence[Part], plotly: str) -> Html:
    """The parts with places for figures, and the scripts that draw them there."""
    figures = [part for part in parts if not isinstance(part, Html)]
    places = iter(range(len(figures)))
    body = "\n".join(part if isinstance(part, Html) else _place(part, next(places)) for part in parts)
    calls = "\n".join(
        f'draw("figure-{number}", {_script(figure["data"])}, {_script(figure["layout"])});'
        for number, figure in enumerate(figures)
    )
    return Html(
        f"{body}\n<script>{plotly}</script>\n<script>\nconst OPTIONS = {_script(OPTIONS)};\n{DRAW}\n{calls}\n</script>"
    )


def _place(figure: Figure, number: int) -> str:
    title = figure["layout"]["title"]["text"]  # escaped already, as plotly reads tags
    return f'<div id="figure-{number}" class="figure" role="img" aria-label="{title.replace(chr(34), "&quot;")}"></div>'


def _script(value: object) -> str:
    """JSON within a script: no text of a user's can end it."""
    return json.dumps(value).replace("<", "\\u003c")
