"""seqloom predict: one answer a row, in order."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from seqloom.cli import options
from seqloom.cli.escape import escaped


def command(
    model: options.ModelFolder,
    file: Annotated[
        str | None,
        typer.Argument(help="file of rows or series, or - for stdin, a text a line", metavar="FILE"),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="a text to answer; repeatable")] = None,
    suggest: Annotated[
        int | None, typer.Option(min=1, help="so many short answers that differ, as a messenger shows them")
    ] = None,
    set: options.Set = None,
    format: Annotated[Literal["jsonl", "csv"], typer.Option(help="how the answers are printed")] = "jsonl",
) -> None:
    """Answer each row of FILE, line of stdin (-) or --text, in order; a bad row keeps its place and its error."""
    from seqloom.api import load
    from seqloom.cli.answers import print_csv
    from seqloom.cli.tables import print_json
    from seqloom.errors import ConfigError

    if (file is None) == (not text):
        raise ConfigError('give either a FILE (or - for stdin) or --text "...".')
    loaded = load(model).with_decoding(set or ())
    series = loaded.bundle.targets.problem == "series"
    if file in (None, "-") and not loaded.reads_texts:
        does = "forecasts series" if series else "reads numbers"
        raise ConfigError(f"this model {does}: give a FILE that has them.")
    # Where someone is watching, a text appears as it is written.
    watched = loaded.bundle.targets.problem == "next" and format == "jsonl" and sys.stdout.isatty()
    if file is None:
        answers = loaded.predict(text or [], suggest=suggest, show=_show if watched else None)
    elif file == "-":
        answers = loaded.predict(_lines(), suggest=suggest)
    else:
        answers = loaded.predict_file(Path(file), suggest=suggest)
    if format == "csv":
        print_csv(answers, loaded.bundle.targets)
    else:
        for answer in answers:
            if file is not None or not watched or "error" in answer:
                print_json(answer)
    failed = sum("error" in answer for answer in answers)
    if failed:
        what = "series or rows" if series else "rows"
        print(f"{failed} of {len(answers)} {what} could not be answered: see their errors", file=sys.stderr)


def _lines() -> list[str]:
    """The lines of stdin; only a line feed ends one. Bytes that are not UTF-8 make the row one with an error."""
    text = sys.stdin.buffer.read().decode("utf-8", errors="surrogateescape")
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _show(piece: str) -> None:
    print(escaped(piece), end="", flush=True)
