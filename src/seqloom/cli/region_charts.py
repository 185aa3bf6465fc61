"""What a terminal can draw of an image's regions: a small square of shades for each word."""

from rich.text import Text

from seqloom.cli.charts import SHADES, blocks_of
from seqloom.cli.escape import escaped
from seqloom.cli.tables import plain_table, print_table, width_of_output
from seqloom.lens import RegionMap


def print_regions(seen: RegionMap) -> None:
    """A square for each word, the image's regions in it: the darker, the more the word attended to it."""
    print(escaped(seen.prediction))
    if seen.weights is None:
        print("this model has no attention: all it knew of the image was one vector")
        return
    if not seen.weights:  # a caption of no word
        return
    words = [escaped(token.strip() or "␣") for token in seen.tokens]
    squares = [_square(weights) for weights in seen.weights]
    widths = [max(len(word), len(square[0])) for word, square in zip(words, squares, strict=True)]
    for start, end in blocks_of(widths, room=width_of_output()):
        table = plain_table()
        for word in words[start:end]:
            table.add_column(Text(word))
        table.add_row(*(Text("\n".join(square)) for square in squares[start:end]))
        print_table(table)
    regions = sum(map(len, seen.weights[0]))
    print(f"{SHADES[-1]} the region that a word attended to most, of {regions}; lighter: the others")


def _square(weights: list[list[float]]) -> list[str]:
    """The lines of a square; a region is two characters wide, which makes it about as wide as high."""
    most = max(share for line in weights for share in line)
    return ["".join(2 * SHADES[round(4 * share / most)] for share in line) for line in weights]
