"""Steps looked up in a table give what spelled out vectors give: the same bits forward, the same gradients back."""

import pytest
import torch
from torch import Tensor

from seqloom.errors import ShapeError
from seqloom.nn import LSTM, Bidirectional, Recurrent, Stack
from seqloom.shapes import Tokens
from tests.kernels.cases import INPUT, LENGTHS, TIME, both_ways, build, needs_core, of_each_kind

ROWS = 9


def tokens() -> Tokens:
    torch.manual_seed(4)
    return Tokens(torch.randint(ROWS, (len(LENGTHS), TIME)), torch.randn(ROWS, INPUT, requires_grad=True))


def read(layer: Recurrent, x: Tensor | Tokens, *, reverse: bool) -> list[Tensor]:
    torch.manual_seed(5)
    state = layer.state_type(*(torch.randn(len(LENGTHS), layer.hidden_size) for _ in layer.state_type._fields))
    outputs, last = layer(x, LENGTHS, state, reverse=reverse)
    return [outputs, *last]


def gradients(layer: Recurrent, results: list[Tensor], vectors: Tensor) -> list[Tensor]:
    torch.manual_seed(6)
    total = sum((part * torch.randn_like(part)).sum() for part in results)
    return list(torch.autograd.grad(total, [vectors, *layer.parameters()]))


@both_ways
@of_each_kind
def test_tokens_give_what_their_vectors_give(kind: str, reverse: bool) -> None:
    layer, x = build(kind, 37), tokens()
    ours, theirs = read(layer, x, reverse=reverse), read(layer, x.spelled_out(), reverse=reverse)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for a, b in zip(gradients(layer, ours, x.vectors), gradients(layer, theirs, x.vectors), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@needs_core
def test_products_are_looked_up_on_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokens, "spelled_out", lambda x: pytest.fail("spelled out"))
    layer, x = build("lstm"), tokens()
    gradients(layer, read(layer, x, reverse=False), x.vectors)


def test_only_the_vectors_that_were_read_get_a_gradient() -> None:
    layer, x = build("gru"), tokens()
    gradient = gradients(layer, read(layer, x, reverse=False), x.vectors)[0]
    seen = {int(i) for row, length in zip(x.ids, LENGTHS, strict=True) for i in row[:length]}
    assert {row for row in range(ROWS) if gradient[row].any()} == seen


@of_each_kind
def test_gradients_of_tokens_can_be_differentiated_again(kind: str) -> None:
    layer, x = build(kind), tokens()
    twice = []
    for source in (x, x.spelled_out()):
        (first,) = torch.autograd.grad(layer(source, LENGTHS)[0].square().sum(), x.vectors, create_graph=True)
        twice.append(torch.autograd.grad(first.square().sum(), layer.weight_hidden)[0])
    assert (twice[0] - twice[1]).abs().max() <= 1e-4 * twice[1].abs().max()


def test_wrappers_and_traces_read_tokens() -> None:
    torch.manual_seed(0)
    stack = Stack([Bidirectional(LSTM(INPUT, 4)), LSTM(8, 8)], residual=True).eval()
    x = tokens()
    assert torch.equal(stack(x, LENGTHS)[0], stack(x.spelled_out(), LENGTHS)[0])
    ours, theirs = stack.trace(x, LENGTHS)[0], stack.trace(x.spelled_out(), LENGTHS)[0]
    assert torch.equal(ours.backward.gates["forget"], theirs.backward.gates["forget"])


@needs_core
def test_autocast_changes_no_bit_of_tokens() -> None:
    layer, x = build("lstm"), tokens()
    wanted = layer(x, LENGTHS)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x, LENGTHS)[0], wanted)


def test_tokens_are_read_by_compiled_layers() -> None:
    torch._dynamo.reset()
    layer, x = build("lstm"), tokens()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, torch.tensor(LENGTHS))[0], layer(x, LENGTHS)[0])


def test_another_default_dtype_is_no_matter_where_gradients_are_differentiated_again() -> None:
    layer, x = build("gru"), tokens()
    torch.set_default_dtype(torch.float64)
    try:
        (first,) = torch.autograd.grad(layer(x, LENGTHS)[0].square().sum(), x.vectors, create_graph=True)
        assert first.square().sum().dtype is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            Tokens(torch.tensor([[0, 9]]), torch.zeros(9, INPUT)),
            r"ids lie in 0\.\.9, but there are 9 vectors. .*0\.\.8",
        ),
        (Tokens(torch.tensor([[-1]]), torch.zeros(9, INPUT)), r"ids lie in -1\.\.-1"),
        (Tokens(torch.tensor([0]), torch.zeros(9, INPUT)), r"ids are torch.int64 of shape \(1,\)"),
        (Tokens(torch.zeros(1, 1), torch.zeros(9, INPUT)), "ids are torch.float32"),
        (Tokens(torch.tensor([[0]]), torch.zeros(9, 4)), r"Give vectors of shape \(rows, 5\)"),
        (Tokens(torch.tensor([[0]]), torch.zeros(9, INPUT).double()), "vectors is torch.float64"),
    ],
)
def test_wrong_tokens_are_refused_in_words(wrong: Tokens, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        build("lstm")(wrong)
