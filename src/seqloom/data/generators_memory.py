"""Tasks that only a memory over many steps can solve, with the score of a guess that remembers nothing.

Each is a function of its seed: rows as a `Batch` of vectors (B, T, I), and their targets.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqloom.shapes import Batch

Seed = int | Sequence[int]

ADDING_INPUTS = 2  # the value, and its mark
ADDING_GUESS = 1 / 6  # squared error of always answering 1: the variance of a sum of two values from 0..1

COPIED, LETTERS = 10, 8
COPY_SYMBOLS = LETTERS + 2  # letters, blank, the mark that asks for them
BLANK, ASK = LETTERS, LETTERS + 1

DISTRACTORS = 4
ORDER_SYMBOLS = DISTRACTORS + 4  # distractors, X, Y, start, end
X, START, END = DISTRACTORS, DISTRACTORS + 2, DISTRACTORS + 3
ORDERS = ("XX", "XY", "YX", "YY")
ORDER_GUESS = 1 / len(ORDERS)  # the share that is right by chance


def adding(rows: int, *, steps: int, seed: Seed) -> tuple[Batch, Tensor]:
    """The adding problem (Hochreiter & Schmidhuber 1997; as in Le et al. 2015): what do the two marked values sum to?

    Values (B, T, 2): a number from 0..1, and 1 where it is marked, once in each half of the row. Targets (B,): the sum.
    To always answer 1 has a squared error of 1/6. Raises ValueError for fewer than 2 steps.
    """
    _check(steps, fewest=2)
    random = np.random.default_rng(seed)
    values = np.zeros((rows, steps, ADDING_INPUTS), dtype=np.float32)
    values[:, :, 0] = random.random((rows, steps), dtype=np.float32)
    half, row = steps // 2, np.arange(rows)
    first, second = random.integers(0, half, rows), random.integers(half, steps, rows)
    values[row, first, 1] = values[row, second, 1] = 1
    return _batch(values), torch.from_numpy(values[row, first, 0] + values[row, second, 0])


def copy_memory(rows: int, *, steps: int, seed: Seed) -> tuple[Batch, Tensor]:
    """Copy memory (Hochreiter & Schmidhuber 1997; as in Arjovsky et al. 2016): ten letters, to be told much later.

    Values (B, steps + 20, 10), one-hot: 10 letters of 8, `steps` - 1 blanks, the mark that asks, 10 blanks. Targets
    (B, steps + 20): blank, and at the last ten steps the letters, in order. Without memory the best cross entropy is
    `copy_guess(steps)`. Raises ValueError for no steps.
    """
    _check(steps, fewest=1)
    letters = np.random.default_rng(seed).integers(0, LETTERS, (rows, COPIED))
    read = np.full((rows, steps + 2 * COPIED), BLANK, dtype=np.int64)
    targets = read.copy()
    read[:, :COPIED] = targets[:, -COPIED:] = letters
    read[:, COPIED + steps - 1] = ASK
    return _batch(np.eye(COPY_SYMBOLS, dtype=np.float32)[read]), torch.from_numpy(targets)


def copy_guess(steps: int) -> float:
    """The cross entropy, in nats a step, of who knows when letters are asked for, but not which."""
    return COPIED * math.log(LETTERS) / (steps + 2 * COPIED)


def temporal_order(rows: int, *, steps: int, seed: Seed, shortest: int | None = None) -> tuple[Batch, Tensor]:
    """Temporal order (Hochreiter & Schmidhuber 1997, task 6a; any length as in Pascanu et al. 2013): X or Y, twice.

    Values (B, T, 8), one-hot: a start, distractors of 4 kinds, an end; from one to two tenths of the row and from five
    to six tenths of it stands an X or a Y. Targets (B,): which of `ORDERS` it was; a guess is right a quarter of the
    time. Rows have `steps` steps, or from `shortest` to `steps`, as many around 20 as around 40 or 80.
    Raises ValueError for fewer than 10 steps.
    """
    _check(steps if shortest is None else min(shortest, steps), fewest=10)
    random = np.random.default_rng(seed)
    lengths = np.full(rows, steps)
    if shortest is not None:
        lengths = np.exp(random.uniform(np.log(shortest), np.log(steps + 1), rows)).astype(np.int64)
    read = random.integers(0, DISTRACTORS, (rows, steps))
    letters, row = random.integers(0, 2, (rows, 2)), np.arange(rows)
    read[:, 0], read[row, lengths - 1] = START, END
    for which, tenth in enumerate((1, 5)):
        place = random.integers(tenth * lengths // 10, (tenth + 1) * lengths // 10)
        read[row, place] = X + letters[:, which]
    values = np.eye(ORDER_SYMBOLS, dtype=np.float32)[read]
    values[np.arange(steps) >= lengths[:, None]] = 0
    return _batch(values, lengths), torch.from_numpy(2 * letters[:, 0] + letters[:, 1])


def _batch(values: NDArray[np.float32], lengths: NDArray[np.int64] | None = None) -> Batch:
    rows, steps = values.shape[:2]
    return Batch(torch.from_numpy(values), torch.from_numpy(np.full(rows, steps) if lengths is None else lengths))


def _check(steps: int, *, fewest: int) -> None:
    if steps < fewest:
        raise ValueError(f"{steps} steps: this task needs {fewest} or more")
