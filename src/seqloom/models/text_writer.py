"""Writes with a decoder, one token of many texts at a time: what `models.decoding` asks for step after step."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqloom.kernels.packing import Unchanging
from seqloom.models.text_decoder import TextDecoder
from seqloom.models.writer import END, START, Followed
from seqloom.nn import Attentive
from seqloom.nn.stream import Precision
from seqloom.shapes import Batch, Float, Int, Source, State


class Writing(NamedTuple):
    """Texts in the middle of being written, R of them: which row of what was read each has, that row, all states."""

    read: Source | None
    rows: Int[Tensor, " R"]
    source: Source | None
    states: tuple[State, ...]


class TextWriter:
    """Writes the targets of batches token by token: `begin` reads one, then comes one `step` after the other.

    Weights are prepared once, those of the encoder at the first batch, and must stay as they are; with
    `weights="int8"` those of readout and softmax in 8 bits, on the compiled core and not to the bit. No gradient is
    recorded. Raises ConfigError.
    """

    def __init__(self, model: TextDecoder, *, weights: Precision = "float32") -> None:
        self._model, self._weights = model, Unchanging(model.parameters())
        table = model.target_embedding
        vectors = table.weight if type(table) is nn.Embedding else None
        self._lowest = model.decoder.stream(vectors) if isinstance(model.decoder, Attentive) else None
        self._looked_up = self._lowest is not None and vectors is not None  # by the decoder itself
        self._readout = None if model.readout is None else model.readout.prepared(weights=weights)
        self._output = model.output.prepared(weights=weights)
        self._above = len(model.upper) > 0
        # Of one layer that reads tokens the core does the whole step.
        alone = None if self._above else self._lowest
        self._speller = None if alone is None else alone.speller(self._readout, self._output)

    @torch.no_grad()
    def begin(self, batch: Batch) -> Writing:
        """Read a batch: one text a row, of which nothing is written yet."""
        with self._weights.promise():
            encoded = self._model.encode(batch)
        rows = torch.arange(len(batch.lengths), device=batch.lengths.device)
        return Writing(encoded.source, rows, *encoded)

    def step(
        self, tokens: Int[Tensor, " R"], state: Writing
    ) -> tuple[Float[Tensor, "R V"], Float[Tensor, "R S"] | None, Writing]:
        """Read one token a row: the log-probabilities of the next, the weights of attention, and the states after."""
        if self._speller is not None:
            given, shares, first = self._speller.spell(*self._ready(tokens, state))
            return given, shares, state._replace(states=(first,))
        read = tokens if state.rows.is_cpu else tokens.to(state.rows.device)
        if not self._looked_up:
            read = self._model.target_embedding(read[None])[0]
        context: Tensor | None = None
        weights: Tensor | None = None
        if self._lowest is None:
            outputs, first = self._model.decoder(read[:, None], None, state.states[0])
            outputs = outputs[:, 0]
        else:
            assert state.source is not None
            (outputs, context, weights), first = self._lowest.step(read, state.states[0], state.source)
        states: tuple[State, ...] = (first,)
        if self._above:
            outputs, above = self._model.read_above(outputs[:, None], state.states[1:], None)
            outputs, states = outputs[:, 0], (first, *above)
        features = outputs if context is None else torch.cat([outputs, context], dim=-1)
        if self._readout is not None:
            features = torch.tanh(self._readout(features))
        logits = self._output(features)
        return logits.log_softmax(dim=-1), weights, Writing(state.read, state.rows, state.source, states)

    def ahead(
        self, tokens: Int[Tensor, " R"], state: Writing, most: int
    ) -> tuple[Tensor, Tensor, Tensor, Writing] | None:
        """As `writer.AheadWriter` has it."""
        if self._speller is None:
            return None
        chosen, scores, weights, after = self._speller.go_on(*self._ready(tokens, state), most=most, end=END)
        return chosen, scores, weights, state._replace(states=(after,))

    def follow(self, state: Writing, width: int, most: int) -> Followed[Writing] | None:
        """As `writer.AheadWriter` has it."""
        if self._speller is None or len(state.rows) != 1:
            return None
        taken = self._speller.follow(*self._ready(torch.tensor([START]), state), width=width, most=most, end=END)
        if taken is None:
            return None
        before, tokens, weights, scores, greedy, after = taken
        rows = state.rows.expand(len(scores)).contiguous()
        assert state.read is not None
        last = Writing(state.read, rows, state.read.rows(rows), (after,))
        return Followed(before, tokens, weights, scores, greedy, last)

    def _ready(self, tokens: Int[Tensor, " R"], state: Writing) -> tuple[Tensor, State, Source]:
        assert self._lowest is not None and state.source is not None
        return self._lowest.ready(tokens, state.states[0], state.source)

    def select(self, state: Writing, rows: Int[Tensor, " R"]) -> Writing:
        """These rows of all of `state`; the source is gathered anew only where the sentences are others."""
        chosen = rows.to(state.rows.device)
        own, source = state.rows[chosen], state.source
        if state.read is not None and not torch.equal(own, state.rows):
            source = state.read.rows(own)
        states = (type(each)(*(path.index_select(0, chosen) for path in each)) for each in state.states)
        return Writing(state.read, own, source, tuple(states))
