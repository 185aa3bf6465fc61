"""The compiled core on thousands of random layers: near the reference in float64, and its promises to the bit.

The short runs are part of every test run; the long ones are where a rare mix of sizes and options has nowhere to hide.
"""

import copy
import itertools
import math
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from seqloom.nn import LSTM, Bidirectional, Recurrent, Stack
from tests.contract.layers import Layer, State, paths, random_state, singles, state_like
from tests.kernels.cases import KINDS, needs_core

pytestmark = [needs_core, pytest.mark.usefixtures("forced")]

SIZES = (1, 2, 3, 5, 8, 15, 16, 17, 24, 31, 32, 33, 40)  # around the vectors of every instruction set
CLOSE = 1e-5  # of the largest number of a tensor
FEW = 16


class Drawn(NamedTuple):
    """One random reading."""

    layer: Layer
    x: Tensor
    lengths: list[int]
    state: State | None
    reverse: bool


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")


def short_and_long(short: int, long: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("count", [short, pytest.param(long, marks=pytest.mark.long)])


# Drawing


def draw(number: int, *, wide: bool = False, one_way: bool = False) -> Drawn:
    """The reading of this number, always the same. `wide` has work for several threads, `one_way` reads forward."""
    torch.manual_seed(number)
    choice = random.Random(number)
    shape = "single" if wide else choice.choice(["single"] * 6 + ["stack"] + ["both"] * (not one_way))
    layer = _layer(choice, shape, wide=wide)
    time = choice.choice([40, 60]) if wide else choice.choice([0, 1, 2, 3, 5, 8, 13, 19])
    batch = choice.choice([1, 2, 5, 17]) if wide else choice.choice([0, 1, 2, 3, 4, 6, 7, 11, 13, 26])
    lengths = [choice.choice([time, choice.randint(0, time)]) for _ in range(batch)]
    state = random_state(layer, batch) if choice.random() < 0.5 else None
    reverse = isinstance(layer, Recurrent) and not one_way and choice.random() < 0.5
    return Drawn(layer, torch.randn(batch, time, layer.input_size), lengths, state, reverse)


def _layer(choice: random.Random, shape: str, *, wide: bool) -> Layer:
    # What lies between the layers of a stack cannot be seen, so no unit with a bend is put there: see `_bend_differs`.
    kinds = list(KINDS) if shape != "stack" else [kind for kind in KINDS if "relu" not in kind]
    sizes = (64, 70, 150) if wide else SIZES

    def one(size: int) -> Recurrent:
        learned = "learned" if choice.random() < 0.2 else "zeros"
        make = KINDS[choice.choice(kinds)]
        return make(size, choice.choice(sizes), bias=choice.random() < 0.8, initial_state=learned, init="uniform")

    first = one(choice.choice(SIZES))
    layer: Layer = first
    if shape == "both":
        layer = Bidirectional(first)
    elif shape == "stack":
        layer = Stack([first, one(first.hidden_size)])
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.normal_(std=1 / math.sqrt(weight.shape[0]) if "weight" in name else 0.5)
    return layer


def results(case: Drawn) -> list[Tensor]:
    """Outputs and every path of the last state."""
    options = {"reverse": True} if case.reverse else {}
    outputs, last = case.layer(case.x, case.lengths, case.state, **options)
    return [outputs, *paths(last)]


def with_gradients(case: Drawn, used: int = -1) -> list[Tensor]:
    """Results, then the gradients of x, of the first state and of all weights; `used`: a bit for each result."""
    x = case.x.detach().requires_grad_()
    first = [] if case.state is None else [path.detach().requires_grad_() for path in paths(case.state)]
    state = None if case.state is None else state_like(case.layer, list(first))
    found = results(case._replace(x=x, state=state))
    torch.manual_seed(0)
    given = [torch.randn(part.shape).to(part.dtype) for part in found]
    total = sum((part * g).sum() for bit, (part, g) in enumerate(zip(found, given, strict=True)) if used >> bit & 1)
    leaves = [x, *first, *case.layer.parameters()]
    reached = isinstance(total, Tensor) and total.requires_grad  # by the reference not, where there is no step
    gradients = torch.autograd.grad(total, leaves, allow_unused=True) if reached else [None] * len(leaves)
    zeros = (torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, gradients, strict=True))
    return [*(part.detach() for part in found), *zeros]


# Near the reference


def in_float64(case: Drawn) -> Drawn:
    state = case.state and state_like(case.layer, [path.double() for path in paths(case.state)])
    return case._replace(layer=copy.deepcopy(case.layer).double(), x=case.x.double(), state=state)


def with_mask(case: Drawn, mask: Tensor) -> Drawn:
    """The reading with this mask of recurrent dropout, whichever would have been drawn."""
    [layer] = singles(case.layer)

    def masked(*, batch: int):
        return type(layer).parameters_of_cell(layer, batch=batch)._replace(hidden_mask=mask)

    layer.parameters_of_cell = masked
    return case


def errors(ours: list[Tensor], truth: list[Tensor]) -> list[float]:
    """The largest difference of each part, in parts of the largest number of its truth.

    A part of a few numbers may be a sum that cancels nearly to zero: it is measured by the largest number of all parts.
    """
    largest = [float(part.abs().max()) if part.numel() else 0.0 for part in truth]
    scales = [own if part.numel() >= FEW else max(largest) for own, part in zip(largest, truth, strict=True)]
    found = zip(ours, truth, scales, strict=True)
    return [float((a.double() - b).abs().max()) / (scale or 1e-30) if a.numel() else 0.0 for a, b, scale in found]


def _bend_differs(case: Drawn, ours: Tensor, truth: Tensor) -> bool:
    """Whether a unit lies so near to the bend of its relu that rounding decides its side, and so its gradient."""
    bent = any("relu" in getattr(layer, "activation", "") for layer in singles(case.layer))
    return bent and not torch.equal(ours > 0, truth > 0)


@short_and_long(200, 6000)
def test_results_and_gradients_are_those_of_the_reference_in_float64(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst, bends = (0.0, -1, -1), 0
    for number in range(count):
        case, used = draw(number), random.Random(number).choice([-1, -1, 1, 2])
        exact = in_float64(case)
        if isinstance(case.layer, Recurrent) and number % 4 == 0:
            mask = torch.randint(0, 2, (len(case.lengths), case.layer.hidden_size)) * 1.25
            case, exact = with_mask(case, mask), with_mask(exact, mask.double())
        ours = with_gradients(case, used)
        monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
        truth = with_gradients(exact, used)
        monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")
        if _bend_differs(case, ours[0], truth[0]):
            bends += 1
            continue
        worst = max([worst, *((error, number, part) for part, error in enumerate(errors(ours, truth)))])
    assert worst[0] <= CLOSE, f"error {worst[0]:.1e} in draw({worst[1]}), part {worst[2]}"
    assert bends <= 2 + count // 500


# To the bit

Pairs = Iterator[tuple[list[Tensor], list[Tensor]]]


def rows_alone(number: int) -> Pairs:
    case = draw(number)
    outputs, *last = results(case)
    for row, length in list(enumerate(case.lengths))[:3]:
        first = case.state and state_like(case.layer, [path[row : row + 1] for path in paths(case.state)])
        alone = results(case._replace(x=case.x[row : row + 1, :length], lengths=[length], state=first))
        yield alone, [outputs[row : row + 1, :length], *(path[row : row + 1] for path in last)]


def padding(number: int) -> Pairs:
    case = draw(number)
    wanted = with_gradients(case)
    for filler in (math.nan, 1e38):
        x = case.x.clone()
        for row, length in enumerate(case.lengths):
            x[row, length:] = filler
        yield with_gradients(case._replace(x=x)), wanted


def threads(number: int) -> Pairs:
    case, before = draw(number, wide=number % 60 < 6), torch.get_num_threads()
    wanted = with_gradients(case)
    try:
        for count in (2, 4):
            torch.set_num_threads(count)
            yield with_gradients(case), wanted
    finally:
        torch.set_num_threads(before)


def pieces(number: int) -> Pairs:
    case = draw(number, one_way=True)
    time = case.x.shape[1]
    for cuts in ([0, random.Random(number).randint(0, time), time], list(range(time + 1))):
        state, parts = case.state, [case.x.new_zeros(len(case.lengths), 0, case.layer.output_size)]
        for start, end in itertools.pairwise(cuts):
            lengths = [min(max(length - start, 0), end - start) for length in case.lengths]
            outputs, state = case.layer(case.x[:, start:end], lengths, state)
            parts.append(outputs)
        wanted = results(case)
        yield [torch.cat(parts, dim=1), *([] if state is None else paths(state))], wanted if state else wanted[:1]


def ways_of_reading(number: int) -> Pairs:
    case = draw(number)
    wanted = results(case)
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            yield results(case), wanted
    if isinstance(case.layer, Recurrent):
        trace = case.layer.trace(case.x, case.lengths, case.state, reverse=case.reverse)
        yield [trace.hidden], wanted[:1]
        if isinstance(case.layer, LSTM) and case.x.shape[1] and not case.reverse and case.lengths:
            ends = [max(length - 1, 0) for length in case.lengths]
            real = torch.tensor(case.lengths) > 0
            yield [trace.cell[range(len(ends)), ends][real]], [wanted[2][real]]


def strides(number: int) -> Pairs:
    case, x = draw(number), draw(number).x
    wanted = with_gradients(case)
    state = case.state and state_like(
        case.layer, [torch.stack([path, -path], dim=-1)[..., 0] for path in paths(case.state)]
    )
    for strided in (
        x.transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([x, -x], dim=-1)[..., 0],
        torch.cat([x, -x], dim=-1)[..., : x.shape[-1]],
        x.flip(1).flip(1),
    ):
        yield with_gradients(case._replace(x=strided, state=state)), wanted


def same_bits(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.detach().view(torch.int32), b.detach().view(torch.int32)) for a, b in zip(one, other, strict=True)
    )


INVARIANCES = (rows_alone, padding, threads, pieces, ways_of_reading, strides)


@short_and_long(300, 10_000)
def test_what_must_not_matter_changes_no_bit(count: int) -> None:
    different = []
    for number in range(count):
        invariance = INVARIANCES[number % len(INVARIANCES)]
        different += [(invariance.__name__, number) for pair in invariance(number) if not same_bits(*pair)]
    assert different == []
