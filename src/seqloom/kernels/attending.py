"""One reading of a batch by a cell that attends, forward and back: four calls of the compiled core a step.

The real steps of a batch stand as rows of a matrix, step after step and within a step the longest row first: what a
step reads and writes lies in one piece, finished rows cost nothing, and the gradient of a weight is one product.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.kernels import native
from seqloom.kernels.packing import matrix, pack, pack_matrix
from seqloom.kernels.recurrence import CELLS, Operands, address, empty, in_rows
from seqloom.shapes import Float, Int, Source


class RealSteps(NamedTuple):
    """The real steps of a batch, N of them, in the order of this file: token `begins[t] + r` is step t of `rows[r]`."""

    rows: Int[Tensor, " B"]  # of the batch, longest first
    counts: Int[Tensor, " B"]  # the length of each of them
    places: Int[Tensor, " N"]  # where a token stands in (B, T)
    begins: list[int]
    active: list[int]  # how many rows have a step t


def tokens_of(lengths: Int[Tensor, " B"], time: int) -> RealSteps:
    """The real steps of rows of these lengths, padded to `time`."""
    counts, rows = lengths.sort(descending=True, stable=True)
    steps = torch.arange(time)[:, None]
    real = steps < counts
    active = [rows for rows in real.sum(dim=1).tolist() if rows]
    begins = list(itertools.accumulate([0, *active]))[: len(active)]
    return RealSteps(rows, counts, (rows * time + steps)[real], begins, active)


class Call(NamedTuple):
    """What is read, but for the numbers."""

    cell: str
    time: int
    lengths: Int[Tensor, " B"]
    source_lengths: Int[Tensor, " B"]
    tokens: RealSteps


class Attending(NamedTuple):
    """What is read: `drives` are x W + b of the real steps. A gradient is found for all but the mask."""

    drives: Float[Tensor, "N G"]
    weight_hidden: Float[Tensor, "H G"]
    bias_candidate: Float[Tensor, " H"] | None
    mask: Float[Tensor, "B H"] | None
    first_hidden: Float[Tensor, "B H"]
    first_cell: Float[Tensor, "B H"] | None
    weight_context: Float[Tensor, "M G"]
    weight_query: Float[Tensor, "H A"] | None
    score: Float[Tensor, " A"] | None
    memory: Float[Tensor, "B S M"]
    keys: Float[Tensor, "B S A"]


class Weights:
    """The weights of a step, packed."""

    def __init__(self, cell: str, o: Attending) -> None:
        self.hidden, self.columns = o.weight_hidden.shape
        self.compared, self.memory = o.keys.shape[2], o.memory.shape[2]
        no_input = o.weight_hidden.new_empty(0, self.columns)
        rest = (None, o.bias_candidate, None, o.first_hidden, o.first_cell)
        self.cell = pack(cell, Operands(o.drives, Tensor(), no_input, o.weight_hidden, *rest))
        self.query = None if o.weight_query is None else pack_matrix(o.weight_query)
        self.context = pack_matrix(o.weight_context)


class Asked:
    """A source as the core takes it, and the tensors that it reads."""

    def __init__(self, source: Source, score: Tensor | None) -> None:
        memory, keys, lengths = in_rows(source.memory), in_rows(source.keys), source.lengths.contiguous()
        score = None if score is None else score.contiguous()
        self.tensors = (memory, keys, lengths, score)
        sizes = (*memory.shape, keys.shape[2])
        self.source = native.core().Source(
            *(*sizes, lengths.data_ptr(), memory.data_ptr(), *memory.stride()[:2]),
            *(keys.data_ptr(), *keys.stride()[:2], address(score), torch.get_num_threads()),
        )


class Places(NamedTuple):
    """Where the numbers of one step are, those of its rows in one piece; 0 where there are none."""

    hidden_before: int
    cell_before: int
    mask: int
    drive: int
    query: int  # written, as all that follows
    weights: int
    context: int
    z: int
    hidden: int
    cell: int
    gates: int


class Counted:
    """For calls of one step: that each of `rows` rows has one, and its own row of a table."""

    def __init__(self, rows: int) -> None:
        self.ones, self.ids = torch.ones(rows, dtype=torch.int64), torch.arange(rows)


def read_step(w: Weights, source: Any, rows: int, asked: int, at: Places, counted: Counted, *, threads: int) -> None:
    """One step of the first `rows` rows, which ask the rows of `source` at `asked`."""
    core, hidden = native.core(), w.hidden
    query = at.hidden_before
    if w.query is not None:
        core.linear(w.query, rows, query, hidden, 0, at.query, threads)
        query = at.query
    core.attend(source, rows, asked, query, at.weights, at.context, threads)
    core.linear(w.context, rows, at.context, w.memory, at.drive, at.z, threads, w.columns)
    # fmt: off
    core.forward(
        w.cell, rows, 1, counted.ones, False, threads, None,
        (at.hidden_before, hidden), (at.cell_before, hidden), (at.mask, hidden),
        (at.hidden, hidden), (at.hidden, hidden), (at.cell, hidden), (at.gates,), (at.cell,),
        counted.ids, (at.z, w.columns),
    )
    # fmt: on


class Steps(NamedTuple):
    """What was computed at the real steps, and the first states and the mask in the order of their rows."""

    hidden: Float[Tensor, "N H"]
    contexts: Float[Tensor, "N M"]
    weights: Float[Tensor, "N S"]
    cells: Float[Tensor, "N H"] | None
    queries: Float[Tensor, "N A"] | None
    gates: Float[Tensor, "N G_saved H"] | None
    first_hidden: Float[Tensor, "B H"]
    first_cell: Float[Tensor, "B H"] | None
    mask: Float[Tensor, "B H"] | None


def compute(call: Call, o: Attending, w: Weights, *, save: bool) -> Steps:
    """All steps. Without `save` there are no gates."""
    tokens, count, known = call.tokens, len(call.tokens.places), CELLS[call.cell]
    first_hidden, first_cell, mask = (
        None if part is None else part.index_select(0, tokens.rows) for part in (o.first_hidden, o.first_cell, o.mask)
    )
    assert first_hidden is not None
    steps = Steps(
        hidden=empty(count, w.hidden),
        contexts=empty(count, w.memory),
        weights=empty(count, o.memory.shape[1]),
        cells=None if first_cell is None else empty(count, w.hidden),
        queries=None if w.query is None else empty(count, w.compared),
        gates=empty(count, known.saved, w.hidden) if save and known.saved else None,
        first_hidden=first_hidden,
        first_cell=first_cell,
        mask=mask,
    )
    drives = o.drives.contiguous()
    source = Asked(Source(o.memory, o.keys, call.source_lengths), o.score)
    z, counted = empty(len(call.lengths), w.columns), Counted(len(call.lengths))
    hidden, contexts, weights, cells, queries, gates = (_Rows(part) for part in steps[:6])
    drive, before, before_cell, threads = _Rows(drives), _Rows(first_hidden), _Rows(first_cell), torch.get_num_threads()
    previous = 0
    for n, rows in zip(tokens.begins, tokens.active, strict=True):
        at = Places(
            *(before.at(previous), before_cell.at(previous), address(mask), drive.at(n), queries.at(n)),
            *(weights.at(n), contexts.at(n), z.data_ptr(), hidden.at(n), cells.at(n), gates.at(n)),
        )
        read_step(w, source.source, rows, tokens.rows.data_ptr(), at, counted, threads=threads)
        before, before_cell, previous = hidden, cells, n
    return steps


class _Rows:
    """The addresses of the rows of a tensor that lie in one piece; 0 where there is none."""

    def __init__(self, x: Tensor | None) -> None:
        self._first, self._size = address(x), 0 if x is None else 4 * x.stride(0)

    def at(self, row: int) -> int:
        return self._first + row * self._size


class Back(NamedTuple):
    """What came back to each real step, and to what all steps share."""

    drives: Float[Tensor, "N G"]
    contexts: Float[Tensor, "N M"]
    scores: Float[Tensor, "N S"]
    queries: Float[Tensor, "N A"]
    first_hidden: Float[Tensor, "B H"]  # longest row first
    first_cell: Float[Tensor, "B H"] | None
    keys: Float[Tensor, "B S A"] | None  # where there is a score
    score: Float[Tensor, "B A"] | None  # a row for each row of the batch, longest first


def go_back(call: Call, o: Attending, w: Weights, steps: Steps, gradients: Sequence[Tensor | None]) -> Back:
    """All steps, from the last to the first; `gradients` are those of the three results and of the last state."""
    tokens, count, core, threads = call.tokens, len(call.tokens.places), native.core(), torch.get_num_threads()
    batch, seen, scored = len(call.lengths), o.memory.shape[1], o.score is not None

    def in_order(gradient: Tensor | None, order: Tensor, *, over_time: bool) -> Tensor | None:
        if gradient is None:
            return None
        return (gradient.flatten(0, 1) if over_time else gradient).resolve_neg().index_select(0, order)

    of_hidden, of_contexts, of_weights = (in_order(part, tokens.places, over_time=True) for part in gradients[:3])
    last = [in_order(part, tokens.rows, over_time=False) for part in gradients[3:]]
    d_hidden, d_cell = (o.first_hidden.new_zeros(batch, w.hidden) if part is None else part for part in last)
    back = Back(
        drives=empty(count, w.columns),
        contexts=empty(count, w.memory),
        scores=empty(count, seen),
        queries=empty(count, w.compared),
        first_hidden=d_hidden,
        first_cell=None if o.first_cell is None else d_cell,
        keys=o.keys.new_zeros(o.keys.shape) if scored else None,
        score=o.keys.new_zeros(batch, w.compared) if scored else None,
    )
    source = Asked(Source(o.memory, o.keys, call.source_lengths), o.score)
    query_back = None if o.weight_query is None else matrix(o.weight_query.t())
    context_back, counted = matrix(o.weight_context.t()), Counted(batch)
    hidden, _, weights, cells, queries, gates = (_Rows(part) for part in steps[:6])
    d_outputs, d_given, d_weights = (_Rows(part) for part in (of_hidden, of_contexts, of_weights))
    d_drives, d_contexts, d_scores, d_queries = (_Rows(part) for part in back[:4])
    first = _Rows(steps.first_hidden), _Rows(steps.first_cell)
    at_hidden, of_state = address(back.first_hidden), (back.first_hidden, back.first_cell)
    size, state = w.columns, w.hidden
    for t in reversed(range(len(tokens.begins))):
        n, rows = tokens.begins[t], tokens.active[t]
        before, before_cell = (hidden, cells) if t else first
        previous = tokens.begins[t - 1] if t else 0
        # fmt: off
        core.backward(
            w.cell, rows, 1, counted.ones, False, threads, None,
            (before.at(previous), state), (before_cell.at(previous), state), steps.mask,
            (hidden.at(n), state), (gates.at(n),), (cells.at(n),), (d_outputs.at(n), state), *of_state,
            None, None, None, None, None, *of_state, counted.ids, None, (d_drives.at(n),), rows,
        )
        core.linear(context_back, rows, d_drives.at(n), size, d_given.at(n), d_contexts.at(n), threads, w.memory)
        query = before.at(previous) if query_back is None else queries.at(n)
        core.attend_backward(
            source.source, rows, tokens.rows.data_ptr(), query, weights.at(n), d_contexts.at(n), d_weights.at(n),
            d_scores.at(n), d_queries.at(n), address(back.keys), address(back.score), threads,
        )
        # fmt: on
        if query_back is None:
            back.first_hidden[:rows] += back.queries[n : n + rows]
        else:
            core.linear(query_back, rows, d_queries.at(n), w.compared, at_hidden, at_hidden, threads, state)
    return back


def summed(call: Call, o: Attending, weights: Tensor, values: Tensor) -> Float[Tensor, "B S size"]:
    """For each step of the source, what weighs on it at all steps of its row."""
    tokens, size = call.tokens, values.shape[1]
    source = Asked(Source(o.memory, o.keys, call.source_lengths), None)
    begins, to = torch.tensor(tokens.begins, dtype=torch.int64), empty(*o.memory.shape[:2], size)
    native.core().attend_sums(
        *(source.source, len(call.lengths), size, tokens.rows.data_ptr(), tokens.counts.data_ptr(), begins.data_ptr()),
        *(weights.data_ptr(), values.data_ptr(), to.data_ptr(), torch.get_num_threads()),
    )
    return to
