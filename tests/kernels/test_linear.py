"""x W + b by the core: right, and the same bits for a row alone and in a batch, and for any number of threads."""

import importlib
import math

import pytest
import torch
from torch import Tensor, nn

from seqloom.errors import ConfigError
from seqloom.kernels import linear, native
from seqloom.kernels.linear import linears
from seqloom.nn import Linear

needs_core = pytest.mark.skipif(not native.available(), reason=native.reason())
SIZES = [
    (1, 1, 1),
    (5, 7, 3),
    (33, 100, 65),
    (200, 130, 300),
    (3, 64, 2000),
    (600, 12, 192),  # no edges
    (1100, 13, 173),
]  # the last two: rounds of gradients, of groups of panels


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
@pytest.mark.parametrize("sizes", [(200, 130, 300), (1100, 13, 173)])
def test_the_thread_count_changes_no_bit(sizes: tuple[int, int, int]) -> None:
    x, weight, bias = (part.requires_grad_() for part in made(*sizes))
    back, threads = torch.randn(sizes[0], sizes[2]), torch.get_num_threads()
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


@needs_core
def test_products_by_several_weights_are_those_by_each() -> None:
    torch.manual_seed(0)
    x, biases = torch.randn(30, 7).requires_grad_(), [torch.randn(11).requires_grad_(), None, torch.randn(5)]
    weights = [torch.randn(7, columns).requires_grad_(columns != 4) for columns in (11, 4, 5)]
    products = linears(x, weights, biases)
    assert all(torch.equal(y, linear(x, w, bias=b)) for y, w, b in zip(products, weights, biases, strict=True))
    back = [torch.randn_like(product) for product in products]
    learned = [x, weights[0], weights[2], biases[0]]
    for used in ((0, 1, 2), (2,), (0, 1)):
        wanted = torch.autograd.grad(
            [x @ weights[i] + (0 if biases[i] is None else biases[i]) for i in used], learned, [back[i] for i in used],
            allow_unused=True,
        )  # fmt: skip
        for again in (False, True):
            found = torch.autograd.grad(
                [products[i] for i in used], learned, [back[i] for i in used], allow_unused=True, retain_graph=True,
                create_graph=again,
            )  # fmt: skip
            torch.testing.assert_close(found, wanted)
            assert found[0].requires_grad == again
    known = linears(x.detach(), weights[:2], [None, None])
    assert known[0].requires_grad and not known[1].requires_grad  # of which nothing is learned


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


# Packed once


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_prepared_layer_gives_the_bits_of_the_layer(sizes: tuple[int, int, int], with_bias: bool) -> None:
    x, weight, _ = made(*sizes)
    layer = Linear(sizes[1], sizes[2], bias=with_bias)
    with torch.no_grad():
        layer.weight.copy_(weight)
    prepared = layer.prepared()
    assert torch.equal(prepared(x), layer(x)) and not prepared(x.requires_grad_()).requires_grad
    assert torch.equal(prepared(x[0]), layer(x[0])) and prepared(x[:0]).shape == (0, sizes[2])
    odd = torch.stack([x, -x], dim=-1)[..., 0]
    assert torch.equal(prepared(odd.view(1, *x.shape)), layer(x)[None])
    wanted = layer(x)
    with torch.no_grad():
        layer.weight.zero_()
    assert torch.equal(prepared(x), wanted)


def test_a_prepared_layer_goes_where_the_layer_goes() -> None:
    x, _, _ = made(5, 7, 3)
    layer = Linear(7, 3)
    torch.testing.assert_close(layer.double().prepared()(x.double()), layer(x.double()))
    prepared = layer.float().prepared()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(prepared(x), layer(x)) and prepared(x).dtype == torch.bfloat16
    torch.testing.assert_close(torch.func.vmap(prepared)(x), layer(x))
    with pytest.raises(RuntimeError):
        prepared(x[:, :6])


def in_int8(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What the product of 8 bits means, in doubles: whole numbers and a scale a row and a column."""
    scales = [part.abs().amax(dim=1, keepdim=True).double() / 127 for part in (x, weight)]
    rows, columns = (
        torch.where(scale > 0, part.double() / scale, 0).round()
        for part, scale in zip((x, weight), scales, strict=True)
    )
    return (rows @ columns.t()) * scales[0] * scales[1].t() + bias.double()


@needs_core
@pytest.mark.parametrize("sizes", SIZES)
def test_int8_is_the_product_of_rounded_numbers(sizes: tuple[int, int, int]) -> None:
    # Multiples of a power of two round the same way in any precision.
    x, weight, bias = made(*sizes)
    x, weight = (torch.randint_like(part, -127, 128) / 64 for part in (x, weight))
    x[:, 0], weight[:, 0] = 127 / 64, -127 / 64
    layer = Linear(sizes[1], sizes[2])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    found, wanted = layer.prepared(weights="int8")(x), in_int8(x, weight, bias)
    assert (found - wanted).abs().max() <= 1e-6 * wanted.abs().max()
    assert (found - layer(x)).abs().max() <= 1e-5 * wanted.abs().max()  # nothing was there to round


@needs_core
@pytest.mark.parametrize("sizes", SIZES)
def test_an_int8_row_alone_is_the_row_in_a_batch_on_any_number_of_threads(sizes: tuple[int, int, int]) -> None:
    x, weight, _ = made(*sizes)
    layer = Linear(sizes[1], sizes[2])
    with torch.no_grad():
        layer.weight.copy_(weight)
    prepared, threads = layer.prepared(weights="int8"), torch.get_num_threads()
    whole = prepared(x)
    assert (whole - layer(x)).abs().max() <= 0.03 * layer(x).abs().max()
    for row in range(min(len(x), 7)):
        assert torch.equal(prepared(x[row]), whole[row])
    try:
        for number in (1, 2, 4):
            torch.set_num_threads(number)
            assert torch.equal(prepared(x), whole)
    finally:
        torch.set_num_threads(threads)


@needs_core
def test_int8_shows_what_is_not_finite_where_it_is() -> None:
    layer, x = Linear(40, 50), torch.randn(3, 40)
    x[1, 7] = math.nan
    with torch.no_grad():
        layer.weight[9, 3] = math.inf
    finite = layer.prepared(weights="int8")(x).isfinite()
    assert not finite[1].any() and not finite[:, 9].any()
    assert finite.sum() == 2 * 49


def test_int8_is_refused_in_words_where_the_core_does_not_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r'^Linear.prepared: weights is "int4", did you mean "int8"\?'):
        Linear(3, 2).prepared(weights="int4")
    with pytest.raises(
        ConfigError, match='^Linear.prepared: weights are "int8", which only the compiled core reads, but'
    ):
        Linear(3, 2).double().prepared(weights="int8")
    if native.available():
        with pytest.raises(ConfigError, match="^with int8 weights a layer reads up to 132104 numbers a step."):
            Linear(132105, 1).prepared(weights="int8")
        with pytest.raises(ConfigError, match='but x is torch.float64.* Use weights="float32".$'):
            Linear(3, 2).prepared(weights="int8")(torch.zeros(1, 3, dtype=torch.float64))
    monkeypatch.setattr(importlib.import_module("seqloom.kernels.linear"), "NO_CORE", "there is no core")
    assert torch.equal(Linear(3, 2, bias=False).prepared()(torch.zeros(1, 3)), torch.zeros(1, 2))
    with pytest.raises(ConfigError, match="but there is no core"):
        Linear(3, 2).prepared(weights="int8")
