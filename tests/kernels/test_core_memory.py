"""The core is given addresses: what lies there must be what it is told, and memory that is used again has one owner."""

import copy
import os
from typing import Any

import pytest
import torch
from torch import Tensor

from seqloom import kernels
from seqloom.kernels.fused_cpu import operands
from seqloom.kernels.packing import pack
from seqloom.kernels.recurrence import Reading, compute, differentiate, empty
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


def test_the_core_refuses_tensors_of_other_sizes_and_kinds_in_words() -> None:
    layer, x = LSTM(5, 3), torch.randn(2, 4, 5)
    o = operands(layer.parameters_of_cell(batch=2), x, torch.tensor([4, 3]), layer.first(batch=2))
    weights, reading = pack("lstm", o), Reading("lstm", reverse=False)
    results = compute(reading, o, weights, save=True)
    kept, come_back = (results.outputs, results.gates, results.cells), (torch.ones(2, 4, 3), None, None)
    wanted = tuple(part is not None and part.is_floating_point() for part in o)

    def go_back(**others: Any) -> list[Tensor | None]:
        given = {"o": o, "kept": kept, "come_back": come_back, "wanted": wanted} | others
        return differentiate(reading, given["o"], weights, given["kept"], given["come_back"], given["wanted"])

    found = go_back()
    assert [part is not None and part.shape == whole.shape for part, whole in zip(found, o, strict=True)] == list(
        wanted
    )
    assert go_back(wanted=(False,) * len(o)) == [None] * len(o)
    size, kind = "a tensor has not the size that the others ask for", "the core reads tensors of float32 on the CPU"
    for wrong, refused in {
        o._replace(x=x[..., :4]): size,
        o._replace(x=x[0]): size,
        o._replace(x=x.double()): kind,
        o._replace(first_hidden=torch.ones(1, 3)): size,
        o._replace(mask=torch.ones(2, 4)): size,
        o._replace(lengths=torch.tensor([4, 3, 2])): "each row has one length",
        o._replace(lengths=torch.ones(2)): "lengths are whole numbers on the CPU",
        o._replace(ids=torch.zeros(2, dtype=torch.int64)): "ids are whole numbers",
    }.items():
        with pytest.raises(TypeError, match=refused):
            compute(reading, wrong, weights, save=False)
    for others, refused in (
        ({"kept": (results.outputs[:1], *kept[1:])}, size),
        ({"kept": (results.outputs, None, results.cells)}, "the way back needs the gates and cells of its cell"),
        ({"kept": (results.outputs, results.gates, None)}, "the way back needs the gates and cells of its cell"),
        ({"come_back": (torch.ones(2, 3, 3), None, None)}, size),
        ({"come_back": (None, torch.ones(3), None)}, size),
        ({"wanted": (False, True, *wanted[2:])}, "not all that is wanted are tensors of float32 on the CPU"),
    ):
        with pytest.raises(TypeError, match=refused):
            go_back(**others)
    for others in ({"wanted": (True,)}, {"kept": kept[:2]}, {"come_back": ()}, {"o": o[:5]}):
        with pytest.raises(ValueError, match="has other operands"):
            go_back(**others)


@pytest.mark.parametrize("what", ["x", "first_hidden", "mask", "lengths", "gradient", "outputs", "gates"])
def test_what_lies_apart_is_read_as_what_lies_in_one_piece(what: str) -> None:
    def apart(part: Tensor) -> Tensor:
        return torch.stack([part, 0 * part], dim=-1)[..., 0]

    layer, x = LSTM(5, 3), torch.randn(2, 4, 5)
    o = operands(layer.parameters_of_cell(batch=2), x, torch.tensor([4, 3]), layer.first(batch=2))
    o = o._replace(first_hidden=torch.randn(2, 3), mask=torch.rand(2, 3))
    weights, reading, wanted = pack("lstm", o), Reading("lstm", reverse=True), (True, False, True) + (False,) * 7

    def all_of(where: str) -> list[Tensor | None]:
        given = o._replace(**{where: apart(getattr(o, where))}) if where in o._fields else o
        outputs, last, _, gates, cells = compute(reading, given, weights, save=True)
        gradient = torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)
        kept = (apart(outputs) if where == "outputs" else outputs, apart(gates) if where == "gates" else gates, cells)
        come_back = (apart(gradient) if where == "gradient" else gradient, None, None)
        return [outputs, last, *differentiate(reading, given, weights, kept, come_back, wanted)]

    assert_same_bits(
        [part for part in all_of(what) if part is not None], [part for part in all_of("") if part is not None]
    )


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
