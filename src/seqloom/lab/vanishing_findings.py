"""What the numbers of the vanishing gradient say, in sentences and figures: none that they do not bear out.

Two kinds of layer differ where the 95 % intervals over their seeds have nothing in common; all else may be chance.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from seqloom.data.generators_memory import ORDER_GUESS
from seqloom.lab.vanishing import (
    BATCH,
    GATED,
    HIDDEN,
    LENGTHS,
    LONGEST,
    PLAIN,
    RATE,
    SHORTEST,
    TANH,
    UPDATES,
    Outcome,
)
from seqloom.lens.figures import Curve, Figure, curves

CURES = ("tanh orthogonal", "tanh identity", "ReLU identity", "leaky ReLU identity", *GATED)
CLIPPED, UNCLIPPED = "ReLU identity", "ReLU identity unclipped"
ABOUT = (
    "A gradient on its way back through time is multiplied by the feedback weights and by the slope of the activation "
    f"at each step. Ten kinds of layer with {HIDDEN} units learn the same task, temporal order: which two letters "
    f"stood in a row of {SHORTEST} to {LONGEST} steps, and in which order. Each has {UPDATES} updates of {BATCH} rows, "
    f"by Adam at {RATE:g}, with gradients clipped to a norm of 1 unless it says unclipped."
)
SHOWN = 4  # one of so many steps back gets a marker

Outcomes = Mapping[str, Outcome]


def findings(outcomes: Outcomes) -> list[str]:
    """A sentence for each thing that the experiment is about."""
    return [
        first_to_die(outcomes),
        after_training(outcomes),
        ranking(outcomes),
        gates(outcomes),
        cures(outcomes),
        clipping(outcomes),
    ]


def first_to_die(outcomes: Outcomes) -> str:
    """In which layers, before training, the gradient reaches how far."""
    ranked = sorted(outcomes.values(), key=lambda outcome: outcome.reach(trained=False))
    far = ", ".join(f"{outcome.name} {_steps(outcome, trained=False)}" for outcome in ranked)
    return f"Before training the gradient falls below a millionth of its end after so many steps (median seed): {far}."


def after_training(outcomes: Outcomes) -> str:
    """What is left at the first step once the layers are trained."""
    left = {name: outcome.carried(trained=True) for name, outcome in outcomes.items()}
    told = sorted(((name, curve[-1][0]) for name, curve in left.items() if curve), key=lambda each: each[1])
    parts = ", ".join(f"{name} {share:.1e}" for name, share in told)
    return f"After training, {LONGEST - 1} steps back, this part of the gradient at the end is left: {parts}."


def ranking(outcomes: Outcomes) -> str:
    """Who answers the longest rows."""
    ranked = sorted(outcomes.values(), key=lambda outcome: outcome.right(-1)[0])
    parts = ", ".join(
        f"{outcome.name} {_percent(outcome.right(-1)[0])} ({outcome.solved} of {len(outcome.trials)} seeds solve it)"
        for outcome in ranked
    )
    return f"At {LENGTHS[-1]} steps right, where a guess is at {_percent(ORDER_GUESS)}: {parts}."


def gates(outcomes: Outcomes) -> str:
    """Whether layers with gates are better than simple ones with tanh at the longest rows."""
    worst = min((outcomes[name] for name in GATED), key=lambda outcome: outcome.right(-1)[0])
    best = max((outcomes[name] for name in TANH), key=lambda outcome: outcome.right(-1)[0])
    said = f"{worst.name} {_shown(worst)} and {best.name} {_shown(best)} at {LENGTHS[-1]} steps"
    verdict = compared(worst, best)
    if verdict > 0:
        return f"Gates carry and tanh dies: the worse gated layer is above the best tanh SimpleRNN, {said}."
    if verdict < 0:
        return f"Gates do not help here: the worse gated layer is below the best tanh SimpleRNN, {said}."
    return f"The worse gated layer and the best tanh SimpleRNN cannot be told apart with these seeds: {said}."


def cures(outcomes: Outcomes) -> str:
    """Which of the remedies beat the plain layer at the longest rows."""
    plain = outcomes[PLAIN]
    verdicts = {name: compared(outcomes[name], plain) for name in CURES}
    effects = (("help", 1), ("make no difference beyond chance", 0), ("hurt", -1))
    told = [
        f"{', '.join(name for name in CURES if verdicts[name] == sign)}: {effect}"
        for effect, sign in effects
        if sign in verdicts.values()
    ]
    return f"Against {PLAIN} ({_shown(plain)} at {LENGTHS[-1]} steps): {'; '.join(told)}."


def clipping(outcomes: Outcomes) -> str:
    """What clipping the gradients changes for the layer that keeps the largest ones."""
    clipped, free = outcomes[CLIPPED], outcomes[UNCLIPPED]
    effect = {1: "helps", 0: "makes no difference beyond chance", -1: "hurts"}[compared(clipped, free)]
    lost = f"; without it {free.diverged} of {len(free.trials)} trainings lost their numbers" if free.diverged else ""
    return f"Clipping {effect} for {CLIPPED}: {_shown(clipped)} with it, {_shown(free)} without{lost}."


def compared(a: Outcome, b: Outcome) -> int:
    """1 where more of the longest rows are right in `a` than in `b`, -1 where less, 0 where that may be chance."""
    (low_a, high_a), (low_b, high_b) = a.right(-1)[1], b.right(-1)[1]
    return (low_a > high_b) - (high_a < low_b)


def figures(outcomes: Outcomes) -> list[Figure]:
    """Success by length, and the gradient by steps back, before and after training."""
    lines = []
    for outcome in outcomes.values():
        points = [outcome.right(place) for place in range(len(LENGTHS))]
        ends = [(100 * low, 100 * high) for _, (low, high) in points]
        lines.append(Curve(outcome.name, LENGTHS, [100 * mean for mean, _ in points], ends))
    ranked = sorted(outcomes.values(), key=lambda outcome: outcome.right(-1)[0])
    title = f"At {LENGTHS[-1]} steps {ranked[-1].name} is right most often, {ranked[0].name} least"
    success = curves(lines, title=title, x="length of the row (steps)", y="right (%)")
    return [success, *(_gradients(outcomes, trained=trained) for trained in (False, True))]


def summed(outcomes: Outcomes) -> dict[str, Any]:
    """The whole experiment as plain values for JSON."""
    return {
        "lengths": list(LENGTHS),
        "guess": ORDER_GUESS,
        "variants": {name: outcome.to_dict() for name, outcome in outcomes.items()},
        "findings": findings(outcomes),
    }


def _gradients(outcomes: Outcomes, *, trained: bool) -> Figure:
    lines = []
    for outcome in outcomes.values():
        carried = list(enumerate(outcome.carried(trained=trained)))[::SHOWN]
        points = [back for back, _ in carried], [mean for _, (mean, _) in carried]
        lines.append(Curve(outcome.name, *points, [ends for _, (_, ends) in carried]))
    least = min(outcomes.values(), key=lambda outcome: outcome.reach(trained=trained))
    when = "After" if trained else "Before"
    dies = f"{least.name} is the first to fall below a millionth, after {_steps(least, trained=trained)} steps"
    if math.isinf(least.reach(trained=trained)):
        dies = f"in no layer does the gradient fall below a millionth within {LONGEST - 1} steps"
    figure = curves(lines, title=f"{when} training {dies}", x="steps before the end", y="gradient, part of its end")
    figure["layout"]["yaxis"] |= {"type": "log", "exponentformat": "power", "rangemode": "normal"}
    return figure


def _steps(outcome: Outcome, *, trained: bool) -> str:
    steps = outcome.reach(trained=trained)
    return "never" if math.isinf(steps) else f"{steps:g}"


def _shown(outcome: Outcome) -> str:
    mean, (low, high) = outcome.right(-1)
    return f"{_percent(mean)} ({100 * low:.0f} to {100 * high:.0f})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def table(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """A line for each layer: parameters, reach before and after training, seeds that solve it, right by length."""
    lines = []
    for outcome in outcomes:
        rights = (outcome.right(place) for place in range(len(LENGTHS)))
        shares = [f"{100 * mean:.0f} ({100 * low:.0f}-{100 * high:.0f})" for mean, (low, high) in rights]
        reached = [_steps(outcome, trained=trained) for trained in (False, True)]
        lines.append(
            [outcome.name, f"{outcome.parameters:,}", *reached, f"{outcome.solved}/{len(outcome.trials)}", *shares]
        )
    return lines
