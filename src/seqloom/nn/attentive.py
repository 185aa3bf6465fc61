"""A recurrent layer with attention: at every step it asks a memory what matters now, and reads the answer too."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seqloom import kernels
from seqloom.cells import AttentionParameters, CellParameters
from seqloom.errors import ConfigError, ShapeError
from seqloom.kernels.fused_decoding import Speller, Stepper
from seqloom.kernels.linear import Prepared
from seqloom.kernels.reference import Step
from seqloom.nn.initialise import initialise_input
from seqloom.nn.linear import Linear
from seqloom.nn.recurrent import Lengths, Recurrent, Steps
from seqloom.shapes import (
    Attended,
    Float,
    Int,
    Source,
    State,
    Tokens,
    check_input,
    check_lengths,
    check_like,
    has_padding,
    valid_steps,
)

Attention = Literal["additive", "general", "dot"]
Reader = Callable[[Tensor, State, Source], tuple[Attended, State]]
ATTENTIONS = ("additive", "general", "dot")


class Attentive(nn.Module):
    """A SimpleRNN, LSTM or GRU that attends to a memory (B, S, M) before each of its steps.

    additive (Bahdanau et al. 2015) compares by a small network, general and dot (Luong et al. 2015) by products; dot
    has no weights and needs a memory of the layer's own hidden size. Raises ConfigError.
    """

    def __init__(self, layer: Recurrent, memory_size: int, *, attention: Attention = "additive") -> None:
        super().__init__()
        if not isinstance(layer, Recurrent):
            raise ConfigError(f"Attentive: layer is {layer!r}, but must be a SimpleRNN, LSTM or GRU.")
        if attention not in ATTENTIONS:
            raise ConfigError(f'Attentive: attention is "{attention}". Allowed: {", ".join(ATTENTIONS)}.')
        hidden = layer.hidden_size
        if attention == "dot" and memory_size != hidden:
            raise ConfigError(
                f"Attentive: dot attention compares the state with the memory, but their sizes are {hidden} and "
                f"{memory_size}. Make them equal, or use general attention."
            )
        self.layer, self.attention, self.memory_size = layer, attention, memory_size
        self.input_size, self.hidden_size, self.output_size = layer.input_size, hidden, hidden
        self.weight_context = nn.Parameter(torch.empty(memory_size, layer.weight_hidden.shape[1]))
        compared = memory_size if attention == "general" else hidden
        self.weight_query = None if attention == "dot" else nn.Parameter(torch.empty(hidden, compared))
        self.key = Linear(memory_size, compared) if attention == "additive" else None
        self.score = nn.Parameter(torch.empty(compared)) if attention == "additive" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start the weights of attention again; those of the layer stay."""
        if self.weight_context.is_meta:
            return
        initialise_input(self.weight_context, self.layer.init, hidden=self.hidden_size)
        if self.weight_query is not None:
            nn.init.xavier_uniform_(self.weight_query)
        if self.score is not None:
            nn.init.uniform_(self.score, -(self.hidden_size**-0.5), self.hidden_size**-0.5)

    def source(self, memory: Float[Tensor, "B S M"], lengths: Lengths = None) -> Source:
        """`memory` ready to be attended to, up to `lengths`; made once for all steps.

        Raises ShapeError or LengthError.
        """
        check_input(memory, input_size=self.memory_size, like=self.weight_context, layer="Attentive.source")
        lengths = check_lengths(lengths, memory)
        memory = _without_padding(memory, lengths)
        keys = memory if self.key is None else _without_padding(self.key(memory), lengths)
        return Source(memory, keys, lengths)

    def forward(
        self, x: Steps, source: Source, lengths: Lengths = None, state: State | None = None
    ) -> tuple[Attended, State]:
        """Read `x`, (B, T, I) or Tokens, up to `lengths`, from `state` on, with `source` of as many rows.

        Returns outputs (B, T, H), contexts (B, T, M) and weights (B, T, S), and the state after each row's last step.
        Raises ShapeError or LengthError.
        """
        layer = self.layer
        check_input(x, input_size=self.input_size, like=layer.weight_input, layer="Attentive")
        steps = x.ids if isinstance(x, Tokens) else x
        batch = steps.shape[0]
        if source.memory.shape[0] != batch:
            raise ShapeError(f"Attentive: x has {batch} rows, but the source has {source.memory.shape[0]}.")
        start = layer.first(batch=batch) if state is None else layer._check_state(state, batch=batch)
        p = layer.parameters_of_cell(batch=batch)
        lengths = check_lengths(lengths, steps)
        return kernels.run_attending(layer.step(), p, self.parameters_of_attention(), x, source, lengths, start)

    def stream(self, vectors: Float[Tensor, "V I"] | None = None) -> "AttentiveStream":
        """What reads step by step, with all weights packed once: `stream.step(x, state, source)` with x (R, I).

        With `vectors` x are token ids (R,), each read as its own of them, which stay where they are. Raises
        ShapeError.
        """
        return AttentiveStream(self, vectors)

    def parameters_of_attention(self) -> AttentionParameters:
        """The weights of attention as the equation takes them."""
        return AttentionParameters(self.weight_context, self.weight_query, self.score)

    def extra_repr(self) -> str:
        return f"memory_size={self.memory_size}, attention={self.attention}"


class AttendedStep(NamedTuple):
    """What one step gives: `Attended` without its time axis."""

    outputs: Float[Tensor, "R H"]
    contexts: Float[Tensor, "R M"]
    weights: Float[Tensor, "R S"]


class AttentiveStream:
    """A layer with attention that reads one step of any rows at a time; `layer.stream()` makes it.

    It has the weights as they were when it was made. No gradient is recorded, and nothing is left to chance: no
    recurrent dropout. On the compiled core a step gives, to the bit, what it gives in the sequence read whole. One
    thread at a time may use it.
    """

    def __init__(self, layer: Attentive, vectors: Float[Tensor, "V I"] | None = None) -> None:
        self._layer, cell = layer, layer.layer
        self._like = layer.weight_context.detach().new_empty(0)
        if vectors is not None and (vectors.dim() != 2 or vectors.shape[1] != layer.input_size):
            raise ShapeError(
                f"Attentive.stream: vectors are {tuple(vectors.shape)}, but must be (V, {layer.input_size})."
            )
        self._vectors = None if vectors is None else _dense(vectors.detach(), self._like, "vectors")
        p = cell.parameters_of_cell(batch=0)  # of no rows: no number is drawn for dropout
        p = CellParameters._make(map(_detached, p))._replace(hidden_mask=None)
        a = AttentionParameters._make(map(_detached, layer.parameters_of_attention()))
        compared = layer.hidden_size if a.weight_query is None else a.weight_query.shape[1]
        nothing = Source(
            self._like.new_empty(0, 0, layer.memory_size),
            self._like.new_empty(0, 0, compared),
            torch.zeros(0, dtype=torch.int64, device=self._like.device),
        )
        first = cell.state_type(*(self._like.new_zeros(0, cell.hidden_size) for _ in cell.state_type._fields))
        x = self._like.new_empty(0, 1, layer.input_size)
        path = kernels.choose_attending(cell.step(), p, a, x, nothing, first)
        self._stepper = Stepper(cell.step(), p, a, vectors=self._vectors) if path.name == "fused_cpu" else None
        self._read = _by_equations(cell.step(), p, a) if self._stepper is None else self._stepper.read
        self._sizes, self._checked = (layer.memory_size, compared), nothing
        self._given: Source | None = None

    def step(
        self, x: Float[Tensor, "R I"] | Int[Tensor, " R"], state: State, source: Source
    ) -> tuple[AttendedStep, State]:
        """Read one step of R rows, `x` (R, I) or token ids (R,), from `state` on, with `source` of R rows.

        Others at each step. Returns outputs (R, H), contexts (R, M) and weights (R, S), and the state after the step,
        whose hidden path is the outputs. Raises ShapeError.
        """
        attended, after = self._read(*self.ready(x, state, source))
        return AttendedStep(*attended), after

    def speller(self, readout: Prepared | None, output: Prepared) -> Speller | None:
        """What gives the next token in one call of the core: this step, tanh of `readout` if there is one, `output`.

        It takes what `ready` gives. None where the core does not compute it all, or vectors are read instead of tokens.
        """
        return None if self._stepper is None else Speller.of(self._stepper, readout, output)

    def ready(
        self, x: Float[Tensor, "R I"] | Int[Tensor, " R"], state: State, source: Source
    ) -> tuple[Tensor, State, Source]:
        """What a step is given, as it reads it. Raises ShapeError."""
        if source is not self._given:  # checked once: a text has one source for all its steps
            self._checked, self._given = self._source(source), source
        rows, layer = self._checked.memory.shape[0], self._layer
        if self._vectors is None:
            x = self._rows(x, "x", (rows, layer.input_size))
        elif not _are_ids(x, rows, self._like.device):
            given = f"{x.dtype} {tuple(x.shape)} on {x.device}" if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(
                f"Attentive.stream: x is {given}, but must be int64 token ids, ({rows},): one for each row of the "
                f"source, in one piece on {self._like.device}."
            )
        elif self._stepper is None:  # else the core looks their vectors up
            x = torch.embedding(self._vectors, x)
        if not isinstance(state, layer.layer.state_type):
            layer.layer._check_state(state, batch=rows)
        size = (rows, layer.hidden_size)
        paths = [self._rows(path, f"state.{name}", size) for name, path in zip(state._fields, state, strict=True)]
        return x, type(state)(*paths), self._checked

    def _rows(self, x: Tensor, name: str, shape: tuple[int, int]) -> Tensor:
        """`x` as the core reads it, of this shape. Raises ShapeError."""
        if not isinstance(x, Tensor) or x.shape != shape:
            given = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(f"Attentive.stream: {name} is {given}, but must be {shape}: as many rows as the source.")
        return _dense(x, self._like, name)

    def _source(self, source: Source) -> Source:
        memory, keys, lengths = source
        rows = memory.shape[:2]
        sizes = tuple(part.shape[-1] for part in (memory, keys))
        if memory.dim() != 3 or sizes != self._sizes or keys.shape[:2] != rows or lengths.shape != rows[:1]:
            raise ShapeError(
                f"Attentive.stream: the source has memory {tuple(memory.shape)}, keys {tuple(keys.shape)} and lengths "
                f"{tuple(lengths.shape)}, which is not what this layer attends to. Make it with layer.source(memory)."
            )
        memory, keys = (_dense(part, self._like, "source") for part in (memory, keys))
        return Source(memory, keys, lengths.long())


def _by_equations(step: Step, p: CellParameters, a: AttentionParameters) -> Reader:
    """One step by the cell's own equations, with the weights as they are now."""
    p = CellParameters._make(None if part is None else part.clone() for part in p)
    a = AttentionParameters._make(None if part is None else part.clone() for part in a)

    def read(x: Tensor, state: State, source: Source) -> tuple[Attended, State]:
        lengths = torch.ones(x.shape[0], dtype=torch.int64, device=x.device)
        with torch.no_grad():
            attended, after = kernels.run_attending(step, p, a, x[:, None], source, lengths, state)
        return Attended(*(part[:, 0] for part in attended)), after

    return read


def _without_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` with zeros behind the end of each row, which may hold anything."""
    return x.masked_fill(~valid_steps(lengths, x.shape[1])[..., None], 0) if has_padding(lengths, x.shape[1]) else x


def _detached(part: Tensor | None) -> Tensor | None:
    return None if part is None else part.detach()


def _are_ids(x: object, rows: int, device: torch.device) -> bool:
    """Whether `x` are token ids as the core reads them: by their address, so that it must be one of this device."""
    if not isinstance(x, Tensor) or x.shape != (rows,) or x.dtype is not torch.int64:
        return False
    return x.is_contiguous() and x.device == device


def _dense(x: Tensor, like: Tensor, name: str) -> Tensor:
    """`x` in memory as the core reads it. Raises ShapeError where it is not like the weights."""
    if type(x) is Tensor and x.dtype is like.dtype and x.is_contiguous() and not x.is_neg() and x.device == like.device:
        return x
    check_like(x, like, name=f"Attentive.stream: {name}")
    return x.detach().to_dense().resolve_neg().to(like.dtype).contiguous()
