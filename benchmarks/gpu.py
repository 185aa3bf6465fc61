"""python -m benchmarks.gpu: the plain cells on a CUDA device beside torch's own modules, which run on cuDNN as they do.

The same cases and weights as on the processor, in turns in one process, each turn waited for; medians. Rows as long as
reviews are packed for torch and given with their lengths to seqloom. The outcome is kept in results/gpu.json.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from benchmarks.cases import CASES, MODES, Cell, Task, numbers
from benchmarks.in_process import torch_module
from benchmarks.machine import keep
from seqloom import kernels
from seqloom.nn import from_torch

TURNS = 30
AGREES = 1e-3  # of the largest number: cuDNN multiplies the same numbers in another order


def measure(task: Task, turns: int) -> dict[str, Any]:
    """Milliseconds of a call of each side, and how far their results are from each other."""
    given = numbers(task)
    module = torch_module(task, given, batch_first=True).cuda()
    layer = from_torch(torch_module(task, given, batch_first=True)).cuda()
    x, dy = torch.from_numpy(given.x).cuda(), torch.from_numpy(given.dy).cuda()
    lengths = torch.from_numpy(given.lengths)
    on_device = lengths.cuda()

    def pack(values: Tensor) -> PackedSequence:
        return pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)

    if task.case.kind == "reviews":
        ours = _call(task, layer, x, lambda values: layer(values, on_device)[0], dy)
        theirs = _call(task, module, x, lambda values: module(pack(values))[0].data, pack(dy).data)
    else:
        ours = _call(task, layer, x, lambda values: layer(values)[0], dy)
        theirs = _call(task, module, x, lambda values: module(values)[0], dy)
    off = _difference(ours()[-1], theirs()[-1])  # the first calls also let cuDNN choose
    samples: dict[str, list[float]] = {"seqloom": [], "torch": []}
    for _ in range(turns):
        for name, call in {"seqloom": ours, "torch": theirs}.items():
            samples[name].append(_seconds(call))
    found = {name: 1e3 * statistics.median(taken) for name, taken in samples.items()}
    path = kernels.which(layer, x)
    return {
        **{"case": task.case.name, "cell": task.cell, "mode": task.mode, "path": path.name, "difference": off},
        "milliseconds": found,
        "ratio": round(found["torch"] / found["seqloom"], 3),
    }


def _call(
    task: Task, module: nn.Module, x: Tensor, forward: Callable[[Tensor], Tensor], dy: Tensor
) -> Callable[[], list[Tensor]]:
    """One forward pass, or one with the gradients of all weights and, last, of `x`."""

    def infer() -> list[Tensor]:
        with torch.inference_mode():
            return [forward(x)]

    def train() -> list[Tensor]:
        read = x.detach().requires_grad_()
        return list(torch.autograd.grad(forward(read), [*module.parameters(), read], dy))

    return infer if task.mode == "infer" else train


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest, as a part of the largest number: of tensors of one shape; packed outputs are told by their sum."""
    if ours.shape != theirs.shape:
        ours, theirs = ours.double().sum()[None], theirs.double().sum()[None]
    off = float((ours - theirs).abs().max() / theirs.abs().max())
    if off > AGREES:
        raise SystemExit(f"the sides compute different things: {off:.1e} apart")
    return off


def _seconds(call: Callable[[], list[Tensor]]) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=TURNS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device on this machine")
    results = []
    for case in CASES:
        if case.kind == "step":
            continue
        for cell in get_args(Cell):
            for mode in MODES:
                results.append(measure(Task(case, cell, mode, 1), options.turns))
                print(results[-1], flush=True)
    versions = {
        "gpu": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]  # torch gives it no types
    }
    print(keep("gpu", {"versions": versions, "turns": options.turns, "results": results}))


if __name__ == "__main__":
    main()
