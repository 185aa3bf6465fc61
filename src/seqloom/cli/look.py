"""seqloom look: what a model made of a text or numbers, attended to, thought of each word, or what it forecasts."""

from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    text: Annotated[str, typer.Argument(help="what it shall read; a file where numbers are read, an image")],
    series: Annotated[
        str | None, typer.Option(help="of a file of numbers: the series to show; the first if not given")
    ] = None,
    row: Annotated[
        int | None, typer.Option(help="the same by its number, as predict answers: 1 is the first; not of a forecaster")
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="of classify, regress: gradients computed at most; the more, the more exact")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="write a page with figures, which opens offline")] = None,
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Let MODEL read TEXT, and show what each word or number adds to the answer and what the memory did, what it
    attended to while it wrote, the likeliest tags of each word, what surprised it, or what follows a series."""
    from seqloom.api import load
    from seqloom.cli.charts import print_map, print_surprises, print_tags
    from seqloom.cli.numbers_chart import print_numbers
    from seqloom.cli.reading_chart import print_reading
    from seqloom.cli.region_charts import print_regions
    from seqloom.cli.series_charts import print_series
    from seqloom.cli.tables import print_json
    from seqloom.lens import AttentionMap, NumbersReading, Reading, RegionMap, SeriesView, TagTable
    from seqloom.lens.look_page import write_look

    seen = load(model).with_decoding(set or ()).look(text, series=series, row=row, points=points)
    if html is not None:
        write_look(html, seen)
    if json:
        print_json(seen.to_dict())
    elif isinstance(seen, Reading):
        print_reading(seen)
    elif isinstance(seen, NumbersReading):
        print_numbers(seen)
    elif isinstance(seen, SeriesView):
        print_series(seen)
    elif isinstance(seen, RegionMap):
        print_regions(seen)
    elif isinstance(seen, TagTable):
        print_tags(seen)
    elif isinstance(seen, AttentionMap):
        print_map(seen)
    else:
        print_surprises(seen)
