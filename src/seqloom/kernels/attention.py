"""A cell that attends, over time: before each step its state asks the source, and what it finds goes into the step."""

import torch
from torch import Tensor

from seqloom.cells import AttentionParameters, CellParameters, attend, project
from seqloom.kernels.reference import Step
from seqloom.shapes import Attended, Float, Int, Source, State, Tokens, valid_steps


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

    Returns outputs, contexts and weights of attention (zeros at padding), and the state after the last step of each row.
    """
    drives = project(p, x.spelled_out() if isinstance(x, Tokens) else x)
    time = drives.shape[1]
    valid = valid_steps(lengths, time)
    drives = drives.masked_fill(~valid[..., None], 0)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for t in range(time):
        context, weights = attend(a, state.hidden, source)
        moved, _ = step(p, drives[:, t] + context @ a.weight_context, state)
        state = type(state)(
            *(torch.where(valid[:, t, None], new, old) for new, old in zip(moved, state, strict=True))
        )
        found.append((state.hidden, context, weights))
    if not found:
        sizes = (state.hidden.shape[1], source.memory.shape[2], source.memory.shape[1])
        return Attended(*(state.hidden.new_zeros(len(lengths), 0, size) for size in sizes)), state
    steps = (torch.stack(each, dim=1).masked_fill(~valid[..., None], 0) for each in zip(*found, strict=True))
    return Attended(*steps), state
