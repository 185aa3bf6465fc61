"""What all models that answer once have in common: what their logits mean, the loss, and the probabilities."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.models.parts import PLAIN_LOSS, LossOptions
from seqloom.nn import Linear
from seqloom.shapes import Batch, Float

Problem = Literal["binary", "multiclass", "multilabel", "squared"]


class OneAnswer(nn.Module):
    """One answer to a row, whatever it is read with.

    `problem` decides the loss and the meaning of the logits (B, outputs): binary has one, the log odds of the second
    class; multiclass one a class; multilabel one log odds a label; squared one number, in units of the target's spread.
    """

    head: Linear

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of token ids: nothing, where numbers are read."""
        return ()

    def make_head(self, size: int, *, outputs: int) -> Linear:
        """The layer that gives the logits."""
        return Linear(size, 1 if self.problem in ("binary", "squared") else outputs)

    def batch_loss(self, batch: Batch, targets: Tensor, options: LossOptions = PLAIN_LOSS) -> Float[Tensor, ""]:
        """The mean loss of the answers to `batch`."""
        return self.loss(self(batch), targets, options)

    def loss(self, logits: Tensor, targets: Tensor, options: LossOptions = PLAIN_LOSS) -> Float[Tensor, ""]:
        """The mean loss of a batch, by kind of problem: cross entropy, or the squared error.

        `targets` is (B,) class numbers, (B, labels) of zeros and ones, or (B,) numbers.
        """
        if self.problem == "squared":
            return functional.mse_loss(logits.squeeze(-1), targets)
        if self.problem == "multiclass":
            return functional.cross_entropy(
                logits, targets, weight=options.class_weights, label_smoothing=options.label_smoothing
            )
        if self.problem == "multilabel":
            return _log_odds_loss(logits, targets, options.label_smoothing).mean()
        each = _log_odds_loss(logits.squeeze(-1), targets.to(logits.dtype), options.label_smoothing)
        if options.class_weights is None:
            return each.mean()
        weights = options.class_weights[targets]
        return (each * weights).sum() / weights.sum()

    def probabilities(self, logits: Float[Tensor, "B outputs"]) -> Float[Tensor, "B classes"]:
        """The probability of each class (they add up to 1) or of each label; numbers stay as they are."""
        if self.problem == "binary":
            second = logits.sigmoid()
            return torch.cat([1 - second, second], dim=-1)
        if self.problem == "multiclass":
            return logits.softmax(dim=-1)
        return logits.sigmoid() if self.problem == "multilabel" else logits


def _log_odds_loss(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    smoothed = targets * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
