"""The dense layer of heads and attention, with a row's result independent of its batch."""

from torch import Tensor, nn

from seqloom.errors import ConfigError, nearest
from seqloom.kernels import Prepared, linear
from seqloom.nn.stream import PRECISIONS, Precision
from seqloom.shapes import Float


class Linear(nn.Linear):
    """torch's `nn.Linear`, its parameters and all.

    On the CPU in float32 a row alone equals the same row in any batch, to the bit.
    """

    def forward(self, input: Float[Tensor, "*shape I"]) -> Float[Tensor, "*shape O"]:
        """x W' + b, (..., in_features) -> (..., out_features)."""
        return linear(input, self.weight.t(), bias=self.bias)

    def prepared(self, *, weights: Precision = "float32") -> Prepared:
        """What computes x W' + b again and again without packing W anew, without gradients: `prepared(x)`.

        With `weights="int8"` on the compiled core, in a quarter of the memory and not to the bit. Raises ConfigError.
        """
        if weights not in PRECISIONS:
            raise ConfigError(f'Linear.prepared: weights is "{weights}", {nearest(str(weights), PRECISIONS)}')
        return Prepared(self.weight.t(), self.bias, weights=weights)
