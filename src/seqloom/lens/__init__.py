"""Looking inside a trained model: what it read, what it attended to, as plain data that any figure can show."""

from seqloom.lens.attention import AttentionMap, attention_map
from seqloom.lens.captions import RegionMap, region_map
from seqloom.lens.series import SeriesView, series_view
from seqloom.lens.surprise import Surprises, surprises
from seqloom.lens.tags import Chance, TagTable, tag_table

__all__ = [
    "AttentionMap",
    "Chance",
    "RegionMap",
    "SeriesView",
    "Surprises",
    "TagTable",
    "attention_map",
    "region_map",
    "series_view",
    "surprises",
    "tag_table",
]
