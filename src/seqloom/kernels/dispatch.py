"""Which path a layer takes: decided here, in one function, explained by `which`, forced by SEQLOOM_KERNELS."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Module, Parameter

from seqloom.cells import AttentionParameters, CellParameters
from seqloom.errors import ConfigError, ShapeError
from seqloom.kernels import both_ways, fused_attention, fused_cpu, gpu, native, reference
from seqloom.kernels.recurrence import CELLS, name_of
from seqloom.kernels.reference import Step
from seqloom.shapes import Attended, Float, Int, Source, Start, State, Tokens, Trace

PATHS = ("reference", "fused_cpu", "gpu")
NO_CORE = native.reason()  # found once: torch.compile cannot follow an import


class Path(NamedTuple):
    """The name of a path and why it was taken."""

    name: str
    reason: str


def choose(step: Step, p: CellParameters, x: Tensor, state: Start, *, record: bool = False) -> Path:
    """The path that `run` takes when given the same.

    Raises ConfigError where SEQLOOM_KERNELS names a path that does not exist, or one that cannot do this.
    """

    forced = _forced()
    fast = forced or ("gpu" if x.is_cuda else "fused_cpu")
    against = _against_gpu if fast == "gpu" else _against_cpu
    return _decide(forced, fast, _against_both(p) or against(step, p, x, state, record=record))


def choose_attending(
    step: Step, p: CellParameters, a: AttentionParameters, x: Tensor, source: Source, state: State
) -> Path:
    """The path that `run_attending` takes when given the same. Raises ConfigError as `choose` does."""

    forced = _forced()
    fast = forced or "fused_cpu"
    against = _against_both(p) or _against_attending(step, p, a, x, source, state)
    return _decide(forced, fast, "cuDNN has no attention" if fast == "gpu" else against)


def _forced() -> str:
    """The path that SEQLOOM_KERNELS asks for; empty where it does not."""
    # The core knows in a tenth of the time.
    ask = os.environ.get if NO_CORE or torch.compiler.is_compiling() else native.core().variable
    forced: str = ask("SEQLOOM_KERNELS", "")
    if forced and forced not in PATHS:
        shown = forced.encode(errors="backslashreplace").decode()
        raise ConfigError(f'SEQLOOM_KERNELS is "{shown}". Allowed: {", ".join(PATHS)}, or leave it unset.')
    return forced


def _decide(forced: str, fast: str, against: str) -> Path:
    """The path `fast`, which may be `forced`, or the reference where something is `against` it or it is forced."""
    if not forced:
        return Path("reference", against) if against else _CHOSEN[fast]
    if forced != "reference" and against:
        raise ConfigError(
            f'SEQLOOM_KERNELS is "{forced}", which cannot do this: {against}. Unset it to let seqloom choose, or '
            "set it to reference."
        )
    return Path(forced, "SEQLOOM_KERNELS asks for it")


def which(layer: Module, x: Tensor) -> Path:
    """The path that `layer(x)` takes and the reason; where its parts take several, each with its own.

    Raises ConfigError as `choose` does, and where `layer` holds no recurrent layer; ShapeError where x is no tensor.
    """
    modules = layer.modules() if isinstance(layer, Module) else ()
    parts: list[Any] = [part for part in modules if hasattr(part, "parameters_of_cell")]
    if not parts:
        raise ConfigError(f"which: {type(layer).__name__} holds no recurrent layer. Give a layer of seqloom.nn.")
    if not isinstance(x, Tensor):
        raise ShapeError(f"which: x is a {type(x).__name__}, but must be a tensor (batch, time, input).")
    found: dict[Path, str] = {}
    for part in parts:
        # Asked about no rows, so that no number is drawn for dropout or for a random first state.
        like = x.new_empty(0, 1, part.input_size)
        path = choose(part.step(), part.parameters_of_cell(batch=0), like, part.start(batch=0))
        found.setdefault(path, type(part).__name__)
    reasons = (f"{name}, {x.dtype} on {x.device}: {path.reason}" for path, name in found.items())
    return Path(" + ".join(dict.fromkeys(path.name for path in found)), "; ".join(reasons))


def is_input(x: object, weight: Float[Tensor, "I G"]) -> bool:
    """Whether `x` is (B, T, I) for this weight, both plain float32 on the CPU, as the core sees at a glance.

    If not, it may still be what can be read.
    """
    if NO_CORE or fused_cpu.observed():
        return False
    found: bool = native.core().is_input(x, weight)
    return found


def run(
    step: Step,
    p: CellParameters,
    x: Float[Tensor, "B T I"] | Tokens,
    lengths: Int[Tensor, " B"] | None,
    state: Start,
    *,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Float[Tensor, "B T H"], State, Trace | None]:
    """Read `x` by the path of `choose`: all of it without `lengths`, from zeros where only the kind of state is given.

    Other arguments and results: `reference.run`.
    """
    path = choose(step, p, x.vectors if isinstance(x, Tokens) else x, state, record=record).name
    if path == "fused_cpu":
        return fused_cpu.run(step, p, x, lengths, state, reverse=reverse, record=record)
    if isinstance(x, Tokens):
        x = x.spelled_out()
    if path == "gpu":
        outputs, last = gpu.run(step, p, x, lengths, state, reverse=reverse)
        return outputs, last, None
    lengths, state = reference.spelled_out(p, x, lengths, state)
    return reference.run(step, p, x, lengths, state, reverse=reverse, record=record)


def run_both(
    steps: Sequence[Step],
    parameters: Sequence[CellParameters],
    x: Float[Tensor, "B T I"] | Tokens,
    lengths: Int[Tensor, " B"] | None,
    states: Sequence[Start],
) -> tuple[Float[Tensor, "B T HH"], tuple[State, State]]:
    """Read `x` forward with the first cell, and back to front with the second: two of `run`, their outputs in one."""
    ways = tuple(zip(steps, parameters, states, strict=True))
    if not fused_cpu.observed() and _are_alike(steps, parameters):
        vectors = x.vectors if isinstance(x, Tokens) else x
        # A way that nobody learns is no node of a graph, and keeps nothing.
        learned = {fused_cpu.needs_gradient((vectors, *p, *_paths(state))) for _, p, state in ways}
        if len(learned) == 1 and all(choose(step, p, vectors, state).name == "fused_cpu" for step, p, state in ways):
            return both_ways.run(steps[0], parameters, x, lengths, states)
    read, back = (
        run(step, p, x, lengths, state, reverse=reverse)
        for reverse, (step, p, state) in zip((False, True), ways, strict=True)
    )
    return torch.cat([read[0], back[0]], dim=-1), (read[1], back[1])


def run_attending(
    step: Step,
    p: CellParameters,
    a: AttentionParameters,
    x: Float[Tensor, "B T I"] | Tokens,
    source: Source,
    lengths: Int[Tensor, " B"],
    state: State,
) -> tuple[Attended, State]:
    """Read `x` by the path of `choose_attending`. Arguments and results: `reference.run_attending`."""
    path = choose_attending(step, p, a, x.vectors if isinstance(x, Tokens) else x, source, state).name
    taken = fused_attention.run if path == "fused_cpu" else reference.run_attending
    return taken(step, p, a, x, source, lengths, state)


_CHOSEN = {
    "fused_cpu": Path("fused_cpu", "the compiled core has this cell"),
    "gpu": Path("gpu", "cuDNN has this cell"),
}


def _against_both(p: CellParameters) -> str:
    """Why no fast path can do this; empty where one may."""
    if p.norm_input is not None or p.norm_hidden is not None:
        return "layer norm is only in the cell's own equations"
    if torch._C._are_functorch_transforms_active():
        return "a transform of torch.func is active (vmap, grad, jvp ...)"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    if not torch.compiler.is_compiling() and torch._C._is_tracing():  # a compiler cannot follow the question
        return "torch.jit.trace is at work"
    return ""


def _against_cpu(step: Step, p: CellParameters, x: Tensor, state: Start, *, record: bool) -> str:
    """Why the compiled core cannot do this; empty where it can."""
    if NO_CORE:
        return NO_CORE
    cell = name_of(step)
    if not _takes(cell, p, x, state):
        unlike = _unlike_float32(p, (x, *_paths(state)))
        if unlike:
            return unlike
        if not _is_cell(cell, p, x, state):
            return "the compiled core does not have this cell"
    if p.hidden_mask is not None and p.hidden_mask.requires_grad:
        return "the recurrent dropout mask requires a gradient"
    if record and fused_cpu.observed() and torch.is_grad_enabled():
        return "a trace with gradients is compiled from the cell's equations"
    return ""


def _takes(cell: str | None, p: CellParameters, x: Tensor, state: Start) -> bool:
    """Whether nothing is against it, as the core itself sees at a glance; if not, there may still be a way."""
    if cell is None or fused_cpu.observed() or CELLS[cell].state not in (state, type(state)):
        return False
    weights, rows = (p.weight_input, p.weight_hidden, p.bias, p.bias_candidate), (p.hidden_mask, *_paths(state))
    found: bool = native.core().fits(cell, x, *weights, *rows)
    return found


def _against_attending(
    step: Step, p: CellParameters, a: AttentionParameters, x: Tensor, source: Source, state: State
) -> str:
    """Why the compiled core cannot run this cell with attention; empty where it can."""
    if fused_cpu.observed():
        return "torch compiles the equations of attention"
    if torch.is_autocast_enabled("cpu"):
        return "autocast chooses the dtype of each product"
    unlike = _unlike_float32(a, (source.memory, source.keys))
    if unlike:
        return unlike
    if not fused_attention.fits(p, a, source):
        return "the sizes of attention do not fit together"
    return _against_cpu(step, p, x, state, record=False)


def _unlike_float32(parts: Sequence[Tensor | None], read: Sequence[Tensor]) -> str:
    """What keeps a tensor from being read as float32 on the CPU; empty where all can be."""
    observed = fused_cpu.observed()
    if not observed and native.readable(*parts, *read):
        return ""
    weights = [part for part in parts if part is not None]
    for tensor in (*weights, *read):
        if not tensor.is_cpu or tensor.layout is not torch.strided:
            return f"the compiled core reads dense tensors on the CPU, not {tensor.layout} on {tensor.device}"
        if observed:
            continue
        if tensor.is_neg():  # the memory of such a view holds the numbers with the other sign
            return "the compiled core reads numbers as they lie in memory, not a negated view"
        if type(tensor) not in (Tensor, Parameter):
            return f"the compiled core reads plain tensors, not a {type(tensor).__name__}"
        if not native.in_memory(tensor):
            return "the compiled core reads numbers in memory, and those of this tensor are in none of its own"
    # What autocast narrowed on the way here is taken back to float32.
    others = [part for part in read if part.dtype is not torch.float32 and not _narrowed(part)]
    others += [part for part in weights if part.dtype is not torch.float32]
    return f"the compiled core computes in torch.float32, not {others[0].dtype}" if others else ""


def _narrowed(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.bfloat16, torch.float16) and torch.is_autocast_enabled("cpu")


def _paths(state: Start) -> tuple[Tensor, ...]:
    """The numbers of a first state: none where it is zeros."""
    return () if isinstance(state, type) else state


def _are_alike(steps: Sequence[Step], parameters: Sequence[CellParameters]) -> bool:
    """Whether two readings have the same cell of the same size."""
    cells, sizes = set(map(name_of, steps)), {p.weight_hidden.shape for p in parameters}
    return len(cells) == len(sizes) == 1


def _is_cell(cell: str | None, p: CellParameters, x: Tensor, state: Start) -> bool:
    """Whether the core has this cell, and all sizes are its own, as it trusts; the reference says what is wrong."""
    if cell is None:
        return False
    known, hidden = CELLS[cell], p.weight_hidden.shape[0]
    columns = max(1, len(known.gates)) * hidden
    rows = _paths(state) if p.hidden_mask is None else (*_paths(state), p.hidden_mask)
    return (
        known.state in (state, type(state))
        and p.weight_input.shape == (x.shape[-1], columns)
        and p.weight_hidden.shape == (hidden, columns)
        and (p.bias is None or p.bias.shape == (columns,))
        and (p.bias_candidate is None or (cell == "gru_reset_after" and p.bias_candidate.shape == (hidden,)))
        and all(row.shape[-1] == hidden for row in rows)
    )


def _against_gpu(step: Step, p: CellParameters, x: Tensor, state: Start, *, record: bool) -> str:
    """Why cuDNN cannot do this; empty where it can."""
    if not x.is_cuda or not torch.backends.cudnn.enabled or not torch._C._has_cudnn:
        return f"x is on {x.device}, where torch has no cuDNN, or it is switched off"
    if name_of(step) not in gpu.FUNCTIONS or p.hidden_mask is not None:
        return "cuDNN does not have this cell"
    if record:
        return "cuDNN shows no gates"
    if fused_cpu.observed():
        return "torch compiles the cell's equations"
    if x.shape[1] == 0 or any(part.dtype != x.dtype for part in (p.weight_input, *_paths(state))):
        return "cuDNN reads no empty batch, and one dtype at a time"
    return ""
