"""Beam search: several texts of each sentence followed at once, the best finished ones kept.

One step call serves the open texts of all sentences; a sentence leaves when none of its open texts can be kept.
"""

import bisect
import heapq
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.config import DecodingSettings
from seqloom.models.writer import (
    END,
    MOST_AHEAD,
    ROOT,
    START,
    WIDEST_AHEAD,
    AheadWriter,
    Followed,
    Hypothesis,
    Node,
    Record,
    S,
    Writer,
    check_given,
    likeliest,
    power,
    spelled,
    unrepeated,
)


def beam(
    writer: Writer[S],
    state: S,
    longest: Sequence[int],
    settings: DecodingSettings,
    alternatives: int = 1,
    source_lengths: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """The best texts among `settings.beam` that are followed at once, all sentences' in one step.

    Of all continuations by one token the likeliest are followed; those that end are compared by

        score / length^length_penalty + coverage_penalty * sum_s log(min(sum_t attention_ts, 1))

    (Wu et al. 2016), END counted in length and in attention. What greedy writes is followed too, so no beam is worse.
    """
    searches = [_Search(length, settings, min(alternatives, settings.beam)) for length in longest]
    finished = searches
    tokens, record = [START] * len(longest), Record()
    coverage = _Coverage(settings.coverage_penalty, source_lengths)
    steps = 0
    # With nothing to keep yet, and nothing to remember, one sentence is followed by the writer itself.
    plain = settings.beam <= WIDEST_AHEAD and not (settings.coverage_penalty or settings.no_repeat)
    if plain and len(longest) == 1 and longest[0] > 0 and isinstance(writer, AheadWriter):
        followed = writer.follow(state, settings.beam, min(longest[0], MOST_AHEAD))
        if followed is not None:
            state, tokens, steps = followed.state, followed.tokens[-1], len(followed.tokens)
            searches[0].open = _open_texts(followed, record)
    written = torch.empty(len(tokens), 0, dtype=torch.int64)
    for length in itertools.count(steps + 1):  # of the texts that end now, END counted
        given, weights, state = writer.step(torch.tensor(tokens), state)
        place = record.add(weights)
        penalties = coverage.add(weights, rows=len(tokens))
        allowed = unrepeated(given, written, settings.no_repeat)
        values, ids = (part.tolist() for part in likeliest(allowed, settings.beam))
        check_given([row[0] for row in values], given, length)
        ends = given[:, END].tolist() if any(length > search.longest for search in searches) else []
        rows: list[int] = []
        tokens, first = [], 0
        for search in searches:
            size = len(search.open)
            search.advance(_Step(length, first, place, values, ids, ends, penalties))
            rows += [text.row for text in search.open]
            tokens += [text.node.token for text in search.open]
            first += size
        searches = [search for search in searches if search.open]
        if not searches:
            break
        if rows != list(range(first)):
            chosen = torch.tensor(rows)
            state = writer.select(state, chosen)
            coverage.select(chosen)
            written = written.index_select(0, chosen)
        if settings.no_repeat:
            written = torch.cat([written, torch.tensor(tokens)[:, None]], dim=1)
    lengths = [None] * len(longest) if source_lengths is None else source_lengths
    return [
        [spelled(text.node, text.score, record, steps) for text in search.kept]
        for search, steps in zip(finished, lengths, strict=True)
    ]


def _open_texts(followed: Followed[S], record: Record) -> list["_Open"]:
    """The texts that a writer has followed by itself, with all that stands before each."""
    nodes = [ROOT]
    for step, (before, tokens) in enumerate(zip(followed.before, followed.tokens, strict=True)):
        place = record.add(None if followed.weights is None else followed.weights[step])
        nodes = [Node(nodes[row], token, place + row) for row, token in zip(before, tokens, strict=True)]
    scored = enumerate(zip(followed.scores, nodes, strict=True))
    return [_Open(score, node, row, greedy=row == followed.greedy) for row, (score, node) in scored]


class _Open(NamedTuple):
    """A text that goes on: the sum of its log-probabilities, its end, its row in the last step, whether greedy's."""

    score: float
    node: Node
    row: int
    greedy: bool


class _Kept(NamedTuple):
    worth: float
    score: float
    node: Node


class _Step(NamedTuple):
    """What one step gave to all rows; a sentence's own begin at `first`."""

    length: int
    first: int
    place: int
    values: list[list[float]]
    ids: list[list[int]]
    ends: list[float]
    penalties: list[float]


class _Search:
    """What is followed and kept for one sentence: `open` texts, and the best finished ones, best first."""

    def __init__(self, longest: int, settings: DecodingSettings, size: int) -> None:
        self.longest, self.width, self.size = longest, settings.beam, size
        self.length_penalty = settings.length_penalty
        self.open = [_Open(0.0, ROOT, 0, greedy=True)]
        self.kept: list[_Kept] = []

    def advance(self, step: _Step) -> None:
        """Continue each open text by a token, or end it where there is no room."""
        if step.length > self.longest:
            for row, text in enumerate(self.open, step.first):
                self._keep(text.score + step.ends[row], Node(text.node, END, step.place + row), row, step)
            self.open = []
            return
        going = []
        for score, row, rank in self._continuations(step):
            before, token = self.open[row - step.first], step.ids[row][rank]
            node = Node(before.node, token, step.place + row)
            if token == END:
                self._keep(score, node, row, step)
            else:
                going.append(_Open(score, node, row, greedy=before.greedy and rank == 0))
        if len(self.kept) == self.size:
            # No log-probability is above 0 and no penalty of coverage either: a text can at best keep its score and
            # grow to the full length. What cannot beat the worst one kept holds no place that another could use: all
            # texts are of one length, so those it outranks are beaten too.
            worst, most = self.kept[-1].worth, power(self.longest + 1, self.length_penalty)
            going = [text for text in going if text.score / most > worst]
        self.open = going

    def _continuations(self, step: _Step) -> list[tuple[float, int, int]]:
        """The likeliest (score, row, rank of the token in its row), at most `width`, and greedy's where it is none."""
        values, scores = step.values, [text.score for text in self.open]
        # Each row is sorted, so the next best is always the head of one. Not the sums of all tokens: rounding could
        # make equal what the writer tells apart.
        heads = [(-(score + values[row][0]), row, 0) for row, score in enumerate(scores, step.first)]
        heapq.heapify(heads)
        found: list[tuple[float, int, int]] = []
        while heads and len(found) < self.width and heads[0][0] < math.inf:
            cost, row, rank = heads[0]
            found.append((-cost, row, rank))
            if rank + 1 < len(values[row]):
                cost = -(scores[row - step.first] + values[row][rank + 1])
                heapq.heapreplace(heads, (cost, row, rank + 1))
            else:
                heapq.heappop(heads)
        for row, text in enumerate(self.open, step.first):
            if text.greedy and not any(place == row and rank == 0 for _, place, rank in found):
                found.append((text.score + values[row][0], row, 0))
        return found

    def _keep(self, score: float, node: Node, row: int, step: _Step) -> None:
        worth = score / power(step.length, self.length_penalty) + step.penalties[row]
        bisect.insort(self.kept, _Kept(worth, score, node), key=lambda text: -text.worth)
        del self.kept[self.size :]


class _Coverage:
    """What it costs to leave source steps unattended, for each row."""

    def __init__(self, penalty: float, lengths: Sequence[int] | None) -> None:
        self.penalty = penalty
        self.lengths = None if lengths is None else torch.tensor(lengths)[:, None]
        self.attended: Tensor | None = None

    def add(self, weights: Tensor | None, *, rows: int) -> list[float]:
        """Count this step's weights in; the penalty of each of `rows` rows as it stands now."""
        if weights is None or not self.penalty:
            return [0.0] * rows
        weights = weights.double()
        self.attended = weights if self.attended is None else self.attended + weights
        logs = self.attended.clamp(torch.finfo(torch.float32).tiny, 1).log()  # a step unseen costs much, not all
        if self.lengths is not None:
            padding = torch.arange(logs.shape[1]) >= self.lengths
            logs = logs.masked_fill(padding.to(logs.device), 0)
        # A chain in the order of the source: how wide the padding is must not change a bit.
        penalties: list[float] = (self.penalty * logs.cumsum(1)[:, -1]).tolist()
        return penalties

    def select(self, rows: Tensor) -> None:
        """Go on with these rows."""
        if self.attended is not None:
            self.attended = self.attended.index_select(0, rows.to(self.attended.device))
            self.lengths = None if self.lengths is None else self.lengths[rows]
