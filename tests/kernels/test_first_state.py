"""A first state that is not given is zeros, and nothing is multiplied with it."""

import pytest
import torch
from torch import Tensor

from seqloom.nn.recurrent import Recurrent
from tests.kernels.cases import KINDS, assert_same_bits, needs_core

pytestmark = needs_core


def results(layer: Recurrent, x: Tensor, lengths: Tensor, *, given: bool, reverse: bool) -> list[Tensor]:
    state = layer.first(batch=len(x)) if given else None
    outputs, last = layer(x, lengths, state, reverse=reverse)
    loss = outputs.sin().sum() + sum(path.cos().sum() for path in last)
    return [outputs.detach(), *(path.detach() for path in last), *torch.autograd.grad(loss, [x, *layer.parameters()])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "hidden"), [(1, 40), (5, 16), (5, 33), (513, 16), (1300, 20)])
def test_the_bits_are_those_of_zeros_that_are_given(kind: str, rows: int, hidden: int) -> None:
    torch.manual_seed(rows)
    layer = KINDS[kind](7, hidden)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x, lengths = torch.randn(rows, 3, 7, requires_grad=True), torch.arange(rows).remainder(4)
    lengths[0] = 3
    for reverse in (False, True):
        known, unknown = (results(layer, x, lengths, given=given, reverse=reverse) for given in (True, False))
        assert_same_bits(unknown, known)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [6, 16, 40])
def test_numbers_beyond_all_bounds_meet_no_zeros(kind: str, hidden: int) -> None:
    layer, x = KINDS[kind](7, hidden), torch.randn(2, 1, 7)
    with torch.no_grad():
        layer.weight_hidden.fill_(torch.inf)
    outputs, _ = layer(x)
    assert outputs.isfinite().all()
    gradients = torch.autograd.grad(
        outputs, [layer.weight_input, layer.weight_hidden], torch.full_like(outputs, torch.nan)
    )
    assert gradients[0].isnan().all() and not gradients[1].any()
