"""What a reading says, in sentences: each is computed from its numbers, which bear it out."""

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqloom.lens.reading import Reading

NAMED = 3  # tokens of a sentence
LEFT_OUT = 0.1  # the share of a difference that may be left out without a word


def findings_of(seen: "Reading") -> list[str]:
    """A sentence for each thing that is worth knowing."""
    found = [_for_and_against(seen), _turned(seen), _checked(seen), _left_out(seen), *_kept(seen), *_unread(seen)]
    return [sentence for sentence in found if sentence]


def _for_and_against(seen: "Reading") -> str:
    """Which tokens speak for the answer, and which against it."""
    shares = seen.saliency.shares
    order = sorted(range(len(shares)), key=lambda place: (-abs(shares[place]), place))
    least = abs(shares[order[0]]) / 20
    parts = []
    what = f'"{seen.saliency.about}"' if seen.saliency.about is not None else "a higher number"
    for sign, word in ((1, "for"), (-1, "against")):
        named = [place for place in order if sign * shares[place] > least][:NAMED]
        if named:
            parts.append(
                f"{word} {what}: " + ", ".join(f"{_name(seen, place)} ({shares[place]:+.2f})" for place in named)
            )
    return "What speaks most " + "; ".join(parts) + "." if parts else ""


def _turned(seen: "Reading") -> str:
    """Since when the answer is what it is."""
    if len(seen.labels) < 2 or len(seen.arrivals.steps) < 2 or isinstance(seen.answer["prediction"], list):
        return ""
    likeliest = [max(range(len(chances)), key=chances.__getitem__) for chances in seen.arrivals.values]
    since = len(likeliest)
    while since and likeliest[since - 1] == likeliest[-1]:
        since -= 1
    if not since:
        return f'From the first beginning on it was "{seen.labels[likeliest[-1]]}".'
    before, at = seen.arrivals.steps[since - 1], seen.arrivals.steps[since]
    where = f"with token {at}, {_name(seen, at - 1)}" if at - before == 1 else f"between the tokens {before} and {at}"
    now, once = (seen.labels[likeliest[place]] for place in (-1, since - 1))
    return f'It became "{now}" {where}, and stayed so; before, it was "{once}".'


def _checked(seen: "Reading") -> str:
    """Whether leaving a token out does what its share says."""
    checks = seen.saliency.occluded
    if not checks:
        return ""
    strongest = max(checks, key=lambda place: (abs(checks[place]), -place))
    agree = sum(seen.saliency.shares[place] * fall > 0 for place, fall in checks.items())
    return (
        f"Left out one by one, {agree} of {len(checks)} tokens move the answer the way their shares say; most of all "
        f"{_name(seen, strongest)}, by {checks[strongest]:+.2f}."
    )


def _left_out(seen: "Reading") -> str:
    """Where the shares do not add up, and what helps."""
    whole = abs(seen.saliency.value - seen.saliency.baseline)
    if abs(seen.saliency.gap) <= LEFT_OUT * whole:
        return ""
    return (
        f"The shares leave out {abs(seen.saliency.gap):.2f} of a difference of {whole:.2f}: the answer tips over "
        f"between two of the {seen.saliency.points} points. More points find where."
    )


def _kept(seen: "Reading") -> list[str]:
    """How long the layers keep what they read."""
    return [
        f"In {layer.name}, half of the units have lost half of their memory within {_steps(median(layer.half_lives))}; "
        f"the longest keeps it for {_steps(max(layer.half_lives))}."
        for layer in seen.layers
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


def _name(seen: "Reading", place: int) -> str:
    return f'"{seen.tokens[place].text}"'


def _steps(count: float) -> str:
    shown = f"{count:.1f}" if count < 10 else f"{count:,.0f}"
    return f"{shown} step" + ("s" if shown != "1.0" else "")
