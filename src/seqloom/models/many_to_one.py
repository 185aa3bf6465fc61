"""Many to one: a whole sequence in, one answer out. Classes, several labels at once, or a number.

ids -> vectors, or numbers as they are -> (bi)recurrent stack -> pooling -> head -> logits -> loss or answer
"""

from torch import Tensor, nn
from torch.nn import functional

from seqloom.config import ModelSettings
from seqloom.models.one_answer import OneAnswer, Problem
from seqloom.models.parts import embedding, read_tokens, stack
from seqloom.nn import AttentionPool, Dropout, last_pool, max_pool, mean_pool
from seqloom.shapes import Batch, Float, Int, Tokens, valid_steps


def framed(batch: Batch, frames: int) -> Batch:
    """Every `frames` steps of (B, T, I) side by side as one, (B, T / frames, frames I); what the last lacks is zero."""
    values, lengths = batch
    if frames == 1:
        return batch
    real = valid_steps(lengths, values.shape[1])[:, :, None]
    whole = functional.pad(values.masked_fill(~real, 0), (0, 0, 0, -values.shape[1] % frames))
    steps = whole.shape[1] // frames
    return Batch(whole.reshape(len(whole), steps, frames * values.shape[2]), (lengths + frames - 1) // frames)


class ManyToOne(OneAnswer):
    """Reads a sequence and answers once: token ids where it has a `vocabulary_size`, else vectors of `input_size`.

    Of vectors it reads `frames` side by side as one step.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        outputs: int,
        problem: Problem,
        vocabulary_size: int | None = None,
        input_size: int = 0,
        frames: int = 1,
    ) -> None:
        super().__init__(problem)
        self.word_dropout = settings.word_dropout
        self.reads_numbers, self.frames = vocabulary_size is None, frames
        self.embedding: nn.Module = nn.Identity()
        input_size = input_size * frames
        if vocabulary_size is not None:
            self.embedding, input_size = embedding(settings, vocabulary_size)
        self.recurrent = stack(settings, input_size=input_size)
        self.pooling, self.bidirectional = settings.pooling, settings.bidirectional
        self.attention = AttentionPool(self.recurrent.output_size) if settings.pooling == "attention" else None
        self.dropout = Dropout(settings.dropout)
        self.head = self.make_head(self.recurrent.output_size, outputs=outputs)

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of token ids."""
        return () if self.reads_numbers else (self.embedding,)

    def forward(self, batch: Batch) -> Float[Tensor, "B outputs"]:
        """The logits of each row, (B, outputs)."""
        if self.reads_numbers:
            values, lengths = framed(batch, self.frames)
            read: Tensor | Tokens = values.to(self.head.weight.dtype)
        else:
            read, lengths = self.embed(batch), batch.lengths
        outputs, _ = self.recurrent(read, lengths)
        return self.conclude(outputs, lengths)

    def conclude(self, outputs: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B outputs"]:
        """The logits (B, outputs) from the outputs of the last layer, (B, T, H)."""
        logits: Tensor = self.head(self.dropout(self.pool(outputs, lengths)))
        return logits

    def embed(self, batch: Batch) -> Tokens:
        """One vector a different token, with word and vector dropout while training."""
        tokens = read_tokens(self.embedding, batch, dropout=self.dropout, word_dropout=self.word_dropout)
        return tokens._replace(vectors=tokens.vectors.to(self.head.weight.dtype))

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
