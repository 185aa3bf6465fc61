"""seqloom look: what a model attended to, or what it thought of each word."""

from typing import Annotated

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    text: Annotated[str, typer.Argument(help="what it shall read")],
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Let MODEL answer TEXT, and show what it attended to while it wrote, or the likeliest tags of each word."""
    from seqloom.api import load
    from seqloom.cli.charts import print_map, print_tags
    from seqloom.cli.tables import print_json
    from seqloom.lens import TagTable

    seen = load(model).with_decoding(set or ()).look(text)
    if json:
        print_json(seen.to_dict())
    elif isinstance(seen, TagTable):
        print_tags(seen)
    else:
        print_map(seen)
