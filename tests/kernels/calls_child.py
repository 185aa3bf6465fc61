"""Makes the calls of `odd_calls` in a process of its own, which none of them may end.

    python -m tests.kernels.calls_child FIRST COUNT

A call may be answered, or refused by a clear error; an answer to finite numbers must be what the reference answers, and
nothing given may have been changed. Writes the number of each call before it is made, and last a line of JSON with what
became of them and what was wrong.
"""

import contextlib
import faulthandler
import json
import os
import resource
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from seqloom.errors import SeqloomError
from tests.kernels.odd_calls import Call, draw

# What torch and Python raise for arguments that they cannot take. Anything else, such as an AttributeError, is torch's
# own answer where torch was asked by `accelerate`, but must not come out of seqloom.
CLEAR = (SeqloomError, TypeError, ValueError, RuntimeError, IndexError, OverflowError, MemoryError)
UNCLEAR = ("INTERNAL ASSERT", "please report a bug")
CLOSE = 1e-4
MOST_MEMORY = 6 << 30
CONTIGUOUS = torch.contiguous_format


def _tensors(thing: Any) -> Iterator[Tensor]:
    """Every tensor in an answer or an argument."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, tuple | list):
        for part in thing:
            yield from _tensors(part)
    elif isinstance(thing, dict):
        yield from _tensors(list(thing.values()))


def _plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.is_cpu and not tensor.is_nested and not tensor.is_quantized


def _small(tensor: Tensor) -> bool:
    return tensor.numel() < 10_000


def _copies(call: Call) -> list[Tensor]:
    return [t.detach().clone() for t in _tensors(call.arguments) if _plain(t) and _small(t)]


def _same(one: Tensor, other: Tensor) -> bool:
    one, other = (part.resolve_neg().resolve_conj().flatten().clone(memory_format=CONTIGUOUS) for part in (one, other))
    return len(one) == len(other) and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


@contextlib.contextmanager
def _in_context(name: str) -> Iterator[None]:
    before = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        if name in ("no_grad", "inference_mode"):
            stack.enter_context(getattr(torch, name)())
        if name == "autocast":
            stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
        torch.set_num_threads(3 if name == "threads" else before)
        yield
    torch.set_num_threads(before)


def _answer(call: Call) -> list[Tensor]:
    """The tensors of the answer, and of the gradients where the call goes back."""
    with _in_context(call.context):
        found = call.target(*call.arguments)
    answer = [part for part in _tensors(found) if part.is_floating_point()]
    total = [part for part in answer if part.requires_grad]
    if call.go_back and total:
        leaves = [t for t in _tensors(call.arguments) if t.requires_grad and _plain(t)]
        if isinstance(call.target, nn.Module):
            leaves += [weight for weight in call.target.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad([part.sum() for part in total], leaves, allow_unused=True) if leaves else []
        answer += [torch.zeros(()) if g is None else g for g in gradients]
    return [part.detach() for part in answer]


def _by_reference(call: Call) -> list[Tensor]:
    os.environ["SEQLOOM_KERNELS"] = "reference"
    try:
        return _answer(call)
    finally:
        del os.environ["SEQLOOM_KERNELS"]


def _differ(ours: Tensor, theirs: Tensor) -> bool:
    if not theirs.dim():  # the gradient of what does not count
        theirs = theirs.expand(ours.shape)
    return ours.shape != theirs.shape or not torch.allclose(ours, theirs, CLOSE, CLOSE)


def judge(number: int) -> tuple[str, str]:
    """What became of a call, and what was wrong with that: nothing, where empty."""
    try:
        call = draw(number)
    except CLEAR as error:  # torch made no such argument
        return f"not made: {type(error).__name__}", ""
    before = _copies(call)
    try:
        answer = _answer(call)
    except CLEAR as error:
        wrong = str(error) if any(word in str(error) for word in UNCLEAR) else ""
        return f"refused: {type(error).__name__}", wrong
    except Exception as error:  # noqa: BLE001  (this is what is looked for)
        place = traceback.extract_tb(error.__traceback__)[-1]
        ours = "/seqloom/" in place.filename
        wrong = f"unclear {type(error).__name__} at {place.name}: {error}" if ours else ""
        return f"refused: {type(error).__name__}", wrong
    if not all(_same(*pair) for pair in zip(_copies(call), before, strict=True)):
        return "answered", "an argument was changed"
    return "answered", _wrong_with(call, answer)


def _wrong_with(call: Call, answer: list[Tensor]) -> str:
    shown = [part for part in answer if _plain(part) and _small(part)]
    if not call.tame or not shown or shown[0].dtype not in (torch.float32, torch.float64):
        return ""
    if not all(bool(part.isfinite().all()) for part in shown):
        return "not finite for finite numbers"
    return _against_reference(call, answer)


def _against_reference(call: Call, answer: list[Tensor]) -> str:
    try:
        truth = _by_reference(call)
    except CLEAR as error:
        return f"answered, but refused by the reference: {error}"
    pairs = zip(answer, truth, strict=False)  # without a step nothing of the reference requires a gradient
    return "differs from the reference" if any(_differ(*pair) for pair in pairs if _plain(pair[0])) else ""


def main(first: int, count: int) -> None:
    """Make the calls `first` .. `first` + `count` - 1."""
    faulthandler.enable()
    # What is asked for may be larger than any machine: refused at once, not taken page by page from other tests.
    # A checker of addresses needs more of them than any limit, and is told by itself what is too large.
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    warnings.simplefilter("ignore")
    became: Counter[str] = Counter()
    wrong: list[tuple[int, str]] = []
    for number in range(first, first + count):
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        what, why = judge(number)
        became[what] += 1
        if why:
            wrong.append((number, why))
    sys.stdout.write(json.dumps({"became": became, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
