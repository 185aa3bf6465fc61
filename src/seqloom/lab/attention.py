"""One vector for a whole text, and what attention changes: quality by the length of the source, measured.

The same model learns the same pairs three times: all it hands over is its last state; the same, but it reads the
source from its end (Sutskever et al. 2014); and with attention (Bahdanau et al. 2015). Nothing else differs.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from seqloom.bundle import Bundle
from seqloom.config import Config, load_config
from seqloom.data import Example, Prepared, prepare
from seqloom.data.text_targets import TextTargets
from seqloom.errors import ConfigError
from seqloom.inference import write_for
from seqloom.lab.pairs import Pairs
from seqloom.lens import AttentionMap, attention_map
from seqloom.nn import summary
from seqloom.training import Report, train_model
from seqloom.training.metrics import Scores
from seqloom.training.text_metrics import score_texts

LABELS = {"plain": "no attention", "reversed": "no attention, source reversed", "attention": "with attention"}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"model.attention": "none", "model.reverse_source": False},
    "reversed": {"model.attention": "none", "model.reverse_source": True},
    "attention": {"model.reverse_source": False},
}
# Read one way, for both ways at once there is no end to begin from; greedy, so that nothing hides a step's mistake.
SETTINGS = ("model.bidirectional=false", "decoding.beam=1")
# Found on validation rows; docs/attention.md says what was tried.
GENERATED = (
    "model.cell=gru",
    "model.embedding_size=64",
    "model.hidden_size=128",
    "model.dropout=0",
    "model.word_dropout=0",
    "training.learning_rate=0.005",
    "training.average=0.99",
    "training.patience=100",  # as many passes for each, though one has learned all after a few
    "data.tokens=character",
    "data.target_tokens=character",
)
LONGER = ("copy", "reverse")  # tasks that test on longer texts than they train on
EPOCHS = {"copy": 10, "reverse": 10, "dates": 6}
MINUTES = 1.3  # of each training on pairs that are given: three of them, and what is around them, in under five
ROWS_TESTED = 2000
WIDTH, SPANS = 5, 5


class Span(NamedTuple):
    """The test rows with sources of `shortest` to `longest` tokens; `seen` says whether training had such lengths."""

    shortest: int
    longest: int
    seen: bool
    rows: int
    scores: Scores

    @property
    def name(self) -> str:
        """`6-10`."""
        return f"{self.shortest}-{self.longest}" if self.shortest < self.longest else f"{self.shortest}"

    @property
    def right(self) -> float:
        """The share of the target that need not be mended, 0..1."""
        return max(0.0, 1 - self.scores.metrics["error_rate"])

    @property
    def right_interval(self) -> tuple[float, float]:
        """The 95 % interval of `right`."""
        low, high = self.scores.intervals["error_rate"]
        return max(0.0, 1 - high), max(0.0, 1 - low)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        about: dict[str, Any] = {
            "shortest": self.shortest,
            "longest": self.longest,
            "seen": self.seen,
            "rows": self.rows,
        }
        return about | self.scores.to_dict()


class Trial(NamedTuple):
    """One variant's outcome: by spans of the source's length, over all lengths of the training, and over others."""

    variant: str
    folder: Path
    parameters: int
    seconds: float
    epochs: int
    spans: list[Span]
    seen: Span
    unseen: Span | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "label": LABELS[self.variant],
            "folder": str(self.folder),
            "parameters": self.parameters,
            "seconds": self.seconds,
            "epochs": self.epochs,
            "lengths": [span.to_dict() for span in self.spans],
            "seen": self.seen.to_dict(),
            "unseen": None if self.unseen is None else self.unseen.to_dict(),
        }


class Questions(NamedTuple):
    """What all variants are asked, how many rows they learn from, and how long the longest source of these is.

    `trained_to` is None where longer ones are not asked on purpose: the odd one would tell nothing.
    """

    rows: Sequence[Example]
    trained_on: int
    trained_to: int | None


def config_for(
    variant: str, pairs: Pairs, *, seed: int, overrides: Sequence[str] = (), max_minutes: float | None = None
) -> Config:
    """The settings of one variant; `overrides` hold for all of them. Raises ConfigError."""
    named: dict[str, Any] = {"task": "translate", "seed": seed, "training.baselines": False, **VARIANTS[variant]}
    named |= {"data.input": pairs.input, "data.target": pairs.target}
    preset: tuple[str, ...] = (*SETTINGS, f"training.max_minutes={MINUTES}")
    if pairs.task is not None:
        preset = (*SETTINGS, *GENERATED, f"training.epochs={EPOCHS[pairs.task]}")
    named["training.max_minutes"] = max_minutes
    config = load_config(None, [*preset, *overrides], named=named)
    if variant == "attention" and config.model.attention == "none":
        raise ConfigError("model.attention=none: here one variant has none already. Allowed: additive, general, dot.")
    return config


def ask(config: Config, pairs: Pairs) -> Questions:
    """The rows that every variant is tested on: the same for all, as their settings for data are. Raises DataError."""
    prepared = prepare(config, pairs.train, valid=pairs.valid, test=pairs.test)
    assert isinstance(prepared, Prepared)  # of texts
    rows = (prepared.test or prepared.valid)[:ROWS_TESTED]
    longest = max(len(row.ids) for row in prepared.train)
    return Questions(rows, len(prepared.train), longest if pairs.task in LONGER else None)


def train_variant(
    variant: str, config: Config, pairs: Pairs, questions: Questions, folder: Path, report: Report
) -> Trial:
    """Train one variant into a folder of its own in `folder`, and test it by length.

    A training that lies there already goes on where it stopped, or is only tested where it has ended.
    Raises DataError, TrainingError, and Interrupted where the user stops it.
    """
    own = folder / variant
    begun = any((own / "checkpoints").glob("step-*"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # beside other work two took 7 to 10 times as long as one with so small a network
    try:
        bundle = train_model(config, pairs.train, own, valid=pairs.valid, test=pairs.test, resume=begun, report=report)
        assert isinstance(bundle, Bundle)
        spans, seen, unseen = score_by_length(bundle, questions)
    finally:
        torch.set_num_threads(threads)
    about = bundle.metrics
    return Trial(variant, own, summary(bundle.model).total, about["seconds"], about["epochs"], spans, seen, unseen)


def score_by_length(bundle: Bundle, questions: Questions) -> tuple[list[Span], Span, Span | None]:
    """What the model writes for the test rows, scored in spans of the source's length, and known lengths and others."""
    rows, targets = questions.rows, bundle.targets
    assert isinstance(targets, TextTargets)
    written = [best.text for best, *_ in write_for(bundle, rows)]
    lengths = [len(row.ids) for row in rows]
    edge = questions.trained_to or max(lengths)

    def span(shortest: int, longest: int) -> Span:
        chosen = [number for number, length in enumerate(lengths) if shortest <= length <= longest]
        scores = _score([rows[n] for n in chosen], [written[n] for n in chosen], targets)
        return Span(shortest, longest, longest <= edge, len(chosen), scores)

    spans = [span(*ends) for ends in spans_of(lengths, edge=edge)]
    longer = [length for length in lengths if length > edge]
    seen = span(min(lengths), min(edge, max(lengths)))
    return spans, seen, span(min(longer), max(longer)) if longer else None


def spans_of(lengths: Sequence[int], *, edge: int) -> list[tuple[int, int]]:
    """Where to cut the lengths: by fives where some are above `edge`, the longest one seen in training; else by fifths
    of the rows.

    No span reaches over the edge, and none is empty.
    """
    longest = max(lengths)
    if longest > edge:
        ends = [*range(WIDTH, longest + WIDTH, WIDTH), edge]
    else:
        ordered = sorted(lengths)
        ends = [ordered[-(-len(ordered) * part // SPANS) - 1] for part in range(1, SPANS + 1)]
    ends = sorted({min(end, longest) for end in ends})
    starts = [min(lengths), *(end + 1 for end in ends)]
    spans = [(start, end) for start, end in zip(starts, ends, strict=False) if start <= end]
    return [(start, end) for start, end in spans if any(start <= length <= end for length in lengths)]


def example_map(bundle: Bundle, questions: Questions) -> AttentionMap:
    """Where the model looks while it answers a test row of a usual length."""
    seen = [row for row in questions.rows if len(row.ids) <= (questions.trained_to or len(row.ids))]
    usual = median(len(row.ids) for row in seen)
    return attention_map(bundle, min(seen, key=lambda row: abs(len(row.ids) - usual)).text)


def units_of(bundle: Bundle) -> str:
    """What is counted as right: characters or words."""
    kind = bundle.targets.tokeniser.kind if isinstance(bundle.targets, TextTargets) else "word"
    return "characters" if kind in ("character", "byte") else "words"


def _score(rows: Sequence[Example], written: Sequence[str], targets: TextTargets) -> Scores:
    """Of rows with one source the target of each is right for all."""
    answers: dict[str, list[str]] = {}
    for row in rows:
        answers.setdefault(row.text, []).append(row.target_text or "")
    references = [row.target_text or "" for row in rows]
    return score_texts(written, references, units=targets.units, other_references=[answers[row.text] for row in rows])
