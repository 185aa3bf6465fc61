"""A page that needs nothing but itself: texts and figures in one HTML file, which no network is asked for.

Plotly's script comes from its own Python package. A policy in the page forbids the browser to load anything.
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from seqloom.errors import import_extra
from seqloom.files import write_file
from seqloom.lens.figures import Figure

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
STYLE = "body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }"
STYLE += " pre { overflow-x: auto; font-size: 12px; line-height: 1.35; }"
OPTIONS = {"displaylogo": False, "plotlyServerURL": "", "responsive": True}


class Heading(str):
    """Among the paragraphs of a page: the name of what follows."""

    __slots__ = ()


def write_page(path: Path, *, title: str, paragraphs: Sequence[str], figures: Sequence[Figure]) -> None:
    """Write a page of paragraphs and, below them, figures. A paragraph of several lines is shown as it is laid out.

    Raises MissingExtraError without plotly, StorageError where the file cannot be written.
    """
    offline = import_extra("plotly.offline", extra="look", purpose="a page with figures")
    write_file(path, page(title=title, paragraphs=paragraphs, figures=figures, plotly=offline.get_plotlyjs()).encode())


def page(*, title: str, paragraphs: Sequence[str], figures: Sequence[Figure], plotly: str) -> str:
    """The page itself; `plotly` is the script that draws."""
    texts = "\n".join(map(_block, paragraphs))
    places = "\n".join(f'<div id="figure-{number}"></div>' for number in range(len(figures)))
    calls = "\n".join(
        f'Plotly.newPlot("figure-{number}", {_script(figure["data"])}, {_script(figure["layout"])}, OPTIONS);'
        for number, figure in enumerate(figures)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{texts}
{places}
<script>{plotly}</script>
<script>
const OPTIONS = {_script(OPTIONS)};
{calls}
</script>
</body>
</html>
"""


def _block(text: str) -> str:
    """A heading, lines that are kept as they are, or a paragraph."""
    if isinstance(text, Heading):
        return f"<h2>{escape(text)}</h2>"
    if "\n" in text:
        return f"<pre>{escape(text)}</pre>"
    return f"<p>{escape(text).replace(' %', '&nbsp;%')}</p>"


def _script(value: object) -> str:
    """JSON within a script: no text of a user's can end it."""
    return json.dumps(value).replace("<", "\\u003c")
