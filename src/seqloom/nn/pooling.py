"""How the outputs of all steps become one vector a row. Padding has no part in it; a row of length 0 gives zeros."""

import torch
from torch import Tensor, nn

from seqloom.kernels import pooling as core
from seqloom.nn.linear import Linear
from seqloom.shapes import Float, Int, valid_steps


def mean_pool(outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
    """The mean over the real steps."""
    return _sum_over_steps(_without_padding(outputs, lengths)) / lengths.clamp(min=1)[:, None]


def max_pool(outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
    """The largest value of each unit over the real steps. Of equal ones the first has the gradient, going back."""
    if core.fits(outputs, lengths):
        return core.max_pool(outputs, lengths)
    if not outputs.shape[1]:
        return outputs.sum(dim=1)
    padding = ~valid_steps(lengths, outputs.shape[1])[..., None]
    if outputs.requires_grad and torch.is_grad_enabled():
        # By its place: the way back of amax reads and writes all steps several times.
        places = outputs.detach().masked_fill(padding, -torch.inf).max(dim=1, keepdim=True).indices
        largest = outputs.gather(1, places).squeeze(1)
    else:
        largest = outputs.masked_fill(padding, -torch.inf).amax(dim=1)
    return torch.where(lengths[:, None] > 0, largest, 0)


def last_pool(
    outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"], *, bidirectional: bool = False
) -> Float[Tensor, "B H"]:
    """The last real step; of `bidirectional` outputs the end of each reading.

    The forward half of those ends at the last real step, the backward half at the first.
    """
    if not outputs.shape[1]:
        return outputs.sum(dim=1)
    rows = torch.arange(outputs.shape[0], device=outputs.device)
    last = outputs[rows, (lengths - 1).clamp(min=0)]
    if bidirectional:
        half = outputs.shape[2] // 2
        last = torch.cat([last[:, :half], outputs[:, 0, half:]], dim=-1)
    return last.masked_fill((lengths == 0)[:, None], 0)


class AttentionPool(nn.Module):
    """A learned weighting of the steps: softmax over v · tanh(h A + b) (Bahdanau et al. 2015, with a learned query)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.project = Linear(size, size)
        self.score = Linear(size, 1, bias=False)

    def weights(self, outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T"]:
        """How much each step counts: at least 0, zero at padding, in sum 1 for a row that has steps."""
        valid = valid_steps(lengths, outputs.shape[1])
        scores: Tensor = self.score(torch.tanh(self.project(_without_padding(outputs, lengths)))).squeeze(-1)
        if not scores.shape[1]:
            return scores
        # The lowest finite number, not minus infinity: a row without steps must not become NaN.
        scores = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
        shares = (scores - scores.amax(dim=1, keepdim=True)).exp() * valid
        # One sum in the order of the steps: torch's softmax has another for each length of the padding. It is at least
        # 1, the largest share, but in a row without steps.
        return shares / shares.cumsum(dim=1)[:, -1:].clamp(min=1)

    def forward(self, outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
        return _sum_over_steps(self.weights(outputs, lengths)[..., None] * _without_padding(outputs, lengths))


def _sum_over_steps(x: Float[Tensor, "B T H"]) -> Float[Tensor, "B H"]:
    """The sum over time in the order of the steps: torch's own order hangs on the sizes of the batch."""
    return x.cumsum(dim=1)[:, -1] if x.shape[1] else x.sum(dim=1)


def _without_padding(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Zeros at padding, whatever was there: NaN times a weight of zero is NaN."""
    return outputs.masked_fill(~valid_steps(lengths, outputs.shape[1])[..., None], 0)
