"""How good tags are: word by word, on words that training has not seen, and span by span.

Every figure is summed over rows, for the words of one sentence are right or wrong together: its 95 % interval comes
from drawing rows anew (`bootstrap_interval`).
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqloom.training.metrics import Scores
from seqloom.training.text_metrics import Statistics, bootstrap_interval

CONFUSIONS = 20
BEGINS, ENDS = ("B", "S", "U"), ("E", "S", "L", "U")

Tags = Sequence[str]


class Span(NamedTuple):
    """What stands from word `start` to before `stop`, and its kind."""

    start: int
    stop: int
    kind: str


def score_tags(
    truth: Sequence[Tags], decided: Sequence[Tags], known: Sequence[Sequence[bool]], *, has_spans: bool
) -> Scores:
    """Compare the tags of each row with the true ones; `known` says which of its words training has seen.

        accuracy                the share of words with the right tag
        unknown_word_accuracy   the same of words that are not known; where there are such
        span_f1                 2 hits / (spans there are + spans found), each right in place and kind; with `has_spans`

    All have intervals. The details are the `confusions`: which tag was taken for which, the most frequent first.
    Raises ValueError for no words, or for lists of different lengths.
    """
    return score_tagged(zip(truth, decided, known, strict=True), has_spans=has_spans)


def score_tagged(rows: Iterable[tuple[Tags, Tags, Sequence[bool]]], *, has_spans: bool) -> Scores:
    """As `score_tags`, of true tags, decided tags and what is known, row by row, of which none is held."""
    counted, confused = array("d"), Counter[tuple[str, str]]()
    for truth, decided, known in rows:
        counted.extend(_counts(truth, decided, known, has_spans=has_spans))
        confused.update(pair for pair in zip(truth, decided, strict=True) if pair[0] != pair[1])
    counts = np.asarray(counted).reshape(-1, 7)
    _, words, _, unknown, *_ = counts.sum(axis=0)
    if not words:
        raise ValueError("there are no words to compare")
    asked: dict[str, tuple[Statistics, Callable[[Statistics], float]]] = {"accuracy": (counts[:, :2], _share)}
    if unknown:
        asked["unknown_word_accuracy"] = (counts[:, 2:4], _share)
    if has_spans:
        asked["span_f1"] = (counts[:, 4:], _f1)
    return Scores(
        {name: figure(of.sum(axis=0)) for name, (of, figure) in asked.items()},
        {name: bootstrap_interval(of, figure) for name, (of, figure) in asked.items()},
        details={"confusions": _confusions(confused)},
    )


def spans_of(tags: Tags) -> list[Span]:
    """The spans that tags mark, by the rules of the shared tasks' conlleval (Tjong Kim Sang & Buchholz 2000).

    A span begins with B or S, and wherever a tag of another kind, of nothing (O) or of an end stands before; it goes on
    to the next beginning or O. So BIO, IOB (B only between neighbours of one kind), BIOES and BILOU are all read.
    """
    spans: list[Span] = []
    start, before, kind_before = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        begins = mark != "O" and (mark in BEGINS or before == "O" or before in ENDS or kind != kind_before)
        if before != "O" and (begins or mark == "O"):
            spans.append(Span(start, place, kind_before))
        if begins:
            start = place
        before, kind_before = mark, kind
    return spans


def _counts(truth: Tags, decided: Tags, known: Sequence[bool], *, has_spans: bool) -> list[int]:
    """Of one row: words right and all; the same of unknown ones; spans right, there, and found."""
    right = [one == other for one, other in zip(truth, decided, strict=True)]
    unknown = [hit for hit, seen in zip(right, known, strict=True) if not seen]
    spans = (set(spans_of(truth)), set(spans_of(decided))) if has_spans else (set[Span](), set[Span]())
    return [sum(right), len(right), sum(unknown), len(unknown), len(spans[0] & spans[1]), len(spans[0]), len(spans[1])]


def _confusions(pairs: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    return [{"tag": tag, "taken_for": other, "words": count} for (tag, other), count in ordered]


def _share(sums: Statistics) -> float:
    right, of = sums
    return float(right / max(of, 1.0))


def _f1(sums: Statistics) -> float:
    """1 where there are no spans and none was found."""
    hits, wanted, found = sums
    return float(2 * hits / (wanted + found)) if wanted + found else 1.0
