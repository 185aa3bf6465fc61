"""A unit over a whole corpus: what drives it, how long it keeps; and the states that are nearest to that of a text.

Texts are read one by one, for each has a trace of its own; give as many as you have patience for, at most `most`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.bundle import Bundle
from seqloom.data import Example, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import encode
from seqloom.lens.memory import Reader, half_lives, read_through
from seqloom.models import ManyToOne
from seqloom.shapes import Batch

MOST = 1_000  # texts
AROUND = 4  # tokens on both sides of the one that is shown
FEWEST = 2  # how often a token must occur to be said to drive a unit


class Moment(NamedTuple):
    """A token at which a unit was high or low: the text's number from 0, the token's place, and what stood around."""

    text: int
    place: int
    value: float
    around: str


class Driver(NamedTuple):
    """A token, how often it was read, and how far it moves the unit on average."""

    token: str
    times: int
    moved: float


class Unit(NamedTuple):
    """One unit of a layer over a corpus.

    `up` and `down` are the tokens that raise and lower its hidden state most on average, `highest` and `lowest` the
    moments at which it stood furthest from zero on either side, one a text. `half_life` is in steps, None for a cell
    that has no gate which keeps.
    """

    layer: int
    direction: str
    unit: int
    mean: float
    spread: float
    half_life: float | None
    up: list[Driver]
    down: list[Driver]
    highest: list[Moment]
    lowest: list[Moment]


class Neighbour(NamedTuple):
    """A text of a corpus, its number from 0, and the cosine of the angle between its state and the one asked for."""

    text: str
    number: int
    likeness: float


def unit_search(
    bundle: Bundle,
    texts: Iterable[str],
    *,
    unit: int,
    layer: int = 1,
    direction: str = "forward",
    count: int = 5,
    most: int = MOST,
) -> Unit:
    """Which tokens of `texts` drive a unit of a model that answers once. Texts that cannot be read are passed over.

    Raises ConfigError for a unit, layer or direction that the model does not have, DataError for no text.
    """
    rows = _rows(bundle, texts, most=most)
    found = [_reader(bundle, row, layer=layer, direction=direction) for row in rows]
    size = found[0].trace.hidden.shape[-1]
    if not 0 <= unit < size:
        raise ConfigError(f"unit is {unit}, but this layer has the units 0 to {size - 1}.")
    tokens = [bundle.tokeniser.texts(row.text)[: len(row.ids)] for row in rows]
    values = [reader.trace.hidden[0, :, unit].double().cpu() for reader in found]
    moves = [_moves(value, backward=direction == "backward") for value in values]
    drivers = _drivers(tokens, moves)
    together = torch.cat(values)
    lives = half_lives([reader.trace for reader in found])
    return Unit(
        layer,
        direction,
        unit,
        mean=together.mean().item(),
        spread=together.std(correction=0).item(),
        half_life=lives[unit] if lives else None,
        up=[driver for driver in drivers[:count] if driver.moved > 0],
        down=[driver for driver in drivers[::-1][:count] if driver.moved < 0],
        highest=_moments(tokens, values, sign=1)[:count],
        lowest=_moments(tokens, values, sign=-1)[:count],
    )


def nearest_states(
    bundle: Bundle, text: str, texts: Iterable[str], *, count: int = 5, most: int = MOST
) -> list[Neighbour]:
    """The `texts` that the model holds for most like `text`, by what it pools of each reading before it answers.

    Raises DataError where `text` cannot be read, or none of the others.
    """
    [asked] = _rows(bundle, [text], most=1)
    rows = _rows(bundle, texts, most=most)
    model = _model(bundle)
    states = torch.stack([_state(model, row) for row in [asked, *rows]])
    states = states / states.norm(dim=1, keepdim=True).clamp(min=1e-12)
    likeness = states[1:] @ states[0]
    order = likeness.argsort(descending=True, stable=True)[:count].tolist()
    return [Neighbour(rows[row].text, rows[row].line - 1, likeness[row].item()) for row in order]


def _rows(bundle: Bundle, texts: Iterable[str], *, most: int) -> list[Example]:
    """The texts that can be read, as the model takes them; their lines count from 1."""
    table = table_of_texts(list(islice(texts, most)), column=bundle.input)
    rows = [row for row in encode(bundle, table, with_target=False) if isinstance(row, Example)]
    if not rows:
        raise DataError("there is no text that can be read.")
    return rows


def _model(bundle: Bundle) -> ManyToOne:
    if not isinstance(bundle.model, ManyToOne):
        raise ConfigError(f"this looks at models of classify and regress, the task is {bundle.targets.task}.")
    return bundle.model


@torch.inference_mode()
def _read(model: ManyToOne, row: Example) -> tuple[list[Reader], Tensor, Tensor]:
    batch = Batch(torch.tensor([row.ids]), torch.tensor([len(row.ids)])).to(model.head.weight.device)
    readers, outputs = read_through(model.recurrent, model.embed(batch), batch.lengths)
    return readers, outputs, batch.lengths


def _reader(bundle: Bundle, row: Example, *, layer: int, direction: str) -> Reader:
    """The trace of one layer and direction."""
    readers, _, _ = _read(_model(bundle), row)
    for reader in readers:
        if (reader.number, reader.direction) == (layer, direction):
            return reader
    there = ", ".join(f"{reader.number} {reader.direction}" for reader in readers)
    raise ConfigError(f"there is no layer {layer} {direction}. This model has: {there}.")


def _state(model: ManyToOne, row: Example) -> Tensor:
    """What the model pools of a reading, (H)."""
    _, outputs, lengths = _read(model, row)
    return model.pool(outputs, lengths)[0].double().cpu()


def _moves(values: Tensor, *, backward: bool) -> Tensor:
    """How far a unit went at each token, from zero before the first that it read."""
    before = values.roll(-1 if backward else 1)
    before[-1 if backward else 0] = 0
    return values - before


def _drivers(tokens: Sequence[Sequence[str]], moves: Sequence[Tensor]) -> list[Driver]:
    """Each token that occurs often enough, by how far it moves the unit, from furthest up to furthest down."""
    sums: dict[str, tuple[int, float]] = {}
    for token, moved in _pairs(tokens, moves):
        count, total = sums.get(token, (0, 0.0))
        sums[token] = count + 1, total + moved
    found = [Driver(token, count, total / count) for token, (count, total) in sums.items() if count >= FEWEST]
    return sorted(found, key=lambda driver: (-driver.moved, driver.token))


def _pairs(tokens: Sequence[Sequence[str]], values: Sequence[Tensor]) -> Iterator[tuple[str, float]]:
    for row, moved in zip(tokens, values, strict=True):
        yield from zip(row, moved.tolist(), strict=True)


def _moments(tokens: Sequence[Sequence[str]], values: Sequence[Tensor], *, sign: int) -> list[Moment]:
    """The furthest moment of each text on one side, the furthest first."""
    found = []
    for text, (row, value) in enumerate(zip(tokens, values, strict=True)):
        place = int((sign * value).argmax())
        around = " ".join(
            [*row[max(0, place - AROUND) : place], f"[{row[place]}]", *row[place + 1 : place + 1 + AROUND]]
        )
        found.append(Moment(text, place, value[place].item(), around))
    return sorted(found, key=lambda moment: (-sign * moment.value, moment.text))
