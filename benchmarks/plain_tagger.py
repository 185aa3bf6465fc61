"""The peer of the tagger: the same model as one writes it in plain PyTorch, with packed sequences.

Words by a vector and, with characters, by a bidirectional LSTM over the characters of each word; then a bidirectional
LSTM over the sentence, and a softmax at each word.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

PADDED = -100  # where cross_entropy looks for no target


class PlainBatch(NamedTuple):
    """Word ids (B, T), lengths (B,), tags (B, T), characters (N, C) of all N words row by row, and their numbers."""

    words: Tensor
    lengths: Tensor
    tags: Tensor
    characters: Tensor
    character_lengths: Tensor


class Sizes(NamedTuple):
    """Words, characters and tags there are; sizes of vectors and layers."""

    words: int
    characters: int
    tags: int
    embedding: int
    character: int
    hidden: int


class PlainTagger(nn.Module):
    """With `characters` the words are spelled too."""

    def __init__(self, sizes: Sizes, *, characters: bool, dropout: float) -> None:
        super().__init__()
        self.vectors = nn.Embedding(sizes.words, sizes.embedding, padding_idx=0)
        self.spelling = nn.Embedding(sizes.characters, sizes.character, padding_idx=0) if characters else None
        self.speller = (
            nn.LSTM(sizes.character, sizes.character, bidirectional=True, batch_first=True) if characters else None
        )
        read = sizes.embedding + (2 * sizes.character if characters else 0)
        self.reader = nn.LSTM(read, sizes.hidden, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * sizes.hidden, sizes.tags)
        self.dropout = nn.Dropout(dropout)

    def loss(self, batch: PlainBatch) -> Tensor:
        """The mean cross entropy of a word."""
        vectors = self.vectors(batch.words)
        if self.spelling is not None and self.speller is not None:
            spelled = self.spelling(batch.characters)
            packed = pack_padded_sequence(spelled, batch.character_lengths, batch_first=True, enforce_sorted=False)
            _, (hidden, _) = self.speller(packed)
            real = batch.tags != PADDED
            by_word = vectors.new_zeros(*batch.words.shape, 2 * hidden.shape[2])
            by_word[real] = torch.cat([hidden[0], hidden[1]], dim=1)
            vectors = torch.cat([vectors, by_word], dim=2)
        packed = pack_padded_sequence(self.dropout(vectors), batch.lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.reader(packed)[0], batch_first=True)
        scores = self.head(self.dropout(outputs))
        return functional.cross_entropy(scores.flatten(0, 1), batch.tags.flatten(), ignore_index=PADDED)


def plain_batch(ids: list[list[int]], tags: list[list[int]], characters: list[list[tuple[int, ...]]]) -> PlainBatch:
    """Sentences as the plain tagger takes them."""
    spelled = [torch.tensor(word) for sentence in characters for word in sentence]
    return PlainBatch(
        pad_sequence([torch.tensor(each) for each in ids], batch_first=True),
        torch.tensor([len(each) for each in ids]),
        pad_sequence([torch.tensor(each) for each in tags], batch_first=True, padding_value=PADDED),
        pad_sequence(spelled, batch_first=True),
        torch.tensor([len(word) for word in spelled]),
    )
