"""The largest over time by the core: to the bit what torch's operations give, forward and back, whatever the sizes."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqloom.kernels import native, pooling
from seqloom.nn import GRU, max_pool
from seqloom.shapes import valid_steps
from tests.kernels.cases import needs_core
from tests.kernels.odd_calls import FORMS, WRONG, Change

pytestmark = needs_core

# B rows, T steps, H units: parts of a vector, whole ones with a rest, and enough numbers for several threads
SIZES = [(1, 1, 1), (3, 5, 1), (5, 7, 17), (4, 9, 33), (6, 4, 64), (7, 11, 130), (9, 40, 257), (2, 120, 1000)]
of_each_size = pytest.mark.parametrize("sizes", SIZES)
Kind = Callable[[Tensor], Tensor]
VALUES: dict[str, Kind] = {
    "distinct": lambda x: x,
    "ties": lambda x: x.round(),  # zeros of both signs among them
    "nan": lambda x: x.masked_fill(x > 1, torch.nan),
    "infinite": lambda x: torch.where(x > 1.5, torch.inf, x.masked_fill(x < 0.5, -torch.inf)),
    "lowest": lambda x: torch.full_like(x, -torch.inf),
    "denormal": lambda x: x * 1e-42,
}
of_each_kind = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


def problem(sizes: tuple[int, int, int], values: Kind = VALUES["distinct"]) -> tuple[Tensor, Tensor]:
    """Outputs with NaN at padding, and lengths from 0 to all steps."""
    rows, steps, units = sizes
    lengths = torch.randint(0, steps + 1, (rows,))
    lengths[-1], lengths[0] = 0, steps  # of one row the latter
    outputs = values(torch.randn(rows, steps, units))
    return outputs.masked_fill(~valid_steps(lengths, steps)[..., None], torch.nan), lengths


def by_torch(outputs: Tensor, lengths: Tensor) -> Tensor:
    """The same by the operations that torch must see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "fits", lambda *_: False)
        return max_pool(outputs, lengths)


def there_and_back(pool: Callable[..., Tensor], outputs: Tensor, lengths: Tensor) -> list[Tensor]:
    read = outputs.detach().requires_grad_()
    pooled = pool(read, lengths)
    return [pooled.detach(), *torch.autograd.grad(pooled, read, torch.linspace(-3, 4, pooled.numel()).view_as(pooled))]


def assert_same_bits(found: list[Tensor], wanted: list[Tensor]) -> None:
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.shape == theirs.shape and torch.equal(mine.view(torch.int32), theirs.view(torch.int32))


@of_each_size
@of_each_kind
def test_results_and_gradients_are_torch_s_to_the_bit(sizes: tuple[int, int, int], values) -> None:
    outputs, lengths = problem(sizes, values)
    assert pooling.fits(outputs, lengths)
    found = there_and_back(max_pool, outputs, lengths)
    assert_same_bits(found, there_and_back(by_torch, outputs, lengths))
    for unrecorded in (torch.no_grad, torch.inference_mode):
        with unrecorded():
            assert_same_bits([max_pool(outputs, lengths)], found[:1])
    assert not max_pool(outputs, lengths).requires_grad


@of_each_size
def test_a_row_alone_is_the_row_in_a_batch_on_any_number_of_threads(sizes: tuple[int, int, int]) -> None:
    outputs, lengths = problem(sizes)
    together, threads = there_and_back(max_pool, outputs, lengths), torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert_same_bits(there_and_back(max_pool, outputs, lengths), together)
    finally:
        torch.set_num_threads(threads)
    for row, length in enumerate(lengths.tolist()):
        if length:
            alone = max_pool(outputs[row : row + 1, :length], lengths[row : row + 1])
            assert_same_bits([alone[0]], [together[0][row]])


@of_each_size
def test_steps_may_lie_apart_in_memory(sizes: tuple[int, int, int]) -> None:
    outputs, lengths = problem(sizes)
    wanted = there_and_back(max_pool, outputs, lengths)
    beside = torch.stack([lengths, -lengths], dim=1)
    for other in (
        outputs.transpose(0, 1).contiguous().transpose(0, 1),
        outputs.transpose(1, 2).contiguous().transpose(1, 2),
        torch.cat([outputs, -outputs], dim=-1)[..., : sizes[2]],
        torch.cat([outputs, -outputs], dim=1)[:, : sizes[1]],
        torch.stack([outputs, -outputs], dim=-1)[..., 0],
        torch.complex(-outputs, -outputs).conj().imag,  # a view whose sign is a flag
    ):
        assert_same_bits(there_and_back(max_pool, other, beside[:, 0]), wanted)
    three = max_pool(outputs[:1].expand(3, -1, -1), lengths[:1].expand(3))
    assert_same_bits(list(three), [wanted[0][0]] * 3)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_lengths_of_any_whole_numbers_are_read_and_wrong_ones_harm_nothing(dtype: torch.dtype) -> None:
    outputs = torch.randn(4, 6, 17)
    for wrong in ([6, 0, 3, 5], [7, 100, 3, 0], [-1, -100, 6, 2]):
        lengths = torch.tensor(wrong).to(dtype)
        assert pooling.fits(outputs, lengths)
        assert_same_bits(there_and_back(max_pool, outputs, lengths), there_and_back(by_torch, outputs, lengths))
    for most in (torch.iinfo(torch.int64).max, torch.iinfo(torch.int64).min):
        lengths = torch.full((4,), most)
        assert_same_bits(there_and_back(max_pool, outputs, lengths), there_and_back(by_torch, outputs, lengths))


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0), (0, 0, 3), (0, 0, 0)])
def test_without_numbers_there_is_nothing_to_do(shape: tuple[int, int, int]) -> None:
    outputs, lengths = torch.zeros(shape, requires_grad=True), torch.zeros(shape[0], dtype=torch.int64)
    if shape != (2, 5, 0):  # torch itself refuses that
        pooled = max_pool(outputs, lengths)
        assert torch.equal(pooled, torch.zeros(shape[0], shape[2]))
        assert torch.autograd.grad(pooled.sum(), outputs)[0].shape == shape


def test_results_stay_as_they_are_while_later_ones_reuse_memory() -> None:
    outputs, lengths = problem((64, 40, 256))
    wanted, found = there_and_back(by_torch, outputs, lengths), []
    for sign in (1, -1, 1, -1):
        found.append(there_and_back(max_pool, sign * outputs, lengths))
    assert_same_bits(found[0] + found[2], wanted + wanted)
    assert not torch.equal(found[1][1], wanted[1])


def test_outputs_may_be_overwritten_before_the_gradient_is_asked_for() -> None:
    outputs, lengths = problem((5, 7, 17))

    def overwritten(read: Tensor, lengths: Tensor) -> Tensor:
        moved = read * 1
        pooled = max_pool(moved, lengths)
        with torch.no_grad():
            moved.zero_()
        lengths.zero_()
        return pooled

    wanted = there_and_back(max_pool, outputs, lengths)
    assert_same_bits(there_and_back(overwritten, outputs, lengths), wanted)


def seconds(pool: Callable[..., Tensor], outputs: Tensor, lengths: Tensor) -> list[Tensor]:
    """A gradient of a gradient, for outputs and for what weighs the results."""
    read, weights = outputs.detach().requires_grad_(), torch.linspace(-1, 2, outputs.shape[2]).requires_grad_()
    loss = pool(read, lengths).square() @ weights
    (first,) = torch.autograd.grad(loss.sum(), read, create_graph=True)
    return list(torch.autograd.grad(first.pow(3).sum(), [read, weights]))


@of_each_size
def test_gradients_can_be_differentiated_again(sizes: tuple[int, int, int]) -> None:
    outputs, lengths = problem(sizes, VALUES["ties"])
    for mine, theirs in zip(seconds(max_pool, outputs, lengths), seconds(by_torch, outputs, lengths), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_many_gradients_are_found_at_once() -> None:
    outputs, lengths = problem((5, 7, 17))
    read, back = outputs.requires_grad_(), torch.randn(4, 5, 17)
    pooled = max_pool(read, lengths)
    (found,) = torch.autograd.grad(pooled, read, back, is_grads_batched=True, retain_graph=True)
    for number, one in enumerate(back):
        assert_same_bits([found[number]], list(torch.autograd.grad(pooled, read, one, retain_graph=True)))


def test_a_layer_learns_the_same_through_it() -> None:
    layer, x, lengths = GRU(3, 33), torch.randn(6, 9, 3), torch.tensor([9, 0, 1, 4, 9, 8])
    weights = list(layer.parameters())
    found, wanted = (
        torch.autograd.grad(pool(layer(x, lengths)[0], lengths).sin().sum(), weights) for pool in (max_pool, by_torch)
    )
    assert_same_bits(list(found), list(wanted))


def test_what_the_core_cannot_do_is_left_to_torch() -> None:
    outputs, lengths = problem((3, 4, 5))
    assert pooling.fits(outputs, lengths)
    refused = [
        (outputs.double(), lengths), (outputs.bfloat16(), lengths), (outputs[0], lengths), (outputs[None], lengths),
        (outputs.to("meta"), lengths), (outputs.to_sparse(), lengths), (outputs, lengths.to("meta")),
        (outputs, lengths[:2]), (outputs, lengths[None]), (outputs, lengths.double()), (outputs, lengths > 2),
        (outputs[:0], lengths[:0]), (outputs[:, :0], lengths), (outputs[..., :0], lengths),
        (outputs, torch._efficientzerotensor(len(lengths), dtype=torch.int64)),
        (torch.zeros(1, 1, 1).expand(1, pooling.MOST_STEPS + 1, 1), lengths[:1]),
    ]  # fmt: skip
    assert not any(pooling.fits(*given) for given in refused)
    found = max_pool(outputs.double(), lengths)
    assert found.dtype is torch.float64 and torch.equal(found.float(), max_pool(outputs, lengths))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    outputs, lengths = problem((5, 7, 17))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = there_and_back(max_pool, outputs.to(dtype), lengths)
    wanted = there_and_back(by_torch, outputs.to(dtype), lengths)
    assert all(torch.equal(mine, theirs) and mine.dtype is dtype for mine, theirs in zip(found, wanted, strict=True))


def test_transforms_and_compilers_see_torch_s_operations() -> None:
    outputs, lengths = problem((5, 7, 17))
    wanted = there_and_back(max_pool, outputs, lengths)
    mapped = torch.func.vmap(lambda row, length: max_pool(row[None], length[None])[0])(outputs, lengths)
    back = torch.linspace(-3, 4, wanted[0].numel()).view_as(wanted[0])
    graded = torch.func.grad(lambda read: (max_pool(read, lengths) * back).sum())(outputs)
    assert_same_bits([mapped, graded], wanted)

    class Pool(torch.nn.Module):
        def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
            return max_pool(outputs, lengths)

    exported = torch.export.export(Pool(), (outputs, lengths))
    assert_same_bits([exported.module()(outputs, lengths)], wanted[:1])


@pytest.mark.filterwarnings("ignore")  # torch's own, of arrays and of dtypes
@pytest.mark.parametrize("change", FORMS + WRONG)
@pytest.mark.parametrize("number", range(2))
def test_odd_calls_are_answered_as_by_torch(change: Change, number: int) -> None:
    choice = random.Random(number)
    outputs, lengths = torch.randn(3, 6, 5), torch.tensor([6, 1, 4])
    given = [outputs, lengths]
    try:
        given[number] = change(given[number], choice)
    except (TypeError, ValueError, RuntimeError, IndexError):  # torch made no such argument
        return
    answers = []
    for pool in (max_pool, by_torch):
        try:
            answers.append(pool(*given))
        except Exception as error:  # noqa: BLE001  (whatever torch raises)
            answers.append(type(error))
    mine, theirs = answers
    if isinstance(theirs, Tensor) and theirs.is_cpu:
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)
    else:
        assert mine is theirs or mine.device == theirs.device


def test_levels_give_the_same_bits() -> None:
    script = (
        "import hashlib; from tests.kernels.test_pooling import *\n"
        "for sizes in SIZES:\n"
        "    for values in VALUES.values():\n"
        "        for part in there_and_back(max_pool, *problem(sizes, values)):\n"
        "            print(hashlib.sha256(part.numpy().tobytes()).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", "import torch; torch.manual_seed(0); " + script],
            cwd=Path(__file__).resolve().parents[2], check=True, capture_output=True,
            env=os.environ | {"SEQLOOM_ISA": level}, text=True, timeout=120,
        ).stdout
        for level in native.core().isas()
    }  # fmt: skip
    assert len(printed) == 1 and printed.pop().count("\n") == 2 * len(SIZES) * len(VALUES)
