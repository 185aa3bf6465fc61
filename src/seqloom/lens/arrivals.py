"""The answer as what is read arrives, token by token or step by step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.data.numbers import Steps
from seqloom.data.targets import Targets
from seqloom.inference import decide, logits_of
from seqloom.models import ManyToOne
from seqloom.shapes import Float

WORK, FEWEST, MOST = 1_500, 6, 64  # beginnings that are read anew: their steps together, and how many they are
ROWS = 16


class Arrivals(NamedTuple):
    """The answer as the text or series arrives: after the first `steps[k]` tokens or steps it is `values[k]`.

    A value is the probability of each label, or the number alone. `anew` says that each beginning was read by itself:
    a model that reads from both sides knows no state in between. The last is the answer itself.
    """

    steps: list[int]
    values: list[list[float]]
    anew: bool


@torch.inference_mode()
def arrivals(
    model: ManyToOne, targets: Targets, sequence: Sequence[int] | Steps, outputs: Float[Tensor, "B T H"]
) -> Arrivals:
    """The answer after some of the first tokens or steps of `sequence`, evenly spread, all of them in a short one.

    `outputs` are those of the last layer. Where `model.frames` steps are read as one, each beginning ends with one.
    """
    length, frames, anew = outputs.shape[1], model.frames, model.bidirectional
    most = MOST
    if anew:  # each beginning costs half the text on average
        most = max(FEWEST, min(most, 2 * WORK // length))
    count = min(length, most)
    until = [-(-length * (number + 1) // count) for number in range(count)]
    steps = [min(step * frames, len(sequence)) for step in until]
    if anew:
        logits = logits_of(model, [sequence[:step] for step in steps])
    else:  # what was read up to a step is the same whatever follows: one reading has it all
        ends = torch.tensor(until, device=outputs.device)
        logits = torch.cat([model.conclude(outputs.expand(len(u), -1, -1), u) for u in torch.split(ends, ROWS)]).cpu()
    probabilities = model.probabilities(logits)
    values = decide(targets, probabilities)[:, None] if targets.problem == "squared" else probabilities
    return Arrivals(steps, values.tolist(), anew)
