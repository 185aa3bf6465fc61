"""seqloom look: what a model attended to, or what surprised it."""

from typing import Annotated

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    text: Annotated[str, typer.Argument(help="what it shall read")],
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Let MODEL read TEXT, and show what it attended to while it answered; of a language model, what surprised it."""
    from seqloom.api import load
    from seqloom.cli.charts import print_map, print_surprises
    from seqloom.cli.tables import print_json
    from seqloom.lens import Surprises

    seen = load(model).with_decoding(set or ()).look(text)
    if json:
        print_json(seen.to_dict())
    elif isinstance(seen, Surprises):
        print_surprises(seen)
    else:
        print_map(seen)
