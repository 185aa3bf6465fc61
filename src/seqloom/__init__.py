"""Recurrent networks that train fast on the machine you have, show what they remember, and run anywhere.

The names below are looked up when first used, so that `import seqloom` and `seqloom --help` stay quick: torch is
imported by what needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloom import cells, kernels, nn
    from seqloom.api import Model, load, train
    from seqloom.nn.accelerate import accelerate, restore
    from seqloom.nn.summary import summary

__version__ = "0.1.0"

__all__ = ["Model", "__version__", "accelerate", "cells", "kernels", "load", "nn", "restore", "summary", "train"]

_HOME = {"Model": "api", "load": "api", "train": "api", "accelerate": "nn", "restore": "nn", "summary": "nn"}
_ROOMS = ("cells", "kernels", "nn")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"seqloom.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"seqloom.{_HOME[name]}"), name)
    raise AttributeError(f"module 'seqloom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
