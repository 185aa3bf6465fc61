"""The core is given addresses: what lies there must be what it is told, and memory that is used again has one owner."""

import copy
import os

import pytest
import torch
from torch import Tensor

from seqloom import kernels
from seqloom.kernels import native
from seqloom.kernels.recurrence import empty
from seqloom.nn import LSTM
from seqloom.shapes import LSTMState
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


@pytest.mark.parametrize("what", ["x", "state", "gradient", "step", "head"])
def test_a_view_whose_sign_is_a_flag_is_read_with_it(what: str) -> None:
    def negated(x: Tensor) -> Tensor:
        view = torch.complex(x, -x).conj().imag
        assert view.is_neg() and view.is_contiguous() == (x.numel() == 1)
        return view

    layer, x, ones = build("lstm", 1), torch.randn(1, 1, INPUT), torch.ones(1, 1)
    narrow, one = type(layer)(1, 1), torch.full((1, 1, 1), 0.7)
    found = {
        "x": lambda f: narrow(f(one))[0],
        "state": lambda f: layer(x, None, LSTMState(f(ones), f(ones)))[0],
        "gradient": lambda f: torch.autograd.grad(layer(x)[0], layer.bias, f(ones[None]))[0],
        "step": lambda f: narrow.stream().step(f(one[0])),
        "head": lambda f: kernels.linear(f(one), ones),
    }[what]
    torch.testing.assert_close(found(negated), found(torch.clone), rtol=0, atol=1e-6)  # by another path, it may be


def test_memory_like_that_of_tensors_is_made_of_those_that_are_wanted() -> None:
    like = native.core().empty_like
    tensors = (torch.rand(3, 1).expand(3, 5), None, torch.rand(2), torch.arange(4))
    made = like(tensors, (True, True, False, False))
    assert [None if part is None else tuple(part.shape) for part in made] == [(3, 5), None, None, None]
    assert made[0].is_contiguous() and made[0].dtype == torch.float32
    with pytest.raises(TypeError, match="not all that is wanted are tensors of float32 on the CPU"):
        like(tensors, (True, False, False, True))
    with pytest.raises(ValueError, match="for each tensor must be said whether it is wanted"):
        like(tensors, (True,))


LARGE = (64, 4096)  # numbers of which memory is kept


def test_memory_of_a_large_tensor_is_the_next_ones_once_it_is_gone() -> None:
    first = empty(*LARGE)
    place = first.data_ptr()
    view = first[3:]
    del first
    other = empty(*LARGE)
    assert other.data_ptr() != place, "a view still reads there"
    del view
    assert empty(*LARGE).data_ptr() == place


def test_results_stay_as_they_are_while_later_readings_reuse_memory() -> None:
    layer, x = LSTM(32, 64), torch.randn(40, 50, 32, requires_grad=True)
    found = []
    for scale in range(1, 9):
        outputs, last = layer(x * scale)
        gradient = torch.autograd.grad(outputs.sum(), x)[0]
        found.append([part.detach() for part in (outputs, last.cell, gradient)])
    for scale, parts in enumerate(found, start=1):
        outputs, last = layer(x * scale)
        gradient = torch.autograd.grad(outputs.sum(), x)[0]
        assert_same_bits(parts, [outputs.detach(), last.cell.detach(), gradient])


def test_a_forked_child_takes_and_gives_memory_as_its_parent_does() -> None:
    kept = [empty(*LARGE) for _ in range(4)]
    del kept
    child = os.fork()
    if child == 0:
        tensors = [empty(*LARGE).fill_(number) for number in range(6)]
        os._exit(0 if [int(tensor[0, 0]) for tensor in tensors] == list(range(6)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert empty(*LARGE).fill_(1).eq(1).all()
