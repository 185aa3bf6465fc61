"""Sequence to sequence: an encoder reads the source, a decoder writes the target, each token fed back in.

ids -> vectors -> (bi)recurrent encoder -> its last states, through a bridge -> decoder, attending to every step of the
encoder, as text_decoder.py has it.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.models.parts import embedding, read_tokens, stack
from seqloom.models.text_decoder import Encoded, TextDecoder
from seqloom.nn import Attentive, Linear
from seqloom.nn.stream import Precision
from seqloom.shapes import (
    Batch,
    BidirectionalState,
    Float,
    Int,
    LSTMState,
    Source,
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


class Writing(NamedTuple):
    """Texts in the middle of being written, R of them: which row of the source each has, that source, all states."""

    rows: Int[Tensor, " R"]
    source: Source | None
    states: tuple[State, ...]


class TextWriter:
    """Writes the target of a batch token by token: `models.decoding` asks it for one step after the other.

    The weights are prepared once, as they are when it is made; with `weights="int8"` those of readout and softmax in 8
    bits, on the compiled core and not to the bit. No gradient is recorded. Raises ConfigError.
    """

    def __init__(self, model: TextDecoder, batch: Batch, *, weights: Precision = "float32") -> None:
        self._model = model
        self._encoded = model.encode(batch)
        self._lowest = model.decoder.stream() if isinstance(model.decoder, Attentive) else None
        self._readout = None if model.readout is None else model.readout.prepared(weights=weights)
        self._output = model.output.prepared(weights=weights)
        table = model.target_embedding
        self._vectors = partial(torch.embedding, table.weight.detach()) if type(table) is nn.Embedding else table
        rows = torch.arange(len(batch.lengths), device=batch.lengths.device)
        self.start = Writing(rows, *self._encoded)

    def step(
        self, tokens: Int[Tensor, " R"], state: Writing
    ) -> tuple[Float[Tensor, "R V"], Float[Tensor, "R S"] | None, Writing]:
        """Read one token a row: the log-probabilities of the next, the weights of attention, and the states after."""
        model = self._model
        vectors = self._vectors(tokens.to(state.rows.device)[None])[0]
        context: Tensor | None = None
        weights: Tensor | None = None
        if self._lowest is None:
            outputs, first = model.decoder(vectors[:, None], None, state.states[0])
            outputs = outputs[:, 0]
        else:
            assert state.source is not None
            (outputs, context, weights), first = self._lowest.step(vectors, state.states[0], state.source)
        above: tuple[State, ...] = ()
        if len(model.upper):
            outputs, above = model.read_above(outputs[:, None], state.states[1:], None)
            outputs = outputs[:, 0]
        features = outputs if context is None else torch.cat([outputs, context], dim=-1)
        if self._readout is not None:
            features = torch.tanh(self._readout(features))
        return self._output(features).log_softmax(dim=-1), weights, state._replace(states=(first, *above))

    def select(self, state: Writing, rows: Int[Tensor, " R"]) -> Writing:
        """These rows of all of `state`; the source is gathered anew only where the sentences are others."""
        chosen = rows.to(state.rows.device)
        own, source = state.rows[chosen], state.source
        if self._encoded.source is not None and not torch.equal(own, state.rows):
            source = self._encoded.source.rows(own)
        states = (type(each)(*(path.index_select(0, chosen) for path in each)) for each in state.states)
        return Writing(own, source, tuple(states))


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
