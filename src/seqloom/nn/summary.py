"""Where a model's parameters are, and the arithmetic that gives their number."""

from typing import NamedTuple

from torch import nn

from seqloom.errors import ConfigError
from seqloom.nn.recurrent import Recurrent

MEANINGS = {
    "weight_input": "input weights",
    "weight_hidden": "feedback weights",
    "bias": "bias",
    "bias_candidate": "bias inside the reset",
    "norm_input": "layer norm of the input",
    "norm_hidden": "layer norm of the feedback",
    "first_state": "first state",
}


class SummaryRow(NamedTuple):
    """One parameter: where it is, what it is for, how its size comes about."""

    place: str
    meaning: str
    arithmetic: str
    parameters: int
    trained: bool


class Summary(NamedTuple):
    """All parameters of a model; `str(summary)` is the table."""

    rows: tuple[SummaryRow, ...]
    total: int
    trained: int

    def __str__(self) -> str:
        cells = [("layer", "what", "how many", "parameters")]
        cells += [(row.place, row.meaning, row.arithmetic, f"{row.parameters:,}") for row in self.rows]
        cells.append(("total", "", "", f"{self.total:,}"))
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        lines = [
            f"{place:<{widths[0]}}  {meaning:<{widths[1]}}  {how:<{widths[2]}}  {count:>{widths[3]}}"
            for place, meaning, how, count in cells
        ]
        if self.trained != self.total:
            lines.append(
                f"of these {self.trained:,} are trained and {self.total - self.trained:,} are kept as they are"
            )
        return "\n".join(lines)


def summary(model: nn.Module) -> Summary:
    """Count the parameters of any torch module, with the arithmetic of each: 5·3 input + 3·3 feedback + 3 bias ...

    Raises ConfigError for another thing.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"summary: {type(model).__name__} given. Allowed: any torch module.")
    rows = []
    seen: set[int] = set()
    for path, module in model.named_modules():
        place = f"{path} {type(module).__name__}".strip()
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:  # shared with a layer above: counted there
                continue
            seen.add(id(parameter))
            sizes = "·".join(str(size) for size in parameter.shape) or "1"
            gates = len(module.gates) if isinstance(module, Recurrent) and "candidate" not in name else 0
            if gates > 1 and isinstance(module, Recurrent):
                *outer, _ = parameter.shape
                sizes = "·".join(str(size) for size in (gates, *outer, module.hidden_size))
            if isinstance(module, nn.Linear) and parameter.dim() == 2:
                sizes = "·".join(str(size) for size in reversed(parameter.shape))
            what = path.rpartition(".")[2] if isinstance(module, nn.ParameterList) else name
            meaning = MEANINGS.get(what, "weights" if what == "weight" else what)
            rows.append(SummaryRow(place, meaning, sizes, parameter.numel(), parameter.requires_grad))
    return Summary(
        rows=tuple(rows),
        total=sum(row.parameters for row in rows),
        trained=sum(row.parameters for row in rows if row.trained),
    )
