"""What writes a text, given what was read: a decoder that attends to the steps of an encoder, whatever that reads.

first states -> decoder, attending to every step of the encoder -> readout -> softmax. Token 0 is what the decoder reads
first, and what it writes when the text is over.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.kernels import real_rows
from seqloom.models.parts import PLAIN_LOSS, LossOptions, layer, read_tokens
from seqloom.nn import Attentive, Dropout, Linear, Recurrent, token_losses, vocabulary_loss
from seqloom.shapes import Attended, Batch, Float, Int, Source, State, Tokens, valid_steps

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


class TextDecoder(nn.Module):
    """The half of a model that writes: what reads is its subclass's, which gives `encode` and `target_embedding`.

    A subclass adds the decoder with `add_decoder` when it has made what reads.
    """

    target_embedding: nn.Module

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.word_dropout, self.residual = settings.word_dropout, settings.residual
        self.tied = settings.tied_embeddings

    def add_decoder(self, settings: ModelSettings, *, vector_size: int, memory_size: int, target_size: int) -> None:
        """Make what writes `target_size` tokens, of vectors so long, and attends to steps of `memory_size` values."""
        # A decoder begins where the encoder ended: no first state of its own.
        writes = settings.model_copy(update={"initial_state": "zeros"})
        lowest = layer(writes, input_size=vector_size)
        self.attention = None if settings.attention == "none" else settings.attention
        self.decoder: Attentive | Recurrent = (
            lowest if settings.attention == "none" else Attentive(lowest, memory_size, attention=settings.attention)
        )
        self.upper = nn.ModuleList(
            layer(writes, input_size=settings.hidden_size) for _ in range(settings.num_layers - 1)
        )
        self.dropout = Dropout(settings.dropout)
        read = settings.hidden_size + (0 if self.attention is None else memory_size)
        self.readout = Linear(read, vector_size) if settings.readout == "tanh" else None
        self.output = Linear(vector_size if self.readout is not None else read, target_size)
        self.tie()

    def tie(self) -> None:
        """Share the vectors of the target's tokens with the softmax, where that was asked for."""
        if self.tied:
            assert isinstance(self.target_embedding, nn.Embedding)
            self.output.weight = self.target_embedding.weight

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
        real = partial(real_rows, lengths=targets.lengths + 1)
        return self.read_out(
            real(decoded.outputs), None if decoded.attended is None else real(decoded.attended.contexts)
        )

    def trace(self, batch: Batch, targets: Batch) -> Decoded:
        """The decoder step by step while it reads `targets`, T + 1 steps: states, contexts, weights of attention."""
        starts = torch.full((len(targets.values), 1), START, device=targets.values.device)
        shifted = Batch(torch.cat([starts, targets.values], dim=1), targets.lengths + 1)
        read = read_tokens(self.target_embedding, shifted, dropout=self.dropout, word_dropout=self.word_dropout)
        return self.decode(read, self.encode(batch), shifted.lengths)

    def encode(self, batch: Batch) -> Encoded:
        """Read what is to be answered."""
        raise NotImplementedError

    def source(self, memory: Float[Tensor, "B S M"], lengths: Int[Tensor, " B"]) -> Source | None:
        """What the decoder attends to, of the steps that were read; None without attention."""
        return self.decoder.source(self.dropout(memory), lengths) if isinstance(self.decoder, Attentive) else None

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


def wanted(targets: Batch) -> Int[Tensor, " N"]:
    """The tokens of each row and its end, row after row."""
    ends = torch.full((len(targets.values), 1), END, device=targets.values.device)
    values = torch.cat([targets.values, ends], dim=1)
    steps = torch.arange(values.shape[1], device=values.device)
    values = values.masked_fill(steps == targets.lengths[:, None], END)
    return values[valid_steps(targets.lengths + 1, values.shape[1])]
