"""seqloom lab memory: three tasks that only memory solves, in a short form."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    task: Annotated[str | None, typer.Option(help="one of adding, copy, order; all if not given")] = None,
    steps: Annotated[int | None, typer.Option(help="how long to remember; what fits the minutes if not given")] = None,
    updates: Annotated[int | None, typer.Option(help="at most so many for each cell", min=1)] = None,
    seed: Annotated[int, typer.Option(help="decides rows and first weights", min=0)] = 0,
    html: Annotated[Path, typer.Option(help="page with the same")] = Path("runs/memory.html"),
    json: options.Json = False,
) -> None:
    """The adding problem, copy memory and temporal order: LSTM, GRU and two SimpleRNNs beside a guess."""
    from seqloom.cli.lab_page import Sheet, show
    from seqloom.cli.tables import print_json
    from seqloom.lab import memory as lab

    outcomes = []
    for name in [task] if task else lab.SHORT:
        for cell in lab.CELLS:
            outcomes.append(lab.attempt(name, cell, seed=seed, **lab.sizes(name, steps=steps, updates=updates)))
            print(*lab.line(outcomes[-1]), sep="  ", file=sys.stderr)
    found = lab.findings(outcomes)
    if json:
        print_json({"seed": seed, "outcomes": [outcome.to_dict() for outcome in outcomes], "findings": found})
    show(
        Sheet(
            "Memory over many steps",
            lab.ABOUT,
            found,
            lab.figures(outcomes),
            caption=f"on {lab.TESTED:,} new rows; solved: less than a tenth of the guess's loss",
            heads=("task", "steps", "layer", "loss", "guess", "right", "updates", "seconds", "solved"),
            lines=list(map(lab.line, outcomes)),
        ),
        html,
        quiet=json,
    )
