"""The dense layer of heads and attention, with a row's result independent of its batch."""

from torch import Tensor, nn

from seqloom.kernels import linear
from seqloom.shapes import Float


class Linear(nn.Linear):
    """torch's `nn.Linear`, its parameters and all.

    On the CPU in float32 a row alone equals the same row in any batch, to the bit.
    """

    def forward(self, input: Float[Tensor, "*shape I"]) -> Float[Tensor, "*shape O"]:
        """x W' + b, (..., in_features) -> (..., out_features)."""
        return linear(input, self.weight.t(), bias=self.bias)
