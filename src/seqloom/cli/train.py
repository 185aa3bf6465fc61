"""seqloom train: from a data file to a model folder."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from seqloom.cli import options


def command(
    data: options.Data,
    task: options.Task = None,
    input: options.Input = None,
    target: options.Target = None,
    out: Annotated[Path | None, typer.Option(help="folder of the model; runs/NAME where not given")] = None,
    valid: options.Valid = None,
    test: options.Test = None,
    config: options.ConfigFile = None,
    set: options.Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the training in --out")] = False,
    seed: Annotated[int | None, typer.Option(help="decides splits, first weights, order and dropout")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    epochs: Annotated[int | None, typer.Option(help="passes over the training rows at most")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="stop after so many minutes of training")] = None,
    json: options.Json = False,
) -> None:
    """Train a model on DATA and leave it in the folder --out."""
    from seqloom.api import Model, free_folder, stem
    from seqloom.cli.progress import show_training
    from seqloom.cli.tables import print_json, print_scores
    from seqloom.config import load_config
    from seqloom.errors import ConfigError, Interrupted
    from seqloom.lens.report import LENS
    from seqloom.training import settings_of, train_model

    named: dict[str, Any] = {"task": task, "data.input": input, "data.target": target, "seed": seed, "device": device}
    named |= {"training.epochs": epochs, "training.max_minutes": max_minutes}
    if resume and out is None:
        raise ConfigError("--resume needs --out FOLDER: the training to go on with.")
    folder = out or free_folder(Path("runs") / stem(data))
    settings = load_config(config, set or (), named=named, base=settings_of(folder) if resume else None)
    with show_training() as report:
        try:
            bundle = train_model(
                settings,
                data,
                folder,
                valid=valid,
                test=test,
                resume=resume,
                report=report,
                lens=LENS,
            )
        except (Interrupted, KeyboardInterrupt) as stopped:
            raise Interrupted(f"{str(stopped) or 'stopped at once'}\n  to go on: {_again(folder, out)}") from None
    if json:
        print_json(bundle.metrics)
    else:
        print_scores(bundle.metrics)
        print(f"model: {folder}\nreport: {folder / 'report.html'}", file=sys.stderr)
        what = '--text "..."' if Model(bundle).reads_texts else shlex.quote(str(test or data))
        print(f"try:   seqloom predict {shlex.quote(str(folder))} {what}", file=sys.stderr)


def _again(folder: Path, out: Path | None) -> str:
    """The command that goes on: this one with the folder that it used, and --resume where there is what to resume."""
    given = [word for word in sys.argv[2:] if word != "--resume"]
    words = ["seqloom", "train"] + ["--resume"] * any((folder / "checkpoints").glob("step-*"))
    if out is None:
        words += ["--out", str(folder)]
    return shlex.join([*words, *given])
