"""How every experiment ends: what was found, in sentences, and a page where plotly is there."""

import sys
from collections.abc import Sequence
from pathlib import Path

from seqloom.errors import MissingExtraError
from seqloom.files import lock_folder
from seqloom.lens.html import bullets
from seqloom.lens.page import Part, write_page


def finish(
    page: Path,
    *,
    title: str,
    findings: Sequence[str],
    parts: Sequence[Part],
    quiet: bool = False,
) -> None:
    """Print the findings unless `quiet`, and write the page: these first, then the parts."""
    if not quiet:
        for finding in findings:
            print(f"- {finding}")
    try:
        with lock_folder(page.parent):  # made where missing
            write_page(page, title=title, parts=[bullets(findings), *parts])
        print(f"\npage:   {page}", file=sys.stderr)
    except MissingExtraError as missing:
        print(f"\nno page is written: {missing}", file=sys.stderr)
