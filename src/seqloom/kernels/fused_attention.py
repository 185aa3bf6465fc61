"""The fast path on the CPU of a cell that attends: one node of torch's graph for the whole reading.

What the core cannot do, the reference does: where the gradient itself is differentiated.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding

from seqloom.cells import AttentionParameters, CellParameters
from seqloom.kernels import fused_cpu, reference
from seqloom.kernels.attending import (
    Attending,
    Back,
    Call,
    Steps,
    Weights,
    compute,
    go_back,
    summed,
    tokens_of,
)
from seqloom.kernels.linear import linear, outer
from seqloom.kernels.recurrence import CELLS, name_of
from seqloom.kernels.reference import Step
from seqloom.shapes import Attended, Float, Int, Source, State, Tokens


def run(
    step: Step,
    p: CellParameters,
    a: AttentionParameters,
    x: Float[Tensor, "B T I"] | Tokens,
    source: Source,
    lengths: Int[Tensor, " B"],
    state: State,
) -> tuple[Attended, State]:
    """As `reference.run_attending`, for what `dispatch.choose_attending` lets through."""
    cell = name_of(step)
    assert cell is not None
    batch, time = (x.ids if isinstance(x, Tokens) else x).shape[:2]
    call = Call(cell, time, lengths, source.lengths.long(), tokens_of(lengths, time))
    if isinstance(x, Tokens):  # once a different token
        drives = embedding(x.ids.flatten()[call.tokens.places], linear(x.vectors, p.weight_input, bias=p.bias))
    else:
        drives = linear(embedding(call.tokens.places, x.flatten(0, 1)), p.weight_input, bias=p.bias)
    mask = None if p.hidden_mask is None else p.hidden_mask.expand(batch, -1)
    of_state: list[Any] = [state.hidden, getattr(state, "cell", None)]
    of_attention: list[Any] = [*a, source.memory, source.keys]
    o = Attending(drives, p.weight_hidden, p.bias_candidate, mask, *of_state, *of_attention)
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in o):
        found = _Attention.apply(call, *o)  # type: ignore[no-untyped-call]
    else:
        found = _placed(call, o, compute(call, o, Weights(cell, o), save=False))
    return Attended(*found[:3]), type(state)(*(part for part in found[3:] if part is not None))


def fits(p: CellParameters, a: AttentionParameters, source: Source) -> bool:
    """Whether all sizes of attention are its own, as the core trusts."""
    hidden, columns = p.weight_hidden.shape
    if source.memory.dim() != 3:
        return False
    (batch, steps, size), keys = source.memory.shape, source.keys.shape
    compared = hidden if a.weight_query is None else a.weight_query.shape[-1]
    return (
        keys == (batch, steps, compared)
        and source.lengths.shape == (batch,)
        and source.lengths.is_cpu
        and a.weight_context.shape == (size, columns)
        and (a.weight_query is None or a.weight_query.shape == (hidden, compared))
        and (a.score is None or a.score.shape == (compared,))
    )


def _placed(call: Call, o: Attending, steps: Steps) -> tuple[Tensor | None, ...]:
    """Outputs, contexts and weights where they belong in the batch, and the last state."""
    tokens, batch = call.tokens, len(call.lengths)
    padded = len(tokens.places) < batch * call.time

    def spread(x: Float[Tensor, "N size"]) -> Float[Tensor, "B T size"]:
        new = torch.zeros if padded else torch.empty
        whole = new(batch * call.time, x.shape[1], dtype=torch.float32, device="cpu")
        return whole.index_copy_(0, tokens.places, x).view(batch, call.time, x.shape[1])

    read = tokens.active[0] if tokens.active else 0
    ends = torch.tensor(tokens.begins, dtype=torch.int64)[tokens.counts[:read] - 1] + torch.arange(read)

    def last(first: Tensor | None, x: Tensor | None) -> Tensor | None:
        if first is None or x is None:
            return None
        in_order = torch.cat([x[ends], first[read:]])
        return torch.empty_like(in_order).index_copy_(0, tokens.rows, in_order)

    outputs = tuple(spread(part) for part in steps[:3])
    return *outputs, last(steps.first_hidden, steps.hidden), last(steps.first_cell, steps.cells)


class _Attention(Function):
    """One node of the graph for the whole reading."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        o = Attending(*tensors)  # type: ignore[arg-type]
        ctx.call, ctx.packed = call, Weights(call.cell, o)
        steps = compute(call, o, ctx.packed, save=True)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.steps = steps  # none of them is handed out
        return _placed(call, o, steps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        o, wanted = Attending(*ctx.saved_tensors), ctx.needs_input_grad[1:]
        if fused_cpu.plain(gradients):
            back = go_back(ctx.call, o, ctx.packed, ctx.steps, gradients)
            return None, *_gradients(ctx.call, o, ctx.steps, back, wanted)
        return None, *_by_equations(ctx.call, o, gradients, wanted)


def _gradients(call: Call, o: Attending, steps: Steps, back: Back, wanted: Sequence[bool]) -> list[Tensor | None]:
    """The gradients of the operands that are `wanted`: each weight's one product over all real steps."""
    tokens, want = call.tokens, dict(zip(Attending._fields, wanted, strict=True))
    begins = zip([0, *tokens.begins], tokens.active, strict=False)
    before = [(steps.hidden if t else steps.first_hidden)[n : n + rows] for t, (n, rows) in enumerate(begins)]
    asking = torch.cat(before) if before else steps.hidden

    def in_batch(x: Tensor | None) -> Tensor | None:
        return None if x is None else torch.empty_like(x).index_copy_(0, tokens.rows, x)

    found: dict[str, Tensor | None] = {
        "drives": back.drives,
        "first_hidden": in_batch(back.first_hidden),
        "first_cell": in_batch(back.first_cell),
    }
    if want["weight_hidden"] or want["bias_candidate"]:
        found["weight_hidden"], found["bias_candidate"] = _of_feedback(call, steps, back, asking)
    if want["weight_context"]:
        found["weight_context"], _ = outer(steps.contexts, back.drives)
    if want["weight_query"]:
        found["weight_query"], _ = outer(asking, back.queries)
    if want["score"] and back.score is not None:
        _, found["score"] = outer(back.score[:, :0], back.score)
    if want["memory"]:
        found["memory"] = summed(call, o, steps.weights, back.contexts)
    if want["keys"]:
        asked = asking if steps.queries is None else steps.queries
        found["keys"] = summed(call, o, back.scores, asked) if back.keys is None else back.keys
    return [found[name] if needed else None for name, needed in want.items()]


def _of_feedback(call: Call, steps: Steps, back: Back, before: Float[Tensor, "N H"]) -> tuple[Tensor, Tensor | None]:
    """The gradients of the feedback weights and of the bias inside the reset, from what each gate's product read."""
    fed, drives, gates = before, back.drives, 2 * before.shape[1]
    masks = None if steps.mask is None else torch.cat([steps.mask[:rows] for rows in call.tokens.active] or [before])
    fed = fed if masks is None else fed * masks
    if call.cell == "gru":
        assert steps.gates is not None
        reset = before * steps.gates[:, 0]
        reset = reset if masks is None else reset * masks
        return torch.cat([outer(fed, drives[:, :gates])[0], outer(reset, drives[:, gates:])[0]], dim=1), None
    if call.cell == "gru_reset_after":
        assert steps.gates is not None
        drives = torch.cat([drives[:, :gates], drives[:, gates:] * steps.gates[:, 0]], dim=1)
    product, sums = outer(fed, drives)
    return product, sums[gates:] if call.cell == "gru_reset_after" else None


def _by_equations(
    call: Call, o: Attending, gradients: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The same gradients by the reference, as differentiable as it is."""
    known, again = CELLS[call.cell], torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        o = Attending(*fused_cpu.views(o))  # type: ignore[arg-type]
        places = torch.zeros(len(call.lengths) * call.time, dtype=torch.int64)
        places[call.tokens.places] = torch.arange(len(call.tokens.places))
        # What was projected is its own input, by weights that change nothing.
        x = Tokens(places.view(-1, call.time), o.drives).spelled_out()
        p = CellParameters(torch.eye(x.shape[2]), o.weight_hidden, bias_candidate=o.bias_candidate, hidden_mask=o.mask)
        a = AttentionParameters(o.weight_context, o.weight_query, o.score)
        first = known.state(*(part for part in (o.first_hidden, o.first_cell) if part is not None))
        source = Source(o.memory, o.keys, call.source_lengths)
        attended, last = reference.run_attending(known.step, p, a, x, source, call.lengths, first)
    return fused_cpu.differentiated(
        [*attended, last.hidden, getattr(last, "cell", None)], gradients, o, wanted, again=again
    )
