"""seqloom demo: the whole way from data to predictions, with nothing but this package."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seqloom.api import Model
    from seqloom.lab.demo import Trial


def command(
    text: Annotated[list[str] | None, typer.Argument(help="sentences to judge")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="fewer reviews and epochs: a few seconds")] = False,
    out: Annotated[Path | None, typer.Option(help="folder for data and models; runs/demo where not given")] = None,
) -> None:
    """Generate film reviews, train SimpleRNN, LSTM and GRU on them, compare, and judge a few sentences."""
    from seqloom.api import Model, free_folder
    from seqloom.cli.progress import show_training
    from seqloom.errors import Interrupted
    from seqloom.lab import demo

    folder = out or free_folder(Path("runs") / "demo")
    data = demo.write_reviews(folder, fast=fast)
    print(f"{data}: generated film reviews, with negation: word order decides", file=sys.stderr)
    trials = []
    for cell in demo.CELLS:
        print(f"\n{cell}", file=sys.stderr)
        try:
            with show_training(notes=False) as report:
                trials.append(demo.train_cell(cell, data, folder, fast=fast, report=report))
        except Interrupted:
            raise Interrupted(f"the demo, in {folder}. To start another: seqloom demo") from None
    _compare(trials)
    models = {trial.cell: Model(trial.bundle) for trial in trials}
    _judge(models, text or list(demo.SENTENCES))
    if not text and sys.stdin.isatty() and sys.stdout.isatty():
        while sentence := _ask():
            _judge(models, [sentence])
    best = max(reversed(trials), key=lambda trial: trial.accuracy).folder
    print(f'\nmodels: {folder}\ntry:    seqloom predict {best} --text "not good at all"', file=sys.stderr)
    print("then:   seqloom train your.csv", file=sys.stderr)


def _ask() -> str:
    """A sentence of the user's; empty where there is none, or no more."""
    try:
        return input("your own sentence (or just Enter): ").strip()
    except (EOFError, KeyboardInterrupt):
        print()
        return ""


def _compare(trials: "list[Trial]") -> None:
    from seqloom.cli.tables import plain_table, print_table

    table = plain_table("model", "parameters", "seconds", "accuracy", title="three kinds of memory, and none")
    for trial in trials:
        table.add_row(trial.cell, f"{trial.parameters:,}", f"{trial.seconds:.1f}", f"{trial.accuracy:.3f}")
    for name, scores in trials[0].bundle.metrics["baselines"].items():
        table.add_row(name, "", "", f"{scores['accuracy']:.3f}")
    print_table(table)


def _judge(models: "dict[str, Model]", sentences: list[str]) -> None:
    from rich.text import Text

    from seqloom.cli.escape import escaped
    from seqloom.cli.tables import plain_table, print_table

    table = plain_table("sentence", *models)
    answers = [model.predict(sentences) for model in models.values()]
    for number, sentence in enumerate(sentences):
        cells = []
        for answer in (each[number] for each in answers):
            said = answer.get("prediction")
            cells.append(f"{said} {answer['probabilities'][said]:.2f}" if said else answer["error"])
        table.add_row(Text(escaped(sentence)), *map(Text, cells))
    print_table(table)
