"""What a language model expected: how much each token of a text surprised it, and what it thought would come."""

import math
from typing import Any, NamedTuple

import torch

from seqloom.bundle import Bundle
from seqloom.data import NextTargets, Rejected, table_of_texts
from seqloom.errors import DataError
from seqloom.inference.completing import features_of, read_starts
from seqloom.lens.page import fragment
from seqloom.lens.show import surprise_parts
from seqloom.models import LanguageModel
from seqloom.models.writer import likeliest

EXPECTED = 3


class Surprises(NamedTuple):
    """A text token by token: the surprise of each, -log2 p, in bits, and the likeliest tokens in its place.

    `likeliest[t]` are (token, probability), the likeliest first; there is one entry more than tokens, for what may come
    next. `bits_per_token` is the mean surprise.
    """

    text: str
    tokens: list[str]
    bits: list[float]
    likeliest: list[list[tuple[str, float]]]
    bits_per_token: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"input": self.text, **{name: value for name, value in self._asdict().items() if name != "text"}}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return fragment(surprise_parts(self))


@torch.inference_mode()
def surprises(bundle: Bundle, text: str, *, count: int = EXPECTED) -> Surprises:
    """Read `text`, and tell before each of its tokens what the model expects. Raises DataError for no real text."""
    model, targets = bundle.model, bundle.targets
    assert isinstance(model, LanguageModel) and isinstance(targets, NextTargets)
    [start] = read_starts(bundle, table_of_texts([text], column=bundle.input))
    if isinstance(start, Rejected):
        raise DataError(f"the text cannot be read: {start.reason}")
    features, _ = features_of(model, [*start.ids, targets.start])  # the last one is not read: anything comes next
    logs = model.log_probabilities(features).cpu()
    read = torch.tensor(start.ids[1:])
    bits = [-value / math.log(2) for value in logs[: len(read)].gather(1, read[:, None])[:, 0].tolist()]
    best, ids = likeliest(logs, count)
    expected = [
        list(zip(targets.tokens(tokens), chances, strict=True))
        for tokens, chances in zip(ids.tolist(), best.exp().tolist(), strict=True)
    ]
    return Surprises(text, targets.tokens(start.ids[1:]), bits, expected, math.fsum(bits) / max(1, len(bits)))
