"""The simple recurrent cell: one sum, one activation."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.cells.parameters import CellParameters, feedback
from seqloom.shapes import Float, RNNState


class SimpleRNNGates(NamedTuple):
    """A SimpleRNN has no gates."""


def simple_rnn_step(
    p: CellParameters,
    drive: Float[Tensor, "B H"],
    s: RNNState,
    *,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
) -> tuple[RNNState, SimpleRNNGates]:
    """One step of the simple recurrent network (Elman 1990).

        h' = f(x W + h U + b)      the output, fed back at the next step

    `drive` is x W + b.
    """
    return RNNState(hidden=activation(drive + feedback(p, s.hidden))), SimpleRNNGates()
