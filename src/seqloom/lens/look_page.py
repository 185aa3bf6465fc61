"""What `seqloom look --html` writes: a page of whatever a model saw."""

from pathlib import Path

from seqloom.lens.attention import AttentionMap
from seqloom.lens.captions import RegionMap
from seqloom.lens.numbers import NumbersReading
from seqloom.lens.page import Part, write_page
from seqloom.lens.reading import Reading
from seqloom.lens.region_figures import region_figure
from seqloom.lens.series import SeriesView
from seqloom.lens.show import attention_parts, series_parts, surprise_parts, tag_parts, whole_reading
from seqloom.lens.show_numbers import whole_numbers
from seqloom.lens.surprise import Surprises
from seqloom.lens.tags import TagTable

Seen = AttentionMap | NumbersReading | Reading | RegionMap | SeriesView | Surprises | TagTable


def write_look(path: Path, seen: Seen) -> None:
    """Write the page. Raises MissingExtraError without plotly, StorageError where the file cannot be written."""
    title, parts = _page_of(seen)
    write_page(path, title=title, parts=parts)


def _page_of(seen: Seen) -> tuple[str, list[Part]]:
    if isinstance(seen, Reading | NumbersReading):
        what, parts = ("text", whole_reading(seen)) if isinstance(seen, Reading) else (seen.kind, whole_numbers(seen))
        return f"How the model read this {what}", parts
    if isinstance(seen, AttentionMap):
        return "Where the model looked", attention_parts(seen)
    if isinstance(seen, RegionMap):
        figure = region_figure(seen, title="Where it looked, word by word")
        return f"{seen.image}: {seen.prediction}", [] if figure is None else [figure]
    if isinstance(seen, SeriesView):
        return f"{seen.series}: the next {len(seen.forecast)} steps", series_parts(seen)
    if isinstance(seen, TagTable):
        return "What the model thought of each word", tag_parts(seen)
    return "What surprised the model", surprise_parts(seen)
