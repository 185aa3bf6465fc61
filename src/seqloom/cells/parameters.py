"""The weights of one cell, and the two products every cell is made of."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import layer_norm

from seqloom.shapes import Float


class CellParameters(NamedTuple):
    """The weights of one cell, its gates side by side in G = gates x H columns, in the order of the cell's gate tuple.

    Optional parts are None where the layer does without them.
    """

    weight_input: Float[Tensor, "I G"]
    weight_hidden: Float[Tensor, "H G"]
    bias: Float[Tensor, " G"] | None = None
    bias_candidate: Float[Tensor, " H"] | None = None  # inside the reset product of a GRU with reset_after
    norm_input: Float[Tensor, " G"] | None = None  # gains of the layer norm
    norm_hidden: Float[Tensor, " G"] | None = None
    hidden_mask: Float[Tensor, "B H"] | None = None  # recurrent dropout: one mask for the whole sequence


def project(p: CellParameters, x: Float[Tensor, "*shape I"]) -> Float[Tensor, "*shape G"]:
    """x W + b: what the input adds to every gate. It depends on no state, so one product serves all time steps."""
    drive = _normalise(x @ p.weight_input, p.norm_input, hidden=p.weight_hidden.shape[0])
    return drive if p.bias is None else drive + p.bias


def feedback(
    p: CellParameters, hidden: Float[Tensor, "B H"], *, gates: slice = slice(None)
) -> Float[Tensor, "B gates_hidden"]:
    """h U: what the previous output adds to the gates in the columns `gates`."""
    if p.hidden_mask is not None:
        hidden = hidden * p.hidden_mask
    gain = None if p.norm_hidden is None else p.norm_hidden[gates]
    return _normalise(hidden @ p.weight_hidden[:, gates], gain, hidden=p.weight_hidden.shape[0])


def _normalise(product: Tensor, gain: Tensor | None, *, hidden: int) -> Tensor:
    """Layer norm of each gate by itself (Ba et al. 2016), its gain, and no shift: the bias is the shift."""
    if gain is None:
        return product
    by_gate = product.reshape(*product.shape[:-1], gain.shape[0] // hidden, hidden)
    return layer_norm(by_gate, (hidden,)).flatten(-2) * gain
