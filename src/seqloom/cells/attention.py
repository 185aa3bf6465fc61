"""Attention as an equation: what a state asks of a memory, how much each step of it counts, and what comes back."""

from typing import NamedTuple

import torch
from torch import Tensor

from seqloom.shapes import Float, Source, valid_steps


class AttentionParameters(NamedTuple):
    """The weights of attention beside those of the cell that attends, A being the size of what is compared.

    `weight_query` is None where the state itself asks, `score` where query and key are multiplied.
    """

    weight_context: Float[Tensor, "M G"]  # what the context adds to every gate
    weight_query: Float[Tensor, "H A"] | None = None
    score: Float[Tensor, " A"] | None = None


def attend(
    p: AttentionParameters, hidden: Float[Tensor, "B H"], source: Source
) -> tuple[Float[Tensor, "B M"], Float[Tensor, "B S"]]:
    """The context that the state `hidden` finds in `source`, and the weight of each step, in sum 1, zero at padding.

        e_s = v · tanh(k_s + h Q)       additive (Bahdanau et al. 2015); or
        e_s = k_s · (h Q)               general, and with Q = 1 dot (Luong et al. 2015)
        a   = softmax(e)
        z   = sum of a_s m_s

    A row without steps finds zeros.
    """
    query = hidden if p.weight_query is None else hidden @ p.weight_query
    if p.score is None:
        scores = (source.keys * query[:, None]).sum(dim=-1)
    else:
        scores = torch.tanh(source.keys + query[:, None]) @ p.score
    valid = valid_steps(source.lengths, source.memory.shape[1])
    # The lowest finite number, not minus infinity: a row without steps must not become NaN.
    weights = scores.masked_fill(~valid, torch.finfo(scores.dtype).min).softmax(dim=-1) * valid
    return (weights[..., None] * source.memory).sum(dim=1), weights
