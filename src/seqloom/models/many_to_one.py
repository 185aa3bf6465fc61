"""Many to one: a whole sequence in, one answer out. Classes, several labels at once, or a number.

ids -> vectors -> (bi)recurrent stack -> pooling -> head -> logits -> loss or answer
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.config import ModelSettings
from seqloom.nn import (
    GRU,
    LSTM,
    AttentionPool,
    Bidirectional,
    Linear,
    OneHot,
    Recurrent,
    SimpleRNN,
    Stack,
    last_pool,
    max_pool,
    mean_pool,
)
from seqloom.shapes import Batch, Float, Int, Tokens, valid_steps
from seqloom.text import PADDING, UNKNOWN

Problem = Literal["binary", "multiclass", "multilabel", "squared"]


class LossOptions(NamedTuple):
    """What weighs on the loss: a weight a class (classes,), and the share of a target given to the other classes."""

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0


PLAIN_LOSS = LossOptions()


class ManyToOne(nn.Module):
    """Reads a sequence of token ids and answers once.

    `problem` decides the loss and the meaning of the logits (B, outputs): binary has one, the log odds of the second
    class; multiclass one a class; multilabel one log odds a label; squared one number, in units of the target's spread.
    """

    def __init__(self, settings: ModelSettings, *, vocabulary_size: int, outputs: int, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.word_dropout = settings.word_dropout
        self.embedding, size = _embedding(settings, vocabulary_size)
        self.recurrent = _stack(settings, input_size=size)
        self.pooling, self.bidirectional = settings.pooling, settings.bidirectional
        self.attention = AttentionPool(self.recurrent.output_size) if settings.pooling == "attention" else None
        self.dropout = nn.Dropout(settings.dropout)
        self.head = Linear(self.recurrent.output_size, 1 if problem in ("binary", "squared") else outputs)

    def forward(self, batch: Batch) -> Float[Tensor, "B outputs"]:
        """The logits of each row, (B, outputs)."""
        outputs, _ = self.recurrent(self.embed(batch), batch.lengths)
        logits: Tensor = self.head(self.dropout(self._pool(outputs, batch.lengths)))
        return logits

    def embed(self, batch: Batch) -> Tokens:
        """One vector a different token, with word and vector dropout while training.

        Dropout takes the same numbers from a word wherever it stands in the batch (after Gal & Ghahramani 2016).
        """
        real = valid_steps(batch.lengths, batch.values.shape[1])
        ids = torch.where(real, batch.values, PADDING)
        if self.training and self.word_dropout:
            unread = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            ids = torch.where(unread & real, UNKNOWN, ids)
        different, places = torch.unique(ids, return_inverse=True)
        # A batch of one row: what embeds ids takes (B, T) of them.
        vectors: Tensor = self.dropout(self.embedding(different[None]).to(self.head.weight.dtype))
        return Tokens(places, vectors[0])

    def loss(self, logits: Tensor, targets: Tensor, options: LossOptions = PLAIN_LOSS) -> Float[Tensor, ""]:
        """The mean loss of a batch, by kind of problem: cross entropy, or the squared error.

        `targets` is (B,) class numbers, (B, labels) of zeros and ones, or (B,) numbers.
        """
        if self.problem == "squared":
            return functional.mse_loss(logits.squeeze(-1), targets)
        if self.problem == "multiclass":
            return functional.cross_entropy(
                logits, targets, weight=options.class_weights, label_smoothing=options.label_smoothing
            )
        if self.problem == "multilabel":
            return _log_odds_loss(logits, targets, options.label_smoothing).mean()
        each = _log_odds_loss(logits.squeeze(-1), targets.to(logits.dtype), options.label_smoothing)
        if options.class_weights is None:
            return each.mean()
        weights = options.class_weights[targets]
        return (each * weights).sum() / weights.sum()

    def probabilities(self, logits: Float[Tensor, "B outputs"]) -> Float[Tensor, "B classes"]:
        """The probability of each class (they add up to 1) or of each label; numbers stay as they are."""
        if self.problem == "binary":
            second = logits.sigmoid()
            return torch.cat([1 - second, second], dim=-1)
        if self.problem == "multiclass":
            return logits.softmax(dim=-1)
        return logits.sigmoid() if self.problem == "multilabel" else logits

    def _pool(self, outputs: Tensor, lengths: Int[Tensor, " B"]) -> Tensor:
        if self.attention is not None:
            pooled: Tensor = self.attention(outputs, lengths)
            return pooled
        if self.pooling == "mean":
            return mean_pool(outputs, lengths)
        if self.pooling == "last":
            return last_pool(outputs, lengths, bidirectional=self.bidirectional)
        return max_pool(outputs, lengths)


def _log_odds_loss(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    smoothed = targets * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")


def _embedding(settings: ModelSettings, vocabulary_size: int) -> tuple[nn.Module, int]:
    if settings.embedding == "one_hot":
        return OneHot(vocabulary_size), vocabulary_size
    vectors = torch.empty(vocabulary_size, settings.embedding_size)
    if not vectors.is_meta:  # there torch would import its compiler for the random numbers
        vectors.normal_(std=settings.embedding_size**-0.5)[0] = 0
    freeze = settings.freeze_embedding
    # torch has no types for this one
    table = nn.Embedding.from_pretrained(vectors, freeze=freeze, padding_idx=0)  # type: ignore[no-untyped-call]
    return table, settings.embedding_size


def _stack(settings: ModelSettings, *, input_size: int) -> Stack:
    size = settings.hidden_size * (2 if settings.bidirectional else 1)
    sizes = [input_size] + [size] * (settings.num_layers - 1)
    layers = [_layer(settings, input_size=each) for each in sizes]
    parts = [Bidirectional(layer) for layer in layers] if settings.bidirectional else layers
    return Stack(parts, dropout=settings.dropout, residual=settings.residual)


def _layer(settings: ModelSettings, *, input_size: int) -> Recurrent:
    kinds: dict[str, Callable[..., Recurrent]] = {
        "simple_rnn": functools.partial(SimpleRNN, activation=settings.activation),
        "lstm": LSTM,
        "gru": functools.partial(GRU, reset_after=settings.reset_after),
    }
    return kinds[settings.cell](
        input_size,
        settings.hidden_size,
        init=settings.init,
        initial_state=settings.initial_state,
        recurrent_dropout=settings.recurrent_dropout,
        layer_norm=settings.layer_norm,
        bias=settings.bias,
    )
