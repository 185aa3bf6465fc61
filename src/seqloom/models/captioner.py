"""One to many: an image or features in, a text about it out.

image -> convolutions, each halving it -> regions, and where they are -> their mean, the decoder's first state ->
decoder, attending to the regions at every word (Xu et al. 2015) -> readout -> softmax, as text_decoder.py has it.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqloom.config import ModelSettings
from seqloom.data.sight import Sight, halvings
from seqloom.models.parts import embedding
from seqloom.models.text_decoder import Encoded, TextDecoder
from seqloom.nn import Linear, mean_pool
from seqloom.shapes import Batch, Float, LSTMState, RNNState, State

FEWEST_CHANNELS = 16


class Captioner(TextDecoder):
    """Sees an image, (B, S, S, 3) of 0 to 255, or features of regions, (B, R, F), and writes a text about it.

    Without attention all that the decoder knows of it is its first state (Vinyals et al. 2015).
    """

    def __init__(self, settings: ModelSettings, *, sight: Sight, target_size: int) -> None:
        super().__init__(settings)
        size = settings.hidden_size
        self.target_embedding, vector_size = embedding(settings, target_size, padding=False)
        self.eye: nn.Module = Image(sight, size) if sight.kind == "image" else Features(sight.size, size)
        self.first = nn.ModuleList(First(size, cell=settings.cell == "lstm") for _ in range(settings.num_layers))
        self.add_decoder(settings, vector_size=vector_size, memory_size=size, target_size=target_size)

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """What makes vectors of token ids."""
        return (self.target_embedding,)

    def encode(self, batch: Batch) -> Encoded:
        """See the image: its regions, and the decoder's first states from their mean."""
        regions = self.eye(batch.values)
        mean = mean_pool(regions, batch.lengths)
        return Encoded(self.source(regions, batch.lengths), tuple(first(mean) for first in self.first))


class Image(nn.Module):
    """Makes an image regions, at most 8 x 8 of them, row by row; each is told where it lies by a vector of its own."""

    def __init__(self, sight: Sight, size: int) -> None:
        super().__init__()
        halved = len(halvings(sight.size)) - 1
        channels = [3, *(max(FEWEST_CHANNELS, size >> (halved - 1 - stage)) for stage in range(halved - 1)), size]
        stages = [Convolution(a, b, stride=2) for a, b in pairwise(channels)]
        # Once more without halving: a region of 8 x 8 sees half the width, and so a thing that is larger than itself.
        self.stages = nn.Sequential(*stages, Convolution(size, size, stride=1))
        self.places = nn.Parameter(torch.empty(sight.across**2, size))
        if not self.places.is_meta:
            nn.init.normal_(self.places, std=0.1)

    def forward(self, pixels: Tensor) -> Float[Tensor, "B R H"]:
        """(B, S, S, 3) of 0 to 255 -> (B, R, H)."""
        regions: Tensor = self.stages(pixels.to(self.places.dtype) / 127.5 - 1)
        return regions.flatten(1, 2) + self.places


class Convolution(nn.Module):
    """A convolution of 3 x 3 pixels at each `stride`-th one, normalised over the channels; then ReLU.

    As a product of the pixels around each place with the weights: so an image alone gives what it gives in any batch,
    which torch's convolutions do not promise.
    """

    def __init__(self, channels: int, size: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weights = Linear(9 * channels, size)
        self.norm = nn.LayerNorm(size)

    def forward(self, image: Float[Tensor, "B Y X C"]) -> Float[Tensor, "B y x H"]:
        """(B, Y, X, C) -> (B, Y / stride, X / stride, H), rounded up."""
        height, width = (self.stride * (-(-side // self.stride) - 1) + 1 for side in image.shape[1:3])
        padded = F.pad(image, (0, 0, 1, 1, 1, 1))
        around = [
            padded[:, down : down + height : self.stride, right : right + width : self.stride]
            for down in range(3)
            for right in range(3)
        ]
        return torch.relu(self.norm(self.weights(torch.cat(around, dim=-1))))


class Features(nn.Module):
    """Makes features of each region, (B, R, F), what is attended to, (B, R, H)."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.weights = Linear(width, size)

    def forward(self, features: Float[Tensor, "B R F"]) -> Float[Tensor, "B R H"]:
        """(B, R, F) -> (B, R, H)."""
        return torch.tanh(self.weights(features))


class First(nn.Module):
    """A layer's first state from the mean of the regions: tanh of a layer for the output, a layer for the memory."""

    def __init__(self, size: int, *, cell: bool) -> None:
        super().__init__()
        self.hidden = Linear(size, size)
        self.cell = Linear(size, size) if cell else None

    def forward(self, mean: Float[Tensor, "B H"]) -> State:
        hidden = torch.tanh(self.hidden(mean))
        return RNNState(hidden) if self.cell is None else LSTMState(hidden, self.cell(mean))
