"""The core is given addresses: what lies there must be what it is told, and memory that is used again has one owner."""

import copy
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from seqloom import kernels
from seqloom.kernels import native
from seqloom.kernels.fused_cpu import operands
from seqloom.kernels.packing import pack
from seqloom.kernels.recurrence import Operands, Reading, compute, compute_both, differentiate, empty
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


def asked(hidden: int = 3) -> Operands:
    """Two rows of 5 numbers for an LSTM, and its weights: all that can be given but ids and a candidate's bias."""
    layer = build("lstm", hidden)
    o = operands(layer.parameters_of_cell(batch=2), torch.randn(2, 4, 5), torch.tensor([4, 3]), layer.first(batch=2))
    return o._replace(first_hidden=torch.randn(2, hidden), mask=torch.rand(2, hidden))


AHEAD = Reading("lstm", reverse=False)
OUT_OF_SIZE = "but the weights and the other tensors ask for"


def test_the_core_knows_the_operands_by_their_places() -> None:
    assert Operands._fields == native.core().OPERANDS


def test_the_core_refuses_what_it_would_misread_in_words() -> None:
    o = asked()
    weights = pack("lstm", o)
    for name, wrong, refused in (
        ("x", o.x[..., :4], r"x is \(2, 4, 4\), but the weights and the other tensors ask for \(any, any, 5\)"),
        ("x", o.x[0], OUT_OF_SIZE),
        ("x", o.x.double(), "x is no tensor of float32 on the CPU"),
        ("first_hidden", torch.ones(1, 3), "first_hidden is .* ask for"),
        ("first_cell", torch.ones(2, 4), "first_cell is .* ask for"),
        ("mask", torch.ones(2, 4), "mask is .* ask for"),
        ("lengths", torch.tensor([4, 3, 2]), "lengths is .* ask for"),
        ("lengths", torch.ones(2), "lengths is no tensor of int64 on the CPU"),
        ("ids", torch.zeros(2, dtype=torch.int64), "ids is .* ask for"),
    ):
        with pytest.raises(TypeError, match=refused):
            compute(AHEAD, o._replace(**{name: wrong}), weights, save=False)
    with pytest.raises(ValueError, match="a reading has other operands"):
        compute(AHEAD, o[:5], weights, save=False)  # type: ignore[arg-type]  # too few, on purpose
    other = asked(4)
    for second, packed in ((other, pack("lstm", other)), (o._replace(x=o.x[:, :3]), weights)):
        with pytest.raises(TypeError, match="both directions read as many rows and steps by as many units"):
            compute_both((o, second), (weights, packed), save=False)


def test_the_way_back_refuses_what_it_would_misread_in_words() -> None:
    o = asked()
    weights = pack("lstm", o)
    outputs, _, _, gates, cells = compute(AHEAD, o, weights, save=True)
    learned = tuple(name not in ("lengths", "mask", "ids") and part is not None for name, part in o._asdict().items())

    def go_back(
        o: Operands = o, kept: Any = (outputs, gates, cells), back: Any = (outputs, None, None), wanted: Any = learned
    ) -> Any:
        return differentiate(AHEAD, o, weights, kept, back, wanted)

    found = go_back()
    assert [None if part is None else part.shape for part in found] == [
        part.shape if want else None for part, want in zip(o, learned, strict=True)
    ]
    assert go_back(wanted=(False,) * len(o)) == [None] * len(o)
    without = "the way back needs the gates and cells of its cell"
    for refused, given in (
        ("outputs is .* ask for", {"kept": (outputs[:1], gates, cells)}),
        ("gates is .* ask for", {"kept": (outputs, gates[..., :2, :], cells)}),
        (without, {"kept": (outputs, None, cells)}),
        (without, {"kept": (outputs, gates, None)}),
        ("the gradient of outputs is .* ask for", {"back": (outputs[:, :3], None, None)}),
        ("the gradient of last_hidden is .* ask for", {"back": (None, torch.ones(3), None)}),
        ("the gradient of last_cell is no tensor of float32", {"back": (None, None, torch.ones(2, 3).double())}),
        ("weight_input is .* ask for", {"o": o._replace(weight_input=torch.ones(1, 3))}),
        ("weight_hidden is .* ask for", {"o": o._replace(weight_hidden=torch.ones(2, 8))}),
        ("bias is .* ask for", {"o": o._replace(bias=torch.ones(3))}),
        ("mask has no gradient here", {"wanted": tuple(name == "mask" for name in o._fields)}),
        ("lengths has no gradient here", {"wanted": tuple(name == "lengths" for name in o._fields)}),
    ):
        with pytest.raises(TypeError, match=refused):
            go_back(**given)
    for given in ({"wanted": (True,)}, {"kept": (outputs, gates)}, {"back": ()}):
        with pytest.raises(ValueError, match="a way back has other operands"):
            go_back(**given)


def test_weights_that_shrink_before_the_way_back_are_refused() -> None:
    layer = LSTM(5, 64)
    outputs, _ = layer(torch.randn(3, 4, 5))
    layer.weight_hidden.data = torch.zeros(2, 8)
    with pytest.raises(TypeError, match=r"weight_hidden is \(2, 8\), but .* ask for \(64, 256\)"):
        outputs.sum().backward()


APART = ["x", "first_hidden", "first_cell", "mask", "lengths", "outputs", "gates", "cells", "gradient", "last"]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("what", APART)
def test_what_lies_apart_or_has_its_sign_apart_is_read_all_the_same(what: str, sign: int) -> None:
    def told(part: Tensor, name: str) -> Tensor:
        if name != what:
            return part
        if sign < 0 and part.is_floating_point():
            return torch.complex(part, -part).conj().imag
        return torch.stack([part, 0 * part], dim=-1)[..., 0]

    def all_of(told: Callable[[Tensor, str], Tensor]) -> list[Tensor]:
        o, reading = asked(), Reading("lstm", reverse=True)
        weights, wanted = pack("lstm", o), tuple(name in ("x", "weight_hidden", "first_hidden") for name in o._fields)
        o = o._replace(**{name: told(getattr(o, name), name) for name in APART[:5]})
        outputs, *last, gates, cells = compute(reading, o, weights, save=True)
        gradient = torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)
        kept = told(outputs, "outputs"), told(gates, "gates"), told(cells, "cells")
        back = told(gradient, "gradient"), told(gradient[:, 0], "last"), told(gradient[:, 1], "last")
        found = differentiate(reading, o, weights, kept, back, wanted)
        return [outputs, *last, *(part for part in found if part is not None)]

    torch.manual_seed(3)
    read = all_of(told)
    torch.manual_seed(3)
    assert_same_bits(read, all_of(lambda part, _: part))


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
