"""Layers made of layers: both directions, several on top of each other, and the last real step."""

import copy
import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from seqloom import kernels
from seqloom.errors import ConfigError, ShapeError
from seqloom.nn.dropout import Dropout, SequenceDropout
from seqloom.nn.recurrent import Lengths, Recurrent, Steps
from seqloom.nn.stream import Precision, StackStream, Stream
from seqloom.shapes import (
    BidirectionalState,
    BidirectionalTrace,
    Float,
    LSTMState,
    RNNState,
    StackState,
    State,
    Trace,
)


class Bidirectional(nn.Module):
    """Two layers of one kind: one reads each row forward, the other back to front, within its length.

    `Bidirectional(LSTM(5, 3))` uses the layer given for the forward reading and starts a second one like it for the
    backward reading. Outputs (B, T, 2H): both outputs of a step, forward first. Raises ConfigError for another thing.
    """

    def __init__(self, layer: Recurrent) -> None:
        super().__init__()
        if not isinstance(layer, Recurrent):
            raise ConfigError(
                f"Bidirectional: layer is {layer!r}, but must be a SimpleRNN, LSTM or GRU, as in "
                "Bidirectional(LSTM(5, 3))."
            )
        self.forward_layer = layer
        self.backward_layer = copy.deepcopy(layer)
        self.backward_layer.reset_parameters()
        self.input_size, self.output_size = layer.input_size, 2 * layer.hidden_size

    def forward(
        self, x: Steps, lengths: Lengths = None, state: BidirectionalState | None = None
    ) -> tuple[Float[Tensor, "B T HH"], BidirectionalState]:
        """Read `x` (B, T, I) from both sides; `state.backward` is where the backward reading starts, at the last step.

        Returns outputs (B, T, 2H) and the final state of each reading. Raises ShapeError or LengthError.
        """
        layers, (first, last) = (self.forward_layer, self.backward_layer), _both(state)
        if not any(map(_watched, layers)):
            ahead, lengths, start = layers[0].ready(x, lengths, first)
            back, _, end = layers[1].ready(x, lengths, last)
            outputs, states = kernels.run_both(
                [layer.step() for layer in layers], (ahead, back), x, lengths, (start, end)
            )
            return outputs, BidirectionalState(*states)
        read, read_state = layers[0](x, lengths, first)
        read_back, back_state = layers[1](x, lengths, last, reverse=True)
        return torch.cat([read, read_back], dim=-1), BidirectionalState(forward=read_state, backward=back_state)

    def trace(self, x: Steps, lengths: Lengths = None, state: BidirectionalState | None = None) -> BidirectionalTrace:
        """The trace of each reading, both in the order of the sequence."""
        first, last = _both(state)
        return BidirectionalTrace(
            forward=self.forward_layer.trace(x, lengths, first),
            backward=self.backward_layer.trace(x, lengths, last, reverse=True),
        )

    def stream(self, batch: int = 1, *, weights: Precision = "float32") -> Stream:
        """Raises ConfigError: the backward reading starts at the end."""
        raise ConfigError(
            "Bidirectional.stream: the backward reading starts at the last step, which a stream does not know. Stream "
            "a layer that reads forward, or give whole sequences to the layer itself."
        )


class Stack(nn.Module):
    """Layers on top of each other, each reading the outputs of the one below.

    `dropout` falls between the layers while training, with `variational` on the same units at every step; `residual`
    adds a layer's input to its output, from the second layer on, where sizes are equal by need.
    """

    def __init__(
        self,
        layers: Sequence[Recurrent | Bidirectional],
        *,
        dropout: float = 0.0,
        residual: bool = False,
        variational: bool = False,
    ) -> None:
        super().__init__()
        _check_layers(layers)
        _check_sizes(layers, residual=residual)
        if not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise ConfigError(f"Stack: dropout is {dropout!r}. It must lie in 0..1.")
        self.layers = nn.ModuleList(layers)
        self.dropout = SequenceDropout(dropout) if variational else Dropout(dropout)
        self.residual = residual
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size

    def forward(
        self, x: Steps, lengths: Lengths = None, state: StackState | None = None
    ) -> tuple[Float[Tensor, "B T H"], StackState]:
        """Read `x` (B, T, I) by every layer in turn; outputs are the last one's. Raises ShapeError or LengthError."""
        states = []
        for number, (layer, first) in enumerate(zip(self.parts, self._states(state), strict=True)):
            outputs, last = layer(x, lengths, first)
            states.append(last)
            x = outputs = self._between(x, outputs, number)
        return outputs, StackState(layers=tuple(states))

    def trace(
        self, x: Steps, lengths: Lengths = None, state: StackState | None = None
    ) -> tuple[Trace | BidirectionalTrace, ...]:
        """The trace of every layer, lowest first."""
        traces = []
        for number, (layer, first) in enumerate(zip(self.parts, self._states(state), strict=True)):
            trace = _trace_of(layer, x, lengths, first)
            traces.append(trace)
            x = self._between(x, _outputs_of(trace), number)
        return tuple(traces)

    def stream(self, batch: int = 1, *, weights: Precision = "float32") -> StackStream:
        """A stream through all layers, as `LSTM(...).stream` is through one; no dropout falls. Raises ConfigError."""
        return StackStream([layer.stream(batch, weights=weights) for layer in self.parts], residual=self.residual)

    @property
    def parts(self) -> list["Recurrent | Bidirectional"]:
        """The layers, lowest first."""
        return cast("list[Recurrent | Bidirectional]", list(self.layers))

    def _between(self, x: Steps, outputs: Tensor, number: int) -> Tensor:
        if self.residual and number > 0:
            assert isinstance(x, Tensor)  # the outputs of a layer
            outputs = outputs + x
        above: Tensor = self.dropout(outputs) if number < len(self.layers) - 1 else outputs
        return above

    def _states(self, state: StackState | None) -> Sequence[State | BidirectionalState | None]:
        if state is None:
            return [None] * len(self.layers)
        if not isinstance(state, StackState) or len(state.layers) != len(self.layers):
            raise ShapeError(f"Stack: state must be a StackState of {len(self.layers)} layer states.")
        return state.layers


class Last(nn.Module):
    """Keeps the last real step: from a layer's (outputs, state) the final hidden state, (B, H).

    After a Bidirectional layer both readings' final states side by side, (B, 2H); after a Stack those of its top layer,
    before a residual is added: `last_pool` takes the last outputs, with it.
    """

    def forward(self, outputs_and_state: tuple[Tensor, object]) -> Float[Tensor, "B H"]:
        if isinstance(outputs_and_state, Tensor):
            raise ShapeError("Last: expected (outputs, state) of a recurrent layer, but was given one tensor.")
        _, state = outputs_and_state
        return last_hidden(state)


def last_hidden(state: object) -> Float[Tensor, "B H"]:
    """The hidden part of a final state, (B, H), both directions side by side. Raises ShapeError for another thing."""
    if isinstance(state, StackState):
        return last_hidden(state.layers[-1])
    if isinstance(state, BidirectionalState):
        return torch.cat([state.forward.hidden, state.backward.hidden], dim=-1)
    if isinstance(state, RNNState | LSTMState):
        return state.hidden
    raise ShapeError(
        f"Last: expected (outputs, state) of a recurrent layer, but the state is a {type(state).__name__}."
    )


def _check_layers(layers: Sequence[Recurrent | Bidirectional]) -> None:
    if not isinstance(layers, Sequence | nn.ModuleList):
        raise ConfigError(
            f"Stack: layers is a {type(layers).__name__}, but must be a list of layers, as in "
            "Stack([LSTM(5, 3), LSTM(3, 3)])."
        )
    if not layers:
        raise ConfigError("Stack: no layers given. Give at least one.")
    for number, layer in enumerate(layers):
        if not isinstance(layer, Recurrent | Bidirectional):
            raise ConfigError(
                f"Stack: layer {number} is {layer!r}, but must be a SimpleRNN, LSTM, GRU or Bidirectional."
            )


def _check_sizes(layers: Sequence[Recurrent | Bidirectional], *, residual: bool) -> None:
    for number, (below, above) in enumerate(itertools.pairwise(layers), start=1):
        if below.output_size != above.input_size:
            raise ShapeError(
                f"Stack: layer {number} reads input_size={above.input_size}, but layer {number - 1} gives outputs "
                f"of size {below.output_size}. Make layer {number} with input_size={below.output_size}."
            )
        if residual and above.output_size != above.input_size:
            raise ShapeError(
                f"Stack: residual adds the input of layer {number} (size {above.input_size}) to its output (size "
                f"{above.output_size}). Give it equal sizes, or residual=False."
            )


def _watched(layer: Recurrent) -> bool:
    """Whether `layer` must be called itself: a compiler looks on, or it has hooks or a way of its own to be called."""
    if torch.compiler.is_compiling():
        return True
    own = type(layer).forward is not Recurrent.forward or "forward" in vars(layer)
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    # torch has no types for it
    anywhere: bool = nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
    return own or layer._compiled_call_impl is not None or anywhere or any(hooks)


def _both(state: BidirectionalState | None) -> tuple[State | None, State | None]:
    if state is None:
        return None, None
    if not isinstance(state, BidirectionalState):
        raise ShapeError(
            f"Bidirectional: state is a {type(state).__name__}, but must be a BidirectionalState(forward=..., "
            "backward=...)."
        )
    return state.forward, state.backward


def _trace_of(
    layer: Recurrent | Bidirectional, x: Steps, lengths: Lengths, state: State | BidirectionalState | None
) -> Trace | BidirectionalTrace:
    if isinstance(layer, Bidirectional):
        return layer.trace(x, lengths, cast("BidirectionalState | None", state))
    return layer.trace(x, lengths, cast("State | None", state))


def _outputs_of(trace: Trace | BidirectionalTrace) -> Tensor:
    if isinstance(trace, BidirectionalTrace):
        return torch.cat([trace.forward.hidden, trace.backward.hidden], dim=-1)
    return trace.hidden
