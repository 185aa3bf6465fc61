"""seqloom look: what a model attended to, what it thought of each word, or what it forecasts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from seqloom.cli import options


def command(
    model: options.ModelFolder,
    text: Annotated[str, typer.Argument(help="what it shall read; a file of a forecaster, an image")],
    series: Annotated[
        str | None, typer.Option(help="of a forecaster: the series to show; the first if not given")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="forecasts, captions: write a page with the figure")] = None,
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Let MODEL read TEXT, and show what it attended to while it answered, the likeliest tags of each word, what
    surprised it, or what follows a series."""
    from seqloom.api import load
    from seqloom.cli.charts import print_map, print_surprises, print_tags
    from seqloom.cli.region_charts import print_regions
    from seqloom.cli.series_charts import print_series
    from seqloom.cli.tables import print_json
    from seqloom.lens import RegionMap, SeriesView, Surprises, TagTable

    seen = load(model).with_decoding(set or ()).look(text, series=series)
    if html is not None:
        _write_page(html, seen)
    if json:
        print_json(seen.to_dict())
    elif isinstance(seen, SeriesView):
        print_series(seen)
    elif isinstance(seen, RegionMap):
        print_regions(seen)
    elif isinstance(seen, TagTable):
        print_tags(seen)
    elif isinstance(seen, Surprises):
        print_surprises(seen)
    else:
        print_map(seen)


def _write_page(path: Path, seen: Any) -> None:
    from seqloom.errors import ConfigError
    from seqloom.lens import RegionMap, SeriesView
    from seqloom.lens.figures import forecast_figure
    from seqloom.lens.page import write_page
    from seqloom.lens.region_figures import region_figure

    figure = None
    if isinstance(seen, SeriesView):
        title = f"{seen.series}: the next {len(seen.forecast)} steps"
        figure = forecast_figure(seen, title=title)
    elif isinstance(seen, RegionMap):
        title = f"{seen.image}: {seen.prediction}"
        figure = region_figure(seen, title="Where it looked, word by word")
    if figure is None:
        raise ConfigError(
            "--html draws forecasts, and where captions looked; what this model sees is shown here, without --html."
        )
    write_page(path, title=title, paragraphs=[], figures=[figure])
