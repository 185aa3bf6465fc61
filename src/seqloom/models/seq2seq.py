"""Sequence to sequence: an encoder reads the source, a decoder writes the target, each token fed back in.

ids -> vectors -> (bi)recurrent encoder -> its last states, through a bridge -> decoder, attending to every step of the
encoder, as text_decoder.py has it.
"""

import torch
from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.models.parts import embedding, read_tokens, stack
from seqloom.models.text_decoder import Encoded, TextDecoder
from seqloom.nn import Linear
from seqloom.shapes import (
    Batch,
    BidirectionalState,
    LSTMState,
    StackState,
    State,
    reverse_within,
)


class Seq2Seq(TextDecoder):
    """Reads a sequence of token ids and writes another.

    With `joint` both sides have one vocabulary and one table of vectors. Without attention all that the decoder knows
    of the source is the encoder's last state (Sutskever et al. 2014).
    """

    def __init__(self, settings: ModelSettings, *, vocabulary_size: int, target_size: int, joint: bool = False) -> None:
        super().__init__(settings)
        self.reverse_source = settings.reverse_source
        self.embedding, size = embedding(settings, vocabulary_size, padding=False)
        self.target_embedding, target_vector = (
            (self.embedding, size) if joint else embedding(settings, target_size, padding=False)
        )
        self.encoder = stack(settings, input_size=size)
        self.bridge = _bridge(settings) if settings.bidirectional else None
        memory_size = self.encoder.output_size
        self.add_decoder(settings, vector_size=target_vector, memory_size=memory_size, target_size=target_size)

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of token ids, of both sides."""
        return (self.embedding, self.target_embedding)

    def encode(self, batch: Batch) -> Encoded:
        """Read the source."""
        if self.reverse_source:
            batch = batch._replace(values=reverse_within(batch.values, batch.lengths))
        read = read_tokens(self.embedding, batch, dropout=self.dropout, word_dropout=self.word_dropout)
        outputs, state = self.encoder(read, batch.lengths)
        if self.reverse_source:
            outputs = reverse_within(outputs, batch.lengths)  # each output at the token that it has just read
        return Encoded(self.source(outputs, batch.lengths), self._first_states(state))

    def _first_states(self, state: StackState) -> tuple[State, ...]:
        """The decoder's first states: those the encoder's layers ended in, both directions through the bridge."""
        if self.bridge is None:
            return state.layers  # type: ignore[return-value]  # of layers that read one way
        return tuple(bridge(last) for bridge, last in zip(self.bridge, state.layers, strict=True))


class Bridge(nn.Module):
    """The last states of both directions to one first state: tanh of a layer for the output, a layer for the memory."""

    def __init__(self, size: int, *, cell: bool) -> None:
        super().__init__()
        self.hidden = Linear(2 * size, size)
        self.cell = Linear(2 * size, size) if cell else None

    def forward(self, state: BidirectionalState) -> State:
        ahead, back = state
        hidden: Tensor = torch.tanh(self.hidden(torch.cat([ahead.hidden, back.hidden], dim=-1)))
        if self.cell is None:
            return type(ahead)(hidden)  # type: ignore[call-arg]
        assert isinstance(ahead, LSTMState) and isinstance(back, LSTMState)
        return LSTMState(hidden, self.cell(torch.cat([ahead.cell, back.cell], dim=-1)))


def _bridge(settings: ModelSettings) -> nn.ModuleList:
    return nn.ModuleList(Bridge(settings.hidden_size, cell=settings.cell == "lstm") for _ in range(settings.num_layers))
