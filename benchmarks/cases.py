"""What is measured: shapes, lengths, weights and gradients, the same numbers for every peer. Knows only numpy."""

import math
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Cell = Literal["SimpleRNN", "GRU", "LSTM"]
Mode = Literal["infer", "train"]

GATES: dict[str, int] = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
MODES: tuple[Mode, ...] = ("infer", "train")
MEAN_WORDS, SPREAD, MOST_WORDS = 230, 0.65, 400  # clipped at the most: 209 on average, as film reviews are


class Case(NamedTuple):
    """A shape. `kind` says what is read: whole rows, rows as long as reviews, or one step, its state carried on."""

    batch: int
    time: int
    input: int
    hidden: int
    directions: int = 1
    kind: Literal["whole", "reviews", "step"] = "whole"

    @property
    def name(self) -> str:
        """As the tables have it."""
        shape = ", ".join(map(str, (self.batch, self.time, self.input, self.hidden)))
        words = {"whole": "", "reviews": " reviews", "step": " step"}[self.kind]
        return shape + (" bidirectional" if self.directions == 2 else "") + words

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The steps of each row. A review's are quantiles of a log-normal, clipped, in mixed order: no luck in them."""
        if self.kind != "reviews":
            return np.full(self.batch, self.time, dtype=np.int64)
        middle = math.log(MEAN_WORDS) - SPREAD**2 / 2
        quantiles = ((row + 0.5) / self.batch for row in range(self.batch))
        words = np.exp([middle + SPREAD * NormalDist().inv_cdf(q) for q in quantiles])
        lengths = np.clip(np.round(words * self.time / MOST_WORDS), 1, self.time).astype(np.int64)
        return np.random.default_rng(0).permutation(lengths)


CASES = (
    Case(32, 50, 128, 128),
    Case(64, 100, 256, 256),
    Case(32, 200, 512, 512),
    Case(128, 30, 64, 64),
    Case(1, 100, 128, 128),
    Case(1, 1, 256, 256, kind="step"),
    Case(16, 400, 128, 256, directions=2),
    Case(32, 400, 128, 128, kind="reviews"),
)


class Task(NamedTuple):
    """One cell at one case, inferring or training, from a seed, on a number of threads."""

    case: Case
    cell: Cell
    mode: Mode
    threads: int = 2
    seed: int = 0

    @classmethod
    def read(cls, given: list[Any]) -> "Task":
        """The task that was sent as JSON, in which a tuple is a list."""
        case, *rest = given
        return cls(Case(*case), *rest)

    @property
    def tokens(self) -> int:
        """The real steps of all rows."""
        return int(self.case.lengths.sum())

    @property
    def useful_flops(self) -> int:
        """2·tokens·(I + H)·gates·H a direction, three times that for training; steps of padding are no use."""
        case = self.case
        a_token = 2 * (case.input + case.hidden) * GATES[self.cell] * case.hidden * case.directions
        return self.tokens * a_token * (3 if self.mode == "train" else 1)


class Direction(NamedTuple):
    """The weights of one reading, in torch's layout and order of gates."""

    weight_input: Array  # (G, I)
    weight_hidden: Array  # (G, H)
    bias_input: Array  # (G,)
    bias_hidden: Array  # (G,)


class Numbers(NamedTuple):
    """What a task computes with; the gradient `dy` of the outputs is dense and random, and zero at padding."""

    x: Array  # (B, T, I)
    dy: Array  # (B, T, directions·H)
    lengths: NDArray[np.int64]  # (B,)
    directions: list[Direction]


def numbers(task: Task) -> Numbers:
    """The numbers of `task`, drawn from its seed; weights uniform within 1/sqrt(H)."""
    case, draw = task.case, np.random.default_rng(task.seed)
    B, T, I, H, gates = case.batch, case.time, case.input, case.hidden, GATES[task.cell] * case.hidden  # noqa: E741

    def normal(*shape: int) -> Array:
        return draw.standard_normal(shape, dtype=np.float32)

    def weight(*shape: int) -> Array:
        return (draw.random(shape, dtype=np.float32) * 2 - 1) / np.float32(math.sqrt(H))

    real = np.arange(T)[None, :] < case.lengths[:, None]
    return Numbers(
        x=normal(B, T, I),
        dy=normal(B, T, H * case.directions) * real[..., None],
        lengths=case.lengths,
        directions=[
            Direction(weight(gates, I), weight(gates, H), weight(gates), weight(gates)) for _ in range(case.directions)
        ],
    )


def fingerprint(task: Task, tensor: Any, *others: Any) -> list[float]:
    """A few numbers that tell results apart: of (B, T, any) the mean size over real steps and a few values of the
    first and last row, and the mean size of each of the others.

    Sides whose fingerprints differ compute different things, and must not be compared.
    """
    whole = np.asarray(tensor, dtype=np.float64)
    lengths = task.case.lengths
    sizes = [np.abs(row[:length]).mean() for row, length in zip(whole, lengths, strict=True)]
    ends = [*whole[0, lengths[0] - 1, :3], *whole[-1, 0, -3:]]
    return [float(value) for value in (np.mean(sizes), *ends, *(np.abs(np.asarray(other)).mean() for other in others))]
