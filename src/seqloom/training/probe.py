"""A few rows whose loss is looked back from once a model is trained: where the gradient goes that it learned by."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqloom.data import AnyPrepared, PreparedStreams
from seqloom.models import LanguageModel
from seqloom.nn import Recurrent
from seqloom.training.state import TrainingState, windows_of

ROWS, ASKED, LONGEST = 8, 64, 200  # each step's state is looked at by itself: few rows, none too long

Flow = Callable[[nn.Module, Callable[[], Tensor]], dict[str, Any]]


def gradients_of(model: nn.Module, data: AnyPrepared, state: TrainingState, *, flow: Flow) -> dict[str, Any]:
    """What `flow` says of `model` and its loss of some validation rows; nothing for a model that reads no steps."""
    if not any(isinstance(part, Recurrent) for part in model.modules()):
        return {}
    device = next(model.parameters()).device
    if isinstance(model, LanguageModel):
        assert isinstance(data, PreparedStreams)
        window = next(iter(windows_of(data.valid, state.config.training)))
        batch, targets = window.batch.to(device), window.targets.to(device)
        return flow(model, lambda: model.window_loss(batch, targets, None)[0])
    assert not isinstance(data, PreparedStreams)
    some: list[Any] = list(data.valid[:ASKED])
    rows = [row for row in some if int(state.collate([row])[0].lengths.max()) <= LONGEST]
    if not rows:
        return {}
    batch, targets = state.collate(rows[:ROWS])
    read: Any = model  # each has its own kind of batch
    with torch.random.fork_rng(devices=[]):
        return flow(model, lambda: read.batch_loss(batch.to(device), targets.to(device)))
