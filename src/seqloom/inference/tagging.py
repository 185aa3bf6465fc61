"""Many to many at work: a tag for each word of each row."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from seqloom.bundle import Bundle
from seqloom.data import Example, collate, evaluation_order, spell
from seqloom.data.tag_targets import TagTargets
from seqloom.models import Tagger
from seqloom.shapes import Words

BATCH = 64


class TaggedRow(NamedTuple):
    """The numbers of the tags of a row's words, and -ln p of the tags it should have, summed; NaN where it has none."""

    tags: list[int]
    loss: float = math.nan


def tag_answers(bundle: Bundle, rows: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """The plain answer to each row, as `answer_table` says: its words, and the tag of each."""
    assert isinstance(bundle.model, Tagger) and isinstance(bundle.targets, TagTargets)
    for row, tagged in zip(rows, tag_rows(bundle.model, rows), strict=True):
        assert row.spelled is not None
        yield {"input": row.text, "tokens": list(row.spelled.words), "tags": bundle.targets.decode(tagged.tags)}


@torch.inference_mode()
def tag_rows(model: Tagger, rows: Sequence[Example], *, batch_size: int = BATCH) -> list[TaggedRow]:
    """The tags of each row, in the order given, and its loss where it has a target.

    Rows of similar length are computed together. The model is left in the mode it was in.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    tagged = [TaggedRow([])] * len(rows)
    for order in evaluation_order([len(row.ids) for row in rows], batch_size=batch_size):
        examples = [rows[row] for row in order]
        batch = spell(examples).to(device)
        scores = model(batch)
        decided = model.decide(scores, batch.lengths).tolist()
        losses = [math.nan] * len(order)
        if all(example.target is not None for example in examples):
            _, targets = collate(examples)
            assert isinstance(targets, torch.Tensor)
            losses = model.losses(scores, batch.lengths, targets.to(device)).tolist()
        for row, tags, loss in zip(order, decided, losses, strict=True):
            tagged[row] = TaggedRow(tags[: len(rows[row].ids)], loss)
    model.train(training)
    return tagged


@torch.inference_mode()
def tag_probabilities(model: Tagger, row: Example) -> list[list[float]]:
    """The probability of each tag (K) at each word of a row."""
    batch: Words = spell([row]).to(next(model.parameters()).device)
    [found] = model.probabilities(model(batch), batch.lengths).tolist()
    probabilities: list[list[float]] = found
    return probabilities
