"""Every formula of a simple recurrent network worked through by hand on three sentences, and held against autograd.

Five words make one-hot vectors of 5, the longest sentence has 4 of them: a SimpleRNN with 3 units reads (4, 5), and one
sigmoid unit says whether the sentence is praise. All numbers are plain Python's, so that each can be checked on paper.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from seqloom.nn import Last, Linear, SimpleRNN, summary
from seqloom.nn.summary import Summary

Vector = list[float]
Matrix = list[Vector]  # a row for each input, a column for each unit

WORDS = ("movie", "was", "good", "bad", "not")
SENTENCES = (("movie was good", 1), ("movie was bad", 0), ("movie was not good", 0))
UNITS = 3
RATE, UPDATES = 0.5, 2000
ABOUT = (
    "Five words make one-hot vectors of 5, the longest of three sentences has 4 words: a SimpleRNN with 3 units reads "
    "(4, 5), and one sigmoid unit says whether a sentence is praise. Each number below can be checked on paper."
)


class Weights(NamedTuple):
    """W_x (5, 3) from the word, W_h (3, 3) from the output before, b (3); W_o (3) and c of the sigmoid unit."""

    input: Matrix
    feedback: Matrix
    bias: Vector
    output: Vector
    output_bias: float

    def flat(self) -> Vector:
        """All numbers in a row."""
        rows = [*self.input, *self.feedback, self.bias, self.output, [self.output_bias]]
        return [value for row in rows for value in row]

    def moved(self, gradient: "Weights", rate: float) -> "Weights":
        """w - rate · gradient, for each number."""

        def less(values: Vector, slopes: Vector) -> Vector:
            return [value - rate * slope for value, slope in zip(values, slopes, strict=True)]

        return Weights(
            [less(*rows) for rows in zip(self.input, gradient.input, strict=True)],
            [less(*rows) for rows in zip(self.feedback, gradient.feedback, strict=True)],
            less(self.bias, gradient.bias),
            less(self.output, gradient.output),
            self.output_bias - rate * gradient.output_bias,
        )


class Forward(NamedTuple):
    """One sentence read: `outputs` are O_0 (zeros) to O_T, `probability` is the sigmoid of `score`."""

    words: list[str]
    target: int
    outputs: list[Vector]
    score: float
    probability: float
    loss: float


class Backward(NamedTuple):
    """One sentence's gradients: of the score, of each output O_1 .. O_T, of each sum inside f, of the weights."""

    score: float
    outputs: list[Vector]
    sums: list[Vector]
    weights: Weights


class Notes(NamedTuple):
    """The worked example: before and after one update, and how far the numbers are from autograd's at most."""

    model: Summary
    weights: Weights
    forward: list[Forward]
    backward: list[Backward]
    gradient: Weights
    updated: Weights
    after: list[Forward]
    updates: int | None
    learned: list[Forward]
    off: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told: dict[str, Any] = {"words": list(WORDS), "parameters": self.model.total, "learning_rate": RATE}
        for name in ("weights", "gradient", "updated"):
            told[name] = getattr(self, name)._asdict()
        for name in ("forward", "backward", "after", "learned"):
            told[name] = [each._asdict() for each in getattr(self, name)]
        for each in told["backward"]:
            each["weights"] = each["weights"]._asdict()
        return told | {"updates": self.updates, "off": self.off}


def work_through(*, seed: int = 0) -> Notes:
    """Read the sentences, go back through time, update once, then until all are told right."""
    weights = start(seed)
    forward = [read(weights, sentence, target) for sentence, target in SENTENCES]
    backward = [go_back(weights, each) for each in forward]
    gradient = mean([each.weights for each in backward])
    updated = weights.moved(gradient, RATE)
    after = [read(updated, sentence, target) for sentence, target in SENTENCES]
    updates, learned = learn(weights)
    off = against_autograd(weights, forward, gradient, updated)
    return Notes(summary(network(weights)), weights, forward, backward, gradient, updated, after, updates, learned, off)


def start(seed: int) -> Weights:
    """Weights of two decimals between -0.5 and 0.5, and biases of zero."""
    chance = torch.Generator().manual_seed(seed)

    def few(*shape: int) -> Any:
        return (torch.randint(-50, 51, shape, generator=chance).double() / 100).tolist()

    return Weights(few(len(WORDS), UNITS), few(UNITS, UNITS), [0.0] * UNITS, few(UNITS), 0.0)


def one_hot(word: str) -> Vector:
    """Zeros, and a one at the place of the word."""
    return [float(word == each) for each in WORDS]


def read(w: Weights, sentence: str, target: int) -> Forward:
    """O_t = tanh(x_t W_x + O_(t-1) W_h + b) for each word; p = sigmoid(O_T W_o + c); the cross entropy of p."""
    outputs = [[0.0] * UNITS]
    words = sentence.split()
    for word in words:
        parts = (times(one_hot(word), w.input), times(outputs[-1], w.feedback), w.bias)
        outputs.append([math.tanh(math.fsum(each)) for each in zip(*parts, strict=True)])
    score = math.fsum([dot(outputs[-1], w.output), w.output_bias])
    probability = 1 / (1 + math.exp(-score))
    loss = -math.log(probability if target else 1 - probability)
    return Forward(words, target, outputs, score, probability, loss)


def go_back(w: Weights, seen: Forward) -> Backward:
    """Back-propagation through time: from the score to the last output, and from each output to the one before.

    dL/ds = p - y                       d_t = dL/dO_t · (1 - O_t²)          dL/dO_(t-1) = d_t W_hᵀ
    dL/dW_o = O_T dL/ds                 dL/dW_x = sum of x_t d_t            dL/dW_h = sum of O_(t-1) d_t
    """
    score = seen.probability - seen.target
    to_outputs, to_sums = [[weight * score for weight in w.output]], []
    by_input, by_feedback = zeros(len(WORDS)), zeros(UNITS)
    bias = [0.0] * UNITS
    for t in range(len(seen.words), 0, -1):
        d = [slope * (1 - value**2) for slope, value in zip(to_outputs[-1], seen.outputs[t], strict=True)]
        by_input = plus(by_input, outer(one_hot(seen.words[t - 1]), d))
        by_feedback = plus(by_feedback, outer(seen.outputs[t - 1], d))
        bias = [total + each for total, each in zip(bias, d, strict=True)]
        to_sums.append(d)
        to_outputs.append([dot(d, row) for row in w.feedback])
    weights = Weights(by_input, by_feedback, bias, [value * score for value in seen.outputs[-1]], score)
    return Backward(score, to_outputs[-2::-1], to_sums[::-1], weights)


def learn(w: Weights) -> tuple[int | None, list[Forward]]:
    """Update again and again until each sentence is told right; how often it took, None where 2000 are too few."""
    for count in range(UPDATES + 1):
        seen = [read(w, sentence, target) for sentence, target in SENTENCES]
        if all((each.probability > 0.5) == bool(each.target) for each in seen):
            return count, seen
        w = w.moved(mean([go_back(w, each).weights for each in seen]), RATE)
    return None, seen


def network(w: Weights) -> nn.Sequential:
    """The same network from the layers, in float64."""
    model = nn.Sequential(SimpleRNN(len(WORDS), UNITS), Last(), Linear(UNITS, 1), nn.Sigmoid()).double()
    values = (w.input, w.feedback, w.bias, [w.output], [w.output_bias])
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value, dtype=torch.float64))
    return model


def against_autograd(w: Weights, forward: list[Forward], gradient: Weights, updated: Weights) -> float:
    """How far outputs, losses, gradients and updated weights are at most from those of the layers and of autograd.

    The sentences are read as one batch (3, 4, 5), the two short ones padded and their lengths told.
    """
    model = network(w)
    lengths = [len(each.words) for each in forward]
    x = torch.zeros(len(forward), max(lengths), len(WORDS), dtype=torch.float64)
    for row, each in enumerate(forward):
        x[row, : lengths[row]] = torch.tensor([one_hot(word) for word in each.words], dtype=torch.float64)
    outputs, state = model[0](x, lengths)
    score = model[2](state.hidden)[:, 0]
    losses = functional.binary_cross_entropy_with_logits(
        score, torch.tensor([float(each.target) for each in forward]).double(), reduction="none"
    )
    losses.mean().backward()  # type: ignore[no-untyped-call]
    pairs: list[tuple[float, float]] = list(zip(losses.tolist(), (each.loss for each in forward), strict=True))
    for row, each in enumerate(forward):
        for found, own in zip(outputs[row].tolist(), each.outputs[1:], strict=False):
            pairs += zip(found, own, strict=True)
    slopes = _numbers(parameter.grad for parameter in model.parameters())
    pairs += zip(slopes, gradient.flat(), strict=True)
    moved = (value - RATE * slope for value, slope in zip(_numbers(model.parameters()), slopes, strict=True))
    pairs += zip(moved, updated.flat(), strict=True)
    return max(abs(found - own) for found, own in pairs)


def dot(a: Vector, b: Vector) -> float:
    """a · b."""
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def times(vector: Vector, matrix: Matrix) -> Vector:
    """v M, a number for each column."""
    return [dot(vector, list(column)) for column in zip(*matrix, strict=True)]


def outer(a: Vector, b: Vector) -> Matrix:
    """aᵀ b, a row for each number of a."""
    return [[x * y for y in b] for x in a]


def plus(a: Matrix, b: Matrix) -> Matrix:
    """Their sum, number by number."""
    return [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def zeros(rows: int) -> Matrix:
    """A matrix (rows, 3) of zeros."""
    return [[0.0] * UNITS for _ in range(rows)]


def mean(parts: Sequence[Weights]) -> Weights:
    """The mean of the gradients of several sentences."""
    total = Weights(zeros(len(WORDS)), zeros(UNITS), [0.0] * UNITS, [0.0] * UNITS, 0.0)
    for part in parts:
        total = total.moved(part, -1 / len(parts))
    return total


def _numbers(tensors: Iterable[torch.Tensor | None]) -> Vector:
    return [value for tensor in tensors if tensor is not None for value in tensor.flatten().tolist()]
