"""Looking inside a trained model: what it read, what it attended to, as plain data that any figure can show."""

from seqloom.lens.attention import AttentionMap, attention_map
from seqloom.lens.gradients import GradientFlow, LayerFlow, gradient_flow, half_lives, jacobian_norms
from seqloom.lens.series import SeriesView, series_view
from seqloom.lens.surprise import Surprises, surprises
from seqloom.lens.tags import Chance, TagTable, tag_table

__all__ = [
    "AttentionMap",
    "Chance",
    "GradientFlow",
    "LayerFlow",
    "SeriesView",
    "Surprises",
    "TagTable",
    "attention_map",
    "gradient_flow",
    "half_lives",
    "jacobian_norms",
    "series_view",
    "surprises",
    "tag_table",
]
