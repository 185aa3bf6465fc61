"""Looking inside a trained model: what it read, what it attended to, as plain data that any figure can show."""

from seqloom.lens.attention import AttentionMap, attention_map
from seqloom.lens.captions import RegionMap, region_map
from seqloom.lens.gradients import GradientFlow, LayerFlow, gradient_flow, half_lives, jacobian_norms
from seqloom.lens.looking import look
from seqloom.lens.memory import Layer
from seqloom.lens.numbers import NumbersReading, numbers_of_array, numbers_of_file
from seqloom.lens.reading import Reading, read
from seqloom.lens.series import SeriesView, series_view, view_of
from seqloom.lens.surprise import Surprises, surprises
from seqloom.lens.tags import Chance, TagTable, tag_table
from seqloom.lens.units import Neighbour, Unit, nearest_states, unit_search

__all__ = [
    "AttentionMap",
    "Chance",
    "GradientFlow",
    "Layer",
    "LayerFlow",
    "Neighbour",
    "NumbersReading",
    "Reading",
    "RegionMap",
    "SeriesView",
    "Surprises",
    "TagTable",
    "Unit",
    "attention_map",
    "gradient_flow",
    "half_lives",
    "jacobian_norms",
    "look",
    "nearest_states",
    "numbers_of_array",
    "numbers_of_file",
    "read",
    "region_map",
    "series_view",
    "surprises",
    "tag_table",
    "unit_search",
    "view_of",
]
