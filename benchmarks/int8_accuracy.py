"""What int8 weights cost a trained model: its scores with float32 and with int8 recurrent layers on the same rows.

python -m benchmarks.int8_accuracy [MODEL FILE]    a model folder and a file with targets; without them the three cells
                                                   of `seqloom demo`, trained first and scored on reviews they never saw
"""

import copy
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import keep
from seqloom.bundle import Bundle, load_bundle
from seqloom.data import Example, read_table, reviews
from seqloom.inference import encode
from seqloom.lab.demo import CELLS, train_cell, write_reviews
from seqloom.nn import Bidirectional, Recurrent, Stack
from seqloom.shapes import Int, Tokens, reverse_within, valid_steps
from seqloom.training import judge

ROWS = 4000


class Streamed(nn.Module):
    """A trained stack read step by step with int8 weights, as a stack is called."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack

    def forward(self, x: Tokens | Tensor, lengths: Int[Tensor, " B"]) -> tuple[Tensor, None]:
        """Outputs (B, T, H), zeros at padding."""
        x = x.spelled_out() if isinstance(x, Tokens) else x
        for number, layer in enumerate(self.stack.parts):
            outputs = _read(layer, x, lengths)
            x = outputs + x if self.stack.residual and number > 0 else outputs
        return x, None


def _read(layer: Recurrent | Bidirectional, x: Tensor, lengths: Tensor) -> Tensor:
    if isinstance(layer, Bidirectional):
        back = _read(layer.backward_layer, reverse_within(x, lengths), lengths)
        return torch.cat([_read(layer.forward_layer, x, lengths), reverse_within(back, lengths)], dim=-1)
    stream = layer.stream(x.shape[0], weights="int8")
    outputs = torch.stack([stream.step(step) for step in x.unbind(1)], dim=1)
    return outputs * valid_steps(lengths, x.shape[1])[..., None]


def measure(bundle: Bundle, path: Path) -> dict[str, Any]:
    """The scores of `bundle` on the rows of `path`, with both kinds of weights."""
    rows = [row for row in encode(bundle, read_table(path), with_target=True) if isinstance(row, Example)]
    rounded = copy.deepcopy(bundle.model)
    rounded.recurrent = Streamed(rounded.recurrent)
    scores = {
        name: judge(model, bundle.targets, rows) for name, model in (("float32", bundle.model), ("int8", rounded))
    }
    return {"rows": len(rows)} | {name: each.to_dict() | {"loss": each.loss} for name, each in scores.items()}


def of_the_demo() -> dict[str, Any]:
    """The demo's three cells, on reviews of another seed."""
    with tempfile.TemporaryDirectory() as name:
        folder, unseen = Path(name), Path(name) / "unseen.csv"
        data = write_reviews(folder, fast=False)
        with unseen.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(reviews(ROWS, seed=1))
        trials = [train_cell(cell, data, folder, fast=False, report=lambda event: None) for cell in CELLS]
        return {trial.cell: measure(trial.bundle, unseen) for trial in trials}


def main() -> None:
    """Measure what was named, or the demo; keep and print the outcome."""
    if sys.argv[1:]:
        folder, path = map(Path, sys.argv[1:])
        name, results = f"int8-{folder.name}", {folder.name: measure(load_bundle(folder), path)}
    else:
        name, results = "int8-demo", of_the_demo()
    for cell, result in results.items():
        print(cell, {kind: result[kind] for kind in ("float32", "int8")})
    print(keep(name, {"models": results}))


if __name__ == "__main__":
    main()
