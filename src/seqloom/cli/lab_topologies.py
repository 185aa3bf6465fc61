"""seqloom lab topologies: one to one, one to many, many to one, many to many, side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    out: Annotated[Path | None, typer.Option(help="folder of data and models; runs/topologies if not given")] = None,
    html: Annotated[Path | None, typer.Option(help="page with the figure; in the folder if not given")] = None,
    seed: Annotated[int, typer.Option(help="decides walks, first weights and order", min=0)] = 0,
    json: options.Json = False,
) -> None:
    """The four shapes of a task on one small world of walks: what each is asked, and how well it answers."""
    from seqloom.api import free_folder
    from seqloom.cli.lab_page import Sheet, show
    from seqloom.cli.progress import show_training
    from seqloom.cli.tables import print_json
    from seqloom.lab import topologies as lab

    folder = out or free_folder(Path("runs") / "topologies")
    trials = []
    for shape in lab.SHAPES:
        print(f"\n{shape.name}   {shape.drawing}", file=sys.stderr)
        with show_training(notes=False) as report:
            trials.append(lab.measure(shape, folder, seed=seed, report=report))
    found = lab.findings(trials)
    if json:
        print_json({"shapes": {trial.shape.name: trial.to_dict() for trial in trials}, "findings": found})
    show(
        Sheet(
            "One and many",
            lab.ABOUT,
            found,
            [lab.asked(trials), lab.figure(trials)],
            caption=f"on {lab.ROWS['test']} rows that were not learned",
            heads=("shape", "", "right", "baseline", "parameters", "seconds"),
            lines=list(map(lab.line, trials)),
        ),
        html or folder / "topologies.html",
        quiet=json,
    )
    one = folder / "many-to-one" / "model"
    print(f'models: {folder}\ntry:    seqloom look {one} "north east south"', file=sys.stderr)
