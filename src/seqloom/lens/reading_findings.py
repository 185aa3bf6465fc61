"""What a reading says, in sentences: each is computed from its numbers, which bear it out."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqloom.lens.arrivals import Arrivals
    from seqloom.lens.memory import Layer
    from seqloom.lens.numbers_saliency import NumbersSaliency
    from seqloom.lens.reading import Reading
    from seqloom.lens.saliency import Saliency

NAMED = 3  # tokens of a sentence
LEFT_OUT = 0.1  # the share of a difference that may be left out without a word

Name = Callable[[int], str]


def signed(share: float, *, about: str | None) -> str:
    """A share as it is told: log odds with two digits behind the point, numbers in any unit with three that count."""
    return f"{share:+.2f}" if about is not None else f"{share:+.3g}"


def findings_of(seen: "Reading") -> list[str]:
    """A sentence for each thing that is worth knowing."""

    def name(place: int) -> str:
        return f'"{seen.tokens[place].text}"'

    saliency = seen.saliency
    found = [
        for_and_against(saliency.shares, name, about=saliency.about),
        turned(seen.arrivals, seen.labels, seen.answer["prediction"], unit="token", name=name),
        checked(saliency.shares, saliency.occluded, name, what="tokens", about=saliency.about),
        left_out(saliency),
        *kept(seen.layers),
        *_unread(seen),
    ]
    return [sentence for sentence in found if sentence]


def for_and_against(shares: Sequence[float], name: Name, *, about: str | None) -> str:
    """What speaks for the answer, and what against it."""
    order = sorted(range(len(shares)), key=lambda place: (-abs(shares[place]), place))
    least = abs(shares[order[0]]) / 20
    parts = []
    what = f'"{about}"' if about is not None else "a higher number"
    for sign, word in ((1, "for"), (-1, "against")):
        named = [place for place in order if sign * shares[place] > least][:NAMED]
        if named:
            parts.append(
                f"{word} {what}: "
                + ", ".join(f"{name(place)} ({signed(shares[place], about=about)})" for place in named)
            )
    return "What speaks most " + "; ".join(parts) + "." if parts else ""


def turned(
    arrivals: "Arrivals", labels: Sequence[str], prediction: object, *, unit: str, name: Name | None = None
) -> str:
    """Since when the answer is what it is; `name` tells what a token or step is, besides its number."""
    if len(labels) < 2 or len(arrivals.steps) < 2 or isinstance(prediction, list):
        return ""
    likeliest = [max(range(len(chances)), key=chances.__getitem__) for chances in arrivals.values]
    since = len(likeliest)
    while since and likeliest[since - 1] == likeliest[-1]:
        since -= 1
    if not since:
        return f'From the first beginning on it was "{labels[likeliest[-1]]}".'
    before, at = arrivals.steps[since - 1], arrivals.steps[since]
    where = f"between the {unit}s {before} and {at}"
    if at - before == 1:
        where = f"with {unit} {at}" + (f", {name(at - 1)}" if name is not None else "")
    now, once = (labels[likeliest[place]] for place in (-1, since - 1))
    return f'It became "{now}" {where}, and stayed so; before, it was "{once}".'


def checked(shares: Sequence[float], checks: Mapping[int, float], name: Name, *, what: str, about: str | None) -> str:
    """Whether leaving something out does what its share says; what adds nothing, and takes nothing, is not counted."""
    checks = {place: fall for place, fall in checks.items() if fall or shares[place]}
    if not checks:
        return ""
    most = max(checks, key=lambda place: (abs(checks[place]), -place))
    agree = sum(shares[place] * fall > 0 for place, fall in checks.items())
    return (
        f"Left out one by one, {agree} of {len(checks)} {what} move the answer the way their shares say; most of all "
        f"{name(most)}, by {signed(checks[most], about=about)}."
    )


def left_out(saliency: "Saliency | NumbersSaliency") -> str:
    """Where the shares do not add up, and what helps."""
    whole, gap = abs(saliency.value - saliency.baseline), abs(saliency.gap)
    if gap <= LEFT_OUT * whole:
        return ""
    left, of = (signed(each, about=saliency.about).lstrip("+") for each in (gap, whole))
    return (
        f"The shares leave out {left} of a difference of {of}: the answer tips over between two of the "
        f"{saliency.points} points. More points find where."
    )


def kept(layers: Sequence["Layer"], *, unit: str = "step") -> list[str]:
    """How long the layers keep what they read."""
    return [
        f"In {layer.name}, half of the units have lost half of their memory within "
        f"{_steps(median(layer.half_lives), unit)}; the longest keeps it for {_steps(max(layer.half_lives), unit)}."
        for layer in layers
        if layer.half_lives
    ]


def _unread(seen: "Reading") -> list[str]:
    """What the model did not see of the text."""
    found = []
    unknown = list(dict.fromkeys(token.text for token in seen.tokens if not token.known))
    if unknown:
        count = sum(not token.known for token in seen.tokens)
        more = " ..." if len(unknown) > NAMED else ""
        named = ", ".join(f'"{text}"' for text in unknown[:NAMED])
        found.append(f"{count} of {len(seen.tokens)} tokens are unknown to it: {named}{more}.")
    if seen.cut:
        found.append(f"The last {seen.cut} tokens were not read: it reads {len(seen.tokens)} at most.")
    return found


def _steps(count: float, unit: str) -> str:
    shown = f"{count:.1f}" if count < 10 else f"{count:,.0f}"
    return f"{shown} {unit}" + ("s" if shown != "1.0" else "")
