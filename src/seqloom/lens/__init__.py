"""Looking inside a trained model: what it read, what it attended to, as plain data that any figure can show."""

from seqloom.lens.attention import AttentionMap, attention_map

__all__ = ["AttentionMap", "attention_map"]
