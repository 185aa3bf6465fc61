"""What is left out by chance while a model learns, so that no unit relies on another."""

import torch
from torch import Tensor, nn

from seqloom.kernels import dropout
from seqloom.shapes import Float


class Dropout(nn.Dropout):
    """torch's, with other random numbers, which cost less (kernels/dropout.py)."""

    def forward(self, input: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`input` with a share `p` of its numbers at zero and the others larger, while training."""
        return dropout(input, self.p) if self.training and self.p else input


class SequenceDropout(nn.Dropout):
    """Dropout of the same units at every step of a row (Gal & Ghahramani 2016): x (B, T, I), one mask (B, I)."""

    def forward(self, input: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """`input` with a share `p` of the units of each row at zero and the others larger, while training."""
        if not self.training or not self.p:
            return input
        return input * nn.functional.dropout(torch.ones_like(input[:, :1]), self.p)
