"""One vector from many steps: padding has no part in it, and a row without steps gives zeros."""

import functools
import math
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import forward_ad

from seqloom.kernels import native
from seqloom.nn import AttentionPool, last_pool, max_pool, mean_pool
from seqloom.shapes import valid_steps

LENGTHS = torch.tensor([5, 0, 2, 1])
POOLS = {
    "mean": mean_pool,
    "max": max_pool,
    "last": last_pool,
    "last_of_both": functools.partial(last_pool, bidirectional=True),
    "attention": AttentionPool(4).double(),
}
of_each_pool = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)


def outputs(padding: float = 0.0) -> torch.Tensor:
    values = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for row, length in enumerate(LENGTHS.tolist()):
        values[row, length:] = padding
    return values


@pytest.mark.parametrize("padding", [0.0, 100.0, math.nan])
def test_the_mean_is_over_real_steps(padding: float) -> None:
    values = outputs(padding)
    for row, length in enumerate(LENGTHS.tolist()):
        steps = values[row, :length].tolist()
        expected = [math.fsum(unit) / length for unit in zip(*steps, strict=True)] if length else [0.0] * 3
        assert mean_pool(values, LENGTHS)[row].tolist() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("padding", [0.0, 100.0, math.nan])
def test_the_largest_is_of_real_steps_even_where_all_are_negative(padding: float) -> None:
    values = outputs(padding) - 50
    for row, length in enumerate(LENGTHS.tolist()):
        steps = values[row, :length].tolist()
        expected = [max(unit) for unit in zip(*steps, strict=True)] if length else [0.0] * 3
        assert max_pool(values, LENGTHS)[row].tolist() == expected
        assert max_pool(values.clone().requires_grad_(), LENGTHS)[row].tolist() == expected


@pytest.mark.parametrize("padding", [0.0, 100.0, math.nan])
def test_of_equal_largest_steps_the_first_has_the_gradient(padding: float) -> None:
    values = torch.randint(0, 2, (4, 33, 17), dtype=torch.float64).requires_grad_()
    lengths = torch.tensor([33, 0, 1, 20])
    beyond = ~valid_steps(lengths, 33)[..., None]
    weights = torch.randn(4, 17, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(max_pool(values.masked_fill(beyond, padding), lengths), values, weights)
    wanted = torch.zeros_like(values)
    for row, length in enumerate(lengths.tolist()):
        for unit in range(17 if length else 0):
            steps = values[row, :length, unit].tolist()
            wanted[row, steps.index(max(steps)), unit] = weights[row, unit]
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own
def test_the_largest_is_differentiated_forwards_too() -> None:
    values, along = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 5, 3, dtype=torch.float64)
    for read in (values, values.clone().requires_grad_()):
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(max_pool(forward_ad.make_dual(read, along), torch.tensor([5, 2]))).tangent
        for row, length in enumerate((5, 2)):
            places = values[row, :length].argmax(dim=0)
            assert tangent[row].tolist() == along[row, places, range(3)].tolist()


@pytest.mark.parametrize("padding", [0.0, 100.0, math.nan])
def test_the_last_is_of_real_steps_and_of_a_backward_reading_the_first(padding: float) -> None:
    values = outputs(padding)
    both = torch.cat([values, -values], dim=-1)
    for row, length in enumerate(LENGTHS.tolist()):
        last = values[row, length - 1].tolist() if length else [0.0] * 3
        first = (-values[row, 0]).tolist() if length else [0.0] * 3
        assert last_pool(values, LENGTHS)[row].tolist() == last
        assert last_pool(both, LENGTHS, bidirectional=True)[row].tolist() == last + first


@pytest.mark.parametrize("padding", [0.0, 100.0, math.nan])
def test_attention_weighs_real_steps_by_the_softmax_of_their_scores(padding: float) -> None:
    pool, values = AttentionPool(3).double(), outputs(padding)
    matrix, shift = pool.project.weight.tolist(), pool.project.bias.tolist()
    query = pool.score.weight[0].tolist()
    weights, answer = pool.weights(values, LENGTHS), pool(values, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        steps = values[row, :length].tolist()
        scores = [
            sum(v * math.tanh(sum(a * h for a, h in zip(line, step, strict=True)) + b)
                for v, line, b in zip(query, matrix, shift, strict=True))
            for step in steps
        ]  # fmt: skip
        total = sum(math.exp(score) for score in scores)
        expected = [math.exp(score) / total for score in scores]
        assert weights[row].tolist() == pytest.approx(expected + [0.0] * (5 - length), abs=1e-14)
        mixed = [sum(w * step[unit] for w, step in zip(expected, steps, strict=True)) for unit in range(3)]
        assert answer[row].tolist() == pytest.approx(mixed, abs=1e-14)


@of_each_pool
def test_padding_gets_no_gradient_and_gives_none(pool) -> None:
    gradients = []
    for padding in (0.0, math.nan):
        values = torch.cat([outputs(padding), -outputs(padding)[..., :1]], dim=-1).requires_grad_()
        weights = list(pool.parameters()) if isinstance(pool, AttentionPool) else []
        gradients.append(torch.autograd.grad(pool(values, LENGTHS).sin().sum(), [values, *weights]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    for row, length in enumerate(LENGTHS.tolist()):
        assert not gradients[0][0][row, length:].any()
        assert not length or gradients[0][0][row, :length].any()


@of_each_pool
@pytest.mark.parametrize("batch", [0, 2])
def test_no_steps_give_zeros(pool, batch: int) -> None:
    pooled = pool(torch.zeros(batch, 0, 4, dtype=torch.float64), torch.zeros(batch, dtype=torch.int64))
    torch.testing.assert_close(pooled, torch.zeros(batch, 4, dtype=torch.float64), rtol=0, atol=0)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_real_steps_does_not_matter(lengths: list[int], random) -> None:
    values = torch.randn(len(lengths), 6, 3, dtype=torch.float64)
    shuffled = values.clone()
    for row, length in enumerate(lengths):
        shuffled[row, :length] = values[row, random.sample(range(length), length)]
    for pool in (mean_pool, max_pool, AttentionPool(3).double()):
        one, other = (pool(each, torch.tensor(lengths)) for each in (values, shuffled))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("units", [1, 8, 64])
@pytest.mark.parametrize("pool", ["mean", "attention"])
def test_neither_neighbours_nor_padding_change_a_bit(pool: str, units: int) -> None:
    if pool == "attention" and (not native.available() or os.environ.get("SEQLOOM_KERNELS") == "reference"):
        pytest.skip(f"not on the compiled core, and torch's products hang on the batch: {native.reason()}")
    pooled = mean_pool if pool == "mean" else AttentionPool(units)
    for steps in (1, 5, 11, 16, 40, 100):
        lengths = torch.tensor([steps, max(1, steps - 2), steps])
        values = torch.randn(3, steps + 13, units)
        together = pooled(values, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = pooled(values[row : row + 1, :length], lengths[row : row + 1])
            assert torch.equal(alone[0], together[row])
