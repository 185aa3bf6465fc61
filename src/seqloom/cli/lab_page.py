"""How every experiment is read: a table, what was found, in sentences, and a page where plotly is there."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seqloom.cli.tables import plain_table, print_table
from seqloom.errors import MissingExtraError
from seqloom.files import lock_folder
from seqloom.lens.html import bullets, heading, paragraph, table
from seqloom.lens.page import Part, write_page


class Sheet(NamedTuple):
    """What an experiment shows: its subject, what was found, a table of numbers, and the rest of its page."""

    title: str
    about: str
    findings: Sequence[str]
    parts: Sequence[Part]
    caption: str = ""
    heads: Sequence[str] = ()
    lines: Sequence[Sequence[str]] = ()


def show(sheet: Sheet, page: Path, *, quiet: bool) -> None:
    """Print table and findings unless `quiet`, and write the page, its folder made where missing."""
    if not quiet:
        if sheet.heads:
            printed = plain_table(*sheet.heads, title=sheet.caption)
            for line in sheet.lines:
                printed.add_row(*line)
            print_table(printed)
        for finding in sheet.findings:
            print(f"- {finding}")
    numbers: list[Part] = [table(sheet.heads, sheet.lines, caption=sheet.caption)] if sheet.heads else []
    parts = [paragraph(sheet.about), heading("What was found"), bullets(sheet.findings), *numbers, *sheet.parts]
    try:
        with lock_folder(page.parent):
            write_page(page, title=sheet.title, parts=parts)
        print(f"\npage:   {page}", file=sys.stderr)
    except MissingExtraError as missing:
        print(f"\nno page is written: {missing}", file=sys.stderr)
