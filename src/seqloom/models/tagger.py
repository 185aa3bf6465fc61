"""Many to many, aligned: a sentence in, and for each of its words a tag.

ids -> vectors, beside them the characters of each different word -> (bi)recurrent reading, its last states
-> (bi)recurrent stack -> head -> a score for each tag at each word -> loss or tags
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.config import ModelSettings
from seqloom.kernels import real_rows
from seqloom.models.parts import PLAIN_LOSS, LossOptions, embedding, layer, read_tokens, stack
from seqloom.nn import CRF, Bidirectional, Dropout, Linear, last_hidden
from seqloom.shapes import Batch, BidirectionalState, Float, Int, Tokens, Words, valid_steps
from seqloom.text import UNKNOWN


class Tagger(nn.Module):
    """Reads the words of a sentence and scores each of `tags` at each of them.

    What the characters say of a word stands beside its vector (Ling et al. 2015; Plank et al. 2016), so that words
    which training has not seen are read too. With the output "crf" the tags of a sentence are decided together.
    """

    def __init__(self, settings: ModelSettings, *, vocabulary_size: int, characters: int, tags: int) -> None:
        super().__init__()
        self.word_dropout = settings.word_dropout
        self.embedding, size = embedding(settings, vocabulary_size)
        self.characters = CharacterReader(settings, characters) if settings.characters else None
        read = 0 if self.characters is None else self.characters.output_size
        self.recurrent = stack(settings, input_size=size + read)
        self.dropout = Dropout(settings.dropout)
        self.head = Linear(self.recurrent.output_size, tags)
        self.crf = CRF(tags) if settings.output == "crf" else None

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of ids: of words, and of characters."""
        return (self.embedding,) if self.characters is None else (self.embedding, self.characters.embedding)

    def forward(self, batch: Words) -> Float[Tensor, "B T K"]:
        """The score of each tag at each word, (B, T, K); what it is at padding means nothing."""
        outputs, _ = self.recurrent(self.embed(batch), batch.lengths)
        scores: Tensor = self.head(self.dropout(outputs))
        return scores

    def embed(self, batch: Words) -> Tokens:
        """One vector for each word that differs from the others, with word and vector dropout while training.

        A dropped word keeps its characters, as one that was never seen has them.
        """
        if self.characters is None:
            plain = Batch(batch.values, batch.lengths)
            return read_tokens(self.embedding, plain, dropout=self.dropout, word_dropout=self.word_dropout)
        real = valid_steps(batch.lengths, batch.values.shape[1])
        ids = batch.values
        if self.training and self.word_dropout:
            unread = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            ids = torch.where(unread, UNKNOWN, ids)
        different = len(batch.spelled.lengths)
        pairs, places = torch.unique(torch.where(real, ids * different + batch.places, 0), return_inverse=True)
        # A batch of one row: what embeds ids takes (B, T) of them.
        vectors = self.embedding((pairs // max(different, 1))[None])[0]
        spelled = self.characters(batch.spelled).index_select(0, pairs % max(different, 1))
        return Tokens(places, self.dropout(torch.cat([vectors, spelled], dim=-1)))

    def batch_loss(
        self, batch: Words, targets: Int[Tensor, "B T"], options: LossOptions = PLAIN_LOSS
    ) -> Float[Tensor, ""]:
        """The mean loss of a word of `batch`, whose tags are `targets`."""
        scores = self(batch)
        if self.crf is not None:
            return -self.crf.log_likelihood(scores, batch.lengths, targets).sum() / batch.lengths.sum().clamp(min=1)
        wanted = targets[valid_steps(batch.lengths, targets.shape[1])]
        scores = real_rows(scores, batch.lengths)
        return functional.cross_entropy(scores, wanted, label_smoothing=options.label_smoothing)

    def losses(
        self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"], targets: Int[Tensor, "B T"]
    ) -> Float[Tensor, " B"]:
        """-ln p of all tags of each row, summed over its words."""
        if self.crf is not None:
            return -self.crf.log_likelihood(scores, lengths, targets)
        real = valid_steps(lengths, targets.shape[1])
        logs = scores[real].log_softmax(dim=-1).gather(1, targets[real][:, None]).squeeze(1)
        rows = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        return -logs.new_zeros(len(lengths)).index_add_(0, rows, logs)  # one by one: padding must not change a bit

    def decide(self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Int[Tensor, "B T"]:
        """The number of the tag of each word; what it is at padding means nothing."""
        return scores.argmax(dim=-1) if self.crf is None else self.crf.best(scores, lengths)

    def probabilities(self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T K"]:
        """The probability of each tag at each word."""
        return scores.softmax(dim=-1) if self.crf is None else self.crf.marginals(scores, lengths)


class CharacterReader(nn.Module):
    """Words by their characters, read from both sides: where both readings end is what is known of a word."""

    def __init__(self, settings: ModelSettings, characters: int) -> None:
        super().__init__()
        size = settings.character_size
        self.embedding, _ = embedding(ModelSettings(embedding_size=size), characters)
        self.recurrent = Bidirectional(layer(settings.model_copy(update={"hidden_size": size}), input_size=size))
        self.undropped = nn.Identity()  # what is dropped is dropped of the whole word
        self.output_size = self.recurrent.output_size

    def forward(self, words: Batch) -> Float[Tensor, "R S"]:
        """What is known of each word, (R, S), from the ids of its characters (R, C)."""
        read = read_tokens(self.embedding, words, dropout=self.undropped, word_dropout=0.0)
        # Each reading by itself: what both say of every single character would be joined for nothing.
        _, ahead = self.recurrent.forward_layer(read, words.lengths)
        _, back = self.recurrent.backward_layer(read, words.lengths, reverse=True)
        return last_hidden(BidirectionalState(forward=ahead, backward=back))
