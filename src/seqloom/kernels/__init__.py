"""How a cell is run over time: one dispatch, one readable reference."""

from seqloom.kernels.dispatch import Path, run, which

__all__ = ["Path", "run", "which"]
