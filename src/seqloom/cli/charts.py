"""What a terminal can draw of figures: maps of attention, and columns of blocks."""

from collections.abc import Mapping, Sequence

from rich.text import Text

from seqloom.cli.escape import escaped
from seqloom.cli.tables import plain_table, print_table, width_of_output
from seqloom.lens import AttentionMap, Surprises, TagTable

SHADES = " ░▒▓█"
BLOCKS = " ▁▂▃▄▅▆▇█"
HEIGHT, WIDTH = 4, 5
WIDEST = 12


def print_map(seen: AttentionMap) -> None:
    """A line for each token written, a column for each token read; the darker, the more it counted."""
    print(escaped(seen.prediction))
    if seen.weights is None:
        print("this model has no attention: all it knew of the text was one vector")
        return
    source = [escaped(visible(token)) for token in seen.source]
    margin = max([len(visible(token)) for token in seen.tokens], default=0)
    for start, end in blocks_of([len(token) for token in source], room=width_of_output() - margin - 2):
        table = plain_table("")
        for name in source[start:end]:
            table.add_column(Text(name), justify="right")
        for token, weights in zip(seen.tokens, seen.weights, strict=True):
            cells = zip(source[start:end], weights[start:end], strict=True)
            table.add_row(Text(escaped(visible(token))), *(_cell(len(over), weight) for over, weight in cells))
        print_table(table)
    legend = (f"{shade} above {share} %" for shade, share in zip(SHADES[1:], (12, 38, 62, 88), strict=True))
    print("  ".join(legend), "of the attention")


def print_tags(seen: TagTable) -> None:
    """A column for each word: its tag, and under it the likeliest tags with their probabilities."""
    words = [f"{token}{'' if known else ' *'}" for token, known in zip(seen.tokens, seen.known, strict=True)]
    cells = [
        [tag, *(f"{chance.tag} {chance.probability:.2f}" for chance in chances)]
        for tag, chances in zip(seen.tags, seen.chances, strict=True)
    ]
    widths = [max(map(len, [word, *column])) for word, column in zip(words, cells, strict=True)]
    for start, end in blocks_of(widths, room=width_of_output()):
        table = plain_table()
        for word in words[start:end]:
            table.add_column(Text(escaped(word)))
        for number, line in enumerate(zip(*cells[start:end], strict=True)):
            table.add_row(*(Text(escaped(cell), style="" if number else "bold") for cell in line))
        print_table(table)
    if not all(seen.known):
        print("* not in the training rows")


def print_surprises(seen: Surprises) -> None:
    """A line for each token read: its surprise in bits as a bar, and what was expected in its place."""
    table = plain_table("token", "bits", "")
    table.add_column("expected")
    read = [(token, f"{bits:.1f}", _bar(bits)) for token, bits in zip(seen.tokens, seen.bits, strict=True)]
    for (token, bits, bar), expected in zip([*read, ("...", "", "")], seen.likeliest, strict=True):
        guesses = "  ".join(f"{visible(guess)} {chance:.0%}" for guess, chance in expected)
        table.add_row(Text(escaped(visible(token))), bits, bar, Text(escaped(guesses)))
    print_table(table)
    if seen.tokens:
        print(f"{seen.bits_per_token:.2f} bits a token: {2**seen.bits_per_token:.1f} equally likely ones")


def _bar(bits: float) -> str:
    """A block for two bits."""
    return BLOCKS[-1] * min(WIDEST, round(bits / 2))


def print_columns(names: Sequence[str], rows: Mapping[str, Sequence[float]]) -> None:
    """A row of columns for each entry of `rows`, one for each name: their heights are shares from 0 to 1."""
    table = plain_table("", *names)
    for row, shares in rows.items():
        columns = [
            Text("\n".join(_column(share, width=max(WIDTH, len(name)))))
            for name, share in zip(names, shares, strict=True)
        ]
        table.add_row(Text(escaped(row)), *columns, end_section=True)
    print_table(table)


def _column(share: float, *, width: int) -> list[str]:
    """The lines of one column, from its top."""
    eighths = round(8 * HEIGHT * share)
    return [BLOCKS[min(8, max(0, eighths - 8 * line))] * width for line in reversed(range(HEIGHT))]


def _cell(width: int, weight: float) -> Text:
    return Text(SHADES[min(4, int(weight * 4 + 0.5))] * width)


def visible(token: str) -> str:
    """A token of white space as a sign that can be seen."""
    return "⏎" if token == "\n" else "␣" if token.isspace() else token


def blocks_of(widths: Sequence[int], *, room: int) -> list[tuple[int, int]]:
    """Runs of columns that fit side by side, at least one each: where they start and end."""
    blocks, start, used = [], 0, 0
    for place, width in enumerate(widths):
        if place > start and used + width + 2 > room:
            blocks.append((start, place))
            start, used = place, 0
        used += width + 2
    return [*blocks, (start, len(widths))]
