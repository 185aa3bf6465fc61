"""The path on CUDA for the plain cells: cuDNN, as torch calls it, with our weights laid out its way."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqloom.cells import CellParameters
from seqloom.kernels.recurrence import name_of
from seqloom.kernels.reference import Step
from seqloom.shapes import Float, Int, State, reverse_within, valid_steps

# By the name of the cell in recurrence.CELLS. torch's functions take any device: without a GPU, tests run them.
FUNCTIONS: dict[str | None, Any] = {
    "lstm": torch._VF.lstm,
    "gru_reset_after": torch._VF.gru,
    "simple_rnn_tanh": torch._VF.rnn_tanh,
    "simple_rnn_relu": torch._VF.rnn_relu,
}


def run(
    step: Step,
    p: CellParameters,
    x: Float[Tensor, "B T I"],
    lengths: Int[Tensor, " B"],
    state: State,
    *,
    reverse: bool = False,
) -> tuple[Float[Tensor, "B T H"], State]:
    """As `reference.run` without a trace, for what `dispatch.choose` lets through."""
    if reverse:
        outputs, last = run(step, p, reverse_within(x, lengths), lengths, state)
        return reverse_within(outputs, lengths), last
    if not len(lengths):
        return x.new_zeros(0, x.shape[1], p.weight_hidden.shape[0]), state
    shortest, time = int(lengths.min()), x.shape[1]
    if shortest == time:
        outputs, paths = _call(step, p, x, state)
        return outputs, type(state)(*paths)
    if not shortest:
        # A packed row has a step at least: an empty one gets a step of zeros, and keeps its state all the same.
        x = x.masked_fill(~valid_steps(lengths, time)[..., None], 0)
    packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    rows, paths = _call(step, p, packed, type(state)(*(path[order] for path in state)))
    outputs, _ = pad_packed_sequence(packed._replace(data=rows), batch_first=True, total_length=time)
    empty = (lengths == 0)[:, None]
    last = type(state)(*(torch.where(empty, first, path[back]) for first, path in zip(state, paths, strict=True)))
    return outputs.masked_fill(empty[..., None], 0), last


def _call(step: Step, p: CellParameters, x: Tensor | PackedSequence, state: State) -> tuple[Tensor, list[Tensor]]:
    """torch's function on a batch (B, T, I), or on packed rows: its outputs, and the last state in the same order."""
    function = FUNCTIONS[name_of(step)]
    weights = _flat_weights(p)
    firsts = [path.contiguous()[None] for path in state]
    first = tuple(firsts) if len(firsts) > 1 else firsts[0]
    options = (len(weights) > 2, 1, 0.0, torch.is_grad_enabled(), False)  # biases, one layer, no dropout, one direction
    if isinstance(x, PackedSequence):
        outputs, *last = function(x.data, x.batch_sizes, first, weights, *options)
    else:
        outputs, *last = function(x, first, weights, *options, True)
    return outputs, [path[0] for path in last]


def _flat_weights(p: CellParameters) -> list[Tensor]:
    """The weights as cuDNN wants them: gates in rows, two biases, and all in one piece of memory."""
    parts = [p.weight_input.t(), p.weight_hidden.t()]
    if p.bias is not None or p.bias_candidate is not None:
        bias = p.weight_hidden.new_zeros(parts[0].shape[0]) if p.bias is None else p.bias
        inner = torch.zeros_like(bias)
        if p.bias_candidate is not None:
            inner = torch.cat([inner[p.bias_candidate.shape[0] :], p.bias_candidate])
        parts += [bias, inner]
    whole = torch.cat([part.reshape(-1) for part in parts])
    pieces = torch.split(whole, [part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]
