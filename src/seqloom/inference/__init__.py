"""A trained model at work: rows in, answers out, in order. The one path of predict, evaluate and serve."""

from seqloom.inference.completing import complete, features_of, losses_of
from seqloom.inference.forecasting import (
    Forecast,
    forecast_all,
    forecast_answers,
    forecasts_of,
    series_of,
    series_of_numbers,
)
from seqloom.inference.labels import decide, logits_of
from seqloom.inference.numeric import numeric_answers, numeric_rows, rows_of_arrays
from seqloom.inference.rows import answer_table, encode
from seqloom.inference.tagging import TaggedRow, tag_probabilities, tag_rows
from seqloom.inference.writing import BATCH, Wanted, Written, write_for, write_texts

__all__ = [
    "BATCH",
    "Forecast",
    "TaggedRow",
    "Wanted",
    "Written",
    "answer_table",
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
    "rows_of_arrays",
    "series_of",
    "series_of_numbers",
    "tag_probabilities",
    "tag_rows",
    "write_for",
    "write_texts",
]
