"""The core is given addresses: what lies there must be what it is told, and it is not asked for what it cannot do."""

import copy

import pytest
import torch
from torch import Tensor

from seqloom import kernels
from tests.kernels.cases import INPUT, LENGTHS, assert_same_bits, build, inputs, needs_core

pytestmark = needs_core


def test_weights_that_two_cells_share_are_read_by_each_in_its_own_way() -> None:
    tanh, relu = build("rnn_tanh"), build("rnn_relu")
    for name, weight in tanh.named_parameters():
        setattr(relu, name, weight)
    wanted = copy.deepcopy(relu)(inputs())[0]
    tanh(inputs())
    assert_same_bits(relu(inputs())[0], wanted)


@pytest.mark.parametrize("rows", [1, 7])
def test_the_product_of_heads_reads_rows_with_gaps_between_their_numbers(rows: int) -> None:
    x, weight = torch.randn(rows, INPUT), torch.randn(INPUT, 3)
    assert_same_bits(kernels.linear(torch.stack([x, -x], dim=-1)[..., 0], weight), kernels.linear(x, weight))


def test_a_mask_that_learns_gets_the_gradient_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x, lengths = build("lstm"), inputs(), torch.tensor(LENGTHS)

    def gradient() -> Tensor:
        torch.manual_seed(4)
        mask = torch.rand(len(LENGTHS), layer.hidden_size, requires_grad=True)
        p = layer.parameters_of_cell(batch=len(LENGTHS))._replace(hidden_mask=mask)
        outputs, _, _ = kernels.run(layer.step(), p, x, lengths, layer.first(batch=len(LENGTHS)))
        return torch.autograd.grad(outputs.sin().sum(), mask)[0]

    found = gradient()
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    torch.testing.assert_close(found, gradient(), rtol=0, atol=1e-5)
