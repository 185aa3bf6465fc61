"""python -m benchmarks.tagging SET: parts of speech of Universal Dependencies, with characters and without, and speed.

English (EWT) and Turkish (IMST), scored once on their test rows; `speed` trains beside the same model in plain PyTorch
(packed nn.LSTM), in turns. Needs SEQLOOM_DATA. Time is the wall clock of the whole training.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import RESULTS, keep
from benchmarks.overrides import read_overrides
from benchmarks.plain_tagger import PlainTagger, Sizes, plain_batch
from seqloom.api import train
from seqloom.config import load_config
from seqloom.data import Example, Prepared, TagTargets, batch_order, prepare
from seqloom.training import Event, Validated
from seqloom.training.start import start_training
from seqloom.training.state import TrainingState

EXAMPLE = RESULTS.parent.parent / "examples" / "tag.toml"
SETS = {"ewt": "ud_english_ewt/en_ewt-ud", "imst": "ud_turkish_imst/tr_imst-ud"}
STEPS = 20  # of a turn


def part(name: str, which: str) -> Path:
    """The file of a part (train, dev, test) of a set."""
    return Path(os.environ["SEQLOOM_DATA"]) / f"{SETS[name]}-{which}.conllu"


def measure(name: str, *, characters: bool, settings: dict[str, Any], config: Path | None) -> dict[str, Any]:
    """Train on one set; the outcome is kept as results/tagging-NAME.json where no settings are tried."""
    epochs: list[dict[str, Any]] = []

    def report(event: Event) -> None:
        if isinstance(event, Validated):
            epochs.append(event._asdict())
            print(name, event, flush=True)

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = train(
            part(name, "train"),
            valid=part(name, "dev"),
            test=None if settings else part(name, "test"),
            target="upos",
            out=Path(folder) / "model",
            config=config,
            settings=settings if characters else {"model.characters": False, **settings},
            report=report,
        )
    minutes = round((time.perf_counter() - started) / 60, 2)
    result = {
        "set": name,
        "characters": characters,
        "config": None if config is None else config.name,
        "minutes": minutes,
        "final": model.metrics,
        "epochs": epochs,
    }
    if not settings:
        keep(f"tagging-{name}{'' if characters else '-words'}", result)
    return result


def speed(name: str, *, turns: int) -> dict[str, Any]:
    """Real words a second while training, ours and the plain one's, on the same batches in turns; with and without
    characters.
    """
    found = {}
    for characters in (True, False):
        overrides = [f"characters={str(characters).lower()}", "word_dropout=0", "average=0", "seed=1"]
        config = load_config(None, overrides, named={"data.target": "upos", "data.lowercase": True})
        data = prepare(config, part(name, "train"), valid=part(name, "dev"))
        ours = start_training(config, data, resumed=False, report=lambda event: None)
        plain = _Plain(config.model.dropout, data, characters=characters)
        batches = _batches(data)
        samples: dict[str, list[float]] = {"seqloom": [], "plain": []}
        for turn in range(turns + 1):  # the first warms up
            chosen = [batches[(turn * STEPS + step) % len(batches)] for step in range(STEPS)]
            for side, each in (("seqloom", ours), ("plain", plain)):
                samples[side].append(_words_a_second(each, chosen))
        medians = {side: statistics.median(each[1:]) for side, each in samples.items()}
        ratio = medians["seqloom"] / medians["plain"]
        label = "characters" if characters else "words"
        print(f"{name} {label:<11}", {side: round(value) for side, value in medians.items()}, f"ratio {ratio:.2f}")
        found[label] = {"words_a_second": medians, "ratio": round(ratio, 3), "samples": samples}
    return {"set": name, "threads": torch.get_num_threads(), "speed": found}


class _Plain:
    """A training of the plain tagger, step by step as ours."""

    def __init__(self, dropout: float, data: Prepared, *, characters: bool) -> None:
        assert isinstance(data.targets, TagTargets)
        sizes = Sizes(len(data.vocabulary), len(data.targets.characters), len(data.targets.labels), 128, 64, 128)
        self.model = PlainTagger(sizes, characters=characters, dropout=dropout)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=2e-3, fused=True)

    def learn(self, rows: list[Example]) -> None:
        """One step, the same work as ours: batch, loss, gradients, clipping, AdamW."""
        batch = plain_batch(
            [row.ids for row in rows],
            [row.target for row in rows if isinstance(row.target, list)],
            [list(row.spelled.characters) for row in rows if row.spelled is not None],
        )
        loss = self.model.loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        loss.item()


def _batches(data: Prepared, *, rows: int = 32) -> list[list[Example]]:
    order = batch_order([len(row.ids) for row in data.train], batch_size=rows, seed=0, epoch=0)
    return [[data.train[row] for row in each] for each in order]


def _words_a_second(side: TrainingState | _Plain, batches: list[list[Example]]) -> float:
    started = time.perf_counter()
    for rows in batches:
        side.learn(rows)
    return sum(len(row.ids) for rows in batches for row in rows) / (time.perf_counter() - started)


def main() -> None:
    """One set with characters and without, or the speed; with --set nothing is kept, and test rows are not read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*SETS, "speed"])
    parser.add_argument("--set", action="append", default=[], help="section.key=value: to try, on validation rows")
    parser.add_argument("--config", type=Path, default=EXAMPLE, help="settings; 'none' for the defaults alone")
    parser.add_argument("--turns", type=int, default=7)
    given = parser.parse_args()
    if given.name == "speed":
        keep("tagging-speed", {"results": [speed(name, turns=given.turns) for name in SETS]})
        return
    config = None if str(given.config) == "none" else given.config
    settings = read_overrides(given.set)
    for characters in (True, False):
        result = measure(given.name, characters=characters, settings=settings, config=config)
        print(given.name, "with" if characters else "without", "characters:", result["minutes"], "minutes")
        print(result["final"]["metrics"])


if __name__ == "__main__":
    main()
