"""A trained model at work: rows in, answers out, in order. The one path of predict, evaluate and serve."""

from seqloom.inference.completing import complete, features_of, losses_of
from seqloom.inference.labels import decide, logits_of
from seqloom.inference.rows import answer_table, encode
from seqloom.inference.writing import BATCH, Wanted, Written, write_for, write_texts

__all__ = [
    "BATCH",
    "Wanted",
    "Written",
    "answer_table",
    "complete",
    "decide",
    "encode",
    "features_of",
    "logits_of",
    "losses_of",
    "write_for",
    "write_texts",
]
