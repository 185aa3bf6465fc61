"""The honest comparison where a text is gone on with: how surprised a model is by a text, and what must be beaten.

A text is read once, from its first token to its last, with the state carried along, so that the figures are those of
the text and of nothing else: no batch, window or order is in them.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from seqloom.bundle import Bundle
from seqloom.data import PreparedStreams, Rejected, TextWindows, TokenStream
from seqloom.data.next_targets import NextTargets
from seqloom.data.prepare_streams import encode_text, open_text
from seqloom.errors import DataError
from seqloom.models import LanguageModel
from seqloom.shapes import valid_steps
from seqloom.training.events import Report, Said
from seqloom.training.metrics import Scores
from seqloom.training.text_baselines import Ids, Ngrams, best_perplexity

WINDOW = 256  # steps at once; it changes no bit of a result
TRACKS = 32  # places from which a text is read while it only chooses the epoch
WARM = 128  # tokens that each of these reads before it counts
LEAST = 500  # tokens of a track: short texts are read from fewer places
WHOLE = 300_000  # tokens that are read in one go; longer texts from as many places as that makes
MOST_TRACKS = 256  # or the state of all places, and the likelihoods of all their tokens, would fill the memory
COUNTED = 1 << 24  # tokens of the training text that the baselines count
COMPARED = 1 << 22  # tokens of the validation text by which these choose their discount
PART = 1 << 20  # tokens that are read at once


def judge_stream(model: LanguageModel, stream: TokenStream) -> Scores:
    """What one epoch is told from another by: as `score_stream`, but read from several places at once, each warm."""
    return _scores(model, stream, tracks=max(1, min(TRACKS, len(stream) // LEAST)))


def score_stream(model: LanguageModel, stream: TokenStream) -> Scores:
    """The perplexity of a text for the model, a token and in bits a character: read in one go, its state carried.

    A text of more than 300,000 tokens is read from several places, 256 at most, each after the 128 tokens before it.
    """
    return _scores(model, stream, tracks=min(MOST_TRACKS, -(-len(stream) // WHOLE)))


@torch.inference_mode()
def token_surprises(model: LanguageModel, stream: TokenStream, *, tracks: int = 1) -> Iterator[torch.Tensor]:
    """-ln p of the tokens of `stream`, float32 on the CPU, a window after the other. The model is left in its mode."""
    training, device, state = model.training, next(model.parameters()).device, None
    model.eval()
    windows = TextWindows(stream, tracks=tracks, steps=WINDOW, warm=WARM)
    for number in range(len(windows)):
        window = windows[number]
        features, state = model(window.batch.to(device), state)
        if number >= windows.warming:
            real = valid_steps(window.batch.lengths, window.targets.shape[1])
            yield model.losses(features[real.to(device)], window.targets[real].to(device)).cpu()
    model.train(training)


def compare_stream(
    stream: TokenStream, *, learn_from: PreparedStreams | None, report: Report
) -> dict[str, dict[str, Any]]:
    """The scores on `stream` of who knows how frequent tokens are (unigram), or also which follows which (bigram).

    Both learn from the training text; without it there are none. Of a text of more than 16.8 million tokens they learn
    from the first of these, and `report` is told so.
    """
    if learn_from is None:
        return {}
    if len(learn_from.train) > COUNTED:
        report(Said(f"unigram and bigram learn from the first {COUNTED:,} of {len(learn_from.train):,} tokens"))
    found = {}
    for order, name in ((1, "unigram"), (2, "bigram")):
        train, valid = _Parts(learn_from.train, COUNTED), _Parts(learn_from.valid, COMPARED)
        model = Ngrams(train, vocabulary_size=len(learn_from.vocabulary), order=order, ends=False)
        perplexity = best_perplexity(model, valid, _Parts(stream, len(stream)))
        found[name] = {**_metrics(math.log(perplexity), stream), "intervals": {}}
    return found


class _Parts:
    """The first ids of a stream, part by part, as often as they are asked for."""

    def __init__(self, stream: TokenStream, most: int) -> None:
        self._stream, self._stop = stream, min(most, len(stream)) + 1

    def __iter__(self) -> Iterator[Ids]:
        return (self._stream.read(at, min(at + PART, self._stop)) for at in range(1, self._stop, PART))


def evaluate_stream(bundle: Bundle, path: str | Path) -> dict[str, Any]:
    """As `Model.evaluate`, of a file of texts. Raises DataError where none can be used."""
    started, refused = time.perf_counter(), list[Rejected]()
    assert isinstance(bundle.targets, NextTargets) and isinstance(bundle.model, LanguageModel)
    text, fingerprint = open_text(path, bundle.targets, column=bundle.input)
    stream = encode_text(text, bundle.targets, refused)
    if not len(stream):
        why = f": line {refused[0].line}: {refused[0].reason}" if refused else ""
        raise DataError(f"{path}: no line can be used{why}")
    scores = score_stream(bundle.model, stream).to_dict()
    known = fingerprint == bundle.metrics.get("fingerprint")
    return {
        "task": bundle.targets.task,
        "intervals": scores.pop("intervals"),
        "metrics": scores,
        "baselines": bundle.metrics.get("baselines", {}) if known else {},
        "rows": {"used": stream.texts, "rejected": len(refused)},
        "tokens": size_of(stream),
        "rejected": [{"line": row.line, "reason": row.reason} for row in refused],
        "seconds": round(time.perf_counter() - started, 3),
    }


def size_of(stream: TokenStream) -> dict[str, int]:
    """What the figures are of: tokens, those of them that are unknown, characters."""
    return {"used": len(stream), "unknown": stream.unknown, "characters": stream.characters}


def _scores(model: LanguageModel, stream: TokenStream, *, tracks: int) -> Scores:
    total = math.fsum(part.double().sum().item() for part in token_surprises(model, stream, tracks=tracks))
    loss = total / len(stream)
    return Scores(_metrics(loss, stream), {}, loss)


def _metrics(loss: float, stream: TokenStream) -> dict[str, float]:
    bits = loss * len(stream) / max(1, stream.characters) / math.log(2)
    perplexity = math.exp(min(loss, 700.0))  # beyond, there is no such number
    return {"perplexity": perplexity, "bits_per_character": bits, "loss": loss}
