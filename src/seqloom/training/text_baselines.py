"""What a model that writes texts must beat: one that repeats the source, one that never looks at it, and one that
knows which tokens follow each other but nothing of the source."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

AT_ONCE = 1 << 22  # tokens that are looked at together
DISCOUNTS = tuple(np.linspace(0.05, 0.95, 19).tolist())

Ids = npt.NDArray[np.int64]
Row = Sequence[int] | Ids
Shares = npt.NDArray[np.float64]


def copied(sources: Sequence[str]) -> list[str]:
    """Each source as its own answer."""
    return list(sources)


def majority(train_targets: Iterable[str], *, rows: int) -> list[str]:
    """The most frequent target of training (of equals the first) as the answer to each of `rows`."""
    [(target, _)] = Counter(train_targets).most_common(1)
    return [target] * rows


def ngram_perplexity(
    train: Iterable[Sequence[int]],
    valid: Iterable[Sequence[int]],
    rows: Iterable[Sequence[int]],
    *,
    vocabulary_size: int,
    order: int,
) -> float:
    """Perplexity on `rows` of a model of single tokens (order 1) or of each token after the one before (order 2).

    Texts are ids 0..vocabulary_size - 1, unknown tokens counted as the id they have; each text is followed by an end,
    which is one outcome more. Perplexity is exp(mean -ln p) over all tokens and ends: of equally likely outcomes, how
    many there would be. Counts are those of `train`; the discount is the one of `DISCOUNTS` best on `valid`.
    Raises ValueError for ids outside the vocabulary, other orders, and no rows.
    """
    return best_perplexity(Ngrams(train, vocabulary_size=vocabulary_size, order=order), list(valid), rows)


def best_perplexity(model: "Ngrams", valid: Iterable[Row], rows: Iterable[Row]) -> float:
    """The perplexity of `rows` with the discount of `DISCOUNTS` that is best on `valid`, which is read many times."""
    return model.perplexity(rows, discount=min(DISCOUNTS, key=lambda each: model.perplexity(valid, discount=each)))


class Ngrams:
    """How often which token follows which, and the probabilities that follow from it.

    Interpolated Kneser-Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999). Of each count c(v w) a discount d is
    kept for what was never seen after v, and given to the tokens by how many different ones w they follow, not by how
    often; that again is discounted and mixed with the same chance 1 / (V + 1) for all tokens and the end:

        p(w | v) = (max(c(v w) - d, 0)  + d kinds(v ·) p(w)   ) / c(v ·)
        p(w)     = (max(kinds(· w) - d, 0) + d |w seen| / (V + 1)) / kinds(· ·)

    With order 1, p(w) alone, of plain counts c(w) in place of kinds(· w). A context never seen leaves p(w). Without
    `ends` nothing follows the last token of a row.
    """

    def __init__(self, rows: Iterable[Row], *, vocabulary_size: int, order: int, ends: bool = True) -> None:
        if order not in (1, 2):
            raise ValueError(f"order {order} is not one of 1, 2")
        self.end, self.order, self._ends = vocabulary_size, order, ends
        self._outcomes = vocabulary_size + 1
        pairs, counts = self._count(rows)
        before, tokens = pairs // self._outcomes, pairs % self._outcomes
        self._seen, self._counts = pairs, counts
        self._total = np.bincount(before, counts, self._outcomes)
        self._kinds = np.bincount(before, minlength=self._outcomes)
        self._single = np.bincount(tokens, counts if order == 1 else None, self._outcomes)

    def probabilities(self, before: Ids, tokens: Ids, *, discount: float) -> Shares:
        """p(token | the one before) for pairs (N,) of ids; the start before a text is `end`, as its end is."""
        single = self._singles(discount)[tokens]
        if self.order == 1:
            return single
        return self._mix(self._count_of(before, tokens), self._kinds[before], self._total[before], single, discount)

    def perplexity(self, rows: Iterable[Row], *, discount: float) -> float:
        """exp(mean -ln p) over all tokens of `rows` and their ends."""
        sums, tokens = [], 0
        for before, after in self._follow(rows):
            sums.append(np.log(self.probabilities(before, after, discount=discount)).sum())
            tokens += len(after)
        if not tokens:
            raise ValueError("there are no rows to measure the perplexity of")
        return math.exp(-(math.fsum(sums) / tokens))

    def _count(self, rows: Iterable[Row]) -> tuple[Ids, Ids]:
        """The pairs of tokens that follow each other, rising, and how often each does."""
        pairs, counts = np.empty(0, np.int64), np.empty(0, np.int64)
        for before, after in self._follow(rows):
            own, times = np.unique(self._pairs(before, after), return_counts=True)
            if not len(pairs):
                pairs, counts = own, times
                continue
            pairs, places = np.unique(np.concatenate([pairs, own]), return_inverse=True)
            counts = np.bincount(places, np.concatenate([counts, times])).astype(np.int64)
        return pairs, counts

    def _follow(self, rows: Iterable[Row]) -> Iterator[tuple[Ids, Ids]]:
        """What stands before every token and end of the rows, and these themselves, in order: (N,) each, a few
        million at once.
        """
        last = np.array([self.end])
        for some in _together(rows):
            ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in some])
            if len(ids) and not 0 <= ids.min() <= ids.max() < self.end:
                raise ValueError(f"ids {ids.min()}..{ids.max()} do not lie in 0..{self.end - 1}")
            places = np.cumsum([len(row) for row in some], dtype=np.int64)
            tokens = np.insert(ids, places, self.end) if self._ends else ids
            if len(tokens):
                yield np.concatenate([last, tokens])[:-1], tokens
                last = tokens[-1:]

    def _pairs(self, before: Ids, tokens: Ids) -> Ids:
        return before * self._outcomes + tokens

    def _singles(self, discount: float) -> Shares:
        kinds, total = np.array(np.count_nonzero(self._single)), np.array(self._single.sum())
        return self._mix(self._single, kinds, total, np.array(1 / self._outcomes), discount)

    def _count_of(self, before: Ids, tokens: Ids) -> Ids:
        pairs = self._pairs(before, tokens)
        if not len(self._seen):
            return np.zeros_like(pairs)
        order = pairs.argsort()  # rising, they are looked up near each other: six times as fast in 16 million
        places = np.empty_like(pairs)
        places[order] = np.searchsorted(self._seen, pairs[order]).clip(max=len(self._seen) - 1)
        return np.where(self._seen[places] == pairs, self._counts[places], 0)

    @staticmethod
    def _mix(count: Ids, kinds: Ids, total: Ids | Shares, lower: Shares, discount: float) -> Shares:
        share = (np.maximum(count - discount, 0) + discount * kinds * lower) / np.maximum(total, 1)
        return np.where(total > 0, share, lower)


def _together(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows, so many at once as have about `AT_ONCE` tokens."""
    some: list[Row] = []
    tokens = 0
    for row in rows:
        some.append(row)
        tokens += len(row)
        if tokens >= AT_ONCE:
            yield some
            some, tokens = [], 0
    if some:
        yield some
