"""seqloom look: what a model attended to, what it thought of each word, or what it forecasts."""

from pathlib import Path
from typing import Annotated

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    text: Annotated[str, typer.Argument(help="what it shall read; of a forecaster a file")],
    series: Annotated[
        str | None, typer.Option(help="of a forecaster: the series to show; the first if not given")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="of a forecaster: write a page with the figure")] = None,
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Let MODEL read TEXT, and show what it attended to while it answered, the likeliest tags of each word, what
    surprised it, or what follows a series."""
    from seqloom.api import load
    from seqloom.cli.charts import print_map, print_surprises, print_tags
    from seqloom.cli.series_charts import print_series
    from seqloom.cli.tables import print_json
    from seqloom.errors import ConfigError
    from seqloom.lens import SeriesView, Surprises, TagTable
    from seqloom.lens.figures import forecast_figure
    from seqloom.lens.page import write_page

    seen = load(model).with_decoding(set or ()).look(text, series=series)
    if html is not None:
        if not isinstance(seen, SeriesView):
            raise ConfigError("--html draws forecasts; what this model sees is shown here, without --html.")
        title = f"{seen.series}: the next {len(seen.forecast)} steps"
        write_page(html, title=title, paragraphs=[], figures=[forecast_figure(seen, title=title)])
    if json:
        print_json(seen.to_dict())
    elif isinstance(seen, SeriesView):
        print_series(seen)
    elif isinstance(seen, TagTable):
        print_tags(seen)
    elif isinstance(seen, Surprises):
        print_surprises(seen)
    else:
        print_map(seen)
