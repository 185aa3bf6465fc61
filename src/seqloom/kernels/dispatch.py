"""Which path a layer takes: decided here, in one function, explained by `which`, forced by SEQLOOM_KERNELS."""

import os
from typing import NamedTuple

from torch import Tensor
from torch.nn import Module

from seqloom.cells import CellParameters
from seqloom.errors import ConfigError
from seqloom.kernels import reference
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, Int, State, Trace

PATHS = ("reference",)


class Path(NamedTuple):
    """The name of a path and why it was taken."""

    name: str
    reason: str


def choose() -> Path:
    """The path that `run` takes. Raises ConfigError where SEQLOOM_KERNELS names a path that does not exist."""
    forced = os.environ.get("SEQLOOM_KERNELS", "")
    if forced and forced not in PATHS:
        raise ConfigError(f'SEQLOOM_KERNELS is "{forced}". Allowed: {", ".join(PATHS)}, or leave it unset.')
    if forced:
        return Path(forced, "SEQLOOM_KERNELS asks for it")
    return Path("reference", "a loop over the cell's step is the only path there is so far")


def which(layer: Module, x: Tensor) -> Path:
    """The path that `layer(x)` takes and the reason. Raises ConfigError as `choose` does."""
    path = choose()
    return Path(path.name, f"{type(layer).__name__}, {x.dtype} on {x.device}: {path.reason}")


def run(
    step: Step,
    p: CellParameters,
    x: Float[Tensor, "B T I"],
    lengths: Int[Tensor, " B"],
    state: State,
    *,
    record: bool = False,
) -> tuple[Float[Tensor, "B T H"], State, Trace | None]:
    """Read `x` by the path of `choose`. Arguments and results: `reference.run`."""
    choose()
    return reference.run(step, p, x, lengths, state, record=record)
