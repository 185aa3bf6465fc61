"""How every experiment ends: what was found, in sentences, and a page where plotly is there."""

import sys
from collections.abc import Sequence
from pathlib import Path

from seqloom.errors import MissingExtraError
from seqloom.files import lock_folder
from seqloom.lens.figures import Figure
from seqloom.lens.page import write_page


def finish(
    page: Path,
    *,
    title: str,
    findings: Sequence[str],
    figures: Sequence[Figure],
    paragraphs: Sequence[str] = (),
    quiet: bool = False,
) -> None:
    """Print the findings unless `quiet`, and write the page: these first, then paragraphs and figures."""
    if not quiet:
        for finding in findings:
            print(f"- {finding}")
    try:
        with lock_folder(page.parent):  # made where missing
            write_page(page, title=title, paragraphs=[*findings, *paragraphs], figures=figures)
        print(f"\npage:   {page}", file=sys.stderr)
    except MissingExtraError as missing:
        print(f"\nno page is written: {missing}", file=sys.stderr)
