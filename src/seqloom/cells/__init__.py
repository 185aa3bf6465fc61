"""The cells as equations: one pure step each, from weights, input and state to the next state and the gates."""

from seqloom.cells.attention import AttentionParameters, attend
from seqloom.cells.gru import GRUGates, gru_reset_after_step, gru_step
from seqloom.cells.lstm import LSTMGates, lstm_step
from seqloom.cells.parameters import CellParameters, feedback, project
from seqloom.cells.simple_rnn import SimpleRNNGates, simple_rnn_step

__all__ = [
    "AttentionParameters",
    "CellParameters",
    "GRUGates",
    "LSTMGates",
    "SimpleRNNGates",
    "attend",
    "feedback",
    "gru_reset_after_step",
    "gru_step",
    "lstm_step",
    "project",
    "simple_rnn_step",
]
