"""The recurrent layers: a cell's weights and options as a torch module.

`outputs, state = layer(x, lengths, state)` with x (B, T, I), outputs (B, T, H), zeros at padding, and the state after
the last real step of each row. `layer.trace(x, lengths)` returns every state and gate of every step.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqloom import kernels
from seqloom.cells import CellParameters, gru_reset_after_step, gru_step, lstm_step, simple_rnn_step
from seqloom.errors import ConfigError, ShapeError, nearest
from seqloom.kernels.reference import Step
from seqloom.nn.initialise import INITS, Init, initialise_hidden, initialise_input
from seqloom.nn.stream import PRECISIONS, Precision, Stream
from seqloom.shapes import (
    Float,
    Int,
    LSTMState,
    RNNState,
    Start,
    State,
    Tokens,
    Trace,
    check_input,
    check_lengths,
    check_like,
)

Activation = Literal["tanh", "relu", "leaky_relu"]
InitialState = Literal["zeros", "random", "learned"]
Lengths = Tensor | Sequence[int] | None
Steps = Float[Tensor, "B T I"] | Tokens

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "leaky_relu": nn.functional.leaky_relu}
INITIAL_STATES = ("zeros", "random", "learned")
RANDOM_STATE_SCALE = 0.1


class Recurrent(nn.Module, ABC):
    """What the three layers share. Not made itself: use SimpleRNN, LSTM or GRU.

    Shapes: `weight_input` (I, G), `weight_hidden` (H, G), `bias` (G), with G = gates x H and one bias a gate.
    """

    gates: tuple[str, ...]
    # The share of `weight_hidden` that each reading in training does without (Wan et al. 2013; Merity et al. 2018).
    weight_dropout: float = 0.0
    state_type: type[RNNState] | type[LSTMState] = RNNState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        init: Init,
        initial_state: InitialState,
        recurrent_dropout: float,
        layer_norm: bool,
        bias: bool,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        _check_size(layer, "input_size", input_size)
        _check_size(layer, "hidden_size", hidden_size)
        _check_choice(layer, "init", init, INITS)
        _check_choice(layer, "initial_state", initial_state, INITIAL_STATES)
        if not isinstance(recurrent_dropout, int | float) or not 0 <= recurrent_dropout < 1:
            raise ConfigError(f"{layer}: recurrent_dropout is {recurrent_dropout!r}. It must lie in 0..1, 1 excluded.")
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.init, self.initial_state, self.recurrent_dropout = init, initial_state, recurrent_dropout
        columns = max(1, len(self.gates)) * hidden_size
        self.weight_input = nn.Parameter(torch.empty(input_size, columns))
        self.weight_hidden = nn.Parameter(torch.empty(hidden_size, columns))
        self.bias = nn.Parameter(torch.empty(columns)) if bias else None
        self.bias_candidate: nn.Parameter | None = None  # of the GRU alone
        self.norm_input = nn.Parameter(torch.empty(columns)) if layer_norm else None
        self.norm_hidden = nn.Parameter(torch.empty(columns)) if layer_norm else None
        learned = len(self.state_type._fields) if initial_state == "learned" else 0
        self.first_state = nn.ParameterList(nn.Parameter(torch.empty(hidden_size)) for _ in range(learned))

    @abstractmethod
    def step(self) -> Step:
        """The cell's step with this layer's options."""

    def reset_parameters(self) -> None:
        """Start all weights again: `init` for the products, ones for the gains, zeros for biases and first state.

        On the meta device there is nothing to start.
        """
        if self.weight_input.is_meta:  # and torch would import its compiler for the random numbers
            return
        initialise_input(self.weight_input, self.init, hidden=self.hidden_size)
        initialise_hidden(self.weight_hidden, self.init)
        for name, parameter in self.named_parameters():
            if name.startswith("norm"):
                nn.init.ones_(parameter)
            elif not name.startswith("weight"):
                nn.init.zeros_(parameter)

    def forward(
        self, x: Steps, lengths: Lengths = None, state: State | None = None, *, reverse: bool = False
    ) -> tuple[Float[Tensor, "B T H"], State]:
        """Read `x`, (B, T, I) or Tokens, up to `lengths` (B,), from `state` on; with `reverse` from the last step back.

        Returns outputs (B, T, H), each step's in its place, and the state after the step of each row that was read
        last; a row of length 0 keeps its first state. Raises ShapeError or LengthError.
        """
        outputs, last, _ = self._run(x, lengths, state, reverse=reverse, record=False)
        return outputs, last

    def trace(self, x: Steps, lengths: Lengths = None, state: State | None = None, *, reverse: bool = False) -> Trace:
        """Every state and gate of every step, each (B, T, H): `.hidden`, `.cell`, `.gates["forget"]` ..."""
        _, _, trace = self._run(x, lengths, state, reverse=reverse, record=True)
        assert trace is not None
        # Without a step no gate was ever opened, yet each is there: as empty as the states.
        return trace if trace.gates else trace._replace(gates=dict.fromkeys(self.gates, trace.hidden))

    def stream(self, batch: int = 1, *, weights: Precision = "float32") -> Stream:
        """A stream that reads `batch` sequences step by step: `stream.step(x)` with x (B, I), outputs (B, H).

        With `weights="int8"` on the compiled core, in a quarter of the memory and not to the bit. Raises ConfigError.
        """
        layer = type(self).__name__
        _check_size(f"{layer}.stream", "batch", batch)
        _check_choice(f"{layer}.stream", "weights", weights, PRECISIONS)
        return Stream(self, batch=batch, weights=weights)

    def parameters_of_cell(self, *, batch: int) -> CellParameters:
        """The weights as the cell takes them, with this sequence's recurrent dropout mask where training draws one."""
        mask: Tensor | None = None
        weight_hidden: Tensor = self._own("weight_hidden")
        if self.training and self.weight_dropout:
            weight_hidden = kernels.dropout(weight_hidden, self.weight_dropout)
        if self.training and self.recurrent_dropout:
            kept = 1 - self.recurrent_dropout
            mask = self.weight_hidden.new_empty(batch, self.hidden_size).bernoulli_(kept) / kept
        return CellParameters(
            weight_input=self._own("weight_input"),
            weight_hidden=weight_hidden,
            bias=self._own("bias"),
            norm_input=self.norm_input,
            norm_hidden=self.norm_hidden,
            bias_candidate=self._own("bias_candidate"),
            hidden_mask=mask,
        )

    def _own(self, name: str) -> Any:
        """The attribute `name`: a parameter sooner than by torch's own search, which a call of a small layer feels."""
        found = self._parameters.get(name)
        return getattr(self, name) if found is None else found

    def first(self, *, batch: int) -> State:
        """The state before the first step, (B, H) a path.

        Learned: a parameter. Random: normal noise while training, its mean, zero, otherwise, so that answers do not
        depend on chance.
        """
        if self.initial_state == "learned":
            return self.state_type(*(path.expand(batch, -1) for path in self.first_state))
        like = self.weight_hidden
        zeros = [like.new_zeros(batch, self.hidden_size) for _ in self.state_type._fields]
        if self.initial_state == "random" and self.training:
            return self.state_type(*(path.normal_(std=RANDOM_STATE_SCALE) for path in zeros))
        return self.state_type(*zeros)

    def start(self, *, batch: int) -> Start:
        """What `kernels.run` starts from where no state is given: that of `first`, zeros by their kind alone."""
        return self.state_type if self.initial_state == "zeros" else self.first(batch=batch)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, init={self.init}, initial_state={self.initial_state}"

    def _run(
        self, x: Tensor | Tokens, lengths: Lengths, state: State | None, *, reverse: bool, record: bool
    ) -> tuple[Tensor, State, Trace | None]:
        p, known, start = self.ready(x, lengths, state)
        return kernels.run(self.step(), p, x, known, start, reverse=reverse, record=record)

    def ready(
        self, x: Steps, lengths: Lengths, state: State | None
    ) -> tuple[CellParameters, Int[Tensor, " B"] | None, Start]:
        """What `kernels.run` takes beside `x` to read it, checked. Raises ShapeError or LengthError."""
        weight = self._own("weight_input")
        if isinstance(x, Tokens) or not kernels.is_input(x, weight):  # else there is nothing to refuse
            check_input(x, input_size=self.input_size, like=weight, layer=type(self).__name__)
        steps = x.ids if isinstance(x, Tokens) else x
        batch = steps.shape[0]
        known = None if lengths is None else check_lengths(lengths, steps)
        start = self.start(batch=batch) if state is None else self._check_state(state, batch=batch)
        return self.parameters_of_cell(batch=batch), known, start

    def _check_state(self, state: State, *, batch: int) -> State:
        expected = self.state_type.__name__
        if not isinstance(state, self.state_type):
            raise ShapeError(
                f"{type(self).__name__}: state is a {type(state).__name__}, but must be an {expected} of tensors "
                f"(batch, hidden). Make one with seqloom.shapes.{expected}(...)."
            )
        for name, path in zip(state._fields, state, strict=True):
            if not isinstance(path, Tensor):
                raise ShapeError(
                    f"{type(self).__name__}: state.{name} is a {type(path).__name__}, but must be a tensor (batch "
                    f"{batch}, hidden {self.hidden_size})."
                )
            if path.shape != (batch, self.hidden_size):
                raise ShapeError(
                    f"{type(self).__name__}: state.{name} has shape {tuple(path.shape)}, but must be (batch {batch}, "
                    f"hidden {self.hidden_size}), one row for each row of x."
                )
            check_like(path, self.weight_input, name=f"{type(self).__name__}: state.{name}")
        return state


class SimpleRNN(Recurrent):
    """The simple recurrent layer, h' = f(x W + h U + b) (Elman 1990): I·H + H·H + H parameters."""

    gates = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: Activation = "tanh",
        init: Init = "orthogonal",
        initial_state: InitialState = "zeros",
        recurrent_dropout: float = 0.0,
        layer_norm: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            init=init,
            initial_state=initial_state,
            recurrent_dropout=recurrent_dropout,
            layer_norm=layer_norm,
            bias=bias,
        )
        _check_choice("SimpleRNN", "activation", activation, tuple(ACTIVATIONS))
        self.activation = activation
        self.reset_parameters()

    def step(self) -> Step:
        return functools.partial(simple_rnn_step, activation=ACTIVATIONS[self.activation])


class LSTM(Recurrent):
    """The LSTM layer (Hochreiter & Schmidhuber 1997; Gers et al. 2000): 4 (I·H + H·H + H) parameters.

    The forget bias starts at 1, so that memory is kept until something is learned (Jozefowicz et al. 2015).
    """

    gates = ("input", "forget", "candidate", "output")
    state_type = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        init: Init = "orthogonal",
        initial_state: InitialState = "zeros",
        recurrent_dropout: float = 0.0,
        layer_norm: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            init=init,
            initial_state=initial_state,
            recurrent_dropout=recurrent_dropout,
            layer_norm=layer_norm,
            bias=bias,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias is not None:
            forget = self.gates.index("forget")
            nn.init.ones_(self.bias[forget * self.hidden_size : (forget + 1) * self.hidden_size])

    def step(self) -> Step:
        return lstm_step


class GRU(Recurrent):
    """The GRU layer (Cho et al. 2014): 3 (I·H + H·H + H) parameters.

    `reset_after` applies the reset gate after the feedback product, as cuDNN and torch.nn.GRU do; its candidate then
    has a second bias of H, inside the reset.
    """

    gates = ("reset", "update", "candidate")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset_after: bool = False,
        init: Init = "orthogonal",
        initial_state: InitialState = "zeros",
        recurrent_dropout: float = 0.0,
        layer_norm: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            init=init,
            initial_state=initial_state,
            recurrent_dropout=recurrent_dropout,
            layer_norm=layer_norm,
            bias=bias,
        )
        self.reset_after = reset_after
        self.bias_candidate = nn.Parameter(torch.empty(hidden_size)) if reset_after and bias else None
        self.reset_parameters()

    def step(self) -> Step:
        return gru_reset_after_step if self.reset_after else gru_step


def _check_size(layer: str, name: str, size: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"{layer}: {name} is {size!r}. It must be a whole number from 1 on.")


def _check_choice(layer: str, name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f'{layer}: {name} is "{value}", {nearest(str(value), allowed)}')
