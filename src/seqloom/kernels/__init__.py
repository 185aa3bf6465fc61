"""How a cell is run over time: one dispatch, one readable reference, and the fast paths held against it."""

from seqloom.kernels.dispatch import (
    PATHS,
    Path,
    choose,
    choose_attending,
    is_input,
    run,
    run_attending,
    run_both,
    which,
)
from seqloom.kernels.dropout import dropout
from seqloom.kernels.linear import Prepared, linear
from seqloom.kernels.rows import real_rows, take_rows

__all__ = [
    "PATHS",
    "Path",
    "Prepared",
    "choose",
    "choose_attending",
    "dropout",
    "is_input",
    "linear",
    "real_rows",
    "run",
    "run_attending",
    "run_both",
    "take_rows",
    "which",
]
