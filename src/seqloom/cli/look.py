"""seqloom look: what a model attended to."""

from typing import Annotated

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    text: Annotated[str, typer.Argument(help="what it shall read")],
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Let MODEL answer TEXT, and show which tokens it attended to while it wrote."""
    from seqloom.api import load
    from seqloom.cli.charts import print_map
    from seqloom.cli.tables import print_json

    seen = load(model).with_decoding(set or ()).look(text)
    if json:
        print_json(seen.to_dict())
    else:
        print_map(seen)
