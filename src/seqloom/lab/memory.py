"""Which cell keeps what it read over many steps: three tasks that only memory solves, each with a known guess."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from seqloom.data.generators_memory import (
    ADDING_GUESS,
    ADDING_INPUTS,
    COPIED,
    COPY_SYMBOLS,
    ORDER_SYMBOLS,
    ORDERS,
    adding,
    copy_guess,
    copy_memory,
    temporal_order,
)
from seqloom.errors import ConfigError, nearest
from seqloom.lab.learning import EVERY, Learned, Reader, Recipe, learn, one_thread
from seqloom.lens.figures import Curve, Figure, curves
from seqloom.nn import GRU, LSTM, Recurrent, SimpleRNN
from seqloom.shapes import Batch

Known = TypeVar("Known")

TESTED, AT_ONCE = 1000, 100  # rows of the test, and how many are read at a time
LOOKED = 200  # rows for the look at whether it is solved
SOLVED = 0.1  # of the guess's loss
CLOSE = 0.04  # a sum this near is right (Hochreiter & Schmidhuber 1997)
ABOUT = (
    "Adding: the sum of two marked numbers of many. Copy: ten letters, to be told much later. Order: which of two "
    "letters stood twice among others, in which order. Only memory solves them, and what a guess scores is known."
)
TEST, LOOK = 1 << 20, 1 << 21  # seeds beside those of training


class MemoryTask(NamedTuple):
    """A task: its rows, its loss, the loss of a guess without memory, and which answers are right."""

    name: str
    inputs: int
    outputs: int
    every_step: bool
    draw: Callable[..., tuple[Batch, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    guess: Callable[[int], float]  # by steps
    right: Callable[[Tensor, Tensor], Tensor]


class Cell(NamedTuple):
    """A kind of memory, and how fast it is taught."""

    make: Callable[[int, int], Recurrent]
    learning_rate: float


class Outcome(NamedTuple):
    """One cell on one task: the loss on new rows, the share of right answers, and how it was taught."""

    task: str
    cell: str
    steps: int
    seed: int
    parameters: int
    guess: float
    loss: float
    right: float
    learned: Learned
    course: list[float]  # the loss as a part of the guess's, before and after every 50 updates

    @property
    def solved(self) -> bool:
        """Whether its loss is below a tenth of the guess's."""
        return self.loss < SOLVED * self.guess

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told = self._asdict() | self.learned._asdict() | {"solved": self.solved}
        told["loss"] = self.loss if math.isfinite(self.loss) else None
        return {name: value for name, value in told.items() if name not in ("learned", "course")}


def _squared(answers: Tensor, targets: Tensor) -> Tensor:
    return functional.mse_loss(answers.squeeze(-1), targets)


def _entropy(answers: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(answers.flatten(0, -2), targets.flatten())


def _near(answers: Tensor, targets: Tensor) -> Tensor:
    return (answers.squeeze(-1) - targets).abs() < CLOSE


def _told(answers: Tensor, targets: Tensor) -> Tensor:
    return answers.argmax(dim=-1) == targets


def _letters_told(answers: Tensor, targets: Tensor) -> Tensor:
    return _told(answers, targets)[:, -COPIED:]


TASKS = {
    "adding": MemoryTask("adding", ADDING_INPUTS, 1, False, adding, _squared, lambda steps: ADDING_GUESS, _near),
    "copy": MemoryTask("copy", COPY_SYMBOLS, COPY_SYMBOLS, True, copy_memory, _entropy, copy_guess, _letters_told),
    "order": MemoryTask(
        "order", ORDER_SYMBOLS, len(ORDERS), False, temporal_order, _entropy, lambda steps: math.log(len(ORDERS)), _told
    ),
}
# How long to remember and how many updates at most, so that all takes minutes on two cores.
SHORT = {"adding": (50, 1000), "copy": (10, 3000), "order": (50, 1000)}
# Simple layers take smaller steps: with those of the gated ones their gradients burst.
CELLS = {
    "LSTM": Cell(LSTM, 0.01),
    "GRU": Cell(GRU, 0.01),
    "SimpleRNN tanh": Cell(SimpleRNN, 0.002),
    "SimpleRNN ReLU, identity start": Cell(lambda i, h: SimpleRNN(i, h, activation="relu", init="identity"), 0.002),
}


def attempt(
    task: str,
    cell: str,
    *,
    steps: int,
    seed: int,
    updates: int,
    hidden: int = 64,
    batch: int = 32,
    learning_rate: float | None = None,
) -> Outcome:
    """Teach one cell one task until its loss is below a tenth of the guess's, or the updates are used up; then test it.

    The learning rate is the cell's own where none is given. Raises ConfigError for an unknown task or cell, and for too
    few steps.
    """
    asked, kind = _known("task", task, TASKS), _known("cell", cell, CELLS)

    def draw(rows: int, *path: int) -> tuple[Batch, Tensor]:
        try:
            return asked.draw(rows, steps=steps, seed=[seed, *path])
        except ValueError as few:
            raise ConfigError(f"{task}: {few}. Use --steps with more.") from None

    course: list[float] = []

    def solved() -> bool:
        course.append(_score(asked, reader, draw(LOOKED, LOOK))[0] / guess)
        return course[-1] < 0.5 * SOLVED  # so that the test will agree

    with one_thread():
        torch.manual_seed(seed)
        layer = kind.make(asked.inputs, hidden)
        reader = Reader(layer, asked.outputs, criterion=asked.loss, every_step=asked.every_step)
        guess = asked.guess(steps)
        solved()
        recipe = Recipe(updates, learning_rate or kind.learning_rate)
        learned = learn(reader, lambda update: draw(batch, update), recipe, solved=solved)
        tests = [_score(asked, reader, draw(AT_ONCE, TEST, part)) for part in range(TESTED // AT_ONCE)]
    loss, right = (math.fsum(each) / len(tests) for each in zip(*tests, strict=True))
    parameters = sum(weight.numel() for weight in reader.parameters())
    return Outcome(task, cell, steps, seed, parameters, guess, loss, right, learned, course)


def sizes(task: str, *, steps: int | None, updates: int | None) -> dict[str, int]:
    """Steps and updates of a task: those that are given, or else the short ones. Raises ConfigError."""
    few, many = _known("task", task, SHORT)
    return {"steps": few if steps is None else steps, "updates": many if updates is None else updates}


def findings(outcomes: Sequence[Outcome]) -> list[str]:
    """For each task, which layers solve it and which stay near the guess."""
    told = []
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.task == task]
        parts = [f"{outcome.cell} {outcome.loss / outcome.guess:.0%}".replace("%", " %") for outcome in own]
        can = ", ".join(outcome.cell for outcome in own if outcome.solved) or "no layer"
        told.append(
            f"{task}, {own[0].steps} steps: solved by {can}. Of the loss of a guess ({own[0].guess:.4f}) is left: "
            f"{', '.join(parts)}."
        )
    return told


def line(outcome: Outcome) -> list[str]:
    """An outcome as a line of a table."""
    updates, seconds, _ = outcome.learned
    about = [outcome.task, f"{outcome.steps}", outcome.cell, f"{outcome.loss:.4f}", f"{outcome.guess:.4f}"]
    solved = "yes" if outcome.solved else "lost its numbers" if outcome.learned.diverged else "no"
    return [*about, f"{outcome.right:.3f}", f"{updates:,}", f"{seconds:.0f}", solved]


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """The loss by updates as a part of the guess's, a figure a task."""
    drawn = []
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.task == task]
        lines = [
            Curve(outcome.cell, [EVERY * number for number in range(len(outcome.course))], outcome.course)
            for outcome in own
        ]
        can = ", ".join(outcome.cell for outcome in own if outcome.solved) or "no layer"
        title = f"{task}, {own[0].steps} steps: solved by {can}"
        drawn.append(curves(lines, title=title, x="updates", y="loss, part of a guess's"))
    return drawn


@torch.no_grad()
def _score(task: MemoryTask, reader: Reader, rows: tuple[Batch, Tensor]) -> tuple[float, float]:
    answers = reader(rows[0])
    return float(task.loss(answers, rows[1])), float(task.right(answers, rows[1]).float().mean())


def _known(what: str, name: str, among: Mapping[str, Known]) -> Known:
    if name not in among:
        raise ConfigError(f'there is no {what} "{name}": {nearest(name, list(among))}')
    return among[name]
