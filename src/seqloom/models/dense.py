"""One to one: a row of numbers in, one answer out, and nothing recurrent: what recurrent models are compared with.

numbers -> dense layers with ReLU -> head -> logits -> loss or answer
"""

from itertools import pairwise

from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.models.one_answer import OneAnswer, Problem
from seqloom.nn import Dropout, Linear
from seqloom.shapes import Batch, Float


class Dense(OneAnswer):
    """Reads the one step of each row, (B, 1, I), and answers once."""

    def __init__(self, settings: ModelSettings, *, input_size: int, outputs: int, problem: Problem) -> None:
        super().__init__(problem)
        sizes = [input_size] + [settings.hidden_size] * settings.num_layers
        self.layers = nn.ModuleList(Linear(*pair) for pair in pairwise(sizes))
        self.dropout = Dropout(settings.dropout)
        self.head = self.make_head(settings.hidden_size, outputs=outputs)

    def forward(self, batch: Batch) -> Float[Tensor, "B outputs"]:
        """The logits of each row, (B, outputs)."""
        read = batch.values[:, 0].to(self.head.weight.dtype)
        for layer in self.layers:
            read = self.dropout(layer(read).relu())
        logits: Tensor = self.head(read)
        return logits
