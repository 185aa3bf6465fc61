"""Sequence to sequence: an encoder reads the source, a decoder writes the target, each token fed back in.

ids -> vectors -> (bi)recurrent encoder -> its last states, through a bridge -> decoder, attending to every step of the
encoder -> readout -> softmax. Token 0 is what the decoder reads first, and what it writes when the text is over.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.models.parts import PLAIN_LOSS, LossOptions, embedding, layer, read_tokens, stack
from seqloom.nn import Attentive, Linear, Recurrent, token_losses, vocabulary_loss
from seqloom.nn.stream import Precision
from seqloom.shapes import (
    Attended,
    Batch,
    BidirectionalState,
    Float,
    Int,
    LSTMState,
    Source,
    StackState,
    State,
    Tokens,
    reverse_within,
    valid_steps,
)

START = END = 0


class Encoded(NamedTuple):
    """What the decoder goes on from: the source to attend to (None without attention), and its own first states."""

    source: Source | None
    states: tuple[State, ...]


class Decoded(NamedTuple):
    """What the decoder made of what it read: its top layer's outputs, and where it attends, contexts and weights."""

    outputs: Float[Tensor, "B T H"]
    attended: Attended | None
    states: tuple[State, ...]


class Seq2Seq(nn.Module):
    """Reads a sequence of token ids and writes another.

    With `joint` both sides have one vocabulary and one table of vectors. Without attention all that the decoder knows
    of the source is the encoder's last state (Sutskever et al. 2014).
    """

    def __init__(self, settings: ModelSettings, *, vocabulary_size: int, target_size: int, joint: bool = False) -> None:
        super().__init__()
        self.word_dropout, self.residual = settings.word_dropout, settings.residual
        self.reverse_source, self.tied = settings.reverse_source, settings.tied_embeddings
        self.embedding, size = embedding(settings, vocabulary_size, padding=False)
        self.target_embedding, target_vector = (
            (self.embedding, size) if joint else embedding(settings, target_size, padding=False)
        )
        self.encoder = stack(settings, input_size=size)
        self.bridge = _bridge(settings) if settings.bidirectional else None
        # A decoder begins where the encoder ended: no first state of its own.
        writes = settings.model_copy(update={"initial_state": "zeros"})
        lowest = layer(writes, input_size=target_vector)
        memory = self.encoder.output_size
        self.attention = None if settings.attention == "none" else settings.attention
        self.decoder: Attentive | Recurrent = (
            lowest if settings.attention == "none" else Attentive(lowest, memory, attention=settings.attention)
        )
        self.upper = nn.ModuleList(
            layer(writes, input_size=settings.hidden_size) for _ in range(settings.num_layers - 1)
        )
        self.dropout = nn.Dropout(settings.dropout)
        read = settings.hidden_size + (0 if self.attention is None else memory)
        self.readout = Linear(read, target_vector) if settings.readout == "tanh" else None
        self.output = Linear(target_vector if self.readout is not None else read, target_size)
        self.tie()

    def tie(self) -> None:
        """Share the vectors of the target's tokens with the softmax, where that was asked for."""
        if self.tied:
            assert isinstance(self.target_embedding, nn.Embedding)
            self.output.weight = self.target_embedding.weight

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of token ids, of both sides."""
        return (self.embedding, self.target_embedding)

    def forward(self, batch: Batch, targets: Batch) -> Float[Tensor, "N V"]:
        """The logits of each token of `targets` and of the end of each, (N, V), row after row."""
        logits: Tensor = self.output(self.features(batch, targets))
        return logits

    def batch_loss(self, batch: Batch, targets: Batch, options: LossOptions = PLAIN_LOSS) -> Float[Tensor, ""]:
        """The mean cross entropy of the tokens of `targets` and of the end of each, given those before them."""
        read = self._mixed(batch, targets, options.own_tokens) if options.own_tokens else targets
        features = self.features(batch, read)
        weight, bias = self.output.weight, self.output.bias
        return vocabulary_loss(features, weight, bias, wanted(targets), label_smoothing=options.label_smoothing)

    def log_likelihood(self, batch: Batch, targets: Batch) -> Float[Tensor, " B"]:
        """The log-probability of each whole target, its end included."""
        losses = token_losses(self.features(batch, targets), self.output.weight, self.output.bias, wanted(targets))
        rows = torch.repeat_interleave(torch.arange(len(targets.lengths), device=losses.device), targets.lengths + 1)
        return -torch.zeros(len(targets.lengths), device=losses.device).index_add_(0, rows, losses)

    def features(self, batch: Batch, targets: Batch) -> Float[Tensor, "N F"]:
        """What the softmax reads before each token of `targets` and before the end of each, (N, F), row after row."""
        decoded = self.trace(batch, targets)
        real = valid_steps(targets.lengths + 1, targets.values.shape[1] + 1)
        return self.read_out(
            decoded.outputs[real], None if decoded.attended is None else decoded.attended.contexts[real]
        )

    def trace(self, batch: Batch, targets: Batch) -> Decoded:
        """The decoder step by step while it reads `targets`, T + 1 steps: states, contexts, weights of attention."""
        starts = torch.full((len(targets.values), 1), START, device=targets.values.device)
        shifted = Batch(torch.cat([starts, targets.values], dim=1), targets.lengths + 1)
        read = read_tokens(self.target_embedding, shifted, dropout=self.dropout, word_dropout=self.word_dropout)
        return self.decode(read, self.encode(batch), shifted.lengths)

    def encode(self, batch: Batch) -> Encoded:
        """Read the source."""
        if self.reverse_source:
            batch = batch._replace(values=reverse_within(batch.values, batch.lengths))
        read = read_tokens(self.embedding, batch, dropout=self.dropout, word_dropout=self.word_dropout)
        outputs, state = self.encoder(read, batch.lengths)
        if self.reverse_source:
            outputs = reverse_within(outputs, batch.lengths)  # each output at the token that it has just read
        source = (
            self.decoder.source(self.dropout(outputs), batch.lengths) if isinstance(self.decoder, Attentive) else None
        )
        return Encoded(source, self._first_states(state))

    def decode(
        self, x: Tokens | Float[Tensor, "B T I"], encoded: Encoded, lengths: Int[Tensor, " B"] | None
    ) -> Decoded:
        """Read the target's vectors from the states of `encoded` on."""
        if isinstance(self.decoder, Attentive):
            assert encoded.source is not None
            attended, state = self.decoder(x, encoded.source, lengths, encoded.states[0])
            outputs = attended.outputs
        else:
            attended = None
            outputs, state = self.decoder(x, lengths, encoded.states[0])
        outputs, states = self.read_above(outputs, encoded.states[1:], lengths)
        return Decoded(outputs, attended, (state, *states))

    def read_above(
        self, outputs: Float[Tensor, "B T H"], states: Sequence[State], lengths: Int[Tensor, " B"] | None
    ) -> tuple[Float[Tensor, "B T H"], tuple[State, ...]]:
        """The outputs and last states of the decoder's layers above the lowest, which has these outputs."""
        after: list[State] = []
        for above, first in zip(self.upper, states, strict=True):
            below = outputs
            outputs, state = above(self.dropout(below), lengths, first)
            outputs = outputs + below if self.residual else outputs
            after.append(state)
        return outputs, tuple(after)

    def read_out(self, outputs: Float[Tensor, "N H"], contexts: Float[Tensor, "N M"] | None) -> Float[Tensor, "N F"]:
        """What the softmax reads of a state and the context that went into it."""
        read: Tensor = self.dropout(outputs if contexts is None else torch.cat([outputs, contexts], dim=-1))
        return read if self.readout is None else self.dropout(torch.tanh(self.readout(read)))

    def _first_states(self, state: StackState) -> tuple[State, ...]:
        """The decoder's first states: those the encoder's layers ended in, both directions through the bridge."""
        if self.bridge is None:
            return state.layers  # type: ignore[return-value]  # of layers that read one way
        return tuple(bridge(last) for bridge, last in zip(self.bridge, state.layers, strict=True))

    @torch.no_grad()
    def _mixed(self, batch: Batch, targets: Batch, own: float) -> Batch:
        """`targets` with a share `own` of the tokens replaced by what the model would have written in their place.

        Scheduled sampling (Bengio et al. 2015) in two passes over all steps at once (Mihaylova & Martins 2019).
        """
        best = self(batch, targets).argmax(dim=-1)
        real = valid_steps(targets.lengths + 1, targets.values.shape[1] + 1)
        written = torch.zeros_like(real, dtype=torch.int64).masked_scatter_(real, best)[:, :-1]
        replaced = torch.rand(written.shape, device=written.device) < own
        return targets._replace(values=torch.where(replaced & (written != END), written, targets.values))


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

    def __init__(self, model: Seq2Seq, batch: Batch, *, weights: Precision = "float32") -> None:
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


def wanted(targets: Batch) -> Int[Tensor, " N"]:
    """The tokens of each row and its end, row after row."""
    ends = torch.full((len(targets.values), 1), END, device=targets.values.device)
    values = torch.cat([targets.values, ends], dim=1)
    steps = torch.arange(values.shape[1], device=values.device)
    values = values.masked_fill(steps == targets.lengths[:, None], END)
    return values[valid_steps(targets.lengths + 1, values.shape[1])]


def _bridge(settings: ModelSettings) -> nn.ModuleList:
    return nn.ModuleList(Bridge(settings.hidden_size, cell=settings.cell == "lstm") for _ in range(settings.num_layers))
