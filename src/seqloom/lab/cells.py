"""What gates cost and what they buy: SimpleRNN, GRU and LSTM learn the same embedded sentences, from several seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.config import ModelSettings
from seqloom.data import batch_order, pad, reviews
from seqloom.data.generators import LABELS
from seqloom.lab.learning import Interval, Recipe, learn, one_thread, optimiser_of, with_interval
from seqloom.lens.figures import Curve, Figure, curves
from seqloom.models import ManyToOne
from seqloom.nn import summary
from seqloom.shapes import Batch
from seqloom.text import Tokeniser, Vocabulary

CELLS = {"simple_rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
TRAINED, TESTED = 500, 1000  # reviews; with thousands every cell is right always
SIZE, BATCH, RATE = 32, 32, 0.01
PASSES = tuple(range(1, 9))
ABOUT = (
    "SimpleRNN, GRU and LSTM learn the same film reviews, in which word order decides: embedded words are read once "
    f"from the front by {SIZE} units, and what is held at the end answers. They differ in nothing but the cell."
)


class Sentence(NamedTuple):
    """A review as token ids, and whether it is praise."""

    text: str
    ids: list[int]
    praise: int


class Sentences(NamedTuple):
    """What all cells read: reviews to learn and others to be asked, and how many tokens there are."""

    train: list[Sentence]
    test: list[Sentence]
    vocabulary: int

    @property
    def tokens(self) -> int:
        """In the rows to learn."""
        return sum(len(row.ids) for row in self.train)


class Trial(NamedTuple):
    """One cell from one seed: its accuracy after each pass, and how it was taught."""

    accuracy: list[float]
    seconds: float


class Outcome(NamedTuple):
    """One cell over its seeds."""

    name: str
    recurrent: int
    parameters: int
    trials: list[Trial]

    def accuracy(self, place: int = -1) -> tuple[float, Interval]:
        """The mean after `PASSES[place]` passes, and its 95 % interval over the seeds."""
        return with_interval([trial.accuracy[place] for trial in self.trials], within=(0.0, 1.0))

    def seconds(self) -> tuple[float, Interval]:
        """The mean of all passes together, and its interval."""
        return with_interval([trial.seconds for trial in self.trials], within=(0.0, math.inf))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told: dict[str, Any] = {"parameters": self.parameters, "recurrent_parameters": self.recurrent}
        for name, (mean, ends) in (("accuracy", self.accuracy()), ("seconds", self.seconds())):
            told[name] = {"mean": mean, "interval": ends}
        return told | {"by_pass": [self.accuracy(place)[0] for place in range(len(PASSES))]}


def sentences(*, seed: int) -> Sentences:
    """Generated reviews with negation, told apart so that no text to be asked is among those to learn."""
    tokeniser = Tokeniser("word")
    rows = reviews(TRAINED + 2 * TESTED, seed=seed)
    learned = {text for text, _ in rows[:TRAINED]}
    asked = [row for row in rows[TRAINED:] if row[0] not in learned][:TESTED]
    vocabulary = Vocabulary.build(tokeniser.texts(text) for text, _ in rows[:TRAINED])

    def encoded(pairs: list[tuple[str, str]]) -> list[Sentence]:
        return [Sentence(text, vocabulary.encode(tokeniser.texts(text)), LABELS.index(label)) for text, label in pairs]

    return Sentences(encoded(rows[:TRAINED]), encoded(asked), len(vocabulary))


def measure(cell: str, data: Sentences, *, seeds: int, seed: int = 0) -> Outcome:
    """Train one cell from `seeds` first weights; the cells differ in nothing else."""
    settings = ModelSettings.model_validate(
        {"cell": cell, "embedding_size": SIZE, "hidden_size": SIZE, "bidirectional": False, "pooling": "last"}
        | {"dropout": 0, "word_dropout": 0}
    )
    trials = []
    with one_thread():
        for number in range(seeds):
            torch.manual_seed(seed + number)
            model = ManyToOne(settings, vocabulary_size=data.vocabulary, outputs=2, problem="binary")
            trials.append(_trial(model, data, seed=seed + number))
    return Outcome(CELLS[cell], summary(model.recurrent).total, summary(model).total, trials)


def _trial(model: ManyToOne, data: Sentences, *, seed: int) -> Trial:
    lengths = [len(row.ids) for row in data.train]
    asked, labels = _batch(data.test)
    accuracy, seconds = [], 0.0
    recipe = Recipe(math.ceil(len(data.train) / BATCH), RATE)
    optimiser = optimiser_of(model, recipe)
    for epoch in PASSES:
        order = batch_order(lengths, batch_size=BATCH, seed=seed, epoch=epoch)
        batches = [_batch([data.train[row] for row in rows]) for rows in order]
        learned = learn(model, batches.__getitem__, recipe, optimiser=optimiser)
        seconds += learned.seconds
        with torch.no_grad():
            accuracy.append(float(((model(asked)[:, 0] > 0) == labels.bool()).float().mean()))
    return Trial(accuracy, seconds)


def _batch(rows: Sequence[Sentence]) -> tuple[Batch, Tensor]:
    return pad([row.ids for row in rows]), torch.tensor([row.praise for row in rows])


def findings(outcomes: Mapping[str, Outcome]) -> list[str]:
    """What gates cost and what they buy here, from the numbers."""
    simple, gru, lstm = (outcomes[cell] for cell in ("simple_rnn", "gru", "lstm"))
    ratios = [outcome.recurrent / simple.recurrent for outcome in (gru, lstm)]
    return [
        f"The recurrent layer has {simple.recurrent:,} parameters as SimpleRNN, {gru.recurrent:,} as GRU "
        f"({ratios[0]:.3g} times), {lstm.recurrent:,} as LSTM ({ratios[1]:.3g} times): one set a gate.",
        slower(gru, simple),
        slower(lstm, simple),
        compared(gru, simple),
        compared(lstm, simple),
        compared(gru, lstm),
    ]


def slower(a: Outcome, b: Outcome) -> str:
    """How much longer the training of one cell takes, unless that may be chance."""
    (mean_a, (low_a, high_a)), (mean_b, (low_b, high_b)) = a.seconds(), b.seconds()
    said = f"{mean_a:.1f} s ({low_a:.1f} to {high_a:.1f}) and {mean_b:.1f} s ({low_b:.1f} to {high_b:.1f})"
    if low_a > high_b or high_a < low_b:
        return f"Training {a.name} takes {mean_a / mean_b:.2g} times as long as {b.name}: {said}."
    return f"How long {a.name} and {b.name} take cannot be told apart on this machine, as busy as it was: {said}."


def compared(a: Outcome, b: Outcome) -> str:
    """Which of two cells is right more often, unless that may be chance."""
    (mean_a, (low_a, high_a)), (mean_b, (low_b, high_b)) = a.accuracy(), b.accuracy()
    said = (
        f"{100 * mean_a:.1f} % ({100 * low_a:.1f} to {100 * high_a:.1f}) and {100 * mean_b:.1f} % ({100 * low_b:.1f} "
    )
    said += f"to {100 * high_b:.1f}) of the answers are right"
    verdict = (low_a > high_b) - (high_a < low_b)
    if not verdict:
        return f"{a.name} and {b.name} cannot be told apart with these seeds: {said}."
    return f"{a.name} is {'better' if verdict > 0 else 'worse'} than {b.name}: {said}."


def figure(outcomes: Mapping[str, Outcome]) -> Figure:
    """Accuracy by pass, a curve a cell."""
    lines = []
    for outcome in outcomes.values():
        points = [outcome.accuracy(place) for place in range(len(PASSES))]
        ends = [(100 * low, 100 * high) for _, (low, high) in points]
        lines.append(Curve(outcome.name, PASSES, [100 * mean for mean, _ in points], ends))
    first = max(outcomes.values(), key=lambda outcome: outcome.accuracy(0)[0])
    last = max(outcomes.values(), key=lambda outcome: outcome.accuracy()[0])
    title = f"{first.name} is ahead after the first pass, {last.name} after the last"
    return curves(lines, title=title, x="passes over the sentences", y="right (%)")


def table(outcomes: Mapping[str, Outcome], data: Sentences) -> list[list[str]]:
    """A line for each cell: parameters, seconds, tokens a second, accuracy."""
    lines = []
    for outcome in outcomes.values():
        (seconds, times), (right, ends) = outcome.seconds(), outcome.accuracy()
        speed = f"{data.tokens * len(PASSES) / seconds:,.0f}"
        took = f"{seconds:.1f} ({times[0]:.1f} to {times[1]:.1f})"
        accuracy = f"{right:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"
        lines.append([outcome.name, f"{outcome.recurrent:,}", f"{outcome.parameters:,}", took, speed, accuracy])
    return lines
