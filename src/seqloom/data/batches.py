"""From examples to tensors: rows of similar length together, in an order that is a function of seed and epoch alone.

No iterator holds state, so a resumed run sees the very batches that an uninterrupted one would have seen.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from seqloom.data.examples import Example, written_ids
from seqloom.data.kept import Lazy, Numbers, number_type
from seqloom.data.seen import Seen
from seqloom.shapes import Batch, Words

POOL = 50


def batch_order(
    lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int, target_lengths: Sequence[int] | None = None
) -> "Order":
    """Row numbers of each batch of one epoch: shuffled, each row once, rows of similar length together.

    Within pools of 50 shuffled batches the rows are sorted by length and cut; then the batches are shuffled. Where the
    targets have lengths too, rows whose lengths differ by less than a fifth are sorted by those.
    """
    random = np.random.default_rng([seed, epoch])
    rows = random.permutation(np.arange(len(lengths), dtype=number_type(len(lengths))))
    keys = _keys(lengths, target_lengths)
    for start in range(0, len(rows), POOL * batch_size):
        pool = rows[start : start + POOL * batch_size]
        rows[start : start + POOL * batch_size] = pool[np.lexsort(keys[:, pool])]
    return Order(rows, batch_size, random.permutation(-(-len(rows) // batch_size)))


def evaluation_order(
    lengths: Sequence[int], *, batch_size: int, target_lengths: Sequence[int] | None = None
) -> "Order":
    """Row numbers of each batch for evaluation: sorted by length, and by that of targets where they have one."""
    rows = np.lexsort(_keys(lengths, target_lengths))
    return Order(rows, batch_size, np.arange(-(-len(rows) // batch_size)))


class Order(Lazy[list[int]]):
    """The row numbers of each batch, one batch after the other."""

    def __init__(self, rows: Numbers, batch_size: int, turns: Numbers) -> None:
        self._rows, self._size, self._turns = rows, batch_size, turns

    def __len__(self) -> int:
        """How many batches there are."""
        return len(self._turns)

    def _at(self, place: int) -> list[int]:
        start = int(self._turns[place]) * self._size
        rows: list[int] = self._rows[start : start + self._size].tolist()
        return rows

    def __eq__(self, other: object) -> bool:
        """Whether the same rows come in the same order."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list, which can be compared, has none


def pad(sequences: Sequence[Sequence[int]]) -> Batch:
    """Token ids (B, T) with 0 after the end of each row, and the lengths (B,), both int64."""
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    values = np.zeros((len(lengths), lengths.max(initial=0)), dtype=np.int64)
    real = np.arange(values.shape[1]) < lengths[:, np.newaxis]
    values[real] = np.fromiter(chain.from_iterable(sequences), dtype=np.int64, count=lengths.sum())
    return Batch(torch.from_numpy(values), torch.from_numpy(lengths))


def read(sources: Sequence[Sequence[int] | Seen]) -> Batch:
    """Token ids as `pad` makes them; or what is seen, with the number of regions of each (B,).

    Images are (B, S, S, 3) bytes, features (B, R, F) float32 with zeros after the last region of each.
    """
    seen = [source.values() for source in sources if isinstance(source, Seen)]
    if not seen:
        return pad([source for source in sources if not isinstance(source, Seen)])
    lengths = torch.tensor([len(source) for source in sources], dtype=torch.int64)
    if seen[0].dtype == np.uint8:
        return Batch(torch.from_numpy(np.stack(seen)), lengths)
    values = np.zeros((len(seen), max(map(len, seen)), seen[0].shape[1]), dtype=np.float32)
    for row, features in enumerate(seen):
        values[row, : len(features)] = features
    return Batch(torch.from_numpy(values), lengths)


def spell(examples: Sequence[Example]) -> Words:
    """The batch of sentences that are tagged; each different word is in it once, with its characters."""
    spelled = [example.spelled for example in examples if example.spelled is not None]
    assert len(spelled) == len(examples)
    characters: dict[str, tuple[int, ...]] = {}
    for sentence in spelled:
        characters.update(zip(sentence.words, sentence.characters, strict=True))
    numbers = {word: number for number, word in enumerate(characters)}
    places = [list(map(numbers.__getitem__, sentence.words)) for sentence in spelled]
    values, lengths = pad([example.ids for example in examples])
    return Words(values, lengths, pad(places).values, pad(list(characters.values())))


def collate(examples: Sequence[Example]) -> tuple[Batch | Words, Tensor | Batch]:
    """The batch of these examples and their targets.

    Targets: class numbers int64 (B,), zeros and ones float32 (B, labels), or standardised numbers float32 (B,);
    numbers of tags int64 (B, T), 0 at padding, where words are tagged; a batch of ids where they are texts.
    """
    if examples and examples[0].spelled is not None:
        return spell(examples), pad([example.target for example in examples if isinstance(example.target, list)]).values
    texts = read([example.source for example in examples])
    targets = [example.target for example in examples]
    if any(example.target_text is not None for example in examples):
        return texts, pad([written_ids(example) for example in examples])
    classes = all(isinstance(target, int) for target in targets)
    dtype = torch.int64 if classes else torch.float32
    return texts, torch.tensor(targets, dtype=dtype)


def _keys(lengths: Sequence[int], target_lengths: Sequence[int] | None) -> Numbers:
    """What rows are sorted by, the most telling key last, as lexsort reads them."""
    sizes = np.asarray(lengths, dtype=np.int32)
    if target_lengths is None:
        return sizes[np.newaxis]
    bands = np.searchsorted(_band_ends(int(sizes.max(initial=1))), sizes, side="left")
    targets = np.asarray(target_lengths, dtype=np.int32)
    # Up in one band and down in the next: a batch that holds the end of one and the start of the other is no wider.
    return np.stack([np.where(bands % 2, -targets, targets), bands])


def _band_ends(longest: int) -> list[int]:
    """The greatest length of each band, in whole numbers, or rounding might part the same rows otherwise elsewhere."""
    ends = [1]
    while ends[-1] < longest:
        ends.append(max(ends[-1] + 1, ends[-1] * 6 // 5))
    return ends
