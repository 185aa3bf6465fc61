"""x W + b by the core: right, and the same bits for a row alone and in a batch, and for any number of threads."""

import pytest
import torch
from torch import Tensor, nn

from seqloom.kernels import linear, native
from seqloom.nn import Linear

needs_core = pytest.mark.skipif(not native.available(), reason=native.reason())
SIZES = [(1, 1, 1), (5, 7, 3), (33, 100, 65), (200, 130, 300), (3, 64, 2000)]


def made(rows: int, inputs: int, outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(rows + inputs)
    return torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(outputs)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_product_and_its_gradients_are_right(sizes: tuple[int, int, int]) -> None:
    x, weight, bias = (part.requires_grad_() for part in made(*sizes))
    ours = linear(x, weight.t(), bias=bias)
    back = torch.randn_like(ours)
    found = torch.autograd.grad(ours, (x, weight, bias), back)
    x64, weight64, bias64 = (part.detach().double().requires_grad_() for part in (x, weight, bias))
    right = nn.functional.linear(x64, weight64, bias64)
    expected = torch.autograd.grad(right, (x64, weight64, bias64), back.double())
    for mine, theirs in zip((ours, *found), (right, *expected), strict=True):
        assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@needs_core
@pytest.mark.parametrize("sizes", SIZES)
def test_a_row_alone_is_the_row_in_a_batch(sizes: tuple[int, int, int]) -> None:
    x, weight, bias = made(*sizes)
    whole = linear(x, weight.t(), bias=bias)
    for row in range(min(len(x), 7)):
        assert torch.equal(linear(x[row], weight.t(), bias=bias), whole[row])
    strided = torch.randn(len(x), 2, x.shape[1])
    strided[:, 1] = x
    assert torch.equal(linear(strided[:, 1], weight.t().contiguous(), bias=bias), whole)


@needs_core
def test_the_thread_count_changes_no_bit() -> None:
    x, weight, bias = (part.requires_grad_() for part in made(200, 130, 300))
    back, threads = torch.randn(200, 300), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            product = linear(x, weight.t(), bias=bias)
            results.append((product, *torch.autograd.grad(product, (x, weight, bias), back)))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_many_gradients_are_found_at_once() -> None:
    x, weight, bias = (part.requires_grad_() for part in made(4, 5, 3))
    product, back = linear(x, weight.t(), bias=bias), torch.randn(6, 4, 3)
    found = torch.autograd.grad(product, (x, weight, bias), back, is_grads_batched=True, retain_graph=True)
    for number, one in enumerate(back):
        for ours, theirs in zip(
            found, torch.autograd.grad(product, (x, weight, bias), one, retain_graph=True), strict=True
        ):
            torch.testing.assert_close(ours[number], theirs)


def test_gradients_can_be_differentiated_again() -> None:
    x, weight, bias = (part.requires_grad_() for part in made(5, 7, 3))
    (first,) = torch.autograd.grad(linear(x, weight.t(), bias=bias).tanh().sum(), x, create_graph=True)
    second = torch.autograd.grad(first.square().sum(), weight)
    (first,) = torch.autograd.grad(nn.functional.linear(x, weight, bias).tanh().sum(), x, create_graph=True)
    expected = torch.autograd.grad(first.square().sum(), weight)
    torch.testing.assert_close(second, expected)


def test_other_dtypes_shapes_and_transforms_take_torch_s_product() -> None:
    x, weight, bias = made(4, 7, 3)
    double = linear(x.double(), weight.double().t(), bias=bias.double())
    assert torch.equal(double, nn.functional.linear(x.double(), weight.double(), bias.double()))
    mapped = torch.func.vmap(lambda row: linear(row, weight.t(), bias=bias))(x)
    torch.testing.assert_close(mapped, nn.functional.linear(x, weight, bias))
    assert linear(x[:0], weight.t(), bias=bias).shape == (0, 3)
    assert linear(x.view(2, 2, 7), weight.t()).shape == (2, 2, 3)
    with pytest.raises(RuntimeError):
        linear(x[:, :6], weight.t(), bias=bias)


def test_the_layer_is_torch_s_with_our_product() -> None:
    torch.manual_seed(0)
    ours = Linear(7, 3)
    theirs = nn.Linear(7, 3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))
