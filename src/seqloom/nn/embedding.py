"""Tokens to vectors, without learning: one-hot. (The learned table is torch's own `Embedding`.)"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.errors import ConfigError, ShapeError
from seqloom.shapes import Float, Int


class OneHot(nn.Module):
    """Each token id as a vector of zeros with a single one at its place; padding (id 0) is all zeros.

    The vectors have torch's default dtype.
    """

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        if not isinstance(vocabulary_size, int) or vocabulary_size < 1:
            raise ConfigError(f"OneHot: vocabulary_size is {vocabulary_size!r}. It must be a whole number from 1 on.")
        self.vocabulary_size = vocabulary_size

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """The vectors (B, T, V) of the ids (B, T). Raises ShapeError for an id outside the vocabulary."""
        size = self.vocabulary_size
        if not torch.compiler.is_compiling() and ids.numel() and not 0 <= ids.min() <= ids.max() < size:
            raise ShapeError(
                f"OneHot: ids lie in {int(ids.min())}..{int(ids.max())}, but the vocabulary has the ids "
                f"0..{size - 1}. Make OneHot as large as the vocabulary that gave the ids."
            )
        vectors = functional.one_hot(ids.long(), size).to(torch.get_default_dtype())
        return vectors.masked_fill((ids == 0).unsqueeze(-1), 0)
