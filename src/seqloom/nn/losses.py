"""The loss of a softmax over a large vocabulary, without ever holding all of its logits."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from seqloom.kernels import linear, outer
from seqloom.shapes import Float, Int

CHUNK = 1 << 22  # logits at once


def vocabulary_loss(
    features: Float[Tensor, "N I"],
    weight: Float[Tensor, "V I"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " N"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The mean cross entropy of softmax(features W' + b) against `targets`, in chunks of rows.

    Each chunk's gradient is found while its logits are there; only sums are kept. `label_smoothing` is the share of
    each target given to all tokens alike (Szegedy et al. 2016). No rows give zero.
    """
    loss: Tensor = _VocabularyLoss.apply(features, weight, bias, targets, label_smoothing)  # type: ignore[no-untyped-call]
    return loss


@torch.no_grad()
def token_losses(
    features: Float[Tensor, "N I"], weight: Float[Tensor, "V I"], bias: Float[Tensor, " V"] | None, targets: Tensor
) -> Float[Tensor, " N"]:
    """The cross entropy of each row by itself, in nats; a row's does not depend on the others."""
    found = [features.new_zeros(0)]
    for rows in _chunks(len(features), len(weight)):
        logits = linear(features[rows], weight.t(), bias=bias)
        found.append(-logits.log_softmax(dim=-1).gather(1, targets[rows, None]).squeeze(1))
    return torch.cat(found)


class _VocabularyLoss(Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, label_smoothing: float
    ) -> Tensor:
        of_features, of_weight, of_bias = ctx.needs_input_grad[:3]
        grad_features = torch.empty_like(features) if of_features else None
        sums: tuple[Tensor, Tensor] | None = None
        total, (rows, words) = features.new_zeros(()), (len(features), len(weight))
        for chunk in _chunks(rows, words):
            read, wanted = features[chunk], targets[chunk, None]
            logits = linear(read, weight.t(), bias=bias)
            losses, gradient = _losses_and_gradient(logits, wanted, label_smoothing)
            total += losses.sum()
            gradient /= rows
            if grad_features is not None:
                grad_features[chunk] = linear(gradient, weight)
            if of_weight or of_bias:
                sums = outer(read, gradient, onto=sums)
        if sums is None:  # no rows
            sums = (torch.zeros_like(weight).t(), features.new_zeros(words))
        ctx.save_for_backward(grad_features, sums[0].t() if of_weight else None, sums[1] if of_bias else None)
        return total / max(1, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError("vocabulary_loss has no second derivative. Use cross_entropy on all logits.")
        one = bool(gradient == 1)  # the usual case: nothing to multiply
        found = (part if part is None or one else part * gradient for part in ctx.saved_tensors)
        return *found, None, None


def _losses_and_gradient(logits: Tensor, wanted: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The loss of each row, and its gradient with respect to the logits, in their memory."""
    words = logits.shape[1]
    logits -= logits.amax(dim=1, keepdim=True)
    target = logits.gather(1, wanted)
    mean = logits.mean(dim=1, keepdim=True) if smoothing else target
    sums = logits.exp_().sum(dim=1, keepdim=True)
    losses = sums.log() - (1 - smoothing) * target - smoothing * mean
    logits /= sums
    if smoothing:
        logits -= smoothing / words
    logits.scatter_add_(1, wanted, logits.new_full(wanted.shape, smoothing - 1))
    return losses, logits


def _chunks(rows: int, words: int) -> Iterator[slice]:
    height = max(1, CHUNK // words)
    return (slice(start, start + height) for start in range(0, rows, height))
