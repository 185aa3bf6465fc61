"""seqloom lab notes: a simple recurrent network worked through by hand."""

from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    seed: Annotated[int, typer.Option(help="decides the first weights")] = 0,
    html: Annotated[Path, typer.Option(help="page with the same")] = Path("runs/notes.html"),
    json: options.Json = False,
) -> None:
    """Every formula of a SimpleRNN with its numbers, on three sentences: reading, loss, the way back, an update."""
    from seqloom.cli.lab_page import Sheet, show
    from seqloom.cli.tables import print_json
    from seqloom.lab import notes as lab
    from seqloom.lab.notes_text import figure, findings, sections
    from seqloom.lens.html import heading, paragraph, preformatted

    notes = lab.work_through(seed=seed)
    found, parts = findings(notes), sections(notes)
    if json:
        print_json(notes.to_dict() | {"findings": found})
    else:
        for part in parts:
            print(f"{part.title}\n{'─' * len(part.title)}\n{part.about}\n\n{part.lines}\n")
    worked = [
        piece for part in parts for piece in (heading(part.title), paragraph(part.about), preformatted(part.lines))
    ]
    sheet = Sheet("A recurrent network by hand", lab.ABOUT, found, [*worked, figure(notes)])
    show(sheet, html, quiet=json)
