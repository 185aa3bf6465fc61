"""python -m benchmarks.seq2seq: the encoder-decoder with attention beside the same model in plain PyTorch.

Same sizes, batches, optimiser and number of steps; the sides take turns, and medians of the turns are compared. The
floor is what the multiplications alone take at the peak of the processor, measured in the same run.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.machine import keep
from benchmarks.measure import summarise
from benchmarks.memory import reset_peak, status
from benchmarks.plain_seq2seq import PlainSeq2Seq
from benchmarks.sides import ROOT
from benchmarks.timing import Work, take_sample, warm_up
from seqloom.config import DecodingSettings, ModelSettings
from seqloom.kernels import native
from seqloom.models import Seq2Seq, TextWriter
from seqloom.models.decoding import write
from seqloom.nn import vocabulary_loss
from seqloom.shapes import Batch

THREADS = 2
LARGE_VOCABULARY = 30_000


class Sizes(NamedTuple):
    """V tokens, vectors of E, H units a direction, S steps read and T written."""

    words: int
    size: int
    hidden: int
    read: int
    written: int


class Task(NamedTuple):
    """What is timed, on how many rows; `run` gives each side's way to do it."""

    name: str
    rows: int
    run: Callable[["Both", Batch], dict[str, Callable[[], Any]]]
    passes: int = 1  # of the multiplications: 3 with gradients
    beam: int = 1


CASES = {"characters": Sizes(60, 128, 256, 25, 25), "words": Sizes(8_000, 256, 256, 15, 15)}


class Both:
    """The two models."""

    def __init__(self, sizes: Sizes) -> None:
        torch.manual_seed(0)
        self.sizes = sizes
        settings = ModelSettings(
            embedding_size=sizes.size, hidden_size=sizes.hidden, dropout=0, word_dropout=0, readout="direct"
        )
        self.ours = Seq2Seq(settings, vocabulary_size=sizes.words, target_size=sizes.words)
        self.plain = PlainSeq2Seq(sizes.words, sizes.size, sizes.hidden)
        with torch.no_grad():  # a text must not end before the other side's does
            self.ours.output.bias[0] = -1e4
        # Fused on both sides: the unfused optimiser takes most of a step.
        self.optimisers = [torch.optim.Adam(m.parameters(), fused=True) for m in (self.ours, self.plain)]


def train(both: Both, batch: Batch) -> dict[str, Callable[[], Any]]:
    """A whole training step: loss, gradients, optimiser."""
    wanted = Batch(batch.values[:, : both.sizes.written - 1], torch.full_like(batch.lengths, both.sizes.written - 1))
    target = torch.randint(2, both.sizes.words, (len(batch.lengths), both.sizes.written))

    def step(optimiser: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> float:
        optimiser.zero_grad()
        found = loss()
        found.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return found.item()

    ours, plain = both.optimisers
    return {
        "seqloom": partial(step, ours, lambda: both.ours.train().batch_loss(batch, wanted)),
        "plain": partial(step, plain, lambda: both.plain.train().loss(batch.values, target)),
    }


def decode(both: Both, batch: Batch, *, beam: int, int8: bool = False) -> dict[str, Callable[[], Any]]:
    """All target steps of all rows."""
    both.ours.eval(), both.plain.eval()
    settings, steps = DecodingSettings(beam=beam), both.sizes.written
    with torch.inference_mode():
        writer = TextWriter(both.ours, weights="int8" if int8 else "float32")

    def ours() -> Any:
        with torch.inference_mode():
            return write(
                writer, writer.begin(batch), [steps - 1] * len(batch.lengths), settings
            )  # and one step for the end

    plain = partial(both.plain.greedy, batch.values, steps)
    return {"seqloom": ours, "plain": plain if beam == 1 else partial(both.plain.beam, batch.values, steps, beam)}


TASKS = {
    "characters": (
        Task("training step", 64, train, passes=3),
        Task("greedy", 64, partial(decode, beam=1)),
        Task("greedy", 1, partial(decode, beam=1)),
        Task("beam 5", 1, partial(decode, beam=5), beam=5),
    ),
    "words": (
        Task("training step", 64, train, passes=3),
        Task("greedy", 64, partial(decode, beam=1)),
        Task("greedy", 1, partial(decode, beam=1)),
        Task("greedy, int8", 1, partial(decode, beam=1, int8=True)),
    ),
}


def floor(sizes: Sizes, task: Task) -> float:
    """The multiplications of a task, in GFLOP: encoder, keys, attention, decoder, softmax."""
    _, size, hidden, read, written = sizes
    encoder = read * 2 * 4 * hidden * (size + hidden)
    keys = read * 2 * hidden * hidden
    attended = hidden * hidden + read * 3 * hidden
    fed = size if task.passes > 1 else 0  # who only reads has what the input weights make of a token computed before
    step = 4 * hidden * (fed + 3 * hidden) + attended + 3 * hidden * sizes.words
    return 2e-9 * task.rows * task.passes * (encoder + keys + task.beam * written * step)


def compare(case: str, task: Task, *, runs: int, peak: float) -> dict[str, Any]:
    """One task on both sides, in turns."""
    sizes = CASES[case]
    both = Both(sizes)
    batch = Batch(
        torch.randint(2, sizes.words, (task.rows, sizes.read)), torch.full((task.rows,), sizes.read, dtype=torch.int64)
    )
    works = {name: Work(run, lambda result: []) for name, run in task.run(both, batch).items()}
    repeats = {name: warm_up(work).repeats for name, work in works.items()}
    samples: dict[str, list[Any]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            samples[name].append(take_sample(work, repeats[name]))
    found = {name: summarise(samples[name], repeats[name]) for name in works}
    ratio = found["plain"]["median"] / found["seqloom"]["median"]
    least = floor(sizes, task) / peak
    print(
        f"{case:<11} {task.name:<14} batch {task.rows:<3} {1e3 * found['seqloom']['median']:8.2f} ms   plain "
        f"{1e3 * found['plain']['median']:8.2f} ms   ratio {ratio:5.2f}   floor {1e3 * least:7.2f} ms",
        flush=True,
    )
    about = {"case": case, "task": task.name, "rows": task.rows, "floor": least, "ratio": round(ratio, 3)}
    return {**about, "sides": found}


def loss_memory(side: str) -> int:
    """Bytes above what was held before, at the peak of one loss with its gradients, 960 rows and 30,000 words."""
    torch.set_num_threads(THREADS)
    features = torch.randn(960, 256, requires_grad=True)
    weight, bias = (torch.randn(LARGE_VOCABULARY, *rest, requires_grad=True) for rest in ((256,), ()))
    targets = torch.randint(LARGE_VOCABULARY, (960,))
    for part in (features, weight, bias):
        part.grad = torch.zeros_like(part)  # not the loss's own
    before = reset_peak()
    if side == "plain":
        loss = torch.nn.functional.cross_entropy(features @ weight.t() + bias, targets)
    else:
        loss = vocabulary_loss(features, weight, bias, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    return status("VmHWM") - before


def measure_memory() -> dict[str, int]:
    """Each side in a process of its own, for the peak of a process never comes down."""
    command = [sys.executable, "-m", "benchmarks.seq2seq", "--loss-memory"]
    found = {}
    for side in ("seqloom", "plain"):
        done = subprocess.run([*command, side], cwd=ROOT, capture_output=True, text=True, check=True)
        found[side] = int(json.loads(done.stdout))
        print(f"loss at V 30,000: {side} {found[side] / 2**20:.0f} MiB", flush=True)
    return found


def main() -> None:
    """Measure all, print a line each, keep results/seq2seq.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--case", choices=sorted(CASES), help="one only; nothing is kept then")
    parser.add_argument("--loss-memory", choices=("seqloom", "plain"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loss_memory:
        print(json.dumps(loss_memory(given.loss_memory)))
        return
    torch.set_num_threads(THREADS)
    peak = native.core().fma_peak(THREADS)
    cases = [given.case] if given.case else list(CASES)
    results = [compare(case, task, runs=given.runs, peak=peak) for case in cases for task in TASKS[case]]
    if not given.case:
        keep("seq2seq", {"peak_gflops": round(peak, 1), "tasks": results, "loss_memory": measure_memory()})


if __name__ == "__main__":
    main()
