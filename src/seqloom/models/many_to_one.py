"""Many to one: a whole sequence in, one answer out. Classes, several labels at once, or a number.

ids -> vectors -> (bi)recurrent stack -> pooling -> head -> logits -> loss or answer
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.config import ModelSettings
from seqloom.models.parts import PLAIN_LOSS, LossOptions, embedding, read_tokens, stack
from seqloom.nn import AttentionPool, Linear, last_pool, max_pool, mean_pool
from seqloom.shapes import Batch, Float, Int, Tokens

Problem = Literal["binary", "multiclass", "multilabel", "squared"]


class ManyToOne(nn.Module):
    """Reads a sequence of token ids and answers once.

    `problem` decides the loss and the meaning of the logits (B, outputs): binary has one, the log odds of the second
    class; multiclass one a class; multilabel one log odds a label; squared one number, in units of the target's spread.
    """

    def __init__(self, settings: ModelSettings, *, vocabulary_size: int, outputs: int, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.word_dropout = settings.word_dropout
        self.embedding, size = embedding(settings, vocabulary_size)
        self.recurrent = stack(settings, input_size=size)
        self.pooling, self.bidirectional = settings.pooling, settings.bidirectional
        self.attention = AttentionPool(self.recurrent.output_size) if settings.pooling == "attention" else None
        self.dropout = nn.Dropout(settings.dropout)
        self.head = Linear(self.recurrent.output_size, 1 if problem in ("binary", "squared") else outputs)

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of token ids."""
        return (self.embedding,)

    def forward(self, batch: Batch) -> Float[Tensor, "B outputs"]:
        """The logits of each row, (B, outputs)."""
        outputs, _ = self.recurrent(self.embed(batch), batch.lengths)
        return self.conclude(outputs, batch.lengths)

    def conclude(self, outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B outputs"]:
        """The logits (B, outputs) from the outputs of the last layer, (B, T, H)."""
        logits: Tensor = self.head(self.dropout(self.pool(outputs, lengths)))
        return logits

    def embed(self, batch: Batch) -> Tokens:
        """One vector a different token, with word and vector dropout while training."""
        tokens = read_tokens(self.embedding, batch, dropout=self.dropout, word_dropout=self.word_dropout)
        return tokens._replace(vectors=tokens.vectors.to(self.head.weight.dtype))

    def batch_loss(self, batch: Batch, targets: Tensor, options: LossOptions = PLAIN_LOSS) -> Float[Tensor, ""]:
        """The mean loss of the answers to `batch`."""
        return self.loss(self(batch), targets, options)

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

    def pool(self, outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
        """One vector a row, (B, H), from the outputs of all its steps."""
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
