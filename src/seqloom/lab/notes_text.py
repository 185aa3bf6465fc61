"""The worked example as it is read: formulas with their numbers, section by section, and what they show in words."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from seqloom.lab.notes import RATE, SENTENCES, UNITS, UPDATES, WORDS, Backward, Forward, Matrix, Notes, one_hot
from seqloom.lens.figures import Curve, Figure, curves


class Section(NamedTuple):
    """A heading, what it is about, and lines to be kept as they are."""

    title: str
    about: str
    lines: str


def sections(notes: Notes) -> list[Section]:
    """The whole example in order: words, weights, reading, loss, the way back, an update, the check."""
    return [
        Section(
            "Words become vectors",
            f"{len(WORDS)} words, so each is {len(WORDS)} numbers: a one at its own place, zeros elsewhere (one-hot). "
            "A sentence is one vector a time step, in order.",
            "\n".join(f"{word:<6} x = {_vector(one_hot(word), digits=0)}" for word in WORDS),
        ),
        Section(
            f"The network, and its {notes.model.total} parameters",
            f"A SimpleRNN of {UNITS} units reads (4, {len(WORDS)}): up to 4 words of {len(WORDS)} numbers; one sigmoid "
            "unit answers. The number of steps adds no parameter: the same weights are used at each.",
            f"{_sizes()} = {notes.model.total}\n\n{notes.model}\n\n{_weights(notes)}",
        ),
        Section(
            "Reading: O_t = tanh(x_t W_x + O_(t-1) W_h + b)",
            "The first output, O_0, is zeros. A one-hot x_t picks its row of W_x; what came before comes through W_h.",
            "\n\n".join("\n".join(_reading(notes, each)) for each in notes.forward),
        ),
        Section(
            "The answer and its loss: p = sigmoid(O_T W_o + c), L = -ln p or -ln(1 - p)",
            "Praise has the target y = 1, the others 0; the loss is the cross entropy of one yes-or-no answer.",
            "\n".join(map(_loss, notes.forward)) + f"\nmean L = {_mean_loss(notes.forward):.4f}",
        ),
        Section(
            "Back through time",
            "dL/ds = p - y at the score s. Then, from the last word to the first: d_t = dL/dO_t · (1 - O_t²), which is "
            "the gradient inside tanh, and dL/dO_(t-1) = d_t W_hᵀ. Each step adds x_tᵀ d_t to the gradient of W_x and "
            "O_(t-1)ᵀ d_t to that of W_h.",
            "\n\n".join(
                "\n".join(_way_back(seen, back)) for seen, back in zip(notes.forward, notes.backward, strict=True)
            ),
        ),
        Section(
            f"One update: w' = w - {RATE:g} · mean gradient",
            "The three gradients are averaged, and each weight takes one step against its own.",
            "\n\n".join(_update(notes)),
        ),
    ]


def findings(notes: Notes) -> list[str]:
    """What the numbers show."""
    before, after = _mean_loss(notes.forward), _mean_loss(notes.after)
    moved = "lowers" if after < before else "does not lower"
    told = [
        f"A SimpleRNN of {UNITS} units on (4, {len(WORDS)}) input and one sigmoid unit have {_sizes()} = "
        f"{notes.model.total} parameters.",
        f"One update {moved} the mean loss: {before:.4f} before, {after:.4f} after.",
    ]
    if notes.updates is None:
        told.append(f"After {UPDATES} updates not all three sentences are told right.")
    else:
        chances = ", ".join(f'"{" ".join(each.words)}" {each.probability:.2f}' for each in notes.learned)
        told.append(f"After {notes.updates} updates all three are told right: p of {chances}.")
    told += [shrinking(seen, back) for seen, back in zip(notes.forward, notes.backward, strict=True)]
    agree = "agrees with" if notes.off < 1e-12 else "DIFFERS from"
    told.append(
        f"Every output, loss, gradient and updated weight {agree} autograd's on the layers: by {notes.off:.0e} at most."
    )
    return told


def shrinking(seen: Forward, back: Backward) -> str:
    """What is left of the gradient at the first word of a sentence."""
    first, last = (math.hypot(*back.outputs[place]) for place in (0, -1))
    return (
        f'"{" ".join(seen.words)}": the gradient of the output is {last:.4f} at the last word and {first:.4f} at the '
        f"first, {first / last:.2g} of it after {len(seen.words) - 1} steps."
    )


def figure(notes: Notes) -> Figure:
    """The gradient of each output by word, a curve a sentence."""
    lines = [
        Curve(" ".join(seen.words), list(range(1, len(seen.words) + 1)), [math.hypot(*each) for each in back.outputs])
        for seen, back in zip(notes.forward, notes.backward, strict=True)
    ]
    shares = [curve.y[0] / curve.y[-1] for curve in lines]
    title = f"At the first word {min(shares):.2g} to {max(shares):.2g} of the gradient at the last one is left"
    return curves(lines, title=title, x="time step (word)", y="norm of dL/dO_t")


def _reading(notes: Notes, seen: Forward) -> Iterator[str]:
    yield f'"{" ".join(seen.words)}"'
    w = notes.weights
    for t, word in enumerate(seen.words, start=1):
        own = w.input[WORDS.index(word)]
        fed = [
            sum(o * row[unit] for o, row in zip(seen.outputs[t - 1], w.feedback, strict=True)) for unit in range(UNITS)
        ]
        yield f"O_{t} = tanh({_vector(own)} + {_vector(fed)} + {_vector(w.bias)}) = {_vector(seen.outputs[t])}   {word}"


def _loss(seen: Forward) -> str:
    formula = "-ln p" if seen.target else "-ln(1 - p)"
    name = f'"{" ".join(seen.words)}"'
    return (
        f"{name:<20}  s = {seen.score:>7.4f}   p = {seen.probability:.4f}   y = {seen.target}   "
        f"L = {formula} = {seen.loss:.4f}"
    )


def _way_back(seen: Forward, back: Backward) -> Iterator[str]:
    yield f'"{" ".join(seen.words)}"   dL/ds = {seen.probability:.4f} - {seen.target} = {back.score:.4f}'
    yield f"dL/dW_o = O_{len(seen.words)} · dL/ds = {_vector(back.weights.output)}   dL/dc = {back.score:.4f}"
    for t in range(len(seen.words), 0, -1):
        yield f"t = {t}   dL/dO_{t} = {_vector(back.outputs[t - 1])}   d_{t} = {_vector(back.sums[t - 1])}"
    yield "dL/dW_x = sum of x_tᵀ d_t"
    yield _matrix(back.weights.input, names=WORDS)
    yield "dL/dW_h = sum of O_(t-1)ᵀ d_t"
    yield _matrix(back.weights.feedback)
    yield f"dL/db = sum of d_t = {_vector(back.weights.bias)}"


def _update(notes: Notes) -> Iterator[str]:
    w, g, new = notes.weights, notes.gradient, notes.updated
    matrices = (("W_x", w.input, g.input, new.input, WORDS), ("W_h", w.feedback, g.feedback, new.feedback, ()))
    for name, before, slope, after, names in matrices:
        rows = [
            " ".join((_vector(a), f"- {RATE:g} ·", _vector(b), "=", _vector(c)))
            for a, b, c in zip(before, slope, after, strict=True)
        ]
        yield f"{name}' = {name} - {RATE:g} · dL/d{name}\n{_named(rows, names)}"
    yield (
        f"b'   = {_vector(w.bias)} - {RATE:g} · {_vector(g.bias)} = {_vector(new.bias)}\n"
        f"W_o' = {_vector(w.output)} - {RATE:g} · {_vector(g.output)} = {_vector(new.output)}\n"
        f"c'   = {w.output_bias:.4f} - {RATE:g} · {g.output_bias:.4f} = {new.output_bias:.4f}"
    )
    yield "\n".join(
        f'"{" ".join(a.words)}"  L {a.loss:.4f} -> {b.loss:.4f}'
        for a, b in zip(notes.forward, notes.after, strict=True)
    )
    yield f"mean L {_mean_loss(notes.forward):.4f} -> {_mean_loss(notes.after):.4f}"


def _weights(notes: Notes) -> str:
    w = notes.weights
    return (
        f"W_x, a row for each word\n{_matrix(w.input, names=WORDS)}\nW_h\n{_matrix(w.feedback)}\n"
        f"b   {_vector(w.bias)}\nW_o {_vector(w.output)}\nc   {w.output_bias:.4f}"
    )


def _sizes() -> str:
    return f"{len(WORDS)}·{UNITS} + {UNITS}·{UNITS} + {UNITS} + ({UNITS} + 1)"


def _mean_loss(seen: Sequence[Forward]) -> float:
    return sum(each.loss for each in seen) / len(SENTENCES)


def _vector(values: Sequence[float], *, digits: int = 4) -> str:
    width = digits + 3 if digits else 1
    return "[" + " ".join(f"{value:>{width}.{digits}f}" for value in values) + "]"


def _matrix(rows: Matrix, *, names: Sequence[str] = ()) -> str:
    return _named([_vector(row) for row in rows], names)


def _named(rows: Sequence[str], names: Sequence[str]) -> str:
    margin = max(map(len, names), default=0)
    return "\n".join(
        f"  {name:<{margin}} {row}".rstrip() for name, row in zip(names or [""] * len(rows), rows, strict=True)
    )
