"""The honest comparison where words are tagged: a model and its baselines on the same rows."""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from seqloom.data import Example, Prepared
from seqloom.data.examples import answers_of
from seqloom.data.kept import in_parts
from seqloom.data.tag_targets import TagTargets
from seqloom.errors import MissingExtraError
from seqloom.inference import TaggedRow, tag_rows
from seqloom.models import Tagger
from seqloom.training.details import WORST, short
from seqloom.training.events import Report, Said
from seqloom.training.metrics import Scores
from seqloom.training.tag_baselines import feature_logreg, most_frequent
from seqloom.training.tag_metrics import score_tagged

AT_ONCE = 10_000  # rows


def tags_judged_by(targets: TagTargets) -> tuple[str, int]:
    """The metric that says which model is better, and whether more of it is."""
    return ("span_f1" if targets.has_spans else "accuracy"), 1


def score_tag_rows(model: Tagger, targets: TagTargets, rows: Sequence[Example]) -> Scores:
    """The model's scores on rows that have targets, and its mean loss of a word."""
    losses, words, worst = array("d"), 0, list[tuple[TaggedRow, Example]]()

    def decided(some: Sequence[Example]) -> list[list[int]]:
        nonlocal words, worst
        tagged = tag_rows(model, some)
        losses.extend(row.loss for row in tagged)
        words += sum(len(row.tags) for row in tagged)
        found = [*worst, *zip(tagged, some, strict=True)]
        worst = sorted(found, key=lambda pair: -pair[0].loss / len(pair[0].tags))[:WORST]
        return [row.tags for row in tagged]

    scores = _score(targets, rows, decided)
    loss = math.fsum(losses) / words
    details = {"worst": [_shown(targets, row, found) for found, row in worst]}
    return scores._replace(loss=loss, details={**scores.details, "details": details})


def _shown(targets: TagTargets, row: Example, tagged: TaggedRow) -> dict[str, Any]:
    """A sentence with its tags, and with those that it was given: each word with its tag."""
    assert row.spelled is not None and isinstance(row.target, list)
    words = row.spelled.words
    true, found = (
        " ".join(f"{word}/{tag}" for word, tag in zip(words, targets.decode(tags), strict=True))
        for tags in (row.target, tagged.tags)
    )
    about = {"line": row.line, "text": short(row.text), "target": short(true), "prediction": short(found)}
    return {**about, "loss": tagged.loss / len(words)}


def compare_tags(
    targets: TagTargets, constant: int, rows: Sequence[Example], *, learn_from: Prepared | None, report: Report
) -> dict[str, dict[str, Any]]:
    """The baselines' scores on `rows`: each word's most frequent tag and, with data to learn from, a linear model."""
    scores = {"most_frequent": _score(targets, rows, lambda some: most_frequent(targets, constant, some))}
    if learn_from is not None:
        try:
            decide = feature_logreg(learn_from.train, learn_from.valid, report=report)
            scores["feature_logreg"] = _score(targets, rows, decide)
        except MissingExtraError as missing:
            report(Said(str(missing)))
    return {name: each.to_dict() for name, each in scores.items()}


def constant_tag(train: Sequence[Example]) -> int:
    """The most frequent tag of the training rows, of equals the first."""
    counts = Counter(tag for tags in answers_of(train) if isinstance(tags, list) for tag in tags)
    return min(counts, key=lambda tag: (-counts[tag], tag))


def _score(
    targets: TagTargets, rows: Sequence[Example], decide: Callable[[Sequence[Example]], Sequence[Sequence[int]]]
) -> Scores:
    """The scores of what `decide` says of the rows, of some thousands at once: all tags would fill the memory."""

    def compared() -> Iterator[tuple[list[str], list[str], Sequence[bool]]]:
        for some in in_parts(rows, AT_ONCE):
            for row, tags in zip(some, decide(some), strict=True):
                assert row.spelled is not None and isinstance(row.target, list)
                yield targets.decode(row.target), targets.decode(tags), row.spelled.known

    return score_tagged(compared(), has_spans=targets.has_spans)
