"""The loss in chunks equals the loss in one piece, and holds no more than a chunk."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqloom.nn import token_losses, vocabulary_loss


def random_problem(rows: int, *, words: int = 11, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    shapes = ((rows, 5), (words, 5), (words,))
    numbers = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    return [*numbers, torch.randint(words, (rows,))]


@pytest.mark.parametrize("chunk", [1, 30, 33, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("rows", [1, 7, 12, 80])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_cross_entropy_with_all_gradients(
    chunk: int, smoothing: float, rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqloom.nn.losses.CHUNK", chunk)
    *numbers, targets = random_problem(rows, dtype=dtype)
    features, weight, bias = numbers
    expected = functional.cross_entropy(features @ weight.t() + bias, targets, label_smoothing=smoothing)
    found = vocabulary_loss(features, weight, bias, targets, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(3 * found, numbers), torch.autograd.grad(3 * expected, numbers), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_each_token_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    features, weight, bias, targets = random_problem(9, dtype=torch.float32)
    expected = functional.cross_entropy(features @ weight.t() + bias, targets, reduction="none")
    whole = token_losses(features, weight, bias, targets)
    torch.testing.assert_close(whole, expected)
    monkeypatch.setattr("seqloom.nn.losses.CHUNK", 22)
    assert torch.equal(token_losses(features, weight, bias, targets), whole)
    assert torch.equal(token_losses(features[4:5], weight, bias, targets[4:5]), whole[4:5])


def test_only_what_is_wanted_is_differentiated() -> None:
    features, weight, bias, targets = random_problem(4)
    vocabulary_loss(features.detach(), weight, None, targets).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None and bias.grad is None


def test_large_logits_stay_finite() -> None:
    features, weight = torch.full((2, 1), 1e4), torch.tensor([[1.0], [-1.0], [0.0]], requires_grad=True)
    loss = vocabulary_loss(features, weight, None, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(1e4)


def test_no_rows_give_zero() -> None:
    features, weight, bias, targets = random_problem(0)
    loss = vocabulary_loss(features, weight, bias, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0 and weight.grad is not None and not weight.grad.any()


def test_no_second_derivative() -> None:
    features, weight, bias, targets = random_problem(3)
    loss = vocabulary_loss(features, weight, bias, targets)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(loss, weight, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wrong", [-1, 11])
def test_a_target_that_is_no_word_is_refused(dtype: torch.dtype, wrong: int) -> None:
    features, weight, bias, targets = random_problem(3, dtype=dtype)
    targets[1] = wrong
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        vocabulary_loss(features, weight, bias, targets)
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        token_losses(features, weight, bias, targets)


def test_autocast_takes_torch_s_products() -> None:
    *numbers, targets = random_problem(6, dtype=torch.float32)
    features, weight, bias = numbers
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = vocabulary_loss(features, weight, bias, targets)
    expected = functional.cross_entropy(features @ weight.t() + bias, targets)
    assert found.dtype == torch.float32 and found != expected
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
