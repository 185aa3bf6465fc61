"""seqloom lab vanishing: the gradient by time step, and success by lag, of ten kinds of recurrent layer."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    seeds: Annotated[int, typer.Option(help="first weights tried of each layer", min=2, max=10)] = 5,
    seed: Annotated[int, typer.Option(help="the first of them", min=0)] = 0,
    html: Annotated[Path, typer.Option(help="page with the figures")] = Path("runs/vanishing.html"),
    json: options.Json = False,
) -> None:
    """Where the gradient dies and what cures it: simple layers with tanh and ReLU and their starts, GRU, LSTM."""
    from seqloom.cli.lab_page import Sheet, show
    from seqloom.cli.tables import print_json
    from seqloom.lab import vanishing as lab
    from seqloom.lab import vanishing_findings as said

    outcomes = {}
    for name in lab.VARIANTS:
        outcomes[name] = outcome = lab.measure(name, seeds=seeds, seed=seed)
        print(f"{name}: {outcome.solved} of {seeds} seeds solve it, {outcome.seconds:.0f} s", file=sys.stderr)
    if json:
        print_json(said.summed(outcomes) | {"seeds": seeds, "seed": seed})
    show(
        Sheet(
            "The vanishing gradient",
            said.ABOUT,
            said.findings(outcomes),
            said.figures(outcomes),
            caption="steps that the gradient reaches; % right by steps of the row (95 % interval)",
            heads=("layer", "parameters", "reach before", "after", "solved", *map(str, lab.LENGTHS)),
            lines=said.table(list(outcomes.values())),
        ),
        html,
        quiet=json,
    )
