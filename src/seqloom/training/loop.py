"""The training loop, to be read from top to bottom."""

import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch

from seqloom.data import Prepared, batch_order
from seqloom.data.targets import Targets
from seqloom.errors import Interrupted, TrainingError
from seqloom.inference import decide, logits_of
from seqloom.training.checkpoints import save_checkpoint
from seqloom.training.metrics import MONITORED, Scores, score
from seqloom.training.state import TrainingState


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


def fit(
    state: TrainingState,
    data: Prepared,
    folder: Path,
    *,
    about: dict[str, Any],
    publish: Callable[[Scores], None],
    report: Report,
) -> None:
    """Train `state` to its end; `publish` is called after each validation, when the best weights are in `state.best`.

    Checkpoints go to `folder`/checkpoints, each with `about`. Raises Interrupted after SIGINT or SIGTERM, with a
    checkpoint saved; TrainingError where the loss or a gradient is not finite.
    """
    settings = state.config.training
    lengths = [len(example.ids) for example in data.train]
    saved_at = time.monotonic()
    with _Signals() as signals:
        while not state.finished:
            order = batch_order(lengths, batch_size=settings.batch_size, seed=state.config.seed, epoch=state.epoch)
            while state.position < len(order):
                state.learn([data.train[row] for row in order[state.position]])
                report(_progress(state, len(order)))
                if signals.asked:
                    save_checkpoint(folder, state.checkpoint(**about), step=state.step)
                    raise Interrupted(f"stopped at step {state.step:,}, in epoch {state.epoch + 1}; all is saved.")
                if time.monotonic() - saved_at > 60 * settings.checkpoint_minutes:
                    save_checkpoint(folder, state.checkpoint(**about), step=state.step)
                    saved_at = time.monotonic()
                if state.out_of_time:
                    break

            scores, valid_loss = validate(state, data)
            _check_finite(state, valid_loss)
            name, sign = MONITORED[data.targets.problem]
            best = state.keep_if_best((sign * scores.metrics[name], -valid_loss))
            row = _table_row(state, scores, valid_loss, best=best)
            state.history.append(row._asdict())
            state.start_epoch()
            # The checkpoint first: a kill between the two must not leave a model that no training goes on from.
            save_checkpoint(folder, state.checkpoint(**about), step=state.step)
            saved_at = time.monotonic()
            publish(scores)
            report(row)
            if signals.asked and not state.finished:
                raise Interrupted(f"stopped after epoch {state.epoch}; all is saved.")


def validate(state: TrainingState, data: Prepared) -> tuple[Scores, float]:
    """The scores and the loss of the judged model on the validation rows."""
    model = state.judged
    logits = logits_of(model, [example.ids for example in data.valid])
    truth = torch.tensor([example.target for example in data.valid])
    with torch.inference_mode():
        loss = model.loss(logits, truth.float() if data.targets.problem == "multilabel" else truth)
        decided = decide(data.targets, model.probabilities(logits))
    return score(data.targets, in_own_unit(data.targets, truth), decided), loss.item()


def in_own_unit(targets: Targets, truth: torch.Tensor) -> torch.Tensor:
    """Encoded targets as decisions are: a standardised number goes back to its own unit."""
    return truth * targets.scale + targets.mean if targets.problem == "squared" else truth


def _progress(state: TrainingState, batches: int) -> Progress:
    return Progress(
        epoch=state.epoch + 1,
        epochs=state.epochs,
        batch=state.position,
        batches=batches,
        loss=state.epoch_loss / state.epoch_rows,
        tokens_per_second=state.epoch_tokens / max(state.epoch_seconds, 1e-9),
    )


def _table_row(state: TrainingState, scores: Scores, valid_loss: float, *, best: bool) -> Validated:
    return Validated(
        epoch=state.epoch + 1,
        epochs=state.epochs,
        train_loss=state.epoch_loss / max(1, state.epoch_rows),
        valid_loss=valid_loss,
        metrics=scores.metrics,
        tokens_per_second=state.epoch_tokens / max(state.epoch_seconds, 1e-9),
        seconds=state.seconds,
        best=best,
    )


def _check_finite(state: TrainingState, valid_loss: float) -> None:
    if not math.isfinite(valid_loss):
        raise TrainingError(
            f"the validation loss is not finite after step {state.step}, epoch {state.epoch + 1}: the weights have "
            f"grown too large. {state.calmer}; what was saved before is whole."
        )


class _Signals:
    """Turns the first SIGINT or SIGTERM into a question the loop answers after its step; the second stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
