"""Where a model that writes captions looked: the regions of an image, word by word."""

from typing import Any, NamedTuple

import numpy as np

from seqloom.bundle import Bundle
from seqloom.data import CaptionTargets, Rejected, table_of_texts
from seqloom.data.images import Pixels
from seqloom.errors import ConfigError, DataError
from seqloom.inference import encode, write_for
from seqloom.lens.attention import AttentionMap


class RegionMap(NamedTuple):
    """A caption token by token, and how much each token attended to each region of the image.

    `weights[t][y][x]` is at least 0, and 1 in sum over a token's regions, row by row from the top; it is None for a
    model without attention. `pixels` (S, S, 3) are the image as the model saw it. `score` is the mean log-probability
    of the tokens.
    """

    image: str
    pixels: Pixels
    prediction: str
    tokens: list[str]
    weights: list[list[list[float]]] | None
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the pixels."""
        rest = {name: value for name, value in self._asdict().items() if name not in ("image", "pixels")}
        return {"input": self.image, **rest}


def region_map(bundle: Bundle, image: str) -> RegionMap | AttentionMap:
    """Write a caption, and keep where the model looked; of features, a map over their regions by number.

    Raises DataError for what cannot be seen, ConfigError for a model that writes no captions.
    """
    if not isinstance(bundle.targets, CaptionTargets):
        raise ConfigError(f"look: this model answers {bundle.target}, it writes no captions.")
    [row] = encode(bundle, table_of_texts([image], column=bundle.input), with_target=False)
    if isinstance(row, Rejected):
        raise DataError(f"this cannot be seen: {row.reason}")
    assert row.seen is not None
    [[best]] = write_for(bundle, [row], alternatives=1)
    sight = bundle.targets.sight
    if sight.kind == "features":
        weights = None if best.attention is None else best.attention.tolist()
        regions = [str(number) for number in range(1, len(row.seen) + 1)]
        return AttentionMap(row.text, regions, best.text, best.tokens, weights, best.score)
    grid = (len(best.tokens), sight.across, sight.across)
    maps = None if best.attention is None else best.attention.reshape(grid).tolist()
    pixels = row.seen.values().astype(np.uint8)
    return RegionMap(row.text, pixels, best.text, best.tokens, maps, best.score)
