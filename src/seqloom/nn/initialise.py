"""How weights start."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import init

Init = Literal["uniform", "orthogonal", "identity", "glorot"]
INITS: tuple[Init, ...] = ("uniform", "orthogonal", "identity", "glorot")


@torch.no_grad()
def initialise_input(weight: Tensor, how: Init, *, hidden: int) -> None:
    """Start the input weights (I, G), each gate by itself: uniform in +-1/sqrt(H), or else Glorot's uniform."""
    for gate in torch.split(weight, hidden, dim=1):
        if how == "uniform":
            _uniform(gate, hidden)
        else:
            init.xavier_uniform_(gate)


@torch.no_grad()
def initialise_hidden(weight: Tensor, how: Init) -> None:
    """Start the feedback weights (H, G), each gate by itself.

    uniform in +-1/sqrt(H) · orthogonal (Saxe et al. 2014) · identity (Le et al. 2015) · glorot (Glorot & Bengio 2010)
    """
    hidden = weight.shape[0]
    for gate in torch.split(weight, hidden, dim=1):
        if how == "uniform":
            _uniform(gate, hidden)
        elif how == "orthogonal":
            gate.copy_(init.orthogonal_(torch.empty_like(gate, memory_format=torch.contiguous_format)))
        elif how == "identity":
            gate.copy_(torch.eye(hidden))
        else:
            init.xavier_uniform_(gate)


def _uniform(weight: Tensor, hidden: int) -> None:
    bound = 1 / math.sqrt(hidden)
    init.uniform_(weight, -bound, bound)
