"""seqloom doctor: what this machine has, what is missing and how to get it."""

import os
import platform
from importlib import metadata
from typing import Any

from seqloom.cli import options

CORE = ("torch", "numpy", "pydantic", "typer", "rich", "safetensors")
EXTRAS = {
    "text": ("sentencepiece", "sacrebleu"),
    "baselines": ("scikit-learn",),
    "data": ("pyarrow",),
    "look": ("plotly",),
    "images": ("pillow",),
    "serve": ("fastapi", "uvicorn", "prometheus-client"),
}


def command(json: options.Json = False) -> None:
    """Print versions, kernels, threads and GPU, and what is missing with the command that brings it."""
    from seqloom.cli.tables import print_json

    found = examine()
    if json:
        print_json(found)
        return
    for name, value in found["versions"].items():
        print(f"{name:<12} {value}")
    print(f"{'core':<12} {found['kernels']['core']}")
    print(f"{'threads':<12} {found['threads']} of {found['cpus']} CPUs")
    print(f"{'gpu':<12} {found['gpu'] or 'none that torch can use'}")
    for extra, packages in found["missing"].items():
        print(f"{'missing':<12} {', '.join(packages)}: pip install 'seqloom[{extra}]'")


def examine() -> dict[str, Any]:
    """What `seqloom doctor --json` prints."""
    import torch

    from seqloom import __version__
    from seqloom.kernels import native

    versions = {"seqloom": __version__, "python": platform.python_version()}
    versions |= {name: version(name) or "missing" for name in CORE}
    missing = {extra: [name for name in names if version(name) is None] for extra, names in EXTRAS.items()}
    built = f"compiled, {native.isa()}" if native.available() else f"pure Python: {native.reason()}"
    return {
        "versions": versions,
        "kernels": {"core": built},
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "missing": {extra: names for extra, names in missing.items() if names},
    }


def version(package: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
