"""Where the gradient dies, and what cures it: the same task learned by ten kinds of recurrent layer, measured by lag.

Temporal order (`data.generators_memory`): which two letters stood in a row of distractors, and in which order, is asked
at its end. Rows of 10 to 100 steps are learned together, and each length is tested by itself. Nothing but the layer
differs: the same rows, size, optimiser and number of updates.
"""

import math
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.data.generators_memory import ORDER_SYMBOLS, ORDERS, temporal_order
from seqloom.lab.learning import Interval, Learned, Reader, Recipe, learn, one_thread, with_interval
from seqloom.lens.gradients import gradient_flow, reach
from seqloom.nn import GRU, LSTM, Recurrent, SimpleRNN
from seqloom.shapes import Batch

HIDDEN, BATCH, UPDATES, RATE = 24, 24, 800, 0.02
SHORTEST, LONGEST = 10, 100  # steps
LENGTHS = (10, 20, 30, 40, 60, 80, 100)
TESTED, FOLLOWED = 200, 32  # rows of each length that are asked; rows whose gradient is followed
TEST, FOLLOW = 1 << 20, 1 << 21  # seeds beside those of training


class Variant(NamedTuple):
    """One kind of layer, and the norm that its gradients are clipped to."""

    make: Callable[[], Recurrent]
    clip: float | None = 1.0


def _simple(**options: Any) -> Callable[[], Recurrent]:
    return lambda: SimpleRNN(ORDER_SYMBOLS, HIDDEN, **options)


VARIANTS = {
    "tanh uniform": Variant(_simple(init="uniform")),
    "tanh orthogonal": Variant(_simple(init="orthogonal")),
    "tanh identity": Variant(_simple(init="identity")),
    "ReLU uniform": Variant(_simple(activation="relu", init="uniform")),
    "ReLU orthogonal": Variant(_simple(activation="relu", init="orthogonal")),
    "ReLU identity": Variant(_simple(activation="relu", init="identity")),
    "ReLU identity unclipped": Variant(_simple(activation="relu", init="identity"), clip=None),
    "leaky ReLU identity": Variant(_simple(activation="leaky_relu", init="identity")),
    "GRU": Variant(lambda: GRU(ORDER_SYMBOLS, HIDDEN)),
    "LSTM": Variant(lambda: LSTM(ORDER_SYMBOLS, HIDDEN)),
}
PLAIN = "tanh uniform"
TANH = ("tanh uniform", "tanh orthogonal", "tanh identity")
GATED = ("GRU", "LSTM")


class Trial(NamedTuple):
    """One layer from one seed: the norm of the gradient by steps back, before and after training (at the last step 1),
    and the share of right answers by `LENGTHS`.
    """

    before: list[float]
    after: list[float]
    right: list[float]
    learned: Learned


class Outcome(NamedTuple):
    """A kind of layer over its seeds."""

    name: str
    parameters: int
    trials: list[Trial]

    def right(self, place: int) -> tuple[float, Interval]:
        """The mean share of right answers at `LENGTHS[place]`, and its 95 % interval over the seeds."""
        return with_interval([trial.right[place] for trial in self.trials], within=(0.0, 1.0))

    def carried(self, *, trained: bool) -> list[tuple[float, Interval]]:
        """The geometric mean of the gradient by steps back, and its interval; of seeds that kept their numbers."""
        found = []
        for norms in zip(*self._curves(trained=trained), strict=True):
            mean, ends = with_interval([math.log10(max(norm, 1e-45)) for norm in norms], within=(-45.0, 45.0))
            found.append((10**mean, (10 ** ends[0], 10 ** ends[1])))
        return found

    def reach(self, *, trained: bool) -> float:
        """After how many steps the gradient is below a millionth of its end: the median seed's, infinite for never."""
        found = [reach(curve) for curve in self._curves(trained=trained)]
        return median([math.inf if steps is None else steps for steps in found] or [math.inf])

    def _curves(self, *, trained: bool) -> list[list[float]]:
        curves = [trial.after if trained else trial.before for trial in self.trials]
        return [curve for curve in curves if all(map(math.isfinite, curve))]

    @property
    def solved(self) -> int:
        """How many seeds answer 95 % of the longest rows."""
        return sum(trial.right[-1] >= 0.95 for trial in self.trials)

    @property
    def diverged(self) -> int:
        """How many seeds lost their numbers."""
        return sum(trial.learned.diverged for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Of training, all seeds together."""
        return math.fsum(trial.learned.seconds for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null where the gradient never falls so low."""
        reached = {f"reach_{when}": self.reach(trained=when == "after") for when in ("before", "after")}
        return {
            "parameters": self.parameters,
            "seconds": self.seconds,
            "solved": self.solved,
            "diverged": self.diverged,
            "right": [{"steps": n, "mean": m, "interval": e} for n, (m, e) in self._by_length()],
            **{name: None if math.isinf(steps) else steps for name, steps in reached.items()},
            "gradient_before": [mean for mean, _ in self.carried(trained=False)],
            "gradient_after": [mean for mean, _ in self.carried(trained=True)],
        }

    def _by_length(self) -> list[tuple[int, tuple[float, Interval]]]:
        return [(steps, self.right(place)) for place, steps in enumerate(LENGTHS)]


def measure(name: str, *, seeds: int, seed: int = 0) -> Outcome:
    """Train one variant from `seeds` first weights, the same for every variant that has as many."""
    with one_thread():
        trials = [trial(VARIANTS[name], seed=seed + number) for number in range(seeds)]
    parameters = sum(weight.numel() for weight in Reader(VARIANTS[name].make(), len(ORDERS)).parameters())
    return Outcome(name, parameters, trials)


def trial(variant: Variant, *, seed: int) -> Trial:
    """One layer from one seed, followed before training, trained, followed again, and tested by length."""
    torch.manual_seed(seed)
    reader = Reader(variant.make(), len(ORDERS))
    before = follow(reader, seed=seed)
    learned = learn(reader, lambda update: _rows(seed, update), Recipe(UPDATES, RATE, clip=variant.clip))
    return Trial(before, follow(reader, seed=seed), [_right(reader, steps) for steps in LENGTHS], learned)


def follow(reader: Reader, *, seed: int) -> list[float]:
    """The norm of the gradient of the state by steps before the end of the longest rows, as a part of its end."""
    batch, targets = temporal_order(FOLLOWED, steps=LONGEST, seed=[seed, FOLLOW])
    flow = gradient_flow(reader, lambda: reader.batch_loss(batch, targets))
    carried = flow.layers[0].carried()
    return [norm / carried[0] if carried[0] else 0.0 for norm in carried]


def _rows(seed: int, update: int) -> tuple[Batch, Tensor]:
    return temporal_order(BATCH, steps=LONGEST, shortest=SHORTEST, seed=[seed, update])


@torch.no_grad()
def _right(reader: Reader, steps: int) -> float:
    batch, targets = temporal_order(TESTED, steps=steps, seed=[TEST, steps])
    return float((reader(batch).argmax(dim=-1) == targets).float().mean())
