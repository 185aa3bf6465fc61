"""What the experiments on memory share: a small network around one recurrent layer, and the loop that teaches it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean, stdev
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from seqloom.models import ManyToOne
from seqloom.nn import Linear, Recurrent
from seqloom.shapes import Batch, Float

EVERY = 50  # updates between two looks at whether it is solved

Draw = Callable[[int], tuple[Batch, Tensor]]  # the rows of an update, and their targets
Interval = tuple[float, float]

T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)  # Student's t, for 1 to 9 degrees of freedom
MOST_SEEDS = len(T95) + 1


class Reader(nn.Module):
    """A recurrent layer and a dense one: an answer after the last real step (B, O), or at every step (B, T, O).

    `criterion` makes a loss of answers and targets.
    """

    def __init__(
        self,
        layer: Recurrent,
        outputs: int,
        *,
        criterion: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
        every_step: bool = False,
    ) -> None:
        super().__init__()
        self.layer, self.head = layer, Linear(layer.output_size, outputs)
        self.criterion, self.every_step = criterion, every_step

    def batch_loss(self, batch: Batch, targets: Tensor) -> Float[Tensor, ""]:
        """The mean loss of the answers to `batch`."""
        return self.criterion(self(batch), targets)

    def forward(self, batch: Batch) -> Float[Tensor, "*shape O"]:
        outputs, state = self.layer(batch.values, batch.lengths)
        answer: Tensor = self.head(outputs if self.every_step else state.hidden)
        return answer


class Recipe(NamedTuple):
    """How a network is taught: Adam, at most so many updates; gradients clipped to a norm of `clip`, or not."""

    updates: int
    learning_rate: float
    clip: float | None = 1.0


class Learned(NamedTuple):
    """How it went: updates done, seconds, and whether a loss or a gradient ceased to be a number."""

    updates: int
    seconds: float
    diverged: bool


def learn(
    model: Reader | ManyToOne,
    draw: Draw,
    recipe: Recipe,
    *,
    solved: Callable[[], bool] | None = None,
    optimiser: Optimizer | None = None,
) -> Learned:
    """Teach `model` the rows that are drawn for each update, until it is `solved` where that is asked, or all are done.

    With an `optimiser` it goes on from another call. Training that has lost its numbers stops before they reach a
    weight.
    """
    weights = list(model.parameters())
    optimiser = optimiser or optimiser_of(model, recipe)
    begun, done, diverged = time.perf_counter(), 0, False
    while done < recipe.updates and not diverged:
        batch, targets = draw(done)
        optimiser.zero_grad()
        found = model.batch_loss(batch, targets)
        found.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm_(weights, recipe.clip or float("inf"))
        if diverged := not bool(torch.isfinite(found) and torch.isfinite(norm)):
            break
        optimiser.step()
        done += 1
        if solved is not None and not done % EVERY and solved():
            break
    return Learned(done, time.perf_counter() - begun, diverged)


def optimiser_of(model: Reader | ManyToOne, recipe: Recipe) -> Optimizer:
    """Adam (Kingma & Ba 2015) over all weights."""
    return torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)


def with_interval(values: Sequence[float], *, within: Interval) -> tuple[float, Interval]:
    """The mean of a few seeds' values and its 95 % interval (Student's t), cut to where it can lie."""
    mean = fmean(values)
    spread = T95[len(values) - 2] * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, (max(within[0], mean - spread), min(within[1], mean + spread))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: so small a network gains nothing from a second one, and loses much beside other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
