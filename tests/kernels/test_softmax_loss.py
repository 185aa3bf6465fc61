"""The loss of a softmax by the core: against cross_entropy in float64, and its promises to the last bit."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqloom.kernels import native
from seqloom.kernels.softmax_loss import WHOLE, SoftmaxLoss, Solved, fits_core, solve
from tests.kernels.cases import needs_core

pytestmark = needs_core

ALL = (True, True, True)
# N tokens, I features, V words
SIZES = [(1, 1, 1), (3, 1, 2), (1, 5, 2), (5, 3, 1), (7, 33, 130), (31, 16, 257), (33, 4, 1000), (100, 70, 41)]
of_each_size = pytest.mark.parametrize("sizes", SIZES)


class Sizes(NamedTuple):
    rows: int
    inputs: int
    words: int


def problem(sizes: tuple[int, int, int], *, smoothing: float = 0.1, biased: bool = True) -> SoftmaxLoss:
    rows, inputs, words = Sizes(*sizes)
    torch.manual_seed(rows + words)
    bias = 2 * torch.randn(words) if biased else None
    return SoftmaxLoss(
        torch.randn(rows, inputs), torch.randn(words, inputs), bias, torch.randint(words, (rows,)), smoothing
    )


def right(s: SoftmaxLoss) -> Solved:
    """By torch, in double precision, all logits at once."""
    numbers = [None if part is None else part.double().requires_grad_() for part in s[:3]]
    features, weight, bias = numbers
    logits = functional.linear(features, weight, bias)
    losses = functional.cross_entropy(logits, s.targets, reduction="none", label_smoothing=s.smoothing)
    gradients = iter(torch.autograd.grad(losses.mean(), [part for part in numbers if part is not None]))
    return Solved(losses.detach(), *(None if part is None else next(gradients) for part in numbers))


def assert_same_bits(one: Solved, other: Solved) -> None:
    for name, mine, theirs in zip(one._fields, one, other, strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs), name


@of_each_size
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("biased", [True, False])
def test_losses_and_gradients_are_those_of_double_precision(
    sizes: tuple[int, int, int], smoothing: float, biased: bool
) -> None:
    s = problem(sizes, smoothing=smoothing, biased=biased)
    assert fits_core(s)
    for numbers in (1, 1 << 21):
        for name, found, wanted in zip(Solved._fields, solve(s, ALL, numbers=numbers), right(s), strict=True):
            if wanted is None:
                assert found is None
            else:
                assert (found - wanted).abs().max() <= 1e-5 * max(1.0, float(wanted.abs().max())), name


def test_a_large_vocabulary_loses_no_digits() -> None:
    s = problem((40, 32, 30_000))
    for name, found, wanted in zip(Solved._fields, solve(s, ALL, numbers=1 << 21), right(s), strict=True):
        assert (found - wanted).abs().max() <= 1e-6 * wanted.abs().max(), name


@of_each_size
def test_the_thread_count_changes_no_bit(sizes: tuple[int, int, int]) -> None:
    s, threads = problem(sizes), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3, 5):
            torch.set_num_threads(count)
            found.append(solve(s, ALL, numbers=1))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert_same_bits(found[0], other)


def test_many_threads_share_one_chunk_without_a_trace() -> None:
    s, threads = problem((130, 8, 3000)), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(solve(s, ALL, numbers=1 << 21))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert_same_bits(found[0], other)


def test_borders_of_chunks_leave_no_trace() -> None:
    s = problem((2 * WHOLE + 5, 6, 50))
    whole = solve(s, ALL, numbers=1 << 21)
    for numbers in (1, 50 * 2 * WHOLE):
        parts = solve(s, ALL, numbers=numbers)
        assert_same_bits(parts._replace(bias=None), whole._replace(bias=None))
        torch.testing.assert_close(parts.bias, whole.bias, rtol=0, atol=1e-6)


def test_the_loss_of_a_row_does_not_depend_on_the_others() -> None:
    s = problem((37, 9, 300))
    whole = solve(s, ALL, numbers=1 << 21).losses
    for row in range(37):
        alone = s._replace(features=s.features[row : row + 1], targets=s.targets[row : row + 1])
        assert torch.equal(solve(alone, (False,) * 3, numbers=1).losses, whole[row : row + 1])


def test_numbers_may_lie_apart_in_memory() -> None:
    s = problem((9, 7, 20))
    wanted = solve(s, ALL, numbers=1)
    apart = [None if part is None else torch.stack([part, -part], dim=-1)[..., 0] for part in s[:3]]
    targets = torch.stack([s.targets, -s.targets], dim=1)[:, 0]
    assert_same_bits(solve(SoftmaxLoss(*apart, targets, s.smoothing), ALL, numbers=1), wanted)
    assert_same_bits(solve(s._replace(weight=s.weight.t().contiguous().t()), ALL, numbers=1), wanted)
    rows = torch.cat([s.weight, s.weight], dim=1)[:, :7]  # whole rows, some distance apart
    assert_same_bits(solve(s._replace(weight=rows), ALL, numbers=1), wanted)


def test_gradients_that_nobody_wants_are_not_there() -> None:
    s = problem((9, 7, 20))
    whole = solve(s, ALL, numbers=1)
    for number, name in enumerate(Solved._fields[1:]):
        wanted = [number == other for other in range(3)]
        alone = solve(s, wanted, numbers=1)
        assert [part is not None for part in alone[1:]] == wanted
        assert torch.equal(getattr(alone, name), getattr(whole, name)) and torch.equal(alone.losses, whole.losses)


def test_what_is_not_finite_stays_in_its_row() -> None:
    s = problem((40, 7, 20))
    s.features[5, 3] = float("nan")
    found = solve(s, ALL, numbers=1)
    assert (~found.losses.isfinite()).nonzero().tolist() == [[5]]
    assert (~found.features.isfinite()).any(dim=1).nonzero().tolist() == [[5]]
    forbidden = problem((40, 7, 20), smoothing=0.0)
    forbidden.bias[4] = -torch.inf
    forbidden.targets[forbidden.targets == 4] = 3
    found = solve(forbidden, ALL, numbers=1)
    assert found.losses.isfinite().all() and not found.bias[4] and not found.weight[4].any()


def test_what_the_core_cannot_do_is_left_to_torch() -> None:
    s = problem((3, 4, 5))
    assert fits_core(s)
    refused: list[SoftmaxLoss] = [
        SoftmaxLoss(*(part.double() for part in s[:3]), s.targets),
        s._replace(targets=s.targets.int()),
        s._replace(targets=s.targets[:2]),
        s._replace(targets=torch.tensor([0, 5, 1])),
        s._replace(targets=torch.tensor([0, -1, 1])),
        s._replace(features=s.features[:, :3]),
        s._replace(features=s.features[:0], targets=s.targets[:0]),
        s._replace(bias=s.bias[:4]),
    ]
    assert not any(map(fits_core, refused))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not fits_core(s)


def digest(s: Solved) -> list[Tensor]:
    return [part for part in s if part is not None]


def test_levels_give_the_same_bits() -> None:
    levels = [level for level in native.core().isas() if level != "plain"]
    if len(levels) < 2:
        pytest.skip(f"this machine has no two levels to compare: {levels}")
    script = (
        "import hashlib; from tests.kernels.test_softmax_loss import *\n"
        "for sizes in SIZES:\n"
        "    for part in digest(solve(problem(sizes), ALL, numbers=1)):\n"
        "        print(hashlib.sha256(part.numpy().tobytes()).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[2], check=True, capture_output=True,
            env=os.environ | {"SEQLOOM_ISA": level}, text=True, timeout=120,
        ).stdout
        for level in levels
    }  # fmt: skip
    assert len(printed) <= 1 and all(text.count("\n") == 4 * len(SIZES) for text in printed)
