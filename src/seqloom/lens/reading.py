"""What a model that answers once made of a text: each token, what it adds, what was thought on the way, the memory.

Its work is bounded, so that a long review is seen at once: the longer a text, the fewer points are computed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.bundle import Bundle
from seqloom.data import Rejected, Targets, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import decide, encode, logits_of, said_by
from seqloom.lens.memory import Layer, layer_view, read_through
from seqloom.lens.page import fragment
from seqloom.lens.reading_findings import findings_of
from seqloom.lens.saliency import Saliency, explain
from seqloom.lens.show import brief_reading
from seqloom.models import ManyToOne
from seqloom.shapes import Batch, Float
from seqloom.text import UNKNOWN

WORK, FEWEST, MOST = 1_500, 6, 64  # beginnings that are read anew: their tokens together, and how many they are
ROWS = 16


class ReadToken(NamedTuple):
    """A token, where it stood in the text (`text[start:end]`), and whether training had it."""

    text: str
    start: int
    end: int
    known: bool


class Arrivals(NamedTuple):
    """The answer as the text arrives: after the first `steps[k]` tokens it is `values[k]`.

    A value is the probability of each label, or the number alone. `anew` says that each beginning was read by itself:
    a model that reads from both sides knows no state in between. The last is the answer itself.
    """

    steps: list[int]
    values: list[list[float]]
    anew: bool


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
        arrivals=_arrivals(model, targets, row.ids, outputs),
        layers=[layer_view(reader) for reader in readers],
        findings=[],
        cut=len(spotted) - len(row.ids),
    )
    return seen._replace(findings=findings_of(seen))


@torch.inference_mode()
def _arrivals(model: ManyToOne, targets: Targets, ids: Sequence[int], outputs: Float[Tensor, "B T H"]) -> Arrivals:
    """The answer after some of the first tokens, evenly spread, all of them in a short text."""
    length, anew = len(ids), model.bidirectional
    most = MOST
    if anew:  # each beginning costs half the text on average
        most = max(FEWEST, min(most, 2 * WORK // length))
    count = min(length, most)
    steps = [-(-length * (number + 1) // count) for number in range(count)]
    if anew:
        logits = logits_of(model, [ids[:step] for step in steps])
    else:  # what was read up to a step is the same whatever follows: one reading has it all
        until = torch.tensor(steps, device=outputs.device)
        logits = torch.cat([model.conclude(outputs.expand(len(u), -1, -1), u) for u in torch.split(until, ROWS)]).cpu()
    probabilities = model.probabilities(logits)
    values = decide(targets, probabilities)[:, None] if targets.problem == "squared" else probabilities
    return Arrivals(steps, values.tolist(), anew)
