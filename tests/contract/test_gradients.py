"""Every gradient equals finite differences: of inputs, all weights, and first states, given or learned."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call

from tests.contract.layers import (
    ALL,
    INPUT,
    SINGLE,
    Case,
    build,
    mixes,
    paths,
    random_state,
    singles,
    state_like,
)

LENGTHS = [3, 0, 1, 2]


def smooth(cases: list[Case]) -> list[Case]:
    """ReLU has corners, where finite differences say nothing; its slopes are those of leaky ReLU, and torch.nn's."""
    return [case for case in cases if "_relu" not in case.name or "leaky" in case.name]


def assert_gradients(case: Case, *, state_given: bool, fast: bool) -> None:
    """Of all results at once, each with a weight of its own by chance: no two mistakes make up for each other."""
    layer = build(case, torch.float64)  # float32 is too coarse; tests/kernels holds its gradients against these
    names, weights = zip(*layer.named_parameters(), strict=True)
    x = torch.randn(len(LENGTHS), 3, singles(layer)[0].input_size, dtype=torch.float64, requires_grad=True)
    first = [path.requires_grad_() for path in paths(random_state(layer, len(LENGTHS)))] if state_given else []

    def read(x: Tensor, *tensors: Tensor) -> Tensor:
        given, state = tensors[: len(names)], list(tensors[len(names) :])
        arguments = (x, LENGTHS, state_like(layer, state) if state else None)
        outputs, final = functional_call(layer, dict(zip(names, given, strict=True)), arguments)
        chance = torch.Generator().manual_seed(1)
        results = [outputs, *paths(final)]
        return sum((torch.randn(y.shape, generator=chance, dtype=y.dtype) * y).sum() for y in results)

    assert gradcheck(read, (x, *weights, *first), fast_mode=fast)


@pytest.mark.parametrize("case", smooth(list(mixes(2, 3))), ids=lambda case: case.name)
@pytest.mark.parametrize(
    "fast", [pytest.param(True, id="along one direction"), pytest.param(False, id="each", marks=pytest.mark.long)]
)
def test_gradients_are_finite_differences(case: Case, fast: bool) -> None:
    assert_gradients(case, state_given="learned" not in case.name, fast=fast)


@pytest.mark.parametrize("case", smooth(ALL[len(SINGLE) :]), ids=lambda case: case.name)
def test_gradients_are_finite_differences_through_wrappers(case: Case) -> None:
    assert_gradients(case, state_given="learned" not in case.name, fast=True)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_row_without_steps_moves_no_weight(case: Case) -> None:
    layer = build(case)
    x = torch.randn(2, 3, INPUT, requires_grad=True)
    outputs, final = layer(x, [0, 0])
    (outputs.sum() + sum((path**2).sum() for path in paths(final))).backward()
    assert x.grad is not None
    assert not x.grad.any()
    for name, weight in layer.named_parameters():
        assert "first_state" in name or weight.grad is None or not weight.grad.any(), name
