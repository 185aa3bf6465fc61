"""The sides that share this process and its pool of threads: seqloom and torch, with the same weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from benchmarks.cases import Numbers, Task, fingerprint, numbers
from benchmarks.timing import Absent, Work
from seqloom import kernels
from seqloom.nn import from_torch
from seqloom.shapes import LSTMState, RNNState

UNROLLED = 30  # steps; 50 take minutes for each cell and mode
KINDS: dict[str, Callable[..., nn.RNNBase]] = {"SimpleRNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}


def seqloom(task: Task) -> Work:
    """Our layer, batch first, told the lengths where rows differ in them."""
    given = numbers(task)
    layer = from_torch(torch_module(task, given, batch_first=True))
    path = kernels.which(layer, torch.from_numpy(given.x))
    notes = {"path": path.name, "reason": path.reason}
    if task.case.kind == "step":
        return _seqloom_step(task, layer, given)._replace(notes=notes)
    lengths = torch.from_numpy(given.lengths) if task.case.kind == "reviews" else None
    return _work(task, layer, given, lambda x: layer(x, lengths)[0])._replace(notes=notes)


def seqloom_int8(task: Task) -> Work:
    """Our stream with weights of 8 bits: a step, or the steps of a sequence in one."""
    if task.case.batch > 1 or task.mode == "train":
        raise Absent("weights of 8 bits are for streaming")
    given = numbers(task)
    layer = from_torch(torch_module(task, given, batch_first=True))
    if task.case.kind == "step":
        return _seqloom_step(task, layer, given, weights="int8")
    stream, x = layer.stream(weights="int8"), torch.from_numpy(given.x)

    def read() -> Tensor:
        stream.reset()
        return stream.read(x)

    return Work(read, lambda y: fingerprint(task, y), within=torch.inference_mode)


def torch_time_major(task: Task) -> Work:
    """torch.nn on (T, B, I); rows of unlike length are padded to the longest."""
    return _torch(task, batch_first=False)


def torch_batch_first(task: Task) -> Work:
    """torch.nn on (B, T, I), as most programs have it."""
    return _torch(task, batch_first=True)


def torch_compiled(task: Task) -> Work:
    """torch.compile of the module on (T, B, I), told to take recurrent modules too, which it leaves alone otherwise."""
    if task.case.time > UNROLLED:
        raise Absent(f"it unrolls time: beyond {UNROLLED} steps it compiles for many minutes")
    torch.compiler.reset()
    torch._dynamo.config.allow_rnn = True
    return _torch(task, batch_first=False, wrap=torch.compile)


def torch_packed(task: Task) -> Work:
    """torch.nn on a PackedSequence. Packing is timed, padding the outputs back is not."""
    if task.case.kind != "reviews":
        raise Absent("all rows are equally long")
    given = numbers(task)
    module, lengths = torch_module(task, given, batch_first=True), torch.from_numpy(given.lengths)

    def pack(values: Tensor) -> PackedSequence:
        return pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)

    def show(data: Tensor) -> list[float]:
        padded, _ = pad_packed_sequence(pack(torch.from_numpy(given.x))._replace(data=data), batch_first=True)
        return fingerprint(task, padded)

    dy = pack(torch.from_numpy(given.dy)).data
    work = _work(task, module, given, lambda x: module(pack(x))[0].data, dy=dy)
    return work._replace(show=show) if task.mode == "infer" else work


SIDES: dict[str, Callable[[Task], Work]] = {
    "seqloom": seqloom,
    "seqloom int8": seqloom_int8,
    "torch": torch_time_major,
    "torch batch first": torch_batch_first,
    "torch packed": torch_packed,
    "torch.compile": torch_compiled,
}


def torch_module(task: Task, given: Numbers, *, batch_first: bool) -> nn.RNNBase:
    """The torch module of `task` with the weights of `given`."""
    case = task.case
    kind = KINDS[task.cell]
    module = kind(case.input, case.hidden, batch_first=batch_first, bidirectional=case.directions == 2)
    with torch.no_grad():
        for values, parameter in zip((v for d in given.directions for v in d), module.parameters(), strict=True):
            parameter.copy_(torch.from_numpy(values))
    return module.train(task.mode == "train")


def _torch(
    task: Task, *, batch_first: bool, wrap: Callable[[nn.Module], Callable[..., Any]] = lambda module: module
) -> Work:
    given = numbers(task)
    module = torch_module(task, given, batch_first=batch_first)
    forward = wrap(module)
    if task.case.kind == "step":
        return _torch_step(task, forward, given)
    return _work(task, module, given, lambda x: forward(x)[0], time_major=not batch_first)


def _work(
    task: Task,
    module: nn.Module,
    given: Numbers,
    forward: Callable[[Tensor], Tensor],
    *,
    dy: Tensor | None = None,
    time_major: bool = False,
) -> Work:
    """One call of `forward`, or one with the gradients of `x` and of all weights."""

    def turned(values: Tensor) -> Tensor:
        return values.transpose(0, 1).contiguous() if time_major else values

    x = turned(torch.from_numpy(given.x))
    if task.mode == "infer":
        return Work(lambda: forward(x), lambda y: fingerprint(task, turned(y)), within=torch.inference_mode)
    dy = turned(torch.from_numpy(given.dy)) if dy is None else dy
    names, weights = zip(*module.named_parameters(), strict=True)
    inputs = (x.requires_grad_(), *weights)
    feedback = [number for number, name in enumerate(names, start=1) if "weight_h" in name]
    return Work(
        lambda: torch.autograd.grad(forward(x), inputs, dy),
        lambda gradients: fingerprint(task, turned(gradients[0]), *(gradients[number] for number in feedback)),
    )


def _torch_step(task: Task, forward: Callable[..., Any], given: Numbers) -> Work:
    x = torch.from_numpy(given.x)
    zeros = torch.zeros(1, task.case.batch, task.case.hidden)
    state = (zeros, zeros) if task.cell == "LSTM" else zeros

    def step() -> Any:
        nonlocal state
        y, state = forward(x, state)
        return y

    return Work(step, lambda y: fingerprint(task, y), within=torch.inference_mode)


def _seqloom_step(task: Task, layer: Any, given: Numbers, *, weights: str = "float32") -> Work:
    """A step of a stream; of the layer itself, its state handed on, where it has no streams."""
    if hasattr(layer, "stream"):
        x = torch.from_numpy(given.x)[:, 0]
        options = {} if weights == "float32" else {"weights": weights}
        stream = layer.stream(batch=task.case.batch, **options)
        return Work(lambda: stream.step(x), lambda y: fingerprint(task, y[:, None]), within=torch.inference_mode)
    if weights != "float32":
        raise Absent("this seqloom has no streams")
    x = torch.from_numpy(given.x)
    zeros = torch.zeros(task.case.batch, task.case.hidden)
    state = LSTMState(zeros, zeros) if task.cell == "LSTM" else RNNState(zeros)

    def step() -> Any:
        nonlocal state
        y, state = layer(x, None, state)
        return y

    return Work(step, lambda y: fingerprint(task, y), within=torch.inference_mode)
