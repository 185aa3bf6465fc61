"""The letters of the axes, the batch that carries its lengths, and the states of the cells.

    B batch   T time   I input   H hidden   G gates x hidden   V vocabulary
    S source time   M memory   A what attention compares

Annotations such as `Float[Tensor, "B T I"]` are executed by the tests (jaxtyping + beartype); without jaxtyping they
mean just `Tensor`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding

from seqloom.errors import LengthError, ShapeError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ModuleNotFoundError:

        class Float:
            """Stands in for jaxtyping's annotation where that package is absent."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Int = Float

__all__ = [
    "Attended",
    "Batch",
    "BidirectionalState",
    "BidirectionalTrace",
    "Bool",
    "Float",
    "Int",
    "LSTMState",
    "RNNState",
    "Source",
    "StackState",
    "Start",
    "State",
    "Tokens",
    "Trace",
    "Words",
    "check_input",
    "check_lengths",
    "check_like",
    "reverse_within",
    "valid_steps",
]


class RNNState(NamedTuple):
    """What a SimpleRNN or a GRU carries from step to step: one memory, which is also its output."""

    hidden: Float[Tensor, "B H"]


class LSTMState(NamedTuple):
    """What an LSTM carries: the short-term path (its output) and the long-term path."""

    hidden: Float[Tensor, "B H"]
    cell: Float[Tensor, "B H"]


State = RNNState | LSTMState
# A first state, or its kind alone, for zeros.
Start = State | type[RNNState] | type[LSTMState]


class BidirectionalState(NamedTuple):
    """The final states of both readings: `forward` after the last real step, `backward` after the first."""

    forward: State
    backward: State


class StackState(NamedTuple):
    """The final state of each layer, lowest first."""

    layers: tuple[State | BidirectionalState, ...]


class Trace(NamedTuple):
    """Every state and gate of every step, zeros at padding. `cell` is None where the cell has no long-term path."""

    hidden: Float[Tensor, "B T H"]
    cell: Float[Tensor, "B T H"] | None
    gates: dict[str, Float[Tensor, "B T H"]]


class BidirectionalTrace(NamedTuple):
    """The traces of both readings, each in the order of the sequence."""

    forward: Trace
    backward: Trace


class Batch(NamedTuple):
    """Sequences padded to one length, with the number of real steps of each.

    `values` is (B, T) of token ids or (B, T, I) of numbers; `lengths` is (B,), each in 0..T. Padding never reaches a
    result.
    """

    values: Tensor
    lengths: Int[Tensor, " B"]

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`."""
        return Batch(self.values.to(device), self.lengths.to(device))


class Words(NamedTuple):
    """Sentences whose words are read as a whole and by their characters, padded as a `Batch` is.

    `values` are the ids of the words, `places` which of the R different words of the batch each is, 0 at padding;
    `spelled` has the ids of the characters (R, C) of each of those, with their number.
    """

    values: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]
    places: Int[Tensor, "B T"]
    spelled: Batch

    def to(self, device: torch.device) -> "Words":
        """The same on `device`."""
        values, lengths, places = (part.to(device) for part in (self.values, self.lengths, self.places))
        return Words(values, lengths, places, self.spelled.to(device))


class Tokens(NamedTuple):
    """An input as places in a list of vectors: step t of row b is `vectors[ids[b, t]]`.

    What a layer makes of a vector is computed once, however often it occurs. Each id lies in 0..R-1, at padding too.
    """

    ids: Int[Tensor, "B T"]
    vectors: Float[Tensor, "R I"]

    def spelled_out(self) -> Float[Tensor, "B T I"]:
        """One vector a step."""
        return embedding(self.ids, self.vectors)


class Source(NamedTuple):
    """What a decoder attends to: the encoder's outputs `memory`, and the `keys` that its states are compared with.

    `lengths` are the real steps of each row; what stands at padding is zero and never reaches a result.
    """

    memory: Float[Tensor, "B S M"]
    keys: Float[Tensor, "B S A"]
    lengths: Int[Tensor, " B"]

    def rows(self, chosen: Int[Tensor, " R"]) -> "Source":
        """The source with only these rows, in this order; a row may stand more than once."""
        return Source(*(part.index_select(0, chosen) for part in self))


class Attended(NamedTuple):
    """What a layer with attention gives: its outputs, the context that went into each step, and the weights of it."""

    outputs: Float[Tensor, "B T H"]
    contexts: Float[Tensor, "B T M"]
    weights: Float[Tensor, "B T S"]


def check_lengths(lengths: Tensor | Sequence[int] | None, x: Tensor) -> Int[Tensor, " B"]:
    """The number of real steps of each row of `x` (B, T, ...); all T where `lengths` is None.

    Raises LengthError where there is not one whole number in 0..T for each row.
    """
    batch, time = x.shape[:2]
    if lengths is None:
        return torch.full((batch,), time, dtype=torch.int64, device=x.device)
    if isinstance(lengths, Sequence) and not lengths:
        lengths = torch.empty(0, dtype=torch.int64)  # an empty list would become numbers with a fraction
    try:
        lengths = torch.as_tensor(lengths, device=x.device)
    except (TypeError, ValueError, RuntimeError):  # words, rows of unlike length, more than 64 bits
        raise LengthError(
            f"lengths are {lengths!r}, but must be whole numbers (x: {describe(x)}). Give one length a row."
        ) from None
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise LengthError(
            f"lengths are {lengths.dtype}, but must be whole numbers (x: {describe(x)}). Use lengths.long()."
        )
    if lengths.shape != (batch,):
        raise LengthError(
            f"lengths have shape {tuple(lengths.shape)}, but x has {batch} rows (x: {describe(x)}). "
            "Give one length a row."
        )
    lengths = lengths.long()
    if not torch.compiler.is_compiling() and batch:
        lengths = lengths.clone() if lengths._is_zerotensor() else lengths  # zeros that have no memory
        shortest, longest = lengths.cpu().aminmax()  # a GPU is waited for once
        if shortest < 0 or longest > time:
            row = int(((lengths < 0) | (lengths > time)).nonzero()[0])
            raise LengthError(
                f"lengths[{row}] is {int(lengths[row])} but x has {time} time steps (x: {describe(x)}). "
                f"Lengths must lie in 0..{time}."
            )
    return lengths


def describe(x: Tensor) -> str:
    """`batch 8, time 12, input 5`: the sizes of `x` by the names of its axes."""
    names = ("batch", "time", "input")
    return ", ".join(f"{name} {size}" for name, size in zip(names, x.shape, strict=False))


def check_tokens(x: Tokens, *, input_size: int, like: Tensor, layer: str) -> None:
    """Raise ShapeError unless `x` has ids (B, T) of rows in its vectors (R, input_size)."""
    for name, part in zip(x._fields, x, strict=True):
        if not isinstance(part, Tensor):
            raise ShapeError(
                f"{layer}: {name} are a {type(part).__name__}, but must be a tensor. Make one with torch.as_tensor."
            )
    if x.ids.dim() != 2 or x.ids.dtype != torch.int64 or x.ids.device != like.device:
        raise ShapeError(
            f"{layer}: ids are {x.ids.dtype} of shape {tuple(x.ids.shape)} on {x.ids.device}, but must be torch.int64 "
            f"(batch, time) on {like.device}."
        )
    if x.vectors.dim() != 2 or x.vectors.shape[1] != input_size:
        raise ShapeError(
            f"{layer}: vectors have shape {tuple(x.vectors.shape)}, but this layer was made with "
            f"input_size={input_size}. Give vectors of shape (rows, {input_size})."
        )
    rows = x.vectors.shape[0]
    if not torch.compiler.is_compiling() and x.ids.numel() and not 0 <= int(x.ids.min()) <= int(x.ids.max()) < rows:
        raise ShapeError(
            f"{layer}: ids lie in {int(x.ids.min())}..{int(x.ids.max())}, but there are {rows} vectors. "
            f"Ids must lie in 0..{rows - 1}, at padding too."
        )
    check_like(x.vectors, like, name=f"{layer}: vectors")


def check_input(x: Tensor | Tokens, *, input_size: int, like: Tensor, layer: str) -> None:
    """Raise ShapeError unless `x` is (B, T, input_size), or tokens of that, of the dtype and device of `like`."""
    if isinstance(x, Tokens):
        return check_tokens(x, input_size=input_size, like=like, layer=layer)
    if not isinstance(x, Tensor):
        raise ShapeError(
            f"{layer}: x is a {type(x).__name__}, but must be a tensor (batch, time, input {input_size}). "
            "Make one with torch.as_tensor(x)."
        )
    if x.dim() != 3:
        hint = " For one sequence add a batch axis: x.unsqueeze(0)." if x.dim() == 2 else ""
        raise ShapeError(
            f"{layer}: x has shape {tuple(x.shape)}, but must have three axes (batch, time, input {input_size}).{hint}"
        )
    if x.shape[-1] != input_size:
        raise ShapeError(
            f"{layer}: x has input size {x.shape[-1]} ({describe(x)}), but this layer was made with "
            f"input_size={input_size}. Give x of shape (batch, time, {input_size})."
        )
    check_like(x, like, name=f"{layer}: x")


def check_like(x: Tensor, like: Tensor, *, name: str) -> None:
    """Raise ShapeError unless `x`, called `name`, has the device and the dtype of the weights `like`."""
    if x.device == like.device and x.dtype == like.dtype:
        return
    if x.device != like.device:
        raise ShapeError(
            f"{name} is on {x.device} but the weights are on {like.device}. Move one of them: "
            f'.to("{like.device}") or layer.to("{x.device}").'
        )
    if not torch.is_autocast_enabled(x.device.type):
        layer_too = f" or layer.to({x.dtype})" if x.is_floating_point() else ""
        raise ShapeError(
            f"{name} is {x.dtype} but the weights are {like.dtype}. Convert it: .to({like.dtype}){layer_too}."
        )


def valid_steps(lengths: Int[Tensor, " B"], time: int) -> Bool[Tensor, "B T"]:
    """True at the real steps of each row, False at padding."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def has_padding(lengths: Int[Tensor, " B"], time: int) -> bool:
    """Whether a row ends before `time`; a compiler, which sees no numbers, is told yes."""
    return torch.compiler.is_compiling() or (len(lengths) > 0 and int(lengths.min()) < time)


def reverse_within(x: Float[Tensor, "B T *rest"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T *rest"]:
    """Each row back to front within its length; padding stays where it is. Twice is the identity."""
    steps = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
    order = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return x.gather(1, order.reshape(*order.shape, *[1] * (x.dim() - 2)).expand_as(x))
