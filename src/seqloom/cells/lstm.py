"""The LSTM cell: a long-term path that is only scaled and added to, and three gates around it."""

from typing import NamedTuple

from torch import Tensor

from seqloom.cells.parameters import CellParameters, feedback
from seqloom.shapes import Float, LSTMState


class LSTMGates(NamedTuple):
    """The gates of one step, in the order of their columns in the weights."""

    input: Float[Tensor, "B H"]
    forget: Float[Tensor, "B H"]
    candidate: Float[Tensor, "B H"]
    output: Float[Tensor, "B H"]


def lstm_step(p: CellParameters, drive: Float[Tensor, "B G"], s: LSTMState) -> tuple[LSTMState, LSTMGates]:
    """One step of the LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

        i, f, o = sigmoid(x W + h U + b)      what enters, what stays, what shows
        g       = tanh   (x W + h U + b)      what could enter
        c' = f * c + i * g                    the long-term path: only scaled and added to
        h' = o * tanh(c')                     the short-term output

    `drive` is x W + b.
    """
    i, f, g, o = (drive + feedback(p, s.hidden)).chunk(4, dim=-1)
    gates = LSTMGates(input=i.sigmoid(), forget=f.sigmoid(), candidate=g.tanh(), output=o.sigmoid())
    cell = gates.forget * s.cell + gates.input * gates.candidate
    return LSTMState(hidden=gates.output * cell.tanh(), cell=cell), gates
