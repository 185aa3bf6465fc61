"""A trained model at work: rows in, answers out, in order. The one path of predict, evaluate and serve."""

from seqloom.inference.completing import complete, features_of, losses_of, read_starts
from seqloom.inference.forecasting import (
    Forecast,
    forecast_all,
    forecast_answers,
    forecasts_of,
    series_of,
    series_of_numbers,
)
from seqloom.inference.labels import decide, logits_of, said_by
from seqloom.inference.numeric import numeric_answers, numeric_rows, rows_of_arrays, sample_of_array
from seqloom.inference.room import batches_within
from seqloom.inference.rows import answer_rows, answer_table, encode
from seqloom.inference.streaming import Piece, Reading, begin, check_streams, read_on
from seqloom.inference.tagging import TaggedRow, tag_probabilities, tag_rows
from seqloom.inference.writing import BATCH, Wanted, Written, check_decoding, suggesting, write_for, write_texts

__all__ = [
    "BATCH",
    "Forecast",
    "Piece",
    "Reading",
    "TaggedRow",
    "Wanted",
    "Written",
    "answer_rows",
    "answer_table",
    "batches_within",
    "begin",
    "check_decoding",
    "check_streams",
    "complete",
    "decide",
    "encode",
    "features_of",
    "forecast_all",
    "forecast_answers",
    "forecasts_of",
    "logits_of",
    "losses_of",
    "numeric_answers",
    "numeric_rows",
    "read_on",
    "read_starts",
    "rows_of_arrays",
    "said_by",
    "sample_of_array",
    "series_of",
    "series_of_numbers",
    "suggesting",
    "tag_probabilities",
    "tag_rows",
    "write_for",
    "write_texts",
]
