"""The path on CUDA for the plain cells: cuDNN, as torch calls it, with our weights laid out its way."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqloom.cells import CellParameters
from seqloom.kernels import reference
from seqloom.kernels.recurrence import name_of
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, Int, Start, State

# By the name of the cell in recurrence.CELLS. torch's functions take any device: without a GPU, tests run them.
FUNCTIONS: dict[str | None, Any] = {
    "lstm": torch._VF.lstm,
    "gru_reset_after": torch._VF.gru,
    "simple_rnn_tanh": torch._VF.rnn_tanh,
    "simple_rnn_relu": torch._VF.rnn_relu,
}


class _Packing(NamedTuple):
    """Rows that have a step, the longest first, and their real steps one after the other: all rows' first step ..."""

    rows: Int[Tensor, " R"]
    places: Int[Tensor, " N"]  # in the batch, whose row b has its step t at b T + t
    sizes: Int[Tensor, " T"]  # how many rows have a step t; on the CPU, where torch reads it


def run(
    step: Step,
    p: CellParameters,
    x: Float[Tensor, "B T I"],
    lengths: Int[Tensor, " B"] | None,
    state: Start,
    *,
    reverse: bool = False,
) -> tuple[Float[Tensor, "B T H"], State]:
    """As `dispatch.run` without a trace, for what `dispatch.choose` lets through.

    Where there are `lengths`, the device is waited for.
    """
    batch, time = x.shape[:2]
    state = reference.first_state(p, x, state)
    known = torch.full((batch,), time, device="cpu") if lengths is None else lengths.cpu()
    longest = int(known.max()) if batch else 0
    if not longest:  # cuDNN reads a step at least
        outputs, last, _ = reference.run(step, p, x, known.to(x.device), state, reverse=reverse)
        return outputs, last
    if int(known.min()) == time:
        outputs, paths = _call(step, p, x.flip(1) if reverse else x, state)
        return outputs.flip(1) if reverse else outputs, type(state)(*paths)
    rows, places, sizes = _packing(known, time, longest, reverse=reverse)
    rows, places = rows.to(x.device), places.to(x.device)
    begun = type(state)(*(path.index_select(0, rows) for path in state))
    data, paths = _call(step, p, x.flatten(0, 1).index_select(0, places), begun, sizes=sizes)
    outputs = data.new_zeros(batch * time, data.shape[1]).index_copy(0, places, data).view(batch, time, -1)
    ended = (first.index_copy(0, rows, path.to(first.dtype)) for first, path in zip(state, paths, strict=True))
    return outputs, type(state)(*ended)


def _packing(lengths: Int[Tensor, " B"], time: int, longest: int, *, reverse: bool) -> _Packing:
    """How rows of these `lengths` are packed, on the CPU; with `reverse` from their last step to their first."""
    ordered, rows = lengths.sort(descending=True, stable=True)
    real = ordered > torch.arange(longest, device=lengths.device)[:, None]
    step, column = real.nonzero().unbind(1)
    if reverse:
        step = ordered[column] - 1 - step
    return _Packing(rows[: int(real[0].sum())], rows[column] * time + step, real.sum(1))


def _call(
    step: Step, p: CellParameters, x: Tensor, state: State, *, sizes: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """torch's function on a batch (B, T, I), or on packed rows (N, I) of `sizes`.

    Gives its outputs, and the last state in the order of the first.
    """
    firsts = [path.contiguous()[None] for path in state]
    first = firsts if len(firsts) > 1 else firsts[0]
    parts = (p.weight_input, p.weight_hidden, p.bias, p.bias_candidate)
    weights = _Flat.apply(*parts)  # type: ignore[no-untyped-call]  # torch gives it no types
    options = (True, 1, 0.0, torch.is_grad_enabled(), False)  # biases, one layer, no dropout, training, one direction
    function = FUNCTIONS[name_of(step)]
    if sizes is None:
        outputs, *last = function(x, first, weights, *options, True)  # the batch is the first axis
    else:
        outputs, *last = function(x, sizes, first, weights, *options)
    return outputs, [path[0] for path in last]


class _Flat(torch.autograd.Function):
    """The weights as cuDNN wants them: gates in rows, two biases, and all in one piece of memory."""

    @staticmethod
    def forward(
        ctx: Any, weight_input: Tensor, weight_hidden: Tensor, bias: Tensor | None, bias_candidate: Tensor | None
    ) -> tuple[Tensor, ...]:
        (inputs, gates), hidden = weight_input.shape, weight_hidden.shape[0]
        sizes = [gates * inputs, gates * hidden, gates, gates]
        flat = list(torch.split(weight_hidden.new_zeros(sum(sizes)), sizes))
        flat[0] = flat[0].view(gates, inputs).copy_(weight_input.t())
        flat[1] = flat[1].view(gates, hidden).copy_(weight_hidden.t())
        if bias is not None:
            flat[2].copy_(bias)
        if bias_candidate is not None:
            flat[3][-hidden:] = bias_candidate  # the candidate is the last gate
        ctx.hidden, ctx.biases = hidden, (bias is not None, bias_candidate is not None)
        return tuple(flat)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight_input, weight_hidden, bias, inner = gradients
        has_bias, has_candidate = ctx.biases
        return (
            weight_input.t(),
            weight_hidden.t(),
            bias if has_bias else None,
            inner[-ctx.hidden :] if has_candidate else None,
        )
