"""The loss of a softmax over a large vocabulary, without ever holding all of its logits."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from seqloom.kernels import linear
from seqloom.kernels.softmax_loss import SoftmaxLoss, Solved, fits_core, solve
from seqloom.shapes import Float, Int

CHUNK = 1 << 22  # logits at once: more are faster, and take the memory that this saves


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
    problem = SoftmaxLoss(features, weight, bias, targets)
    if fits_core(problem):
        return solve(problem, (False, False, False), numbers=CHUNK).losses
    found = [features.new_zeros(0)]
    for rows in _chunks(len(features), len(weight), CHUNK):
        logits = linear(features[rows], weight.t(), bias=bias)
        found.append(-logits.log_softmax(dim=-1).gather(1, targets[rows, None]).squeeze(1))
    return torch.cat(found)


class _VocabularyLoss(Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, label_smoothing: float
    ) -> Tensor:
        problem = SoftmaxLoss(features, weight, bias, targets, label_smoothing)
        find = solve if fits_core(problem) else _solve_by_torch
        losses, *gradients = find(problem, ctx.needs_input_grad[:3], numbers=CHUNK)
        ctx.save_for_backward(*gradients)
        return (losses.sum() / max(1, len(features))).to(features.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError("vocabulary_loss has no second derivative. Use cross_entropy on all logits.")
        one = bool(gradient == 1)  # the usual case: nothing to multiply
        found = (part if part is None or one else part * gradient for part in ctx.saved_tensors)
        return *found, None, None


def _solve_by_torch(s: SoftmaxLoss, wanted: Sequence[bool], *, numbers: int) -> Solved:
    """As `solve`, wherever torch computes."""
    of_features, of_weight, of_bias = wanted
    grad_features = torch.empty_like(s.features) if of_features else None
    grad_weight = torch.zeros_like(s.weight) if of_weight else None
    grad_bias = torch.zeros_like(s.bias) if of_bias and s.bias is not None else None
    found, rows, weight_type = [s.features.new_zeros(0, 1)], len(s.features), s.weight.dtype
    for chunk in _chunks(rows, len(s.weight), numbers):
        read, wanted_words = s.features[chunk], s.targets[chunk, None]
        logits = functional.linear(read, s.weight, s.bias).to(weight_type)
        losses, gradient = _losses_and_gradient(logits, wanted_words, s.smoothing, 1 / rows)
        found.append(losses)
        with torch.autocast(gradient.device.type, enabled=False):
            if grad_features is not None:
                grad_features[chunk] = gradient @ s.weight
            if grad_weight is not None:
                grad_weight.addmm_(gradient.t(), read.to(weight_type))
        if grad_bias is not None:
            grad_bias += gradient.sum(dim=0)
    return Solved(torch.cat(found).squeeze(1), grad_features, grad_weight, grad_bias)


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


def _chunks(rows: int, words: int, numbers: int) -> Iterator[slice]:
    height = max(1, numbers // words)
    return (slice(start, start + height) for start in range(0, rows, height))
