"""Language model: a text read token by token, and at each step what comes next. One to many from the start of a text.

ids -> vectors -> recurrent stack, its state carried from window to window -> (projection) -> softmax. Input and target
are one text: the target is the input shifted by one.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.kernels import real_rows
from seqloom.models.parts import PLAIN_LOSS, LossOptions, embedding, read_tokens, stack
from seqloom.nn import AdaptiveSoftmax, Dropout, Linear, SequenceDropout, token_losses, vocabulary_loss
from seqloom.nn.stream import Precision
from seqloom.shapes import Batch, Float, Int, StackState, Tokens, valid_steps


class LanguageModel(nn.Module):
    """Reads a text one way and tells at each step how likely every token is to come next."""

    def __init__(self, settings: ModelSettings, *, vocabulary_size: int) -> None:
        super().__init__()
        self.word_dropout = settings.word_dropout
        self.variational, self.tied = settings.variational_dropout, settings.tied_embeddings
        self.embedding, size = embedding(settings, vocabulary_size, padding=False)
        self.recurrent = stack(settings.model_copy(update={"bidirectional": False}), input_size=size)
        self.dropout = SequenceDropout(settings.dropout) if self.variational else Dropout(settings.dropout)
        hidden = self.recurrent.output_size
        self.projection = Linear(hidden, size, bias=False) if self.tied and hidden != size else None
        read = size if self.tied else hidden
        adaptive = settings.softmax == "adaptive"
        self.output: Linear | AdaptiveSoftmax = (
            AdaptiveSoftmax(read, vocabulary_size) if adaptive else Linear(read, vocabulary_size)
        )
        self.tie()

    def tie(self) -> None:
        """Share the vectors of the tokens with the softmax, where that was asked for (Press & Wolf 2017)."""
        if self.tied:
            assert isinstance(self.embedding, nn.Embedding) and isinstance(self.output, Linear)
            self.output.weight = self.embedding.weight

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of token ids."""
        return (self.embedding,)

    def forward(self, batch: Batch, state: StackState | None = None) -> tuple[Float[Tensor, "B T F"], StackState]:
        """What the softmax reads after each token of `batch`, zeros before it is projected at padding; the last state.

        Read from `state` on, or from the first state where that is None.
        """
        outputs, last = self.recurrent(self._vectors(batch), batch.lengths, state)
        features: Tensor = self.dropout(outputs)
        return (features if self.projection is None else self.projection(features)), last

    def window_loss(
        self, batch: Batch, targets: Int[Tensor, "B T"], state: StackState | None, options: LossOptions = PLAIN_LOSS
    ) -> tuple[Float[Tensor, ""], StackState]:
        """The mean cross entropy of `targets` after each token of `batch`, and the state to carry on, no gradient."""
        features, last = self(batch, state)
        read, wanted = real_rows(features, batch.lengths), targets[valid_steps(batch.lengths, targets.shape[1])]
        if isinstance(self.output, AdaptiveSoftmax):
            loss = self.output.mean_loss(read, wanted)
        else:
            weight, bias = self.output.weight, self.output.bias
            loss = vocabulary_loss(read, weight, bias, wanted, label_smoothing=options.label_smoothing)
        return loss, detached(last)

    @torch.no_grad()
    def losses(self, features: Float[Tensor, "N F"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """-ln p of each target after what the softmax reads of it; a row's does not depend on the others."""
        if isinstance(self.output, AdaptiveSoftmax):
            return -self.output.log_likelihoods(features, targets)
        return token_losses(features, self.output.weight, self.output.bias, targets)

    @torch.no_grad()
    def log_probabilities(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N V"]:
        """The log-probability of every token to come next."""
        if isinstance(self.output, AdaptiveSoftmax):
            return self.output.log_prob(features)
        logits: Tensor = self.output(features)
        return logits.log_softmax(dim=-1)

    def _vectors(self, batch: Batch) -> Tokens | Float[Tensor, "B T I"]:
        if self.variational:
            plain = read_tokens(self.embedding, batch, dropout=Dropout(0.0), word_dropout=self.word_dropout)
            spelled_out: Tensor = self.dropout(plain.spelled_out())
            return spelled_out
        return read_tokens(self.embedding, batch, dropout=self.dropout, word_dropout=self.word_dropout)


def detached(state: StackState) -> StackState:
    """The same numbers, from which no gradient goes back."""
    return StackState(tuple(type(each)(*(path.detach() for path in each)) for each in state.layers))  # type: ignore[arg-type, union-attr]


class Going(NamedTuple):
    """Texts in the middle of being written, R of them: the token of each to be read first, and all states."""

    first: Int[Tensor, " R"] | None
    states: StackState


class LanguageWriter:
    """Goes on with texts whose beginnings were read: `models.decoding` asks it for one step after the other.

    `batch` are the beginnings, of one token at least. Tokens in `barred` are never written. With `weights="int8"` a
    full softmax is read in 8 bits, on the compiled core and not to the bit. No gradient is recorded. Raises
    ConfigError.
    """

    def __init__(
        self, model: LanguageModel, batch: Batch, *, barred: Collection[int] = (), weights: Precision = "float32"
    ) -> None:
        self._model, self._barred = model, list(barred)
        self._softmax = model.output.prepared(weights=weights) if isinstance(model.output, Linear) else None
        # The last token of each is read by the first step, in place of the start that all texts have there.
        last = batch.values.gather(1, batch.lengths[:, None] - 1).squeeze(1)
        _, states = model(Batch(batch.values, batch.lengths - 1))
        self.start = Going(last, states)

    def step(self, tokens: Int[Tensor, " R"], state: Going) -> tuple[Float[Tensor, "R V"], None, Going]:
        """Read one token a row: the log-probabilities of the next, no attention, and the states after."""
        device = state.states.layers[0][0].device  # type: ignore[union-attr]
        read = tokens.to(device) if state.first is None else state.first
        features, states = self._model(Batch(read[:, None], torch.ones_like(read)), state.states)
        softmax = self._model.log_probabilities if self._softmax is None else self._softmax
        logs = softmax(features[:, 0])
        if self._barred:
            logs[:, self._barred] = -torch.inf
        return logs.log_softmax(dim=-1), None, Going(None, states)

    def select(self, state: Going, rows: Int[Tensor, " R"]) -> Going:
        """These rows of all states."""
        chosen = rows.to(state.states.layers[0][0].device)  # type: ignore[union-attr]
        kept = (type(each)(*(path.index_select(0, chosen) for path in each)) for each in state.states.layers)  # type: ignore[union-attr, arg-type]
        first = None if state.first is None else state.first.index_select(0, chosen)
        return Going(first, StackState(tuple(kept)))
