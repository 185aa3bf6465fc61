"""What of a series or a row of numbers an answer rests on: each number of it, each variable, each step.

The way is that of saliency.py. It starts where nothing is known of the sample: each number is the mean that its
variable has in training, and none is missing.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqloom.data.numbers import NumbersReader, Steps
from seqloom.data.targets import Targets
from seqloom.inference import logits_of
from seqloom.lens.saliency import answered, frozen, integrate, points_for, score, strongest
from seqloom.models import OneAnswer
from seqloom.shapes import Batch, Float


class NumbersSaliency(NamedTuple):
    """What each number adds to `value`, compared with `baseline`, the value where each is the mean of training.

    `shares` has a list of variables for each step. They add up to `value - baseline` but for `gap`, which lay between
    the `points` points of the way; `by_variable` and `by_step` are their sums. `occluded_variables` and
    `occluded_steps` have for some, by their place, how far the value falls where that one alone is the mean. All are
    log odds of the label `about`; of a model that answers numbers, which has none, in the unit of the target.
    """

    about: str | None
    value: float
    baseline: float
    shares: list[list[float]]
    by_variable: list[float]
    by_step: list[float]
    gap: float
    points: int
    occluded_variables: dict[int, float]
    occluded_steps: dict[int, float]


def explain_numbers(
    model: OneAnswer,
    reader: NumbersReader,
    targets: Targets,
    steps: Steps,
    logits: Float[Tensor, "B outputs"],
    *,
    points: int | None,
) -> NumbersSaliency:
    """What the answer `logits` (1, outputs) to the encoded `steps` (T, I) rests on.

    Explained are the log odds of the label that was answered (of several the likeliest), or the number. The variables
    and the steps with the largest shares are occluded, of a short sample all. At most `points` points are computed;
    where not given 5 to 64, the fewer the more steps, and so are the occluded ones: the work is bounded.
    """
    chosen, variables = answered(model, targets, logits), len(reader.channels)
    length = -(-len(steps) // reader.frames)
    start = means(reader, len(steps))
    still = frozen(model)
    weight = still.head.weight

    def explained(read: Float[Tensor, "B T I"]) -> Float[Tensor, " B"]:
        lengths = torch.full((len(read),), len(steps), device=weight.device)
        return score(targets, still(Batch(read, lengths)), chosen)

    first, last = (torch.from_numpy(each).to(weight) for each in (start, steps))
    found = integrate(explained, first, last, points=points or points_for(length))
    # A mark says that a number is there or missing: it belongs to its variable.
    shares = found.shares.reshape(len(steps), -1, variables).sum(dim=1)
    value = score(targets, logits, chosen).item()

    def lost(places: Sequence[int], occluded: Sequence[NDArray[np.bool_]]) -> dict[int, float]:
        without = logits_of(model, [np.where(hidden, start, steps) for hidden in occluded])
        left = score(targets, without, chosen).tolist()
        return {place: value - each for place, each in zip(places, left, strict=True)}

    columns = strongest(shares.sum(dim=0), length=length)
    rows = strongest(shares.sum(dim=1), length=length)
    of_variable = np.arange(steps.shape[1]) % variables
    return NumbersSaliency(
        about=targets.labels[chosen] if targets.labels else None,
        value=value,
        baseline=found.baseline,
        shares=shares.tolist(),
        by_variable=shares.sum(dim=0).tolist(),
        by_step=shares.sum(dim=1).tolist(),
        gap=value - found.baseline - math.fsum(shares.flatten().tolist()),
        points=found.points,
        occluded_variables=lost(columns, [of_variable[None, :] == place for place in columns]),
        occluded_steps=lost(rows, [np.arange(len(steps))[:, None] == place for place in rows]),
    )


def means(reader: NumbersReader, length: int) -> Steps:
    """So many steps of which nothing is known: each number is the mean, and none is missing."""
    steps = np.zeros((length, reader.input_size), dtype=np.float32)
    steps[:, len(reader.channels) :] = 1
    return steps
