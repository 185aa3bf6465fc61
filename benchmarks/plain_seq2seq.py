"""The peer of the encoder-decoder: the same model as one writes it in plain PyTorch, a loop over the target's steps.

A bidirectional LSTM reads, an LSTM cell writes, additive attention before each step, a linear softmax over state and
context. Greedy and beam search are the usual ones too.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Source(NamedTuple):
    """The encoder's outputs (B, S, 2H), and what the decoder's state is compared with (B, S, H)."""

    outputs: Tensor
    keys: Tensor


class State(NamedTuple):
    """Of the decoder, (B, H) each."""

    hidden: Tensor
    cell: Tensor


class PlainSeq2Seq(nn.Module):
    """`words` on both sides, vectors of `size`, `hidden` units a direction."""

    def __init__(self, words: int, size: int, hidden: int) -> None:
        super().__init__()
        self.source_vectors, self.target_vectors = nn.Embedding(words, size), nn.Embedding(words, size)
        self.encoder = nn.LSTM(size, hidden, bidirectional=True, batch_first=True)
        self.first = nn.Linear(2 * hidden, hidden)
        self.key, self.query = nn.Linear(2 * hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.LSTMCell(size + 2 * hidden, hidden)
        self.softmax = nn.Linear(3 * hidden, words)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The logits (B, T, V) of what follows each token of `target`."""
        read, state = self.read(source)
        written = []
        for token in target.unbind(1):
            features, state = self.step(token, read, state)
            written.append(features)
        logits: Tensor = self.softmax(torch.stack(written, dim=1))
        return logits

    def read(self, source: Tensor) -> tuple[Source, State]:
        """The source read from both sides, and the decoder's first state."""
        outputs, (hidden, _) = self.encoder(self.source_vectors(source))
        first = torch.tanh(self.first(torch.cat([hidden[0], hidden[1]], dim=-1)))
        return Source(outputs, self.key(outputs)), State(first, torch.zeros_like(first))

    def step(self, token: Tensor, source: Source, state: State) -> tuple[Tensor, State]:
        """One step: state and context, (B, 3H), after reading one token a row."""
        scores = self.score(torch.tanh(source.keys + self.query(state.hidden)[:, None])).squeeze(-1)
        context = torch.bmm(scores.softmax(dim=-1)[:, None], source.outputs).squeeze(1)
        state = State(*self.cell(torch.cat([self.target_vectors(token), context], dim=-1), state))
        return torch.cat([state.hidden, context], dim=-1), state

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """The mean cross entropy of each token of `target` after those before it, 0 being the first."""
        before = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)
        return functional.cross_entropy(self(source, before).flatten(0, 1), target.flatten())

    @torch.no_grad()
    def greedy(self, source: Tensor, steps: int) -> Tensor:
        """The likeliest token after each, (B, steps)."""
        read, state = self.read(source)
        token = source.new_zeros(len(source))
        written = []
        for _ in range(steps):
            features, state = self.step(token, read, state)
            token = self.softmax(features).argmax(dim=-1)
            written.append(token)
        return torch.stack(written, dim=1)

    @torch.no_grad()
    def beam(self, source: Tensor, steps: int, width: int) -> Tensor:
        """The likeliest text of `steps` tokens for one source (1, S) among the `width` that are followed, (steps,)."""
        read, state = self.read(source)
        read = Source(*(part.expand(width, -1, -1) for part in read))
        state = State(*(part.expand(width, -1) for part in state))
        scores = torch.full((width,), -torch.inf)
        scores[0] = 0.0
        texts, token = source.new_zeros(width, 0), source.new_zeros(width)
        for _ in range(steps):
            features, state = self.step(token, read, state)
            likely = scores[:, None] + self.softmax(features).log_softmax(dim=-1)
            scores, places = likely.flatten().topk(width)
            rows, token = places // likely.shape[1], places % likely.shape[1]
            state = State(*(part[rows] for part in state))
            texts = torch.cat([texts[rows], token[:, None]], dim=1)
        return texts[0]
