"""What the parts of a reading take when each is alone and at its best: an estimate of the least that the whole takes.

The products of one step by one thread, of its share of the rows and over and over with the same weights; those of the
inputs; and the activations, from the first-level cache. The other processors are idle meanwhile. What else a layer does
(reading and writing states, sharing out, Python) counts as nothing, and so do the activations' gradients. Where a layer
makes one sum of both products, it spares the way of the first through the caches, which is counted here.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.cases import GATES, Task
from seqloom.kernels import native
from seqloom.kernels.packing import matrix

FEWEST_ROWS = 8  # a thread: the product of fewer takes hardly longer than the call
MOST_ROWS = 960
NUMBERS = 4096  # of an activation at a time: they stay in the first-level cache
ACTIVATIONS = {"SimpleRNN": {"tanh": 1}, "GRU": {"sigmoid": 2, "tanh": 1}, "LSTM": {"sigmoid": 3, "tanh": 2}}
ROUNDS = 30


def least_seconds(task: Task) -> float | None:
    """The sum of the parts of `task`; None where rows are too few for the parts to be measured, or there is no core."""
    case, tokens = task.case, task.tokens
    longest = int(case.lengths.max())
    rows = round(tokens / longest / task.threads)
    if rows < FEWEST_ROWS or not native.available():
        return None
    columns = GATES[task.cell] * case.hidden
    at_once = min(MOST_ROWS, tokens // task.threads)
    of_steps = longest * _product_seconds(rows, case.hidden, columns)
    of_inputs = tokens / task.threads / at_once * _product_seconds(at_once, case.input, columns)
    of_units = (
        tokens
        * case.hidden
        / task.threads
        * sum(times * _activation_seconds(name) for name, times in ACTIVATIONS[task.cell].items())
    )
    products = (of_steps + of_inputs) * (3 if task.mode == "train" else 1)
    return case.directions * (products + of_units)


def _product_seconds(rows: int, depth: int, columns: int) -> float:
    """Of one product by one thread, without the call from Python."""
    return _least(_product(rows, depth, columns)) - _least(_product(1, 1, 1))


def _product(rows: int, depth: int, columns: int) -> Callable[[], None]:
    a, b, c = torch.rand(rows, depth), matrix(torch.rand(depth, columns)), torch.empty(rows, columns)

    def multiply(left: Tensor = a, to: Tensor = c) -> None:
        native.core().linear(b, rows, left.data_ptr(), depth, 0, to.data_ptr(), 1)

    return multiply


def _activation_seconds(name: str) -> float:
    """Of one number by one thread."""
    function = native.sigmoid if name == "sigmoid" else native.tanh
    many, few = torch.randn(NUMBERS), torch.randn(1)
    return (_least(lambda: function(many)) - _least(lambda: function(few))) / NUMBERS


def _least(work: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - started)
    return least
