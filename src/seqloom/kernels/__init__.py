"""How a cell is run over time: one dispatch, one readable reference, and the fast paths held against it."""

from seqloom.kernels.attention import run_attending
from seqloom.kernels.dispatch import PATHS, Path, choose, run, which
from seqloom.kernels.linear import linear

__all__ = ["PATHS", "Path", "choose", "linear", "run", "run_attending", "which"]
