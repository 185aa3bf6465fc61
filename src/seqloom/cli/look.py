"""seqloom look: what a model attended to."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqloom.cli import options

if TYPE_CHECKING:
    from rich.text import Text

    from seqloom.lens import AttentionMap

SHADES = " ░▒▓█"


def command(
    model: options.ModelFolder,
    text: Annotated[str, typer.Argument(help="what it shall read")],
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Let MODEL answer TEXT, and show which tokens it attended to while it wrote."""
    from seqloom.api import load
    from seqloom.cli.tables import print_json

    seen = load(model).with_decoding(set or ()).look(text)
    if json:
        print_json(seen.to_dict())
    else:
        _print_map(seen)


def _print_map(seen: "AttentionMap") -> None:
    """A line for each token written, a column for each token read; the darker, the more it counted."""
    from rich.text import Text

    from seqloom.cli.escape import escaped
    from seqloom.cli.tables import plain_table, print_table, width_of_output

    print(escaped(seen.prediction))
    if seen.weights is None:
        print("this model has no attention: all it knew of the text was one vector")
        return
    source = [escaped(_visible(token)) for token in seen.source]
    margin = max([len(_visible(token)) for token in seen.tokens], default=0)
    for start, end in _blocks(source, room=width_of_output() - margin - 2):
        table = plain_table("", *map(Text, source[start:end]))
        for token, weights in zip(seen.tokens, seen.weights, strict=True):
            cells = zip(source[start:end], weights[start:end], strict=True)
            table.add_row(Text(escaped(_visible(token))), *(_cell(len(over), weight) for over, weight in cells))
        print_table(table)
    print(
        f"{SHADES[1]} above 12 %  {SHADES[2]} above 38 %  {SHADES[3]} above 62 %  {SHADES[4]} above 88 % of the attention"
    )


def _cell(width: int, weight: float) -> "Text":
    from rich.text import Text

    return Text(SHADES[min(4, int(weight * 4 + 0.5))] * width)


def _visible(token: str) -> str:
    return "␣" if token.isspace() else token


def _blocks(source: list[str], *, room: int) -> list[tuple[int, int]]:
    """Runs of tokens that fit side by side, at least one each: where they start and end."""
    blocks, start, used = [], 0, 0
    for place, token in enumerate(source):
        if place > start and used + len(token) + 2 > room:
            blocks.append((start, place))
            start, used = place, 0
        used += len(token) + 2
    return [*blocks, (start, len(source))]
