"""What the numbers of the attention experiment say, in sentences: none is written that the numbers do not bear out.

Two shares differ where their 95 % intervals have nothing in common; all else is said to be within chance.
"""

from collections.abc import Mapping
from typing import Any

from seqloom.lab.attention import LABELS, Questions, Span, Trial
from seqloom.lens.figures import Curve, Figure, curves

# What source reversal should do, by what the task needs first.
EXPECTED = {
    "copy": "should help: the first letter to write is then the last one read (Sutskever et al. 2014)",
    "reverse": "should hurt: the first letter to write is then the first one read, furthest away",
}
TRANSLATION = "helped translation between European languages (Sutskever et al. 2014)"


def findings(trials: Mapping[str, Trial], *, task: str | None, units: str) -> list[str]:
    """A sentence for each thing that the experiment is about; `units` are counted as right: characters or words."""
    plain, turned, attention = trials["plain"], trials["reversed"], trials["attention"]
    found = [collapse(plain, units=units), cure(plain, attention, units=units)]
    if plain.unseen is not None:
        found.append(beyond(plain, attention, units=units))
    found.append(reversal(plain, turned, task=task, units=units))
    return found


def collapse(plain: Trial, *, units: str) -> str:
    """Whether one vector loses more of a longer text."""
    spans = [span for span in plain.spans if span.seen]
    short, long = spans[0], spans[-1]
    if short is long:
        return f"All tested sources are about as long, so nothing can be said of length: {_at(short, units)}."
    said = f"{_at(short, units)}, and {_share(long)} ({_exact(long)}) at {long.name}"
    verdict = compared(long, short)
    if verdict < 0:
        return f"Without attention quality falls with length: {said}."
    if verdict > 0:
        return f"Without attention quality does not fall with length here, it rises: {said}."
    return f"Without attention quality does not clearly fall with length here: {said}."


def cure(plain: Trial, attention: Trial, *, units: str) -> str:
    """What attention gives at the longest lengths that training had."""
    with_it, without = (next(s for s in reversed(trial.spans) if s.seen) for trial in (attention, plain))
    said = (
        f"at {with_it.name} tokens {_share(with_it)} of the {units} are right with it and {_share(without)} without, "
        f"{_exact(with_it)} and {_exact(without)} of the texts as a whole"
    )
    return f"{_verdict('Attention', with_it, without)}: {said}."


def beyond(plain: Trial, attention: Trial, *, units: str) -> str:
    """What attention gives at lengths that training never had."""
    pairs = [(a, b) for a, b in zip(attention.spans, plain.spans, strict=True) if not a.seen]
    above = sum(compared(a, b) > 0 for a, b in pairs)
    below = sum(compared(a, b) < 0 for a, b in pairs)
    with_it, without = attention.unseen, plain.unseen
    assert with_it is not None and without is not None
    return (
        f"At {with_it.name} tokens, longer than anything in training, {_share(with_it)} of the {units} are right with "
        f"attention and {_share(without)} without: clearly more in {above} of {len(pairs)} spans, clearly fewer in "
        f"{below}; {_exact(with_it)} and {_exact(without)} of the texts as a whole."
    )


def reversal(plain: Trial, turned: Trial, *, task: str | None, units: str) -> str:
    """What reading the source from its end should do, and what it did."""
    effect = {1: "it helped", -1: "it hurt", 0: "no difference beyond chance"}
    did = effect[compared(turned.seen, plain.seen)]
    said = f"Reading the source from its end {EXPECTED.get(task or '', TRANSLATION)}. Here "
    said += f"{did}: {_share(turned.seen)} of the {units} right instead of {_share(plain.seen)}"
    if plain.unseen is None or turned.unseen is None:
        return f"{said}."
    did = effect[compared(turned.unseen, plain.unseen)]
    said += " at lengths of the training, and at longer ones "
    return f"{said}{did}: {_share(turned.unseen)} instead of {_share(plain.unseen)}."


def compared(a: Span, b: Span) -> int:
    """1 where more is right in `a` than in `b`, -1 where less, 0 where that may be chance."""
    (low_a, high_a), (low_b, high_b) = a.right_interval, b.right_interval
    return (low_a > high_b) - (high_a < low_b)


def figure(trials: Mapping[str, Trial], questions: Questions, *, units: str) -> Figure:
    """Quality by the length of the source, a curve for each variant; its title says what is to be seen."""
    lines = []
    for trial in trials.values():
        points = [(span.shortest + span.longest) / 2 for span in trial.spans]
        shares = [100 * span.right for span in trial.spans]
        ends = [(100 * low, 100 * high) for low, high in (span.right_interval for span in trial.spans)]
        lines.append(Curve(LABELS[trial.variant], points, shares, ends))
    edge = questions.trained_to
    return curves(
        lines,
        title=title(trials["plain"], trials["attention"], units=units),
        x="length of the source (tokens)",
        y=f"{units} right (%)",
        mark=None if edge is None else (edge + 0.5, f"training ends at {edge}"),
    )


def title(plain: Trial, attention: Trial, *, units: str) -> str:
    """The finding in one line."""
    with_it, without = (next(s for s in reversed(trial.spans) if s.seen) for trial in (attention, plain))
    figures = f"{_share(with_it)} of the {units} at {with_it.name} tokens, without it {_share(without)}"
    return f"{_verdict('Attention', with_it, without)}: {figures}"


def summed(trials: Mapping[str, Trial], questions: Questions, *, task: str | None, units: str) -> dict[str, Any]:
    """The whole experiment as plain values for JSON."""
    return {
        "task": task,
        "units": units,
        "trained_to": questions.trained_to,
        "rows": {"train": questions.trained_on, "test": len(questions.rows)},
        "variants": {name: trial.to_dict() for name, trial in trials.items()},
        "findings": findings(trials, task=task, units=units),
    }


def _verdict(who: str, a: Span, b: Span) -> str:
    return {1: f"{who} wins", -1: f"{who} loses", 0: f"{who} makes no difference beyond chance"}[compared(a, b)]


def _at(span: Span, units: str) -> str:
    return f"{_share(span)} of the {units} ({_exact(span)} of the texts as a whole) are right at {span.name} tokens"


def _share(span: Span) -> str:
    return percent(span.right)


def _exact(span: Span) -> str:
    return percent(span.scores.metrics["exact_match"])


def shown(span: Span, metric: str) -> str:
    """A share of a span with its interval: `0.52 (0.49 to 0.55)`; `metric` is right or one of its scores."""
    value = span.right if metric == "right" else span.scores.metrics[metric]
    low, high = span.right_interval if metric == "right" else span.scores.intervals[metric]
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def percent(share: float) -> str:
    """`52 %`; 100 % and 0 % only where it is all or nothing."""
    if share in (0, 1) or 0.01 <= share <= 0.99:
        return f"{100 * share:.0f} %"
    return f"{min(99.9, max(0.1, 100 * share)):.1f} %"
