"""What a model that answers once made of a text: each token, what it adds, what was thought on the way, the memory.

Its work is bounded, so that a long review is seen at once: the longer a text, the fewer points are computed.
"""

from typing import Any, NamedTuple

import torch

from seqloom.bundle import Bundle
from seqloom.data import Rejected, Targets, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import encode, said_by
from seqloom.lens.arrivals import Arrivals, arrivals
from seqloom.lens.memory import Layer, layer_view, read_through
from seqloom.lens.page import fragment
from seqloom.lens.reading_findings import findings_of
from seqloom.lens.saliency import Saliency, explain
from seqloom.lens.show import brief_reading
from seqloom.models import ManyToOne
from seqloom.shapes import Batch
from seqloom.text import UNKNOWN


class ReadToken(NamedTuple):
    """A token, where it stood in the text (`text[start:end]`), and whether training had it."""

    text: str
    start: int
    end: int
    known: bool


class Reading(NamedTuple):
    """How a model of many to one read a text: `answer` as `predict` gives it, and the rest by token.

    `cut` is how many tokens were left unread because the text was longer than the model reads.
    """

    text: str
    tokens: list[ReadToken]
    labels: list[str]
    answer: dict[str, Any]
    saliency: Saliency
    arrivals: Arrivals
    layers: list[Layer]
    findings: list[str]
    cut: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.answer,
            "tokens": [token._asdict() for token in self.tokens],
            "labels": self.labels,
            "saliency": self.saliency._asdict(),
            "arrivals": self.arrivals._asdict(),
            "layers": [layer._asdict() for layer in self.layers],
            "findings": self.findings,
            "cut": self.cut,
        }

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return fragment(brief_reading(self))


def read(bundle: Bundle, text: str, *, points: int | None = None) -> Reading:
    """Let a model of many to one read `text`, and tell how it came to its answer.

    `points` are those of the integrated gradients; where not given 5 to 64, the fewer the longer the text. Raises
    DataError for a text that cannot be read, ConfigError for a model of another kind.
    """
    model, targets = bundle.model, bundle.targets
    if not isinstance(model, ManyToOne) or not isinstance(targets, Targets):
        raise ConfigError(f"read: this model does not give one answer, its task is {targets.task}.")
    [row] = encode(bundle, table_of_texts([text], column=bundle.input), with_target=False)
    if isinstance(row, Rejected):
        raise DataError(f"the text cannot be read: {row.reason}")
    batch = Batch(torch.tensor([row.ids]), torch.tensor([len(row.ids)])).to(model.head.weight.device)
    with torch.inference_mode():
        readers, outputs = read_through(model.recurrent, model.embed(batch), batch.lengths)
        logits = model.conclude(outputs, batch.lengths).cpu()
    [said] = said_by(bundle, logits)
    saliency = explain(model, targets, row.ids, logits, points=points)
    spotted = bundle.tokeniser.tokens(text)
    seen = Reading(
        text=text,
        tokens=[ReadToken(*token, id != UNKNOWN) for token, id in zip(spotted, row.ids, strict=False)],
        labels=list(targets.labels),
        answer={"input": row.text, **said},
        saliency=saliency,
        arrivals=arrivals(model, targets, row.ids, outputs),
        layers=[layer_view(reader) for reader in readers],
        findings=[],
        cut=len(spotted) - len(row.ids),
    )
    return seen._replace(findings=findings_of(seen))
