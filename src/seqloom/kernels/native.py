"""The door to the compiled core: whether it is there, why not where it isn't, and its functions on arrays and tensors.

seqloom works without it, more slowly: the core is built where a C++ compiler is found at installation.
"""

import functools
import importlib
import shutil
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from seqloom.errors import ConfigError, SeqloomError, ShapeError

ArrayOrTensor = TypeVar("ArrayOrTensor", NDArray[Any], Tensor)


class NativeCoreError(SeqloomError, RuntimeError):
    """The compiled core is asked for, but this installation has none."""


@functools.cache
def _find() -> tuple[ModuleType | None, str]:
    """The core, or None and the reason why it is not there."""
    if not hasattr(Tensor, "__dlpack_c_exchange_api__"):
        return None, f"torch {torch.__version__} shows its tensors to no compiled core. Install torch 2.10 or later."
    try:
        found = importlib.import_module("seqloom._core")
        found.know_torch(Tensor, Parameter)
        return found, ""
    except ValueError as error:
        return None, f"the compiled core cannot look at tensors of torch {torch.__version__}: {error}. Upgrade seqloom."
    except ModuleNotFoundError:
        compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    except ImportError as error:
        return None, f"the compiled core is installed but cannot be loaded: {error}. Reinstall seqloom."
    if compiler is None:
        return None, (
            "seqloom was installed without its compiled core, and no C++ compiler is found. "
            "Install one (such as g++), then reinstall seqloom."
        )
    return None, (
        f"seqloom was installed without its compiled core, though a C++ compiler is found now ({compiler}). "
        "Reinstall seqloom; pip install -v shows why compiling fails, where it does."
    )


def available() -> bool:
    """Whether the compiled core can be used."""
    return _find()[0] is not None


def reason() -> str:
    """Why the compiled core cannot be used, and what to do about it; empty where it can."""
    return _find()[1]


def core() -> ModuleType:
    """The compiled module. Raises NativeCoreError where there is none."""
    module, why_not = _find()
    if module is None:
        raise NativeCoreError(why_not)
    return module


def isa() -> str:
    """The instruction set in use: plain, avx2, avx512 or neon. The environment variable SEQLOOM_ISA pins it.

    Raises ConfigError where SEQLOOM_ISA names none that runs here, NativeCoreError where there is no core.
    """
    try:
        return str(core().isa())
    except ValueError as error:
        raise ConfigError(str(error)) from None


def readable(*tensors: Tensor | None) -> bool:
    """Whether the core can read all of these, but None, where they are: plain, dense, float32 and on the CPU.

    Raises NativeCoreError where there is no core.
    """
    found: bool = core().readable(*tensors)
    return found


def in_memory(x: Tensor) -> bool:
    """Whether a tensor's numbers lie in memory: those of torch's transforms do not, nor some of its zeros."""
    return torch._C._has_storage(x) and not x._is_zerotensor()


def sigmoid(x: ArrayOrTensor) -> ArrayOrTensor:
    """1 / (1 + exp(-x)) of each element of a float32 array or CPU tensor of any shape, within 3 ulp, in 0..1.

    An element's bits do not depend on its neighbours. No gradient is recorded.

    Raises ShapeError for another dtype or device, or where a gradient is asked; NativeCoreError where there is no core.
    """
    return _elementwise("sigmoid", x)


def tanh(x: ArrayOrTensor) -> ArrayOrTensor:
    """tanh of each element of a float32 array or CPU tensor of any shape, within 5 ulp, odd to the bit, in -1..1.

    An element's bits do not depend on its neighbours. No gradient is recorded.

    Raises ShapeError for another dtype or device, or where a gradient is asked; NativeCoreError where there is no core.
    """
    return _elementwise("tanh", x)


def _elementwise(name: Literal["sigmoid", "tanh"], x: ArrayOrTensor) -> ArrayOrTensor:
    isa()
    if not isinstance(x, np.ndarray | Tensor):
        raise ShapeError(f"native.{name}: x is a {type(x).__name__}, but must be a float32 array or CPU tensor.")
    if x.dtype not in (np.float32, torch.float32):
        raise ShapeError(f"native.{name}: x is {x.dtype}, but must be float32. Convert x to float32 first.")
    if isinstance(x, np.ndarray):
        return _on_array(name, x)
    if x.requires_grad or x.device.type != "cpu" or x.layout != torch.strided:
        given = "requires a gradient" if x.requires_grad else f"is {x.layout} on {x.device}"
        raise ShapeError(f"native.{name}: x {given}, but must be a dense CPU tensor without gradient. Use x.{name}().")
    return torch.from_numpy(_on_array(name, x.numpy()))


def _on_array(name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    y = np.empty(x.shape, dtype=np.float32)
    getattr(core(), name)(np.ascontiguousarray(x), y)
    return y
