"""How good written texts are: how many are right to the letter, how much must be mended, how near sacreBLEU sees them.

Every figure is summed over rows, so that its 95 % interval comes from drawing rows anew (`bootstrap_interval`).
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import zip_longest
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from seqloom.errors import MissingExtraError, import_extra
from seqloom.training.metrics import Scores, wilson_interval

BLEU_WORDS = 4  # BLEU counts up to four words in a row: a shorter text has none
BLEU_WORD_LENGTH = 2  # shorter "words" are the phonemes of a pronunciation, or spelled-out letters
RESAMPLES = 1000
BLOCK = 1 << 15  # rows drawn at once

Units = Callable[[str], list[str]]
Allowed = list[list[str]]  # the texts that are right, for each row
Statistics = npt.NDArray[np.float64]  # (rows, counts)


def score_texts(
    written: Sequence[str],
    references: Sequence[str],
    *,
    units: Units,
    other_references: Sequence[Sequence[str]] | None = None,
) -> Scores:
    """Compare written texts with their references, row by row.

    `units` cuts a text into what an edit changes: words, characters or phonemes. `other_references[row]` are further
    texts that are right for that row; the best one counts. What comes out:

        exact_match   the share of rows written exactly as a reference, 0..1                   with interval (Wilson)
        error_rate    edits per unit of the reference, summed over all rows; 0 is best         with interval
        bleu, chrf    0..100 by sacreBLEU (cased, 13a), where `corpus_metrics` asks for them   bleu with interval

    Without sacreBLEU its two are left out; `signatures` then raises the error that says how to get it.
    Raises ValueError for no rows, or for lists of different lengths.
    """
    allowed = _allowed(references, other_references)
    if len(written) != len(allowed) or not written:
        raise ValueError(f"{len(written)} written texts cannot be compared with {len(allowed)} references")
    right = sum(text in texts for text, texts in zip(written, allowed, strict=True))
    edits = np.array([_edits(text, texts, units) for text, texts in zip(written, allowed, strict=True)], np.float64)
    extra = _by_sacrebleu(written, allowed, corpus_metrics(references))
    return Scores(
        {"exact_match": right / len(written), "error_rate": _rate(edits.sum(axis=0)), **extra.metrics},
        {
            "exact_match": wilson_interval(right, len(written)),
            "error_rate": bootstrap_interval(edits, _rate),
            **extra.intervals,
        },
    )


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The fewest units to insert, delete or replace to make `a` into `b` (Levenshtein 1966).

    A whole column of the table at once (Myers 1999, as simplified by Hyyrö 2003): going down a column the distance
    rises by one, falls by one or stays, and two integers of len(a) bits say where it rises and where it falls.
    """
    places: dict[Hashable, int] = {}
    for index, unit in enumerate(a):
        places[unit] = places.get(unit, 0) | 1 << index
    every = (1 << len(a)) - 1
    rises, falls = every, 0
    for unit in b:
        same = places.get(unit, 0)
        diagonal = (((same & rises) + rises) ^ rises) | same | falls  # no dearer than the cell before, up and left
        rises_right = falls | ~(diagonal | rises)
        falls_right = diagonal & rises
        rises_right = rises_right << 1 | 1  # above the table each further unit of b costs one more
        rises = (falls_right << 1 | ~(diagonal | rises_right)) & every
        falls = rises_right & diagonal
    return len(b) + rises.bit_count() - falls.bit_count()


def corpus_metrics(references: Sequence[str]) -> tuple[str, ...]:
    """Which of sacreBLEU's metrics say something about texts like these; here alone it is decided.

    bleu: the references have on average at least four words (what stands between blanks), and these on average more
    than two characters. So sentences have a BLEU; names, dates and pronunciations ("AH B AW T") have none.
    chrf: the references have on average more than one character.
    """
    words = [word for text in references for word in text.split()]
    sentences = len(words) >= BLEU_WORDS * len(references) and sum(map(len, words)) > BLEU_WORD_LENGTH * len(words)
    several = sum(map(len, references)) > len(references)
    return tuple(name for name, sensible in (("bleu", sentences), ("chrf", several)) if sensible)


def signatures(references: Sequence[str], *, other_references: Sequence[Sequence[str]] | None = None) -> dict[str, str]:
    """sacreBLEU's signature of each metric that `corpus_metrics` asks for, without which its figure says little.

    Raises MissingExtraError without sacreBLEU.
    """
    wanted = corpus_metrics(references)
    streams = _streams([["" for _ in texts] for texts in _allowed(references, other_references)])
    metrics = _metrics(_sacrebleu()) if wanted else {}
    for name in wanted:
        metrics[name].corpus_score([""] * len(references), streams)  # counts the references, which the signature names
    return {name: str(metrics[name].get_signature()) for name in wanted}


def bootstrap_interval(statistics: Statistics, figure: Callable[[Statistics], float]) -> tuple[float, float]:
    """The 95 % interval of `figure`, a function of the sums of `statistics` (rows, counts) over the rows.

    By the percentiles of 1,000 samples of as many rows, drawn with replacement (Efron 1979); the draws are always the
    same, and so is the interval.
    """
    low, high = np.quantile([figure(sums) for sums in _drawn_sums(statistics)], [0.025, 0.975])
    return float(low), float(high)


def _drawn_sums(statistics: Statistics) -> Iterator[Statistics]:
    """The sums over each of the samples, which are drawn a block at a time."""
    random, rows = np.random.default_rng(0), len(statistics)
    at_once = max(1, BLOCK // rows)
    for start in range(0, RESAMPLES, at_once):
        samples = min(at_once, RESAMPLES - start)
        drawn = random.integers(rows, size=(samples, rows)) + rows * np.arange(samples)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=samples * rows).reshape(samples, rows)
        yield from times @ statistics


def _allowed(references: Sequence[str], others: Sequence[Sequence[str]] | None) -> Allowed:
    if others is not None and len(others) != len(references):
        raise ValueError(f"{len(references)} references cannot have {len(others)} lists of others")
    return [[text, *more] for text, more in zip(references, others or [()] * len(references), strict=True)]


def _edits(text: str, allowed: list[str], units: Units) -> tuple[int, int]:
    """The edits to the reference that needs fewest of them, and its number of units."""
    if text in allowed:
        return 0, len(units(text))
    own = units(text)
    return min(((edit_distance(own, target), len(target)) for target in map(units, allowed)), key=lambda pair: pair[0])


def _rate(sums: Statistics) -> float:
    edits, of = sums
    return float(edits / max(of, 1.0))


def _by_sacrebleu(written: Sequence[str], allowed: Allowed, wanted: tuple[str, ...]) -> Scores:
    """The wanted ones of bleu and chrf; none without sacreBLEU."""
    scores = Scores({}, {})
    try:
        sacrebleu = _sacrebleu() if wanted else None
    except MissingExtraError:
        return scores
    if "bleu" in wanted:
        counts, bleu = _bleu_counts(sacrebleu, written, allowed), _bleu_of(sacrebleu)
        scores.metrics["bleu"], scores.intervals["bleu"] = bleu(counts.sum(axis=0)), bootstrap_interval(counts, bleu)
    if "chrf" in wanted:
        scores.metrics["chrf"] = _metrics(sacrebleu)["chrf"].corpus_score(written, _streams(allowed)).score
    return scores


def _sacrebleu() -> ModuleType:
    return import_extra("sacrebleu", extra="text", purpose="scoring texts by BLEU and chrF")


def _metrics(sacrebleu: Any) -> dict[str, Any]:
    return {"bleu": sacrebleu.BLEU(tokenize="13a", smooth_method="exp"), "chrf": sacrebleu.CHRF()}


def _streams(allowed: Allowed) -> list[tuple[str | None, ...]]:
    """The references as sacreBLEU takes them: the first of every row, the second of every row or None, and so on."""
    return list(zip_longest(*allowed))


def _bleu_counts(sacrebleu: Any, written: Sequence[str], allowed: Allowed) -> Statistics:
    """What BLEU is a function of, (rows, 10): words written and wanted, n-grams in common and n-grams, n = 1..4."""
    # Only the counts are used. The effective order changes none of them, and asking for it avoids a warning a row.
    metric = sacrebleu.BLEU(tokenize="13a", effective_order=True)
    each = [metric.sentence_score(text, texts) for text, texts in zip(written, allowed, strict=True)]
    return np.array([[row.sys_len, row.ref_len, *row.counts, *row.totals] for row in each], np.float64)


def _bleu_of(sacrebleu: Any) -> Callable[[Statistics], float]:
    def bleu(sums: Statistics) -> float:
        counts = [int(count) for count in sums]
        known = {"correct": counts[2:6], "total": counts[6:], "sys_len": counts[0], "ref_len": counts[1]}
        return float(sacrebleu.BLEU.compute_bleu(**known, smooth_method="exp").score)

    return bleu
