"""One step at a time: layers at work where the next step is not there yet, as with sound, sensors or typing.

`stream = layer.stream(batch=1)`, then `outputs = stream.step(x)` with x (B, I) and outputs (B, H), or `stream.read(x)`
of all steps that are there, (B, T, I). Weights are packed and arguments prepared once, so that a step costs little more
than its products.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from seqloom import kernels
from seqloom.cells import CellParameters
from seqloom.errors import ConfigError, ShapeError
from seqloom.kernels import fused_cpu, native
from seqloom.kernels.packing import pack, pack_int8
from seqloom.kernels.recurrence import Operands, empty, name_of
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, StackState, State, check_like

if TYPE_CHECKING:
    from seqloom.nn.recurrent import Recurrent

Precision = Literal["float32", "int8"]
PRECISIONS = ("float32", "int8")


class Reader(NamedTuple):
    """How a stream reads."""

    # x (B, I), the number of threads and the paths of the state, which it changes; None where it cannot read that.
    step: Callable[..., Tensor | None]
    # x (B, T, I) and the state before it; the outputs and the state after it, which may be the same, changed.
    read: Callable[[Tensor, State], tuple[Tensor, State]]


class Stream:
    """A layer that reads `batch` sequences one step at a time and keeps their state; `layer.stream()` makes it.

    It has the weights as they were when it was made: later changes of the layer are not seen. No gradient is recorded,
    and nothing is left to chance: no recurrent dropout, no random first state. On the compiled core the outputs are, to
    the bit, those of the sequences read whole. One thread at a time may use it.
    """

    _state: State

    def __init__(self, layer: "Recurrent", *, batch: int, weights: Precision) -> None:
        self._layer, self._name = layer, f"{type(layer).__name__}.stream"
        self._like, self._shape = layer.weight_input.detach().new_empty(0), torch.Size((batch, layer.input_size))
        self._first = [path.detach().clone() for path in layer.first_state]
        self.reset()
        like = self._like.new_zeros(batch, 1, layer.input_size)
        self._step, self._read = _reader(layer, self._state, like, weights)

    def step(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "B H"]:
        """Read the next step of each sequence, `x` (B, I); the outputs (B, H) are the caller's. Raises ShapeError."""
        outputs = self._step(x, torch.get_num_threads(), *self._state)
        if outputs is None:
            read, self._state = self._read(self._checked(x, steps="")[:, None], self._state)
            outputs = read[:, 0]
        return outputs

    def read(self, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T H"]:
        """Read the next steps of each sequence, `x` (B, T, I): what T calls of `step` give. Raises ShapeError."""
        outputs, self._state = self._read(self._checked(x, steps="time, "), self._state)
        return outputs

    @property
    def state(self) -> State:
        """The state after the steps read so far, (B, H) a path: a copy. What is set is copied. Raises ShapeError."""
        return type(self._state)(*(path.clone() for path in self._state))

    @state.setter
    def state(self, state: State) -> None:
        paths = self._layer._check_state(state, batch=self._shape[0])
        # Into memory of its own, in the stream's dtype whatever the layer has become meanwhile.
        self._state = type(state)(*(self._like.new_empty(path.shape).copy_(path.detach()) for path in paths))

    def reset(self) -> None:
        """Begin again: all sequences at the first state that the layer learned, or else at zeros."""
        rows = (self._shape[0], self._layer.hidden_size)
        paths = self._first or [self._like.new_zeros(1)] * len(self._layer.state_type._fields)
        self._state = self._layer.state_type(
            *(path.expand(rows).clone(memory_format=torch.contiguous_format) for path in paths)
        )

    def _checked(self, x: Tensor, *, steps: Literal["", "time, "]) -> Tensor:
        """What is not ready to be read, made ready, or an error that says why not; `steps`: the name of their axis."""
        batch, size = self._shape
        wanted = f"(batch {batch}, {steps}input {size})"
        if not isinstance(x, Tensor) or type(x) not in (Tensor, Parameter):
            raise ShapeError(f"{self._name}: x is a {type(x).__name__}, but must be a plain tensor {wanted}.")
        axes, read, other, hint = 2, "the next step", 3, "Give one step, x[:, t], or all to read(x)."
        if steps:
            axes, read, other, hint = 3, "the next steps", 2, "Give one step to step(x)."
        if x.dim() != axes or (x.shape[0], x.shape[-1]) != self._shape:
            raise ShapeError(
                f"{self._name}: x has shape {tuple(x.shape)}, but must be {wanted}, {read} of each sequence."
                + f" {hint}" * (x.dim() == other)
            )
        check_like(x, self._like, name=f"{self._name}: x")
        if x.layout is torch.strided and not torch._C._has_storage(x):
            raise ShapeError(f"{self._name}: x has no numbers in memory, as inside of torch.func. Give a plain tensor.")
        ready = x.detach().to_dense().resolve_neg().to(self._like.dtype).contiguous()
        return ready.clone() if ready._is_zerotensor() else ready


class StackStream:
    """Streams on top of each other, each reading the outputs of the one below; `Stack.stream()` makes it."""

    def __init__(self, streams: Sequence[Stream], *, residual: bool) -> None:
        self._streams, self._residual = list(streams), residual

    def step(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "B H"]:
        """Read the next step of each sequence, `x` (B, I), by every layer in turn. Raises ShapeError."""
        return self._through(Stream.step, x)

    def read(self, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T H"]:
        """Read the next steps of each sequence, `x` (B, T, I), by every layer in turn. Raises ShapeError."""
        return self._through(Stream.read, x)

    def _through(self, read: Callable[[Stream, Tensor], Tensor], x: Tensor) -> Tensor:
        for number, stream in enumerate(self._streams):
            outputs = read(stream, x)
            x = outputs + x if self._residual and number > 0 else outputs
        return x

    @property
    def state(self) -> StackState:
        """The state of each layer, lowest first: copies. What is set is copied. Raises ShapeError."""
        return StackState(layers=tuple(stream.state for stream in self._streams))

    @state.setter
    def state(self, state: StackState) -> None:
        if not isinstance(state, StackState) or len(state.layers) != len(self._streams):
            raise ShapeError(f"Stack.stream: state must be a StackState of {len(self._streams)} layer states.")
        for stream, part in zip(self._streams, state.layers, strict=True):
            stream.state = cast("State", part)  # what else it may be, the layer refuses

    def reset(self) -> None:
        """Begin again, every layer at its first state."""
        for stream in self._streams:
            stream.reset()


def _reader(layer: "Recurrent", state: State, x: Float[Tensor, "B 1 I"], weights: Precision) -> Reader:
    """How a step like `x` is read: the path of `kernels.choose`, with what it needs made ready. Raises ConfigError."""
    p = layer.parameters_of_cell(batch=0)  # of no rows: no number is drawn for dropout
    p = CellParameters._make(None if part is None else part.detach() for part in p)._replace(hidden_mask=None)
    path = kernels.choose(layer.step(), p, x, state)
    if path.name == "fused_cpu":
        return _by_core(layer.step(), fused_cpu.operands(p, x, None, state), weights)
    if weights == "int8":
        raise ConfigError(
            f'{type(layer).__name__}.stream: weights are "int8", which only the compiled core reads, but '
            f'{path.reason}. Use weights="float32".'
        )
    kept = CellParameters._make(None if part is None else part.clone() for part in p)
    return _by_cell(layer.step(), kept)


def _by_core(of: Step, o: Operands, weights: Precision) -> Reader:
    """One call of the core, which changes the state in place: only x and the outputs are new."""
    cell = name_of(of)
    assert cell is not None
    core, batch, hidden = native.core(), o.x.shape[0], o.weight_hidden.shape[0]
    if weights == "float32":
        packed, forward, one = pack(cell, o), core.forward, core.step
    else:
        packed, forward, one = pack_int8(cell, o), core.forward_int8, core.step_int8

    def step(x: Tensor, threads: int, *state: Tensor) -> Tensor | None:
        found: Tensor | None = one(packed, x, threads, *state)
        return found

    def read(x: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = empty(batch, x.shape[1], hidden)
        start = packed, batch, x.shape[1], None, False, torch.get_num_threads(), x
        forward(*start, state[0], state[-1], None, outputs, state[0], state[-1], None, None)  # no cell is not read
        return outputs, state

    return Reader(step, read)


def _by_cell(step: Step, p: CellParameters) -> Reader:
    """The cell's own equations, or cuDNN."""

    def read(x: Tensor, state: State) -> tuple[Tensor, State]:
        with torch.no_grad():
            outputs, after, _ = kernels.run(step, p, x, None, state)
        return outputs, after

    return Reader(lambda *_: None, read)
