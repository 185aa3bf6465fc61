"""From data to a trained model: the loop, its checkpoints, and the honest comparison at the end."""

from seqloom.training.evaluation import about, compare, judge, score_rows
from seqloom.training.events import Event, Progress, Report, Said, Validated
from seqloom.training.run import settings_of, train_model
from seqloom.training.series_evaluation import evaluate_series
from seqloom.training.stream_evaluation import evaluate_stream
from seqloom.training.text_evaluation import signatures_of

__all__ = [
    "Event",
    "Progress",
    "Report",
    "Said",
    "Validated",
    "about",
    "compare",
    "evaluate_series",
    "evaluate_stream",
    "judge",
    "score_rows",
    "settings_of",
    "signatures_of",
    "train_model",
]
