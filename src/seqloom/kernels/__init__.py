"""How a cell is run over time: one dispatch, one readable reference, and the fast paths held against it."""

from seqloom.kernels.dispatch import PATHS, Path, choose, choose_attending, run, run_attending, which
from seqloom.kernels.linear import Prepared, linear

__all__ = [
    "PATHS",
    "Path",
    "Prepared",
    "choose",
    "choose_attending",
    "linear",
    "run",
    "run_attending",
    "which",
]
