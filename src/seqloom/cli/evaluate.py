"""seqloom evaluate: how good a model is on a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    data: options.Data,
    history: Annotated[Path | None, typer.Option(help="of a forecaster: file with the steps before DATA")] = None,
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Score MODEL on DATA, beside the baselines."""
    from seqloom.api import load
    from seqloom.cli.escape import escaped
    from seqloom.cli.tables import print_json, print_scores
    from seqloom.errors import BundleError, StorageError
    from seqloom.lens.report import write_report

    result = load(model).with_decoding(set or ()).evaluate(data, history=history)
    try:
        write_report(model, evaluated=result, on=data.name)
    except (BundleError, StorageError) as error:  # nothing can be written there, or other metrics lie there
        print(escaped(f"no report: {error}"), file=sys.stderr)
    if json:
        print_json(result)
        return
    print_scores(result)
    for row in result["rejected"][:5]:
        print(escaped(f"{data}:{row['line']}: not used: {row['reason']}"), file=sys.stderr)
    if len(result["rejected"]) > 5:
        print(f"{len(result['rejected']) - 5} more rows not used", file=sys.stderr)
