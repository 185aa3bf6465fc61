"""python -m benchmarks.language SET | speed: language models on real texts, and beside the same model in plain PyTorch.

Sets: ptb-small (the published recipe), ptb (ours in about the same time), shakespeare. They need SEQLOOM_DATA; time is
the wall clock of the whole training. `speed` takes turns with a dense nn.LSTM and a full softmax, same sizes, windows,
optimiser; memory is the peak of a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.machine import RESULTS, keep
from benchmarks.measure import summarise
from benchmarks.memory import reset_peak, status
from benchmarks.overrides import read_overrides
from benchmarks.sides import ROOT
from benchmarks.timing import Work, take_sample, warm_up
from seqloom.api import train
from seqloom.config import ModelSettings
from seqloom.models import LanguageModel
from seqloom.shapes import Batch
from seqloom.training import Event, Progress, Validated

EXAMPLES = RESULTS.parent.parent / "examples"
THREADS = 2
STARTS = ("", "the company said", "ROMEO:\n")


class Files(NamedTuple):
    """What is trained on and scored, below SEQLOOM_DATA; without them the end of the text is kept."""

    train: str
    valid: str | None = None
    test: str | None = None


PTB = Files("ptb/ptb.train.txt", "ptb/ptb.valid.txt", "ptb/ptb.test.txt")
SETS = {"ptb-small": PTB, "ptb": PTB, "shakespeare": Files("tinyshakespeare/input.txt")}


class Sizes(NamedTuple):
    """V tokens, vectors of E, L layers of H units, B places of the text read side by side, T steps of one window."""

    words: int
    size: int
    hidden: int
    layers: int
    rows: int
    steps: int


CASES = {
    "words": Sizes(10_001, 200, 200, 2, 20, 35),
    "wide": Sizes(10_001, 256, 512, 1, 20, 35),
    "characters": Sizes(67, 64, 512, 1, 32, 100),
}


class Plain(nn.Module):
    """The peer: an embedding, nn.LSTM, a linear softmax over all words."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.vectors = nn.Embedding(sizes.words, sizes.size)
        self.lstm = nn.LSTM(sizes.size, sizes.hidden, sizes.layers, batch_first=True)
        self.softmax = nn.Linear(sizes.hidden, sizes.words)

    def loss(self, ids: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The mean cross entropy of `targets` (B, T) after each of `ids` (B, T), and the state to carry on."""
        outputs, (hidden, cell) = self.lstm(self.vectors(ids), state)
        loss = functional.cross_entropy(self.softmax(outputs).flatten(0, 1), targets.flatten())
        return loss, (hidden.detach(), cell.detach())


def step_of(side: str, sizes: Sizes) -> Callable[[], float]:
    """One whole training step on a window, its state carried from call to call: loss, gradients, optimiser."""
    torch.manual_seed(0)
    shape = (sizes.rows, sizes.steps)
    # Words as frequent as in a text: a few of them are most of it.
    frequency = 1 / torch.arange(1, sizes.words + 1).double()
    ids, targets = (torch.multinomial(frequency, shape[0] * shape[1], replacement=True).view(shape) for _ in range(2))
    state: Any = None
    if side == "plain":
        plain = Plain(sizes)
        model: nn.Module = plain
        loss_of: Callable[[Any], tuple[Tensor, Any]] = partial(plain.loss, ids, targets)
    else:
        settings = ModelSettings(
            embedding_size=sizes.size, hidden_size=sizes.hidden, num_layers=sizes.layers, dropout=0, word_dropout=0
        )
        ours = LanguageModel(settings, vocabulary_size=sizes.words)
        model = ours
        loss_of = partial(ours.window_loss, Batch(ids, torch.full((shape[0],), shape[1])), targets)
    # Fused on both sides: the unfused optimiser takes most of a step.
    optimiser = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> float:
        nonlocal state
        optimiser.zero_grad()
        loss, state = loss_of(state)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss.item()

    return step


def compare(name: str, *, runs: int) -> dict[str, Any]:
    """Seconds of a step on both sides, in turns, and the memory of each."""
    sizes = CASES[name]
    works = {side: Work(step_of(side, sizes), lambda result: []) for side in ("seqloom", "plain")}
    repeats = {side: warm_up(work).repeats for side, work in works.items()}
    samples: dict[str, list[Any]] = {side: [] for side in works}
    for _ in range(runs):
        for side, work in works.items():
            samples[side].append(take_sample(work, repeats[side]))
    found = {side: summarise(samples[side], repeats[side]) for side in works}
    ratio = found["plain"]["median"] / found["seqloom"]["median"]
    memory = {side: _memory_of(name, side) for side in works}
    speed = sizes.rows * sizes.steps / found["seqloom"]["median"]
    print(
        f"{name:<11} {speed:8,.0f} tokens/s   ratio {ratio:5.2f}   MiB above the start: seqloom "
        f"{memory['seqloom'] / 2**20:.0f}, plain {memory['plain'] / 2**20:.0f}",
        flush=True,
    )
    return {"case": name, "sizes": sizes._asdict(), "ratio": round(ratio, 3), "sides": found, "memory": memory}


def memory(name: str, side: str) -> int:
    """Bytes above what was held before the model was made, at the peak of three steps."""
    torch.set_num_threads(THREADS)
    before = reset_peak()
    step = step_of(side, CASES[name])
    for _ in range(3):
        step()
    return status("VmHWM") - before


def _memory_of(name: str, side: str) -> int:
    """In a process of its own, for the peak of a process never comes down."""
    command = [sys.executable, "-m", "benchmarks.language", "speed", "--memory", f"{name} {side}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout))


def measure(name: str, *, settings: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """Train on one set, scored once at its end; kept as results/language-NAME.json where nothing was changed."""
    files, epochs = SETS[name], []

    def report(event: Event) -> None:
        if isinstance(event, Validated):
            epochs.append(event._asdict())
        if not isinstance(event, Progress):
            print(name, event, flush=True)

    root = Path(os.environ["SEQLOOM_DATA"])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        model = train(
            root / files.train,
            valid=root / files.valid if files.valid else None,
            # A changed setting is judged by validation alone.
            test=root / files.test if files.test and not settings else None,
            config=EXAMPLES / f"{name}.toml",
            settings=settings,
            out=out or Path(folder) / "model",
            report=report,
        )
        minutes = (time.perf_counter() - started) / 60
        written = [answer["prediction"] for answer in model.predict(STARTS)]
    result = {
        "set": name,
        "settings": settings,
        "minutes": round(minutes, 2),
        "final": model.metrics,
        "epochs": epochs,
        "examples": [{"input": start, "written": text} for start, text in zip(STARTS, written, strict=True)],
    }
    if not settings:
        keep(f"language-{name}", result)
    return result


def main() -> None:
    """One set, or the comparison of speed; with --set nothing is kept, and the test text is not looked at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*sorted(SETS), "speed"])
    parser.add_argument("--set", action="append", default=[], help="section.key=value: to try, on validation text")
    parser.add_argument("--out", type=Path, help="keep the model here")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--case", choices=sorted(CASES), help="speed of one only; nothing is kept then")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(json.dumps(memory(*given.memory.split())))
        return
    torch.set_num_threads(THREADS)
    if given.name == "speed":
        cases = [compare(case, runs=given.runs) for case in ([given.case] if given.case else CASES)]
        if not given.case:
            keep("language-speed", {"cases": cases})
        return
    settings = read_overrides(given.set)
    result = measure(given.name, settings=settings, out=given.out)
    print(given.name, result["minutes"], "minutes", result["final"]["metrics"])


if __name__ == "__main__":
    main()
