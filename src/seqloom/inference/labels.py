"""Many to one at work: a label, several labels or a number for each row."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seqloom.bundle import Bundle
from seqloom.data import Example, evaluation_order, pad
from seqloom.data.targets import Targets
from seqloom.models import ManyToOne

BATCH = 64


def label_answers(bundle: Bundle, rows: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """The plain answer to each row, as `answer_table` says: the decision, and for classes their probabilities."""
    model, targets = bundle.model, bundle.targets
    assert isinstance(model, ManyToOne) and isinstance(targets, Targets)
    yield from plain_answers(targets, rows, model.probabilities(logits_of(model, [row.ids for row in rows])))


def plain_answers(targets: Targets, rows: Sequence[Example], probabilities: Tensor) -> Iterator[dict[str, Any]]:
    """The plain answer to each row, from what the model holds probable (rows, classes)."""
    decisions = decide(targets, probabilities)
    yield from map(_plain, itertools.repeat(targets), rows, decisions.tolist(), probabilities.tolist())


@torch.inference_mode()
def logits_of(model: ManyToOne, sequences: Sequence[Sequence[int]], *, batch_size: int = BATCH) -> Tensor:
    """The logits (rows, outputs) of each sequence of ids, on the CPU and in the order given.

    Rows of similar length are computed together. The model is left in the mode it was in.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    rows: list[int] = []
    parts: list[Tensor] = []
    for batch_rows in evaluation_order([len(ids) for ids in sequences], batch_size=batch_size):
        parts.append(model(pad([sequences[row] for row in batch_rows]).to(device)).cpu())
        rows += batch_rows
    model.train(training)
    if not parts:
        return torch.empty(0, model.head.out_features)
    return torch.cat(parts)[torch.tensor(rows).argsort()]


def decide(targets: Targets, probabilities: Tensor) -> Tensor:
    """The decision of each row: the likeliest class, each label likelier than not, or the number in its unit."""
    if targets.problem == "multilabel":
        return (probabilities > 0.5).long()
    if targets.problem == "squared":
        return targets.to_unit(probabilities.squeeze(-1).double())
    return probabilities.argmax(dim=-1)


def _plain(targets: Targets, row: Example, decision: Any, probabilities: list[float]) -> dict[str, Any]:
    if targets.problem == "squared":
        return {"input": row.text, "prediction": decision}
    chances = {label: round(chance, 6) for label, chance in zip(targets.labels, probabilities, strict=True)}
    if targets.problem == "multilabel":
        said: Any = [label for label, yes in zip(targets.labels, decision, strict=True) if yes]
    else:
        said = targets.labels[decision]
    return {"input": row.text, "prediction": said, "probabilities": chances}
