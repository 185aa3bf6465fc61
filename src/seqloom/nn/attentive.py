"""A recurrent layer with attention: at every step it asks a memory what matters now, and reads the answer too."""

from typing import Literal

import torch
from torch import Tensor, nn

from seqloom import kernels
from seqloom.cells import AttentionParameters
from seqloom.errors import ConfigError, ShapeError
from seqloom.nn.initialise import initialise_input
from seqloom.nn.linear import Linear
from seqloom.nn.recurrent import Lengths, Recurrent, Steps
from seqloom.shapes import Attended, Float, Source, State, Tokens, check_input, check_lengths, valid_steps

Attention = Literal["additive", "general", "dot"]
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
        """`memory` ready to be attended to, up to `lengths`; made once for all steps. Raises ShapeError, LengthError."""
        check_input(memory, input_size=self.memory_size, like=self.weight_context, layer="Attentive.source")
        lengths = check_lengths(lengths, memory)
        padding = ~valid_steps(lengths, memory.shape[1])[..., None]
        memory = memory.masked_fill(padding, 0)
        keys = memory if self.key is None else self.key(memory).masked_fill(padding, 0)
        return Source(memory=memory, keys=keys, lengths=lengths)

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

    def parameters_of_attention(self) -> AttentionParameters:
        """The weights of attention as the equation takes them."""
        return AttentionParameters(self.weight_context, self.weight_query, self.score)

    def extra_repr(self) -> str:
        return f"memory_size={self.memory_size}, attention={self.attention}"
