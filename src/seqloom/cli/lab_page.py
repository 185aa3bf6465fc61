"""How every experiment is read: a table, what was found, in sentences, and a page where plotly is there."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seqloom.cli.tables import plain_table, print_table
from seqloom.errors import MissingExtraError
from seqloom.files import lock_folder
from seqloom.lens.figures import Figure
from seqloom.lens.page import Heading, write_page


class Sheet(NamedTuple):
    """What an experiment shows: its subject, what was found, figures and a table; more paragraphs for the page."""

    title: str
    about: str
    findings: Sequence[str]
    figures: Sequence[Figure]
    caption: str = ""
    heads: Sequence[str] = ()
    lines: Sequence[Sequence[str]] = ()
    paragraphs: Sequence[str] = ()


def show(sheet: Sheet, page: Path, *, quiet: bool) -> None:
    """Print table and findings unless `quiet`, and write the page, its folder made where missing."""
    if not quiet:
        if sheet.heads:
            table = plain_table(*sheet.heads, title=sheet.caption)
            for line in sheet.lines:
                table.add_row(*line)
            print_table(table)
        for finding in sheet.findings:
            print(f"- {finding}")
    numbers = (Heading("The numbers"), sheet.caption, _laid_out([sheet.heads, *sheet.lines])) if sheet.heads else ()
    try:
        with lock_folder(page.parent):
            paragraphs = [sheet.about, Heading("What was found"), *sheet.findings, *numbers, *sheet.paragraphs]
            write_page(page, title=sheet.title, paragraphs=paragraphs, figures=sheet.figures)
        print(f"\npage:   {page}", file=sys.stderr)
    except MissingExtraError as missing:
        print(f"\nno page is written: {missing}", file=sys.stderr)


def _laid_out(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{'>' if place else '<'}{widths[place]}}" for place, cell in enumerate(row)) for row in rows
    )
