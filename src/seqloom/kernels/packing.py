"""Weights as the compiled core reads them: packed once, and kept for as long as the numbers in memory are the same.

Whether they are is seen from the numbers themselves, by a hash that costs a fraction of packing: torch counts the
changes made by its own operations, but not those made through `.data`, a NumPy view or another process.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.errors import ConfigError
from seqloom.kernels import native
from seqloom.kernels.recurrence import Operands, empty
from seqloom.shapes import Float

# Packed weights at most, and numbers in them; the least recently made go first.
KEPT, KEPT_NUMBERS = 128, 1 << 26


class _Packed(NamedTuple):
    weights: Any
    stamp: bytes
    numbers: int


_kept: dict[tuple[str, bytes], _Packed] = {}  # by their kind, and by where and how their numbers lie
_unchanging: ContextVar["Unchanging | None"] = ContextVar("unchanging", default=None)


class Unchanging:
    """Weights of which it is promised that they stay as they are: packed once, and not looked at again.

    `with Unchanging(parameters).promise():` is for who reads with the same weights many times, and has them as they
    were. What is not a parameter, such as a sum made at each call, is looked at as ever.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._addresses = {part.data_ptr() for part in parameters}
        self._made: dict[tuple[object, ...], Any] = {}

    @contextmanager
    def promise(self) -> Iterator[None]:
        """For as long as this lasts, in this thread."""
        token = _unchanging.set(self)
        try:
            yield
        finally:
            _unchanging.reset(token)

    def packed(self, key: tuple[object, ...], parts: tuple[Tensor, ...], make: Callable[[], Any]) -> Any:
        """What `make` made first of these parts."""
        if not all(part.data_ptr() in self._addresses or part.numel() == 0 for part in parts):
            return make()
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def pack(cell: str, o: Operands) -> Any:
    """The weights of `o` packed for `cell`, from those kept where the same numbers are in the same place."""
    # Biases may be sums made anew at each call: known by their numbers, not by their place.
    return _kept_or(lambda: _pack(cell, o), cell, (o.weight_input, o.weight_hidden), (o.bias, o.bias_candidate))


def pack_matrix(weight: Float[Tensor, "I O"], *, int8: bool = False) -> Any:
    """`weight` packed for `core.linear` or `core.linear_int8`, from those kept. Raises ConfigError as `pack_int8`."""
    if not int8:
        return _kept_or(lambda: matrix(weight), "matrix", (weight,))
    try:
        return _kept_or(
            lambda: native.core().Int8Matrix(weight.data_ptr(), weight.stride(), *weight.shape), "int8", (weight,)
        )
    except ValueError as error:  # more numbers a row than its sums can hold
        raise ConfigError(str(error)) from None


def matrix(weight: Float[Tensor, "I O"]) -> Any:
    """`weight` packed for `core.linear`; not kept."""
    native.isa()  # a wrong SEQLOOM_ISA is told in words
    return native.core().Matrix(weight.data_ptr(), weight.stride(), *weight.shape, torch.get_num_threads())


def table(
    vectors: Float[Tensor, "V I"], weight: Float[Tensor, "I O"], bias: Float[Tensor, " O"] | None
) -> Float[Tensor, "V O"]:
    """x W + b of each vector x, from those kept; no gradient is recorded."""

    def multiplied() -> Tensor:
        found = empty(len(vectors), weight.shape[1])
        addresses = (0 if bias is None else bias.data_ptr(), found.data_ptr())
        shape = (len(vectors), vectors.data_ptr(), vectors.stride(0))
        native.core().linear(matrix(weight), *shape, *addresses, torch.get_num_threads())
        return found

    made: Tensor = _kept_or(multiplied, "table", (vectors, weight), (bias,))
    return made


def pack_int8(cell: str, o: Operands) -> Any:
    """The weights of `o` packed for `cell` in 8 bits, for `core.forward_int8`. Not kept. Raises ConfigError."""
    native.isa()
    try:
        return _made(native.core().Int8Weights, cell, o)
    except ValueError as error:  # more numbers a step than its sums can hold
        raise ConfigError(str(error)) from None


def _kept_or(
    make: Callable[[], Any], kind: str, parts: tuple[Tensor, ...], others: tuple[Tensor | None, ...] = ()
) -> Any:
    """What was packed of `parts` as `kind` while they and `others` had the same numbers, or else what `make` makes."""
    unchanging = _unchanging.get()
    if unchanging is not None:
        native.isa()  # a wrong SEQLOOM_ISA is told in words
        key = (kind, *((part.data_ptr(), part.shape, part.stride()) for part in parts))
        return unchanging.packed(key, parts, lambda: _looked_at(make, kind, parts, others))
    return _looked_at(make, kind, parts, others)


def _looked_at(make: Callable[[], Any], kind: str, parts: tuple[Tensor, ...], others: tuple[Tensor | None, ...]) -> Any:
    try:
        seen = native.core().stamp(parts, others)
    except ValueError as error:  # a wrong SEQLOOM_ISA
        raise ConfigError(str(error)) from None
    if seen is None:  # not in one piece
        return make()
    key, stamp = (kind, seen[0]), seen[1]
    kept = _kept.get(key)
    if kept is not None and kept.stamp == stamp:
        return kept.weights
    weights = make()
    _keep(key, _Packed(weights, stamp, sum(part.numel() for part in parts)))
    return weights


def _pack(cell: str, o: Operands) -> Any:
    return _made(functools.partial(native.core().Weights, threads=torch.get_num_threads()), cell, o)


def _made(kind: Callable[..., Any], cell: str, o: Operands) -> Any:
    """Packed weights of the core's class `kind`."""
    bias, candidate = (None if part is None else part.contiguous() for part in (o.bias, o.bias_candidate))
    return kind(
        cell,
        o.weight_input.shape[0],
        o.weight_hidden.shape[0],
        o.weight_input.data_ptr(),
        o.weight_input.stride(),
        o.weight_hidden.data_ptr(),
        o.weight_hidden.stride(),
        0 if bias is None else bias.data_ptr(),
        0 if candidate is None else candidate.data_ptr(),
    )


def _keep(key: tuple[str, bytes], made: _Packed) -> None:
    """Single operations on the dict only: other threads, and a process forked meanwhile, find it whole."""
    known = _kept.pop(key, None)
    for old in tuple(_kept) if known is None else ():  # training packs the same again and again, of one size
        if len(_kept) < KEPT and sum(kept.numbers for kept in tuple(_kept.values())) + made.numbers <= KEPT_NUMBERS:
            break
        _kept.pop(old, None)
    _kept[key] = made
