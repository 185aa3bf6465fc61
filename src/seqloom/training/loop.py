"""The training loop, to be read from top to bottom."""

import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from seqloom.data import AnyPrepared, PreparedStreams, TextWindows, batch_order
from seqloom.errors import Interrupted, TrainingError
from seqloom.training.checkpoints import save_checkpoint
from seqloom.training.evaluation import judge, monitored
from seqloom.training.events import Progress, Report, Said, Validated
from seqloom.training.metrics import Scores
from seqloom.training.state import TrainingState, batch_size_for, pace_of, windows_of


def fit(
    state: TrainingState,
    data: AnyPrepared,
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
    turns = _turns(data, state)
    saved_at = time.monotonic()
    with _Signals() as signals:
        while not state.finished:
            order = turns(state.epoch)
            while state.position < len(order) and not state.out_of_time:
                state.learn(order[state.position])
                report(_progress(state, len(order)))
                if signals.asked:
                    save_checkpoint(folder, state.checkpoint(**about), step=state.step)
                    raise Interrupted(f"stopped at step {state.step:,}, in epoch {state.epoch + 1}; all is saved.")
                if time.monotonic() - saved_at > 60 * settings.checkpoint_minutes:
                    save_checkpoint(folder, state.checkpoint(**about), step=state.step)
                    saved_at = time.monotonic()

            cut = state.position < len(order)
            if cut:  # out of time: with more of it a resumed training reads the rest of the epoch first
                save_checkpoint(folder, state.checkpoint(**about), step=state.step)
            scores, best = _judge(state, data)
            row = _table_row(state, scores, best=best)
            state.history.append(row._asdict())
            state.start_epoch()
            if not cut:
                # The checkpoint first: a kill between the two must not leave a model that no training goes on from.
                save_checkpoint(folder, state.checkpoint(**about), step=state.step)
                saved_at = time.monotonic()
            publish(scores)
            report(row)
            if signals.asked:
                raise Interrupted(f"stopped after epoch {state.epoch}; all is saved.")
    if state.epoch < state.epochs:
        why = "the time is up" if state.out_of_time else f"no better validation for {state.stale} epochs"
        best = max(row["epoch"] for row in state.history if row["best"])
        report(Said(f"stopped after epoch {state.epoch} of {state.epochs}: {why} (best: epoch {best})"))


class _Batches:
    """The batches of one epoch, each made when it is its turn."""

    def __init__(self, rows: Sequence[Any], order: Sequence[list[int]]) -> None:
        self._rows, self._order = rows, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> list[Any]:
        return [self._rows[row] for row in self._order[position]]


def _turns(data: AnyPrepared, state: TrainingState) -> Callable[[int], _Batches | TextWindows]:
    """What is learned from, one after the other, in the epoch of that number."""
    if isinstance(data, PreparedStreams):
        windows = windows_of(data.train, state.config.training)
        return lambda epoch: windows
    rows, lengths, written = data.train, data.lengths, data.target_lengths
    size = batch_size_for(state.config.training, len(rows), most=pace_of(state.model).rows)
    return lambda epoch: _Batches(
        rows, batch_order(lengths, batch_size=size, seed=state.config.seed, epoch=epoch, target_lengths=written)
    )


def _judge(state: TrainingState, data: AnyPrepared) -> tuple[Scores, bool]:
    """Score the judged model on the validation rows and keep it where it is the best so far."""
    started = time.perf_counter()
    scores = judge(state.judged, data.targets, data.valid)
    if not math.isfinite(scores.loss):
        raise TrainingError(
            f"the validation loss is not finite after step {state.step}, epoch {state.epoch + 1}: the weights have "
            f"grown too large. {state.calmer}; what was saved before is whole."
        )
    name, sign = monitored(data.targets, data.valid)
    best = state.keep_if_best((sign * scores.metrics[name], -scores.loss))
    state.seconds += time.perf_counter() - started
    return scores, best


def _progress(state: TrainingState, batches: int) -> Progress:
    return Progress(
        epoch=state.epoch + 1,
        epochs=state.epochs,
        batch=state.position,
        batches=batches,
        loss=state.epoch_loss / state.epoch_rows,
        tokens_per_second=state.epoch_tokens / max(state.epoch_seconds, 1e-9),
    )


def _table_row(state: TrainingState, scores: Scores, *, best: bool) -> Validated:
    return Validated(
        epoch=state.epoch + 1,
        epochs=state.epochs,
        train_loss=state.epoch_loss / max(1, state.epoch_rows),
        valid_loss=scores.loss,
        metrics=scores.metrics,
        tokens_per_second=state.epoch_tokens / max(state.epoch_seconds, 1e-9),
        seconds=state.seconds,
        best=best,
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
