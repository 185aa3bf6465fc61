"""seqloom lab: the ideas as experiments, each from one command."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqloom.cli import lab_cells, lab_memory, lab_notes, lab_topologies, lab_vanishing, options

if TYPE_CHECKING:
    from seqloom.lab.attention import Trial

app = typer.Typer(help="The ideas as experiments, each in minutes.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass  # a group from the first experiment on: the next ones get a name beside it


@app.command()
def attention(
    task: Annotated[str, typer.Option(help="pairs to generate: copy, reverse or dates")] = "copy",
    data: Annotated[Path | None, typer.Option(help="pairs of your own: a file with two columns of texts")] = None,
    input: options.Input = None,
    target: options.Target = None,
    out: Annotated[Path | None, typer.Option(help="folder of data and models; runs/attention if not given")] = None,
    html: Annotated[Path | None, typer.Option(help="page with the figures; in the folder if not given")] = None,
    seed: Annotated[int, typer.Option(help="decides pairs, first weights and order")] = 0,
    max_minutes: Annotated[float | None, typer.Option(help="stop each training after so many minutes")] = None,
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Train with and without attention, and from the source's end: quality by length. Given again, it goes on."""
    from seqloom.api import free_folder
    from seqloom.cli.lab_attention import show
    from seqloom.cli.progress import show_training
    from seqloom.errors import Interrupted
    from seqloom.lab import attention as lab
    from seqloom.lab.pairs import Pairs, write_pairs

    folder = out or free_folder(Path("runs") / "attention")
    own = None if data is None else Pairs(None, data, input=input, target=target)
    pairs = own or write_pairs(task, folder, seed=seed)
    chosen = {
        name: lab.config_for(name, pairs, seed=seed, overrides=set or (), max_minutes=max_minutes)
        for name in lab.VARIANTS
    }
    try:
        questions = lab.ask(chosen["plain"], pairs)
        trials: dict[str, Trial] = {}
        for name, config in chosen.items():
            print(f"\n{lab.LABELS[name]}", file=sys.stderr)
            with show_training(notes=data is not None and not trials) as report:
                trials[name] = lab.train_variant(name, config, pairs, questions, folder, report)
        show(trials, questions, pairs.task, page=html or folder / "attention.html", json=json)
    except (Interrupted, KeyboardInterrupt):
        again = [*sys.argv[1:], *([] if out else ["--out", str(folder)])]
        raise Interrupted(f"all is saved.\n  to go on: {shlex.join(['seqloom', *again])}") from None
    print(f'\nmodels: {folder}\ntry:    seqloom look {folder / "attention"} "..."', file=sys.stderr)


for page in (lab_notes, lab_topologies, lab_vanishing, lab_memory, lab_cells):
    app.command(page.__name__.rpartition("_")[2])(page.command)
