"""The honest comparison where texts are written: a model and its baselines on the same rows."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from seqloom.bundle import Bundle
from seqloom.config import DecodingSettings
from seqloom.data import CaptionTargets, Example, Prepared, collate, evaluation_order
from seqloom.data.examples import written_ids
from seqloom.data.text_targets import TextTargets
from seqloom.errors import MissingExtraError
from seqloom.inference import BATCH, write_for, write_texts
from seqloom.models import TextDecoder
from seqloom.shapes import Batch
from seqloom.training.details import examples_of
from seqloom.training.metrics import Scores
from seqloom.training.text_baselines import copied, majority, ngram_perplexity
from seqloom.training.text_metrics import corpus_metrics, score_texts, signatures

GREEDY = DecodingSettings(beam=1)


def judged_by(rows: Sequence[Example]) -> tuple[str, int]:
    """The metric that says which epoch is best, and whether more of it is better.

    Sentences: perplexity, for while a model is weak the shortest of them have the fewest errors. Names, dates and
    pronunciations, which are right or wrong to the letter: error_rate.
    """
    return ("perplexity" if "bleu" in corpus_metrics([_text(row) for row in rows]) else "error_rate"), -1


def judge_texts(model: TextDecoder, targets: TextTargets, rows: Sequence[Example]) -> Scores:
    """What one epoch is told from another by: perplexity, and the texts that are written greedily."""
    written = write_texts(model, targets, [row.source for row in questions(rows)], GREEDY)
    return _scores(model, targets, rows, [best.text for best, *_ in written])


def score_text_rows(bundle: Bundle, rows: Sequence[Example]) -> Scores:
    """The model's scores on rows that have targets, its texts written as its settings say."""
    assert isinstance(bundle.model, TextDecoder) and isinstance(bundle.targets, TextTargets)
    asked = questions(rows)
    written = write_for(bundle, asked, alternatives=1)  # asked for more, a beam goes on for longer
    texts = [best.text for [best] in written]
    return _scores(bundle.model, bundle.targets, rows, texts)._replace(details={"details": examples_of(asked, texts)})


def compare_texts(
    targets: TextTargets, constant: str, rows: Sequence[Example], *, learn_from: Prepared | None
) -> dict[str, dict[str, Any]]:
    """The baselines' scores on `rows`: the source itself, if it is a text, the most frequent target, and tokens alone.

    The last two, of single tokens and of pairs, have only a perplexity, and need data to learn from.
    """
    asked = questions(rows)
    answers = {"majority": [constant] * len(asked)}
    if not isinstance(targets, CaptionTargets):
        answers = {"copy": copied([row.text for row in asked])} | answers
    found = {name: _compare(targets, rows, written).to_dict() for name, written in answers.items()}
    if learn_from is None:
        return found
    train, valid, test = ([written_ids(row) for row in part] for part in (learn_from.train, learn_from.valid, rows))
    for order, name in ((1, "unigram"), (2, "bigram")):
        perplexity = ngram_perplexity(train, valid, test, vocabulary_size=len(targets.vocabulary), order=order)
        found[name] = {"perplexity": perplexity, "intervals": {}}
    return found


def signatures_of(rows: Sequence[Example]) -> dict[str, str]:
    """sacreBLEU's signatures of the figures of `rows`; none without sacreBLEU, whose figures are not there either."""
    try:
        return signatures([_text(row) for row in questions(rows)], other_references=_others(rows))
    except MissingExtraError:
        return {}


def constant_text(train: Sequence[Example]) -> str:
    """The most frequent target: the answer of one who never looks."""
    return majority([_text(row) for row in train], rows=1)[0]


@torch.inference_mode()
def mean_loss(model: TextDecoder, rows: Sequence[Example], *, batch_size: int = BATCH) -> float:
    """The mean cross entropy of the targets' tokens and ends, in nats; the logarithm of the perplexity."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    likelihoods = [0.0] * len(rows)
    lengths, written = [len(row.source) for row in rows], [len(written_ids(row)) for row in rows]
    for order in evaluation_order(lengths, batch_size=batch_size, target_lengths=written):
        batch, targets = collate([rows[row] for row in order])
        assert isinstance(batch, Batch) and isinstance(targets, Batch)
        found = model.log_likelihood(batch.to(device), targets.to(device))
        for row, likelihood in zip(order, found.tolist(), strict=True):
            likelihoods[row] = likelihood
    model.train(training)
    return -math.fsum(likelihoods) / sum(len(written_ids(row)) + 1 for row in rows)


def _scores(model: TextDecoder, targets: TextTargets, rows: Sequence[Example], written: Sequence[str]) -> Scores:
    loss = mean_loss(model, rows)
    scores = _compare(targets, rows, written)
    perplexity = math.exp(min(loss, 700.0))  # beyond, there is no such number
    return scores._replace(metrics={"perplexity": perplexity, **scores.metrics}, loss=loss)


def questions(rows: Sequence[Example]) -> Sequence[Example]:
    """The rows that are answered: each of them; of several captions of one image the first alone.

    Five rows of an image are five right answers to one question, and no five successes.
    """
    if not any(row.seen is not None for row in rows):
        return rows
    return list({row.key: row for row in reversed(rows)}.values())[::-1]


def _compare(targets: TextTargets, rows: Sequence[Example], written: Sequence[str]) -> Scores:
    """Scores of what was written for the `questions` in `rows`; of rows with one source each target is right."""
    references = [_text(row) for row in questions(rows)]
    return score_texts(written, references, units=targets.units, other_references=_others(rows))


def _others(rows: Sequence[Example]) -> list[list[str]]:
    """The other targets of the source of each of the `questions`."""
    answers: dict[str, list[str]] = {}
    for row in rows:
        known = answers.setdefault(row.key, [])
        if _text(row) not in known:
            known.append(_text(row))
    return [[text for text in answers[row.key] if text != _text(row)] for row in questions(rows)]


def _text(row: Example) -> str:
    assert row.target_text is not None
    return row.target_text
