"""Where a figure was measured: without this, it says nothing."""

import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("seqloom", "torch", "numpy", "scikit-learn")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, threads, load in the last minute, and versions."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
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


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
