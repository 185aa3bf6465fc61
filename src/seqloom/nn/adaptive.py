"""A softmax that spends its effort where the words are: most tokens of a text are a few frequent ones.

The frequent tokens are told apart by one softmax, which also knows the groups of rarer ones; within each group a second
softmax on a shorter vector decides (Grave et al. 2017). Ids must fall in frequency, as those of a vocabulary do.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.errors import ConfigError
from seqloom.nn.linear import Linear
from seqloom.shapes import Float, Int

SHORTER = 4  # how much shorter the vector of each next group is


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    """torch's `nn.AdaptiveLogSoftmaxWithLoss`, its parameters and all, with cutoffs by the size of the vocabulary.

    With `seqloom.nn.Linear` inside: on the CPU in float32 a row alone equals the same row in any batch, to the bit.
    Raises ConfigError for a vocabulary of fewer than three tokens.
    """

    def __init__(self, in_features: int, vocabulary_size: int) -> None:
        if vocabulary_size < 3:
            raise ConfigError(f"AdaptiveSoftmax: {vocabulary_size} tokens cannot be grouped. Use a full softmax.")
        super().__init__(
            in_features, vocabulary_size, cutoffs_of(vocabulary_size, in_features), div_value=SHORTER, head_bias=True
        )
        self.head = _ours(self.head)
        for tail in self.tail:
            assert isinstance(tail, nn.Sequential)
            tail[0], tail[1] = _ours(tail[0]), _ours(tail[1])

    def mean_loss(self, features: Float[Tensor, "N I"], targets: Int[Tensor, " N"]) -> Float[Tensor, ""]:
        """The mean cross entropy of `targets`, in nats; zero for no rows."""
        return -self.log_likelihoods(features, targets).sum() / max(1, len(targets))

    def log_likelihoods(self, features: Float[Tensor, "N I"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """The log-probability of each row's target, with gradients."""
        frequent = self.cutoffs[0]
        group = torch.bucketize(
            targets.contiguous(), torch.tensor(self.cutoffs[:-1], device=targets.device), right=True
        )
        head: Tensor = self.head(features).log_softmax(dim=-1)
        found = head.gather(1, torch.where(group == 0, targets, frequent + group - 1)[:, None]).squeeze(1)
        for number, tail in enumerate(self.tail, start=1):
            rows = (group == number).nonzero().squeeze(1)
            if len(rows):
                within = (targets[rows] - self.cutoffs[number - 1])[:, None]
                logs = functional.log_softmax(tail(features[rows]), dim=-1)
                found = found.index_add(0, rows, logs.gather(1, within).squeeze(1))
        return found


def cutoffs_of(vocabulary_size: int, in_features: int) -> list[int]:
    """Where the groups of rarer tokens begin: at 20 and 100 roots of the vocabulary, where it is as large as that.

    Of 10,000 tokens 2,000 are frequent; of 250,000 there are 10,000, then 40,000, then the others.
    """
    root = math.isqrt(vocabulary_size)
    most = 2 if in_features >= SHORTER**2 else 1
    return [cut for cut in (20 * root, 100 * root) if cut < vocabulary_size][:most] or [vocabulary_size // 2]


def _ours(layer: nn.Module) -> Linear:
    """The same layer, its results independent of the batch."""
    assert isinstance(layer, nn.Linear)
    made = Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    made.weight = layer.weight
    if layer.bias is not None:
        made.bias = layer.bias
    return made
