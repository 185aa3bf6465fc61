"""What a training tells whoever watches it."""

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """Where training is, after a step: counts from 1, the mean loss of the epoch so far, real tokens a second."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    tokens_per_second: float


class Validated(NamedTuple):
    """One line of the table: an epoch's end."""

    epoch: int
    epochs: int
    train_loss: float
    valid_loss: float
    metrics: dict[str, float]
    tokens_per_second: float
    seconds: float
    best: bool


class Said(NamedTuple):
    """Something the user should know."""

    text: str


Event = Progress | Validated | Said
Report = Callable[[Event], None]
