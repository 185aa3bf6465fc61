"""The plain path: a Python loop over a cell's step. Every other path is held against it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.cells import AttentionParameters, CellParameters, attend, project
from seqloom.shapes import Attended, Float, Int, Source, Start, State, Tokens, Trace, reverse_within, valid_steps

# Each step takes and returns its own kind of state; the loop only passes it on.
Step = Callable[[CellParameters, Tensor, Any], tuple[Any, Any]]


def run(
    step: Step,
    p: CellParameters,
    x: Float[Tensor, "B T I"] | Tokens,
    lengths: Int[Tensor, " B"],
    state: State,
    *,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Float[Tensor, "B T H"], State, Trace | None]:
    """Read each row of `x` up to its length, from `state` on; with `reverse` from its last real step to its first.

    Returns the outputs (zeros at padding), the state after the step of each row that was read last, and where `record`
    is set every state and gate of every step. Whichever way it was read, a step stands in its place in the sequence.
    """
    if isinstance(x, Tokens):
        x = x.spelled_out()
    if reverse:
        outputs, last, trace = run(step, p, reverse_within(x, lengths), lengths, state, record=record)
        return reverse_within(outputs, lengths), last, None if trace is None else _turned(trace, lengths)
    time = x.shape[1]
    valid = valid_steps(lengths, time)
    all_real = 0 if torch.compiler.is_compiling() or not len(lengths) else int(lengths.min())
    padding = None if all_real == time else ~valid[..., None]
    # NaN times zero is NaN: padding must be gone before the first product, or it reaches the weight gradients.
    x = _without_padding(x, padding)
    drives = project(p, x.transpose(0, 1)).unbind(0)
    states: list[State] = []
    gates: list[NamedTuple] = []
    for t in range(time):
        moved, opened = step(p, drives[t], state)
        # A finished row keeps its state: its values stay finite, and no gradient comes from beyond its end.
        state = moved if t < all_real else _choose(valid[:, t, None], moved, state)
        states.append(state)
        if record:
            gates.append(opened)
    outputs = _over_time([s.hidden for s in states], padding, like=state.hidden)
    return outputs, state, _trace(states, gates, padding, like=state) if record else None


def spelled_out(
    p: CellParameters, x: Float[Tensor, "B T I"], lengths: Int[Tensor, " B"] | None, state: Start
) -> tuple[Int[Tensor, " B"], State]:
    """The lengths, all T where they are None, and the first state, zeros where only its kind is given."""
    if lengths is None:
        batch, time = x.shape[:2]
        lengths = torch.full((batch,), time, dtype=torch.int64, device=x.device)
    return lengths, first_state(p, x, state)


def first_state(p: CellParameters, x: Float[Tensor, "B T I"], state: Start) -> State:
    """The first state, zeros where only its kind is given."""
    if not isinstance(state, type):
        return state
    rows = (x.shape[0], p.weight_hidden.shape[0])
    return state(*(p.weight_hidden.new_zeros(rows) for _ in state._fields))


def run_attending(
    step: Step,
    p: CellParameters,
    a: AttentionParameters,
    x: Float[Tensor, "B T I"] | Tokens,
    source: Source,
    lengths: Int[Tensor, " B"],
    state: State,
) -> tuple[Attended, State]:
    """Read each row of `x` up to its length, from `state` on, attending to the same row of `source` before each step.

        z  = attend(h, source)
        h' = step(x W + b + z C, h)

    Returns outputs, contexts and weights of attention, zeros at padding, and the state after each row's last step.
    """
    x = x.spelled_out() if isinstance(x, Tokens) else x
    padding = ~valid_steps(lengths, x.shape[1])[..., None]
    drives = project(p, _without_padding(x, padding))
    beyond = ~valid_steps(source.lengths, source.memory.shape[1])[..., None]
    memory, keys = (_without_padding(part, beyond) for part in (source.memory, source.keys))
    source = Source(memory, keys, source.lengths)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for t in range(x.shape[1]):
        context, weights = attend(a, state.hidden, source)
        moved, _ = step(p, drives[:, t] + context @ a.weight_context, state)
        state = _choose(~padding[:, t], moved, state)
        found.append((state.hidden, context, weights))
    if not found:
        sizes = (state.hidden.shape[1], source.memory.shape[2], source.memory.shape[1])
        return Attended(*(state.hidden.new_zeros(len(lengths), 0, size) for size in sizes)), state
    steps = (_without_padding(torch.stack(each, dim=1), padding) for each in zip(*found, strict=True))
    return Attended(*steps), state


def _choose(valid: Tensor, moved: State, kept: State) -> State:
    return type(kept)(*(torch.where(valid, new, old) for new, old in zip(moved, kept, strict=True)))


def _without_padding(x: Tensor, padding: Tensor | None) -> Tensor:
    return x if padding is None else x.masked_fill(padding, 0)


def _over_time(steps: list[Tensor], padding: Tensor | None, *, like: Tensor) -> Tensor:
    """(B, T, H) from T tensors (B, H), with zeros at padding."""
    if not steps:
        return like.new_zeros(like.shape[0], 0, like.shape[1])
    return _without_padding(torch.stack(steps, dim=1), padding)


def _trace(states: list[State], gates: list[NamedTuple], padding: Tensor | None, *, like: State) -> Trace:
    paths = {
        name: _over_time([getattr(s, name) for s in states], padding, like=like.hidden) for name in type(like)._fields
    }
    names = type(gates[0])._fields if gates else ()
    opened = {name: _over_time([getattr(g, name) for g in gates], padding, like=like.hidden) for name in names}
    return Trace(hidden=paths["hidden"], cell=paths.get("cell"), gates=opened)


def _turned(trace: Trace, lengths: Tensor) -> Trace:
    return Trace(
        hidden=reverse_within(trace.hidden, lengths),
        cell=None if trace.cell is None else reverse_within(trace.cell, lengths),
        gates={name: reverse_within(gate, lengths) for name, gate in trace.gates.items()},
    )
