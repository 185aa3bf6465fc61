"""What the parts of a reading take when each is alone and at its best: an estimate of the least that the whole takes.

The products of one step by one thread, of its share of the rows (of a single row: of the columns) and over and over
with the same weights; those that take all steps at once; the activations, from the first-level cache; in training,
writing and reading once, by a copy, what the way back needs; and one call of the core. The other processors are idle
meanwhile, but for the copy. What else a layer does (states, sharing out, waiting for each other, Python) counts as
nothing, and so do the activations' gradients. Where a layer makes one sum of both products, it spares the way of the
first through the caches, which is counted here.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.cases import GATES, Task
from seqloom.kernels import native
from seqloom.kernels.packing import matrix

WORTH_A_THREAD = 200_000  # multiplications: the core shares out no fewer
MOST_ROWS = 960
NUMBERS = 4096  # of an activation at a time: they stay in the first-level cache
ACTIVATIONS = {"SimpleRNN": {"tanh": 1}, "GRU": {"sigmoid": 2, "tanh": 1}, "LSTM": {"sigmoid": 3, "tanh": 2}}
# Numbers a unit and step that training writes on the way forth, and on the way back for the gradients of the weights.
KEPT = {"SimpleRNN": (0, 1), "GRU": (4, 4), "LSTM": (5, 4)}
ROUNDS = 30


class Share(NamedTuple):
    """What one thread multiplies: rows of a step, rows of all steps together, and columns."""

    rows: int
    all_rows: float
    columns: int


def least_seconds(task: Task) -> float | None:
    """The sum of the parts of `task`; None where there is no core to measure them with."""
    if not native.available():
        return None
    case, threads, longest = task.case, _threads(task), int(task.case.lengths.max())
    share = _share(task, threads, longest)
    of_steps = longest * _product_seconds(share.rows, case.hidden, share.columns)
    of_inputs, of_states = (_all_seconds(share, depth) for depth in (case.input, case.hidden))
    units = task.tokens * case.hidden
    seconds = of_steps + of_inputs + units / threads * _activations_seconds(task.cell)
    if task.mode == "train":  # back through the steps, to the inputs, and the gradients of both weights
        seconds += of_steps + of_inputs + of_inputs + of_states
        seconds += sum(_copy_seconds(units * numbers) for numbers in KEPT[task.cell])
    return case.directions * seconds + _least(_product(1, 1, 1))


def _threads(task: Task) -> int:
    multiplications = task._replace(mode="infer").useful_flops // 2 // task.case.directions
    return task.threads if multiplications >= WORTH_A_THREAD else 1


def _share(task: Task, threads: int, longest: int) -> Share:
    columns = GATES[task.cell] * task.case.hidden
    if task.case.batch == 1:
        return Share(1, task.tokens, columns // threads)
    rows = round(task.tokens / longest / threads)
    return Share(max(1, rows), task.tokens / threads, columns)


def _all_seconds(share: Share, depth: int) -> float:
    """Of a product of all steps by one thread."""
    at_once = max(1, round(min(MOST_ROWS, share.all_rows)))
    return share.all_rows / at_once * _product_seconds(at_once, depth, share.columns)


def _product_seconds(rows: int, depth: int, columns: int) -> float:
    """Of one product by one thread, without the call from Python."""
    return _least(_product(rows, depth, columns)) - _least(_product(1, 1, 1))


def _product(rows: int, depth: int, columns: int) -> Callable[[], None]:
    a, b, c = torch.rand(rows, depth), matrix(torch.rand(depth, columns)), torch.empty(rows, columns)

    def multiply(left: Tensor = a, to: Tensor = c) -> None:
        native.core().linear(b, rows, left.data_ptr(), depth, 0, to.data_ptr(), 1)

    return multiply


def _activations_seconds(cell: str) -> float:
    """Of one unit and step by one thread."""
    return sum(times * _activation_seconds(name) for name, times in ACTIVATIONS[cell].items())


def _activation_seconds(name: str) -> float:
    """Of one number by one thread."""
    function = native.sigmoid if name == "sigmoid" else native.tanh
    many, few = torch.randn(NUMBERS), torch.randn(1)
    return (_least(lambda: function(many)) - _least(lambda: function(few))) / NUMBERS


def _copy_seconds(numbers: int) -> float:
    """Of reading so many numbers and writing as many, by all threads."""
    read, written = torch.rand(numbers), torch.empty(numbers)
    return _least(lambda: written.copy_(read))


def _least(work: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - started)
    return least
