"""Writers that are tables of random distinct numbers, and what a text is worth to them by the definition.

The numbers hang on the sentence and on what was written so far; the reference walks the same tables in plain Python.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqloom.models.decoding import END, START, Hypothesis

MEMORIES = 97


class Memory(NamedTuple):
    """Which sentence a row writes, and a number that what it wrote so far leads to."""

    sentence: Tensor
    number: Tensor


class Table:
    """Writes by tables: log-probabilities (sentences, memories, V), attention (sentences, memories, S) or None."""

    def __init__(self, log_probabilities: Tensor, attention: Tensor | None = None, *, markov: bool = False) -> None:
        self.log_probabilities, self.attention, self.markov = log_probabilities, attention, markov
        self.rows_seen: list[int] = []

    def after(self, number: Any, token: Any) -> Any:
        """The number of a memory that reads one more token."""
        return token if self.markov else (number * 31 + token * 7 + 1) % MEMORIES

    def step(self, tokens: Tensor, state: Memory) -> tuple[Tensor, Tensor | None, Memory]:
        self.rows_seen.append(len(tokens))
        state = Memory(state.sentence, self.after(state.number, tokens))
        place = (state.sentence, state.number)
        weights = None if self.attention is None else self.attention[place]
        return self.log_probabilities[place], weights, state

    def select(self, state: Memory, rows: Tensor) -> Memory:
        return Memory(*(part[rows] for part in state))

    def start(self, sentences: list[int] | None = None) -> Memory:
        chosen = torch.tensor(range(len(self.log_probabilities)) if sentences is None else sentences)
        return Memory(chosen, torch.zeros_like(chosen))


def random_table(
    seed: int = 0, *, sentences: int = 3, V: int = 4, S: int = 0, markov: bool = False, spread: float = 1.5
) -> Table:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sentences, MEMORIES, V, generator=generator) * spread
    attention = None
    if S:
        scores = torch.randn(sentences, MEMORIES, S, generator=generator) * 2
        for sentence, steps in enumerate(source_lengths(sentences, S)):
            scores[sentence, :, steps:] = -math.inf
        attention = scores.softmax(-1).masked_fill(scores == -math.inf, math.nan)  # nobody may read the padding
    return Table(logits.log_softmax(-1), attention, markov=markov)


def source_lengths(sentences: int, S: int) -> list[int]:
    return [S - sentence % S for sentence in range(sentences)]


def plain_table(*probabilities: list[float]) -> Table:
    """The same at each step, one list a sentence."""
    rows = torch.tensor(probabilities)
    return Table(rows.log()[:, None].expand(-1, MEMORIES, -1).contiguous())


def judged(
    table: Table, sentence: int, tokens: list[int], *, length_penalty: float = 0.0, coverage_penalty: float = 0.0
) -> tuple[float, float]:
    """The score of a text and what it is worth when texts are compared, by the definition."""
    number, last, score, seen = 0, START, 0.0, []
    for token in [*tokens, END]:
        number = table.after(number, last)
        score += float(table.log_probabilities[sentence, number, token])
        if table.attention is not None:
            seen.append(table.attention[sentence, number].double().numpy())
        last = token
    worth = score / (len(tokens) + 1) ** length_penalty
    if seen and coverage_penalty:
        steps = source_lengths(len(table.attention), table.attention.shape[2])[sentence]
        worth += coverage_penalty * sum(math.log(min(each, 1.0)) for each in np.sum(seen, axis=0)[:steps])
    return score, worth


def repeats(tokens: list[int], run: int) -> bool:
    runs = list(zip(*(tokens[start:] for start in range(run)), strict=False))
    return run > 0 and len(set(runs)) < len(runs)


def best_of_all(table: Table, sentence: int, longest: int, count: int, no_repeat: int, **penalties: float) -> list:
    """The best of all texts there are, each looked at."""
    words = range(1, table.log_probabilities.shape[2])
    texts = [list(text) for size in range(longest + 1) for text in itertools.product(words, repeat=size)]
    allowed = [text for text in texts if not repeats(text, no_repeat)]
    return sorted(allowed, key=lambda text: -judged(table, sentence, text, **penalties)[1])[:count]


def texts_of(hypotheses: list[list[Hypothesis]]) -> list[list[list[int]]]:
    return [[text.tokens for text in texts] for texts in hypotheses]


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    """Equal to the last bit."""
    assert [text[:2] for text in found] == [text[:2] for text in expected]
    for text, other in zip(found, expected, strict=True):
        assert (text.attention is None) == (other.attention is None)
        assert text.attention is None or torch.equal(text.attention, other.attention)
