"""seqloom report: all that a model folder knows of its model, as a page."""

from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    data: Annotated[Path | None, typer.Argument(help="score it on this file too, as evaluate does")] = None,
    out: Annotated[Path | None, typer.Option(help="the page to write; MODEL/report.html where not given")] = None,
) -> None:
    """Write the report of MODEL: data, training, scores beside baselines, where it errs, settings, limits."""
    from seqloom.api import load
    from seqloom.cli.escape import escaped
    from seqloom.lens.report import write_report

    result = None if data is None else load(model).evaluate(data)
    print(escaped(str(write_report(model, out=out, evaluated=result, on="" if data is None else data.name))))
