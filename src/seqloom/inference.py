"""A trained model at work: rows in, answers out, in order. The one path of predict, evaluate and serve."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seqloom.bundle import Bundle
from seqloom.data import Example, Rejected, encode_rows, evaluation_order, pad
from seqloom.data.rows import Table
from seqloom.data.targets import Targets
from seqloom.errors import DataError
from seqloom.models import ManyToOne

BATCH = 64
CHUNK = 4096


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
        batch = pad([sequences[row] for row in batch_rows])
        parts.append(model(batch._replace(values=batch.values.to(device), lengths=batch.lengths.to(device))).cpu())
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


def encode(bundle: Bundle, table: Table, *, with_target: bool) -> list[Example | Rejected]:
    """Each row of `table` as the model takes it, or the reason why it cannot be used; in the order of the file.

    Raises DataError where the input column, or with `with_target` the target column, is not there.
    """
    target = bundle.target if with_target else None
    for column in (bundle.input, target):
        if column is not None and column not in table.columns:
            raise DataError(
                f'{table.path.name} has no column "{column}", which this model was trained with '
                f"(columns: {', '.join(table.columns)}). Name a column of the file so, or train a model on this file."
            )
    return encode_rows(
        table,
        input=bundle.input,
        target=target,
        tokeniser=bundle.tokeniser,
        vocabulary=bundle.vocabulary,
        targets=bundle.targets,
        max_length=bundle.config.data.max_length,
    )


def answer_table(bundle: Bundle, table: Table) -> Iterator[dict[str, Any]]:
    """One plain answer for each record of `table`, in order.

    `{"input", "prediction", "probabilities": {label: p}}` for classes (the prediction of several labels is a list),
    `{"input", "prediction"}` for a number, `{"input", "error"}` for a row that cannot be read; its input is None where
    not even that is known. Raises DataError where the input column is not there.
    """
    rows = encode(bundle, table, with_target=False)
    position = table.columns.index(bundle.input)
    given = {row.line: row.values[position] for row in table.rows}
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        used = [row for row in chunk if isinstance(row, Example)]
        probabilities = bundle.model.probabilities(logits_of(bundle.model, [row.ids for row in used]))
        decisions = decide(bundle.targets, probabilities)
        answers = map(_plain, itertools.repeat(bundle.targets), used, decisions.tolist(), probabilities.tolist())
        for row in chunk:
            if isinstance(row, Example):
                yield next(answers)
            else:
                yield {"input": given.get(row.line), "error": f"line {row.line}: {row.reason}"}


def _plain(targets: Targets, row: Example, decision: Any, probabilities: list[float]) -> dict[str, Any]:
    if targets.problem == "squared":
        return {"input": row.text, "prediction": decision}
    chances = {label: round(chance, 6) for label, chance in zip(targets.labels, probabilities, strict=True)}
    if targets.problem == "multilabel":
        said: Any = [label for label, yes in zip(targets.labels, decision, strict=True) if yes]
    else:
        said = targets.labels[decision]
    return {"input": row.text, "prediction": said, "probabilities": chances}
