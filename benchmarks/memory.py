"""What one training step takes of memory: peak of the process, and what the forward pass saves for the backward one.

Each side in a process of its own, for the peak of a process never comes down: python -m benchmarks.memory SIDE TASK.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from benchmarks.cases import Case, Task
from benchmarks.in_process import SIDES
from benchmarks.sides import ROOT
from benchmarks.timing import Absent

MEASURED = ("seqloom", "torch", "torch packed")
SMALL = Case(2, 3, 4, 8)


def measure(task: Task) -> dict[str, Any]:
    """The figures of every side that can do `task`, a training step."""
    sides = {name: _in_a_child(name, task) for name in MEASURED}
    return {"case": task.case.name, "cell": task.cell, "tokens": task.tokens, "sides": sides}


def _in_a_child(name: str, task: Task) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory", name, json.dumps(task)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"absent": done.stderr.strip().splitlines()[-1][:300]}
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def step(name: str, task: Task) -> dict[str, Any]:
    """One step of side `name` in this process: bytes above what was held before, and bytes saved a token."""
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        origin = tensor if tensor._base is None else tensor._base
        if not (origin.is_leaf and origin.requires_grad):  # the input and the weights are there anyway
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.set_num_threads(task.threads)
    try:
        SIDES[name](task._replace(case=SMALL._replace(kind=task.case.kind))).run()
        run = SIDES[name](task).run
    except Absent as reason:
        return {"absent": str(reason)}
    before = reset_peak()
    run()
    peak = status("VmHWM") - before
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return {"peak_bytes": peak, "saved_bytes_a_token": round(sum(saved.values()) / task.tokens, 1)}


def reset_peak() -> int:
    """Forget the peak so far; returns what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


if __name__ == "__main__":
    print(json.dumps(step(sys.argv[1], Task.read(json.loads(sys.argv[2])))))
