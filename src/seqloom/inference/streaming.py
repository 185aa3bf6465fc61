"""A text read as it arrives: the state is carried, and after each piece there is an answer to all read so far.

To the bit the answer to the whole, however it was cut into pieces and whatever else was read beside it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.bundle import AnyBundle, Bundle, NumbersBundle, SeriesBundle
from seqloom.data import pad
from seqloom.data.next_targets import NextTargets
from seqloom.errors import ConfigError, DataError
from seqloom.inference.labels import said_by
from seqloom.inference.room import batches_within
from seqloom.models import LanguageModel, ManyToOne
from seqloom.models.writer import likeliest
from seqloom.nn import Recurrent
from seqloom.shapes import Float, LSTMState, RNNState, StackState
from seqloom.text import check_arriving, settle

EXPECTED = 3  # tokens told of what may come next
TOTALS = ("max", "last")  # poolings that one row stands for, whatever was read


class Reading(NamedTuple):
    """A text in the middle of being read.

    `states` are those of the layers, of one row each. `kept` are the outputs that an answer is still made from: one row
    where the largest or the last counts, else those of all steps. `waiting` is the end of the text, not read yet.
    """

    states: StackState
    kept: Float[Tensor, "K H"]
    steps: int
    waiting: str

    @property
    def size(self) -> int:
        """Bytes it takes in memory, nearly."""
        return sum(each.nbytes for each in (*_paths(self.states), self.kept)) + 4 * len(self.waiting)


class Piece(NamedTuple):
    """What comes next in a text; `last` says that nothing follows."""

    text: str
    last: bool = False


def check_streams(bundle: AnyBundle) -> None:
    """Raise ConfigError for a model that cannot answer before it has the whole."""
    why = None
    if isinstance(bundle, SeriesBundle):
        why = "a forecaster reads a window of the whole series at once"
    elif isinstance(bundle, NumbersBundle):
        why = "it reads numbers, and texts alone are read as they arrive"
    elif not isinstance(bundle.model, ManyToOne | LanguageModel):
        why = f"a model of --task {bundle.targets.task} reads the whole text before it answers"
    elif isinstance(bundle.model, ManyToOne) and bundle.config.model.bidirectional:
        why = "it reads from both sides, and the end of a text is not there yet. Train one that reads one way: --set "
        why += "model.bidirectional=false"
    if why is None:
        assert isinstance(bundle, Bundle)
        return check_arriving(bundle.tokeniser)
    raise ConfigError(f"this model cannot read a text as it arrives: {why}.")


@torch.no_grad()
def begin(bundle: Bundle) -> Reading:
    """A text of which nothing has been read. Raises ConfigError where the model reads none as it arrives."""
    check_streams(bundle)
    model = bundle.model
    assert isinstance(model, ManyToOne | LanguageModel)
    layers = [part for part in model.recurrent.parts if isinstance(part, Recurrent)]
    states = StackState(tuple(layer.first(batch=1) for layer in layers))
    if isinstance(model, ManyToOne):
        return Reading(states, model.head.weight.new_zeros(0, model.recurrent.output_size), 0, "")
    assert isinstance(bundle.targets, NextTargets)
    [(features, states)] = _advance(model, [(states, [bundle.targets.start])])
    return Reading(states, features, 0, "")


@torch.no_grad()
def read_on(
    bundle: Bundle, readings: Sequence[Reading], pieces: Sequence[Piece]
) -> list[tuple[Reading, dict[str, Any]] | DataError]:
    """Each text after its next piece, with the answer to all that was read of it; or why the piece cannot be read.

    The answer of one that names or measures is its prediction, None before the first token, and the number of `tokens`;
    of a model that goes on with texts `tokens` are those newly read, with the surprise of each in bits, and what `next`
    may come with its probability. What is given is left as it was.
    """
    model = bundle.model
    assert isinstance(model, ManyToOne | LanguageModel)
    read = [_ids(bundle, reading, piece) for reading, piece in zip(readings, pieces, strict=True)]
    rows = [row for row, found in enumerate(read) if not isinstance(found, DataError)]
    tokens: list[tuple[list[int], str]] = [found for found in read if not isinstance(found, DataError)]
    advanced = iter(_advance(model, [(readings[row].states, ids) for row, (ids, _) in zip(rows, tokens, strict=True)]))
    found: list[tuple[Reading, dict[str, Any]] | DataError] = []
    for before, each in zip(readings, read, strict=True):
        if isinstance(each, DataError):
            found.append(each)
            continue
        (ids, waiting), (outputs, states) = each, next(advanced)
        all_kept = torch.cat([before.kept, outputs])
        steps = before.steps + len(ids)
        if isinstance(model, LanguageModel):
            found.append((Reading(states, all_kept[-1:].clone(), steps, waiting), _expected(bundle, all_kept, ids)))
            continue
        kept = _totals(bundle.config.model.pooling, all_kept)
        found.append((Reading(states, kept, steps, waiting), _said(bundle, kept, steps)))
    return found


def _ids(bundle: Bundle, reading: Reading, piece: Piece) -> tuple[list[int], str] | DataError:
    """The ids of what can be read now, and what has to wait."""
    text = reading.waiting + piece.text
    try:
        sure, waiting = (text, "") if piece.last else settle(bundle.tokeniser, text)
        if isinstance(bundle.targets, NextTargets):
            return bundle.targets.encode(sure), waiting
        ids = bundle.vocabulary.encode(bundle.tokeniser.texts(sure))
    except DataError as error:
        return error
    longest = bundle.config.data.max_length
    return (ids if longest is None else ids[: max(0, longest - reading.steps)]), waiting


def _advance(
    model: ManyToOne | LanguageModel, rows: Sequence[tuple[StackState, list[int]]]
) -> list[tuple[Tensor, StackState]]:
    """What the layers give for the ids of each row (T, H), read from its states on, and the states after them."""
    found: list[tuple[Tensor, StackState]] = [(torch.empty(0), states) for states, _ in rows]
    for chosen in batches_within([len(ids) for _, ids in rows]):
        batch = pad([rows[row][1] for row in chosen]).to(next(model.parameters()).device)
        states = _together([rows[row][0] for row in chosen])
        if isinstance(model, LanguageModel):
            outputs, last = model(batch, states)
        else:
            outputs, last = model.recurrent(model.embed(batch), batch.lengths, states)
        for place, row in enumerate(chosen):
            found[row] = (outputs[place, : len(rows[row][1])], _row(last, place))
    return found


def _totals(pooling: str, outputs: Float[Tensor, "K H"]) -> Float[Tensor, "K H"]:
    """The outputs that are still needed."""
    if pooling not in TOTALS or not len(outputs):
        return outputs
    return outputs.amax(dim=0, keepdim=True) if pooling == "max" else outputs[-1:].clone()


def _said(bundle: Bundle, kept: Float[Tensor, "K H"], steps: int) -> dict[str, Any]:
    assert isinstance(bundle.model, ManyToOne)
    if not steps:
        return {"prediction": None, "tokens": 0}
    lengths = torch.tensor([len(kept)], device=kept.device)
    [said] = said_by(bundle, bundle.model.conclude(kept[None], lengths).cpu())
    return {**said, "tokens": steps}


def _expected(bundle: Bundle, features: Float[Tensor, "N F"], ids: Sequence[int]) -> dict[str, Any]:
    """How much each new token surprised the model, and what it expects after the last."""
    model, targets = bundle.model, bundle.targets
    assert isinstance(model, LanguageModel) and isinstance(targets, NextTargets)
    logs = model.log_probabilities(features).cpu()
    read = torch.tensor(ids, dtype=torch.int64)
    bits = [-value / math.log(2) for value in logs[:-1].gather(1, read[:, None])[:, 0].tolist()]
    best, numbers = (part[0] for part in likeliest(logs[-1:], EXPECTED))
    expected = [
        {"token": token, "probability": chance}
        for token, chance in zip(targets.tokens(numbers.tolist()), best.exp().tolist(), strict=True)
    ]
    return {"tokens": targets.tokens(ids), "bits": bits, "next": expected}


def _together(states: Sequence[StackState]) -> StackState:
    """The states of several rows as those of one batch."""
    layers = zip(*(each.layers for each in states), strict=True)
    return StackState(tuple(type(rows[0])(*(torch.cat(paths) for paths in zip(*rows, strict=True))) for rows in layers))


def _row(states: StackState, row: int) -> StackState:
    """The states of one row of a batch, in memory of their own."""
    return StackState(tuple(type(layer)(*(path[row : row + 1].clone() for path in layer)) for layer in _layers(states)))


def _paths(states: StackState) -> list[Tensor]:
    return [path for layer in _layers(states) for path in layer]


def _layers(states: StackState) -> list[RNNState | LSTMState]:
    """The states of the layers, none of which reads from both sides."""
    return [layer for layer in states.layers if isinstance(layer, RNNState | LSTMState)]
