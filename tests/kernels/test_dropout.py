"""Dropout: each number for itself, the share that was asked for, and gradients where a number was kept."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from seqloom.kernels import dropout, native
from seqloom.nn import Dropout
from tests.kernels.cases import needs_core


@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.999])
def test_the_share_is_dropped_and_the_mean_stays(share: float) -> None:
    x = torch.ones(1_000, 1_003)
    y = dropout(x, share)
    zeros, spread = int((y == 0).sum()), (share * (1 - share) / x.numel()) ** 0.5
    assert abs(zeros / x.numel() - share) < 5 * spread + 1 / (1 << 17)
    kept = y[y != 0]
    assert torch.equal(kept, torch.full_like(kept, float(kept[0])))
    assert float(kept[0]) == pytest.approx(1 / (1 - share), rel=1e-2 if share > 0.99 else 1e-4)


def test_no_number_decides_of_another() -> None:
    """Neighbours, numbers from one draw of 64 bits, rows and columns: dropped together no more often than by chance."""
    kept = (dropout(torch.ones(2_000, 512), 0.5) != 0).float().flatten() - 0.5
    for apart in (1, 2, 3, 4, 5, 8, 512, 1024):
        agreed = 4 * float((kept[apart:] * kept[:-apart]).mean())
        assert abs(agreed) < 5 / kept.numel() ** 0.5, apart
    assert kept.view(-1, 4).mean(0).abs().max() < 5 / (kept.numel() / 4) ** 0.5


def test_gradients_are_those_of_the_kept_numbers_twice_too() -> None:
    x = torch.rand(30, 7).requires_grad_()
    y = dropout(x, 0.4)
    factors = y.detach() / x.detach()  # 0 or 1 / 0.6
    back = torch.randn(7, 30).t()
    (gradient,) = torch.autograd.grad(y, x, back, retain_graph=True)
    torch.testing.assert_close(gradient, back * factors)
    learned = back.clone().requires_grad_()
    (again,) = torch.autograd.grad(y, x, learned, create_graph=True)
    torch.testing.assert_close(again, gradient)
    torch.testing.assert_close(torch.autograd.grad(again, learned, torch.ones_like(x))[0], factors)


def test_gradients_of_many_ways_back_at_once() -> None:
    x = torch.rand(5, 7).requires_grad_()
    y = dropout(x, 0.4)
    (many,) = torch.autograd.grad(y, x, torch.eye(35).view(35, 5, 7), is_grads_batched=True)
    torch.testing.assert_close(many.view(35, 35), torch.diag((y / x).detach().flatten()))


def test_another_dtype_is_torchs() -> None:
    x = torch.rand(30, 7, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    found = dropout(x, 0.4)
    torch.manual_seed(3)
    assert torch.equal(found, functional.dropout(x, 0.4))


@needs_core
def test_every_level_and_any_number_of_threads_drops_the_same() -> None:
    script = (
        "import hashlib, torch; from seqloom.kernels import dropout\n"
        "for count in (1, 31, 32, 33, 100, 40_000):\n"
        "    for threads in (1, 2, 3):\n"
        "        torch.set_num_threads(threads); torch.manual_seed(4)\n"
        "        print(count, hashlib.sha256(dropout(torch.arange(1.0, count + 1), 0.3).numpy().tobytes()).hexdigest())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120,
            env=os.environ | {"SEQLOOM_ISA": level},
        ).stdout.split("\n")
        for level in native.core().isas()
    ]  # fmt: skip
    assert all(len(set(lines)) == 1 + 6 and set(lines) == set(printed[0]) for lines in printed)


def test_one_seed_gives_the_same_and_the_next_call_other_numbers() -> None:
    x = torch.ones(50, 50)
    torch.manual_seed(1)
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5), first) and not torch.equal(first, second)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 5), (1, 5)])
def test_any_shape_is_dropped(shape: tuple[int, ...]) -> None:
    assert dropout(torch.ones(shape), 0.5).shape == shape


def test_strides_are_no_matter() -> None:
    x = torch.arange(1.0, 41).view(5, 8)
    torch.manual_seed(1)
    plain = dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(dropout(x.t().contiguous().t(), 0.5), plain)


@pytest.mark.parametrize("share", [0.0, 1.0, 1e-9])
def test_shares_at_the_ends_are_torchs(share: float) -> None:
    x = torch.ones(9)
    assert torch.equal(dropout(x, share), functional.dropout(x, share))


def test_where_torch_must_see_each_operation_it_is_torchs() -> None:
    x = torch.ones(4, 100)
    rows = torch.func.vmap(lambda row: dropout(row, 0.5), randomness="different")(x)
    assert rows.shape == x.shape and set(rows.flatten().tolist()) == {0.0, 2.0}
    compiled = torch.compile(lambda x: dropout(x, 0.5), fullgraph=True, backend="eager")
    assert set(compiled(x).flatten().tolist()) == {0.0, 2.0}


def test_the_module_drops_while_it_learns_and_only_then() -> None:
    x = torch.ones(100)
    module = Dropout(0.5)
    assert set(module(x).tolist()) == {0.0, 2.0}
    assert module.eval()(x) is x and Dropout(0.0)(x) is x


def test_many_axes_the_default_device_and_sizes_beyond_all_memory() -> None:
    assert dropout(torch.ones([2] * 9), 0.5).shape == torch.Size([2] * 9)
    x = torch.rand(5, requires_grad=True)
    with torch.device("meta"):
        assert dropout(x, 0.5).device.type == "cpu"
    with pytest.raises((MemoryError, RuntimeError)):
        dropout(torch.zeros(1).expand(2**62), 0.5)


@needs_core
@pytest.mark.parametrize("shape", [(1 << 62,), (1 << 31, 1 << 31), (-1,), (3, -5)])
def test_no_tensor_is_made_of_a_size_that_no_memory_has(shape: tuple[int, ...]) -> None:
    with pytest.raises(MemoryError):
        native.core().empty(*shape)
