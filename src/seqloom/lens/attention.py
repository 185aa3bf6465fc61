"""Where a model that writes texts looked: each token it wrote against each token it read."""

from typing import Any, NamedTuple

from seqloom.bundle import Bundle
from seqloom.data import Example, Rejected, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import encode, write_for
from seqloom.lens.page import fragment
from seqloom.lens.show import attention_parts


class AttentionMap(NamedTuple):
    """What was read and written, token by token, and how much each token written attended to each one read.

    `weights[t][s]` is at least 0, and 1 in sum over the tokens read; it is None for a model without attention.
    `score` is the mean log-probability of the tokens written.
    """

    text: str
    source: list[str]
    prediction: str
    tokens: list[str]
    weights: list[list[float]] | None
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"input": self.text, **{name: value for name, value in self._asdict().items() if name != "text"}}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return fragment(attention_parts(self))


def attention_map(bundle: Bundle, text: str) -> AttentionMap:
    """Write the answer to `text`, and keep where the model looked.

    Raises DataError for a text that cannot be read, ConfigError for a model that writes none.
    """
    if bundle.targets.problem != "text":
        raise ConfigError(
            f"look: this model answers {bundle.target}, it writes no texts. Attention is shown for models of --task "
            "translate or caption, and the chances of tags for models of --task tag."
        )
    [row] = encode(bundle, table_of_texts([text], column=bundle.input), with_target=False)
    if isinstance(row, Rejected):
        raise DataError(f"the text cannot be read: {row.reason}")
    return _map(bundle, row)


def _map(bundle: Bundle, row: Example) -> AttentionMap:
    [[best]] = write_for(bundle, [row], alternatives=1)
    source = bundle.tokeniser.texts(row.text)[: len(row.ids)]
    weights = None if best.attention is None else best.attention.tolist()
    return AttentionMap(row.text, source, best.text, best.tokens, weights, best.score)
