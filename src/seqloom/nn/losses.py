"""The loss of a softmax over a large vocabulary, without ever holding all of its logits."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from seqloom.kernels import linear
from seqloom.shapes import Float, Int

CHUNK = 1 << 21  # logits at once: more are faster, and take the memory that this saves


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
        grad_weight = torch.zeros_like(weight) if of_weight else None
        grad_bias = torch.zeros_like(bias) if of_bias and bias is not None else None
        total, (rows, words) = features.new_zeros(()), (len(features), len(weight))
        for chunk in _chunks(rows, words):
            read, wanted = features[chunk], targets[chunk, None]
            # torch's own products: the core's would pack a copy of the weights, both ways.
            logits = functional.linear(read, weight, bias)
            losses, gradient = _losses_and_gradient(logits, wanted, label_smoothing, 1 / rows)
            total += losses.sum()
            if grad_features is not None:
                torch.mm(gradient, weight, out=grad_features[chunk])
            if grad_weight is not None:
                grad_weight.addmm_(gradient.t(), read)
            if grad_bias is not None:
                grad_bias += gradient.sum(dim=0)
        ctx.save_for_backward(grad_features, grad_weight, grad_bias)
        return total / max(1, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError("vocabulary_loss has no second derivative. Use cross_entropy on all logits.")
        one = bool(gradient == 1)  # the usual case: nothing to multiply
        found = (part if part is None or one else part * gradient for part in ctx.saved_tensors)
        return *found, None, None


def _losses_and_gradient(logits: Tensor, wanted: Tensor, smoothing: float, weight: float) -> tuple[Tensor, Tensor]:
    """The loss of each row, and the gradient of `weight` times their sum with respect to the logits."""
    logs = logits.log_softmax(dim=1)
    losses = (smoothing - 1) * logs.gather(1, wanted)
    if smoothing:
        losses -= smoothing * logs.mean(dim=1, keepdim=True)
    gradient = logs.exp_().mul_(weight)
    if smoothing:
        gradient -= weight * smoothing / logits.shape[1]
    return losses, gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, weight * (smoothing - 1)))


def _chunks(rows: int, words: int) -> Iterator[slice]:
    height = max(1, CHUNK // words)
    return (slice(start, start + height) for start in range(0, rows, height))
