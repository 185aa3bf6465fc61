"""What an answer rests on: integrated gradients (Sundararajan et al. 2017), and occlusion as a check of them.

Both compare with the same text in which a token, or every token, is nothing: a vector of zeros, as padding has it.
Numbers are compared with their means: see numbers_saliency.py, which goes the same way.
"""

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from seqloom.data.targets import Targets
from seqloom.inference import logits_of
from seqloom.models import ManyToOne, OneAnswer
from seqloom.shapes import Float
from seqloom.text import PADDING

WORK, FEWEST, MOST = 3_500, 5, 64  # tokens read for all points together, and how many points these are
LEAST_POINTS = 2  # the two ends of the way
AT_ONCE = 4  # points that are computed side by side
CHECKS_WORK, FEWEST_CHECKS = 1_000, 2  # tokens read again for occluded ones, and the fewest of these
COMPLETE = 0.01  # the share of the difference that may be left out

Model = TypeVar("Model", bound=OneAnswer)


class Saliency(NamedTuple):
    """What each token adds to `value`, compared with `baseline`, the value of as many vectors of zeros.

    `shares` add up to `value - baseline` but for `gap`, which lay between the `points` points of the way. `occluded`
    has for some tokens, by their place, how far the value falls where that token alone is nothing. All are log odds of
    the label `about`; of a model that answers numbers, which has none, they are in the unit of the target.
    """

    about: str | None
    value: float
    baseline: float
    shares: list[float]
    gap: float
    points: int
    occluded: dict[int, float]


class Integral(NamedTuple):
    """What each number (T, I) or token (T) adds, the value at the start of the way, and the points it took."""

    shares: Tensor
    baseline: float
    points: int


class _Point(NamedTuple):
    """A point of the way, from 0 to 1: the value there, and how fast each number that is read makes it grow."""

    at: float
    value: float
    slopes: Float[Tensor, "T I"]


def explain(
    model: ManyToOne, targets: Targets, ids: Sequence[int], logits: Float[Tensor, "B outputs"], *, points: int | None
) -> Saliency:
    """What the answer `logits` (1, outputs) to the tokens `ids` rests on.

    Explained are the log odds of the label that was answered (of several the likeliest), or the number. The tokens
    with the largest shares are occluded, in a short text all. At most `points` points are computed; where not given 5
    to 64, the fewer the longer the text, and so are the occluded tokens: the work is bounded.
    """
    chosen = answered(model, targets, logits)
    found = integrated_gradients(model, targets, ids, chosen=chosen, points=points or points_for(len(ids)))
    places = strongest(found.shares, length=len(ids))
    texts = [[PADDING if at == place else token for at, token in enumerate(ids)] for place in places]
    value = score(targets, logits, chosen).item()
    without = score(targets, logits_of(model, texts), chosen).tolist()
    return Saliency(
        about=targets.labels[chosen] if targets.labels else None,
        value=value,
        baseline=found.baseline,
        shares=found.shares.tolist(),
        gap=value - found.baseline - math.fsum(found.shares.tolist()),
        points=found.points,
        occluded={place: value - left for place, left in zip(places, without, strict=True)},
    )


def answered(model: OneAnswer, targets: Targets, logits: Float[Tensor, "B outputs"]) -> int:
    """The place of the label that is explained: the one that was answered, of several the likeliest; 0 of a number."""
    return 0 if targets.problem == "squared" else int(model.probabilities(logits)[0].argmax())


def strongest(shares: Float[Tensor, " N"], *, length: int) -> list[int]:
    """The places of the largest shares that are checked: the fewer, the more steps each check reads anew."""
    checks = max(FEWEST_CHECKS, CHECKS_WORK // length)
    return sorted(shares.abs().argsort(descending=True, stable=True)[:checks].tolist())


def score(targets: Targets, logits: Float[Tensor, "B outputs"], chosen: int) -> Float[Tensor, " B"]:
    """What is explained, one number a row: the log odds of the label `chosen`, or the number in its own unit."""
    if targets.problem == "squared":
        return targets.to_unit(logits[:, 0].double())
    if targets.problem == "binary":
        return logits[:, 0] if chosen == 1 else -logits[:, 0]
    if targets.problem == "multilabel":
        return logits[:, chosen]
    others = torch.arange(logits.shape[1], device=logits.device) != chosen
    return logits[:, chosen] - logits[:, others].logsumexp(dim=1)


def integrated_gradients(
    model: ManyToOne, targets: Targets, ids: Sequence[int], *, chosen: int, points: int
) -> Integral:
    """What each token adds to `score` on the straight way from vectors of zeros to those of the tokens."""
    still = frozen(model)
    weight = still.head.weight
    with torch.no_grad():
        vectors = still.embedding(torch.tensor([ids], device=weight.device))[0].to(weight.dtype)

    def value(read: Float[Tensor, "B T I"]) -> Float[Tensor, " B"]:
        lengths = torch.full((len(read),), len(ids), device=weight.device)
        outputs, _ = still.recurrent(read, lengths)
        return score(targets, still.conclude(outputs, lengths), chosen)

    found = integrate(value, torch.zeros_like(vectors), vectors, points=points)
    return found._replace(shares=found.shares.sum(dim=-1))


def integrate(
    value: Callable[[Float[Tensor, "B T I"]], Float[Tensor, " B"]],
    start: Float[Tensor, "T I"],
    end: Float[Tensor, "T I"],
    *,
    points: int,
) -> Integral:
    """What each number of `end` adds to `value` on the straight way from `start`.

    The gradient is integrated by trapezoids. What it says of a part of the way is compared with what the value does
    there, and the worst parts are halved, until the parts leave out a hundredth of the whole difference, or there are
    `points` points: a recurrent model can tip over from one answer to the other within a tiny part.
    """
    way = _compute(value, start, end, [0.0, 0.5, 1.0] if points > 2 else [0.0, 1.0])
    while len(way) < points:
        gaps = [abs(right.value - left.value - _integral(left, right).sum().item()) for left, right in pairwise(way)]
        allowed = COMPLETE * abs(way[-1].value - way[0].value)
        worst = sorted(range(len(gaps)), key=lambda part: -gaps[part])[: min(AT_ONCE, points - len(way))]
        halves = [(way[part].at + way[part + 1].at) / 2 for part in worst if gaps[part] > allowed / len(gaps)]
        if sum(gaps) <= allowed or not halves:  # nothing to halve: values that overflow are no numbers
            break
        way = sorted(way + _compute(value, start, end, halves), key=lambda point: point.at)
    nothing = torch.zeros(end.shape, dtype=torch.float64)
    shares = sum((_integral(left, right) for left, right in pairwise(way)), start=nothing)
    return Integral(shares, way[0].value, len(way))


def _compute(
    value: Callable[[Float[Tensor, "B T I"]], Float[Tensor, " B"]],
    start: Float[Tensor, "T I"],
    end: Float[Tensor, "T I"],
    places: Sequence[float],
) -> list[_Point]:
    """Points of the way."""
    at = torch.tensor(places, dtype=end.dtype, device=end.device)
    read = (start + at[:, None, None] * (end - start)).requires_grad_()
    with torch.enable_grad():
        values = value(read)
        [gradients] = torch.autograd.grad(values.sum(), [read])
    slopes = (gradients * (end - start)).double().cpu()
    return [_Point(*point) for point in zip(places, values.tolist(), slopes, strict=True)]


def _integral(left: _Point, right: _Point) -> Float[Tensor, "T I"]:
    return (right.at - left.at) / 2 * (left.slopes + right.slopes)


def points_for(length: int) -> int:
    """The points that are affordable for so many steps, where nobody asks for more."""
    return max(FEWEST, min(MOST, WORK // length))


def frozen(model: Model) -> Model:
    """The model with layers of its own whose weights ask for no gradient: only what is read shall have one.

    The table of vectors, much the largest part, is shared; nothing of the model itself is touched.
    """
    still = copy.deepcopy(model, {id(table): table for table in model.tables}).eval()
    shared = {id(weight) for table in model.tables for weight in table.parameters()}
    for parameter in still.parameters():
        if id(parameter) not in shared:
            parameter.requires_grad_(False)
    return still
