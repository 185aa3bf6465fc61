"""Tokens to vectors, without learning: one-hot. (The learned table is torch's own `Embedding`.)"""

import torch
from torch import Tensor, nn

from seqloom.shapes import Float, Int


class OneHot(nn.Module):
    """Each token id as a vector of zeros with a single one at its place; padding (id 0) is all zeros."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        table = torch.eye(vocabulary_size)
        table[0] = 0
        self.register_buffer("table", table, persistent=False)

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        table = self.get_buffer("table")
        return table[ids]
