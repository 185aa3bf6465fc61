"""A trained model at work: rows in, answers out, in order. The one path of predict, evaluate and serve."""

from seqloom.inference.labels import decide, logits_of
from seqloom.inference.rows import answer_table, encode
from seqloom.inference.writing import BATCH, Wanted, Written, write_for, write_texts

__all__ = ["BATCH", "Wanted", "Written", "answer_table", "decide", "encode", "logits_of", "write_for", "write_texts"]
