"""The fast path on the CPU of a decoder that writes: one call of the core for each step, or for many of them.

A step gives, to the bit, what it gives in the sequence read whole.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.cells import AttentionParameters, CellParameters
from seqloom.kernels import native
from seqloom.kernels.attending import Asked, Attending, Weights
from seqloom.kernels.linear import Prepared
from seqloom.kernels.packing import pack_matrix, table
from seqloom.kernels.recurrence import CELLS, address, name_of
from seqloom.kernels.reference import Step
from seqloom.shapes import Attended, Float, Int, LSTMState, RNNState, Source, State

TABLE = 1 << 24  # numbers that tokens' shares of the pre-activations may have: 64 MB


class Stepper:
    """One step at a time with the weights packed once; for what `dispatch.choose_attending` lets through, in rows.

    Rows, source and state may be others at each step. With `vectors` tokens are read, each by its own of them; what
    the input weights make of these is computed once, unless it were too much. One thread at a time may use it.
    """

    def __init__(
        self, step: Step, p: CellParameters, a: AttentionParameters, *, vectors: Float[Tensor, "V I"] | None = None
    ) -> None:
        cell = name_of(step)
        assert cell is not None
        weight, (hidden, columns) = p.weight_hidden, p.weight_hidden.shape
        compared = hidden if a.weight_query is None else a.weight_query.shape[1]
        memory, keys = weight.new_empty(0, 0, a.weight_context.shape[0]), weight.new_empty(0, 0, compared)
        first_cell = weight.new_empty(0, hidden) if CELLS[cell].state is LSTMState else None
        read: list[Any] = [weight, p.bias_candidate, None, weight.new_empty(0, hidden), first_cell, *a, memory, keys]
        self._weights = w = Weights(cell, Attending(weight.new_empty(0, columns), *read))
        self._score, bias = (
            None if a.score is None else a.score.clone(),
            None if p.bias is None else p.bias.contiguous(),
        )
        self.words = 0 if vectors is None else len(vectors)
        tabled = vectors is not None and self.words * columns <= TABLE
        if tabled:
            assert vectors is not None
            vectors = table(vectors, p.weight_input, bias)
        self._vectors = vectors  # the core reads them where they lie
        self.core = native.core().Reader(
            *(w.cell, None if tabled else pack_matrix(p.weight_input), w.query, w.context),
            *(p.weight_input.shape[0], w.memory, w.compared, w.columns, address(bias), address(vectors), self.words),
        )
        self._source: Source | None = None
        self._asked: Asked | None = None

    def read(self, x: Float[Tensor, "R I"] | Int[Tensor, " R"], state: State, source: Source) -> tuple[Attended, State]:
        """As `fused_attention.run` for one step, whose results have no time axis. All contiguous, R rows."""
        m = self.memory(x.shape[0], state, source)
        self.core.read(self.asked(source), x.shape[0], x.data_ptr(), *m.addresses(), torch.get_num_threads())
        return Attended(m.hidden, m.context, m.weights), m.after()

    def memory(self, rows: int, state: State, source: Source) -> "StepMemory":
        """Room for what a step of `rows` rows writes, beside what it reads."""
        cell = state.cell if isinstance(state, LSTMState) else None
        return StepMemory(
            state,
            state.hidden.new_empty(rows, source.memory.shape[1]),
            state.hidden.new_empty(rows, self._weights.memory),
            torch.empty_like(state.hidden),
            None if cell is None else torch.empty_like(cell),
        )

    def asked(self, source: Source) -> Any:
        """The core's own view of a source, made once for all its steps."""
        if self._asked is None or source is not self._source:
            self._asked, self._source = Asked(source, self._score), source
        return self._asked.source


class StepMemory(NamedTuple):
    """The state before a step, and what the step writes: weights, context, and the state after it."""

    before: State
    weights: Float[Tensor, "R S"]
    context: Float[Tensor, "R M"]
    hidden: Float[Tensor, "R H"]
    cell: Float[Tensor, "R H"] | None

    def addresses(self) -> list[int]:
        """In the order of the core."""
        cell = self.before.cell if isinstance(self.before, LSTMState) else None
        return [
            address(part) for part in (self.before.hidden, cell, self.weights, self.context, self.hidden, self.cell)
        ]

    def after(self) -> State:
        """The state after the step."""
        return RNNState(self.hidden) if self.cell is None else LSTMState(self.hidden, self.cell)


class Speller:
    """The next token of each row: what a `Stepper` of tokens reads, tanh of a readout or none, softmax.

    None of `of` where the core does not compute all of it. One thread at a time may use it.
    """

    def __init__(self, stepper: Stepper, readout: Any, output: Any, *, words: int) -> None:
        self._stepper, self._words = stepper, words
        self._core = native.core().Speller(stepper.core, readout, output)

    @classmethod
    def of(cls, stepper: Stepper, readout: Prepared | None, output: Prepared) -> "Speller | None":
        """On the weights of these layers, as they were prepared."""
        last, between = output.projection(), None if readout is None else readout.projection()
        if last is None or (readout is not None and between is None) or stepper.words == 0:
            return None
        return cls(stepper, between, last, words=output.columns)

    def spell(
        self, tokens: Int[Tensor, " R"], state: State, source: Source
    ) -> tuple[Float[Tensor, "R V"], Float[Tensor, "R S"], State]:
        """Read a token a row: the log-probabilities of the next, the weights of attention, the state after."""
        rows = len(tokens)
        m, given = self._stepper.memory(rows, state, source), state.hidden.new_empty(rows, self._words)
        asked = self._stepper.asked(source)
        self._core.spell(asked, rows, tokens.data_ptr(), *m.addresses(), given.data_ptr(), torch.get_num_threads())
        return given, m.weights, m.after()

    def go_on(
        self, tokens: Int[Tensor, " R"], state: State, source: Source, *, most: int, end: int
    ) -> tuple[Int[Tensor, "N R"], Float[Tensor, "N R"], Float[Tensor, "N R S"], State]:
        """The likeliest tokens of N steps, their log-probabilities, the weights of attention, the state after.

        Of equal tokens the lowest. N is `most`, or ends with the step in which a row writes `end` or has no number.
        """
        rows, like = len(tokens), state.hidden
        m = self._stepper.memory(rows, state, source)
        weights = like.new_empty(most, rows, source.memory.shape[1])
        chosen, scores = tokens.new_empty(most, rows), like.new_empty(most, rows)
        before, cell, _, _, *after = m.addresses()
        steps = self._core.go_on(
            *(self._stepper.asked(source), rows, most, end, tokens.data_ptr(), before, cell, weights.data_ptr()),
            *(*after, chosen.data_ptr(), scores.data_ptr(), torch.get_num_threads()),
        )
        return chosen[:steps], scores[:steps], weights[:steps], m.after()

    def follow(
        self, token: Int[Tensor, " 1"], state: State, source: Source, *, width: int, most: int, end: int
    ) -> tuple[list[list[int]], list[list[int]], list[Tensor], list[float], int, State] | None:
        """What a beam of `width` follows from one text of one sentence on, until one of its texts writes `end`.

        At most `most` steps; the parts of models.writer.Followed, to the bit. None where the first step ends a text.
        """
        texts, like = width + 1, state.hidden
        weights = like.new_empty(most, texts, source.memory.shape[1])
        paths = [like.new_empty(texts, like.shape[1]) for _ in state]
        first, after = ([address(path) for path in (*given, None)][:2] for given in (state, paths))
        before, tokens = (torch.empty(most, texts, dtype=torch.int64) for _ in range(2))
        counts, greedy = torch.empty(most, dtype=torch.int64), torch.empty(texts, dtype=torch.int64)
        scores = torch.empty(texts, dtype=torch.float64)
        written = [part.data_ptr() for part in (before, tokens, counts, greedy, scores)]
        steps = self._core.follow(
            *(self._stepper.asked(source), width, most, end, int(token), *first, weights.data_ptr(), *after, *written),
            torch.get_num_threads(),
        )
        if steps == 0:
            return None
        rows = counts[:steps].tolist()
        return (
            [row[:count] for row, count in zip(before[:steps].tolist(), rows, strict=True)],
            [row[:count] for row, count in zip(tokens[:steps].tolist(), rows, strict=True)],
            [step[:count] for step, count in zip(weights, [1, *rows[:-1]], strict=False)],
            scores[: rows[-1]].tolist(),
            greedy[: rows[-1]].tolist().index(1),
            type(state)(*(path[: rows[-1]] for path in paths)),
        )
