"""Where a figure was measured: without this, it says nothing."""

import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from seqloom.kernels import native

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("seqloom", "torch", "numpy", "scikit-learn")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, instruction set of the compiled core, threads, load in the last minute, and versions."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "isa": native.isa() if native.available() else "no compiled core",
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in PACKAGES},
    }


def keep(name: str, result: dict[str, Any]) -> Path:
    """Write `result` to results/NAME.json with the date and the machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    described = {"date": time.strftime("%Y-%m-%d"), "machine": describe_machine(), **result}
    path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return path


def stolen_seconds() -> float:
    """Processor time that this machine's host gave to others since it started."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
