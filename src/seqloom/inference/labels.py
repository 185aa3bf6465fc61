"""Many to one at work: a label, several labels or a number for each row."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqloom.bundle import Bundle, NumbersBundle
from seqloom.data import Example, NumericExample, evaluation_order, pad, pad_numbers
from seqloom.data.numbers import Steps
from seqloom.data.targets import Targets
from seqloom.models import OneAnswer

BATCH = 64

Row = Example | NumericExample


def label_answers(bundle: Bundle | NumbersBundle, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The plain answer to each row, as `answer_table` says: the decision, and for classes their probabilities."""
    assert isinstance(bundle.model, OneAnswer)
    for row, said in zip(rows, said_by(bundle, logits_of(bundle.model, [read_of(row) for row in rows])), strict=True):
        yield {"input": name_of(row), **said}


def said_by(bundle: Bundle | NumbersBundle, logits: Tensor) -> list[dict[str, Any]]:
    """What the logits (rows, outputs) of a model say, in plain words: the prediction, of classes the probabilities."""
    model, targets = bundle.model, bundle.targets
    assert isinstance(model, OneAnswer) and isinstance(targets, Targets)
    probabilities = model.probabilities(logits)
    decisions = decide(targets, probabilities)
    return list(map(_plain, itertools.repeat(targets), decisions.tolist(), probabilities.tolist()))


def name_of(row: Row) -> str:
    """What stands for a row where it is shown: its text, or the name of its numbers."""
    return row.name if isinstance(row, NumericExample) else row.text


def read_of(row: Row) -> list[int] | Steps:
    """What a model reads of a row: token ids, or steps of numbers."""
    return row.steps if isinstance(row, NumericExample) else row.ids


@torch.inference_mode()
def logits_of(
    model: OneAnswer,
    sequences: Sequence[Sequence[int] | Steps],
    *,
    lengths: Sequence[int] | None = None,
    batch_size: int = BATCH,
) -> Tensor:
    """The logits (rows, outputs) of each sequence, of ids or of numbers, on the CPU and in the order given.

    Rows of similar length are computed together; `lengths` are theirs, where they are known. The model is left in the
    mode it was in.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    rows: list[Tensor] = []
    parts: list[Tensor] = []
    if lengths is None:
        lengths = [len(each) for each in sequences]
    made: Any = pad_numbers if len(sequences) and isinstance(sequences[0], np.ndarray) else pad
    for batch_rows in evaluation_order(lengths, batch_size=batch_size):
        parts.append(model(made([sequences[row] for row in batch_rows]).to(device)).cpu())
        rows.append(torch.tensor(batch_rows))
    model.train(training)
    if not parts:
        return torch.empty(0, model.head.out_features)
    return torch.cat(parts)[torch.cat(rows).argsort()]


def decide(targets: Targets, probabilities: Tensor) -> Tensor:
    """The decision of each row: the likeliest class, each label likelier than not, or the number in its unit."""
    if targets.problem == "multilabel":
        return (probabilities > 0.5).long()
    if targets.problem == "squared":
        return targets.to_unit(probabilities.squeeze(-1).double())
    return probabilities.argmax(dim=-1)


def _plain(targets: Targets, decision: Any, probabilities: list[float]) -> dict[str, Any]:
    if targets.problem == "squared":
        return {"prediction": decision}
    chances = {label: round(chance, 6) for label, chance in zip(targets.labels, probabilities, strict=True)}
    if targets.problem == "multilabel":
        said: Any = [label for label, yes in zip(targets.labels, decision, strict=True) if yes]
    else:
        said = targets.labels[decision]
    return {"prediction": said, "probabilities": chances}
