"""seqloom lab cells: what the gates of GRU and LSTM cost and buy."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    seeds: Annotated[int, typer.Option(help="first weights tried of each cell", min=2, max=10)] = 5,
    seed: Annotated[int, typer.Option(help="the first of them, and that of the sentences", min=0)] = 0,
    html: Annotated[Path, typer.Option(help="page with the figure")] = Path("runs/cells.html"),
    json: options.Json = False,
) -> None:
    """SimpleRNN, GRU and LSTM on the same embedded sentences: parameters, seconds, accuracy."""
    from seqloom.cli.lab_page import Sheet, show
    from seqloom.cli.tables import print_json
    from seqloom.lab import cells as lab

    data = lab.sentences(seed=seed)
    outcomes = {}
    for cell, name in lab.CELLS.items():
        outcomes[cell] = lab.measure(cell, data, seeds=seeds, seed=seed)
        print(f"{name}: {100 * outcomes[cell].accuracy()[0]:.1f} % right", file=sys.stderr)
    found = lab.findings(outcomes)
    if json:
        told = {cell: outcome.to_dict() for cell, outcome in outcomes.items()}
        print_json({"seeds": seeds, "seed": seed, "tokens": data.tokens, "cells": told, "findings": found})
    show(
        Sheet(
            "Three kinds of memory",
            lab.ABOUT,
            found,
            [lab.figure(outcomes)],
            caption=f"{len(data.train):,} sentences learned, {len(data.test):,} asked · 95 % interval in brackets",
            heads=("cell", "recurrent", "parameters", "seconds", "tokens/s", "accuracy"),
            lines=lab.table(outcomes, data),
        ),
        html,
        quiet=json,
    )
