"""Rows of a matrix taken together: torch's own rows and gradients, in memory that is used again."""

import pytest
import torch

from seqloom.kernels import real_rows, take_rows


def test_rows_and_gradients_are_those_of_torch() -> None:
    x, back = torch.randn(7, 3, requires_grad=True), torch.randn(4, 3)
    places = torch.tensor([5, 0, 6, 2])
    rows = take_rows(x, places)
    assert torch.equal(rows, x[places])
    (found,) = torch.autograd.grad(rows, x, back)
    (wanted,) = torch.autograd.grad(x[places], x, back)
    assert torch.equal(found, wanted)


def test_the_row_of_padding_has_no_gradient() -> None:
    x = torch.randn(5, 2, requires_grad=True)
    take_rows(x, torch.tensor([0, 3]), padding_idx=0).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.tensor([[0.0, 0], [0, 0], [0, 0], [1, 1], [0, 0]]))


@pytest.mark.parametrize("place", [5, -1])
def test_a_place_that_is_none_is_refused(place: int) -> None:
    with pytest.raises(IndexError, match="out of range"):
        take_rows(torch.randn(5, 2, requires_grad=True), torch.tensor([place]))


def test_gradients_can_be_differentiated_again() -> None:
    x = torch.randn(5, 2, requires_grad=True)
    (first,) = torch.autograd.grad(take_rows(x, torch.tensor([1, 4])).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    wanted = torch.zeros(5, 2)
    wanted[[1, 4]] = 6 * x.detach()[[1, 4]]
    assert torch.allclose(second, wanted)


@pytest.mark.parametrize("lengths", [[3, 0, 4], [4, 4, 4], [0, 0, 0]])
def test_the_real_steps_stand_row_after_row(lengths: list[int]) -> None:
    x = torch.randn(3, 4, 2, requires_grad=True)
    real = real_rows(x, torch.tensor(lengths))
    assert torch.equal(real, torch.cat([row[:length] for row, length in zip(x, lengths, strict=True)]))
    real.sum().backward()
    assert x.grad is not None
    assert x.grad.sum() == 2 * sum(lengths)


def test_nothing_is_copied_without_padding_and_no_rows_are_an_answer() -> None:
    x = torch.randn(3, 4, 2)
    assert real_rows(x, torch.tensor([4, 4, 4])).data_ptr() == x.data_ptr()
    assert real_rows(x[:0], torch.tensor([], dtype=torch.int64)).shape == (0, 2)
