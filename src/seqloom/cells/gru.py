"""The GRU cell: one memory, and two gates that decide what is overwritten."""

from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.cells.parameters import CellParameters, feedback
from seqloom.shapes import Float, RNNState


class GRUGates(NamedTuple):
    """The gates of one step, in the order of their columns in the weights."""

    reset: Float[Tensor, "B H"]
    update: Float[Tensor, "B H"]
    candidate: Float[Tensor, "B H"]


def gru_step(p: CellParameters, drive: Float[Tensor, "B G"], s: RNNState) -> tuple[RNNState, GRUGates]:
    """One step of the GRU (Cho et al. 2014).

        r, u = sigmoid(x W + h U + b)           what is reset, what is kept
        n    = tanh(x W + (r * h) U + b)        what could be written
        h'   = u * h + (1 - u) * n

    `drive` is x W + b.
    """
    hidden = s.hidden.shape[-1]
    drive_gates, drive_candidate = torch.split(drive, [2 * hidden, hidden], dim=-1)
    r, u = (drive_gates + feedback(p, s.hidden, gates=slice(2 * hidden))).sigmoid().chunk(2, dim=-1)
    n = (drive_candidate + feedback(p, r * s.hidden, gates=slice(2 * hidden, None))).tanh()
    return RNNState(hidden=u * s.hidden + (1 - u) * n), GRUGates(reset=r, update=u, candidate=n)


def gru_reset_after_step(p: CellParameters, drive: Float[Tensor, "B G"], s: RNNState) -> tuple[RNNState, GRUGates]:
    """One step of the GRU with the reset gate after the feedback product, as cuDNN and torch.nn compute it.

        r, u = sigmoid(x W + h U + b)           what is reset, what is kept
        n    = tanh(x W + b + r * (h U + d))    what could be written; d is the bias inside the reset
        h'   = u * h + (1 - u) * n

    `drive` is x W + b.
    """
    hidden = s.hidden.shape[-1]
    drive_gates, drive_candidate = torch.split(drive, [2 * hidden, hidden], dim=-1)
    fed_gates, fed_candidate = torch.split(feedback(p, s.hidden), [2 * hidden, hidden], dim=-1)
    r, u = (drive_gates + fed_gates).sigmoid().chunk(2, dim=-1)
    n = (drive_candidate + r * (fed_candidate if p.bias_candidate is None else fed_candidate + p.bias_candidate)).tanh()
    return RNNState(hidden=u * s.hidden + (1 - u) * n), GRUGates(reset=r, update=u, candidate=n)
