"""Looking inside a trained model: what it read, what it attended to, as plain data that any figure can show."""

from seqloom.lens.attention import AttentionMap, attention_map
from seqloom.lens.surprise import Surprises, surprises

__all__ = ["AttentionMap", "Surprises", "attention_map", "surprises"]
