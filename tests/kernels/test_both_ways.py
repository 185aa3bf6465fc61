"""Both readings of a bidirectional layer in one: to the bit what its two layers give one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqloom.kernels import both_ways, dispatch
from seqloom.nn import LSTM, Bidirectional, SimpleRNN
from seqloom.shapes import BidirectionalState, Tokens
from tests.kernels.cases import INPUT, KINDS, LENGTHS, TIME, build, inputs, needs_core, of_each_kind

pytestmark = needs_core
HIDDEN = 37  # a block of units and a part of one
of_each_number_of_threads = pytest.mark.parametrize("threads", [1, 2, 3])


@pytest.fixture(autouse=True)
def joint(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One word for each reading of both ways at once: the two ways could not differ if it never took place."""
    taken: list[str] = []
    run = both_ways.run

    def counted(*arguments: Any) -> Any:
        taken.append("both")
        return run(*arguments)

    monkeypatch.setattr(dispatch.both_ways, "run", counted)
    return taken


@contextmanager
def with_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_after_the_other(layer: Bidirectional) -> Iterator[None]:
    """Who watches a layer sees it called."""
    seen: list[str] = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, part in (("ahead", layer.forward_layer), ("back", layer.backward_layer))
    ]
    yield
    for hook in hooks:
        hook.remove()
    assert seen[:2] == ["ahead", "back"]


def bidirectional(kind: str, hidden: int = HIDDEN, **options: Any) -> Bidirectional:
    layer = Bidirectional(build(kind, hidden, **options))
    layer.backward_layer.load_state_dict(build(kind, hidden, **options).state_dict())
    with torch.no_grad():
        for part in layer.backward_layer.parameters():
            part.mul_(-0.7)
    return layer


def paths(state: BidirectionalState) -> list[Tensor]:
    return [path for way in state for path in way]


def answer(layer: Bidirectional, x: Any, lengths: Any, leaves: list[Tensor], state: Any = None) -> list[Tensor | None]:
    """Outputs and last states, and the gradients of the leaves and weights from distinct random ones of all results."""
    torch.manual_seed(3)  # of recurrent dropout
    outputs, last = layer(x, lengths, state)
    results = [outputs, *paths(last)]
    gradients = [torch.randn(part.shape) for part in results]
    found = torch.autograd.grad(results, [*leaves, *layer.parameters()], gradients, allow_unused=True)
    return [*results, *found]


def assert_same_bits(ours: list[Tensor | None], theirs: list[Tensor | None]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)  # type: ignore[arg-type]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_bias": {"bias": False},
    "learned": {"initial_state": "learned"},
    "recurrent_dropout": {"recurrent_dropout": 0.4},
}


@of_each_kind
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_the_bits_are_those_of_one_after_the_other(
    kind: str, options: str, lengths: list[int] | None, joint: list[str]
) -> None:
    layer, x = bidirectional(kind, **OPTIONS[options]), inputs().requires_grad_()
    with with_threads(2):
        ours = answer(layer, x, lengths, [x])
        assert joint == ["both"]
        with one_after_the_other(layer):
            assert_same_bits(ours, answer(layer, x, lengths, [x]))
    assert joint == ["both"]


@of_each_kind
@of_each_number_of_threads
def test_many_rows_and_steps_too(kind: str, threads: int) -> None:
    torch.manual_seed(4)
    layer, lengths = bidirectional(kind, 64), torch.randint(0, 31, (60,))
    x = torch.randn(60, 30, INPUT, requires_grad=True)
    with with_threads(threads):
        ours = answer(layer, x, lengths, [x])
        with one_after_the_other(layer):
            assert_same_bits(ours, answer(layer, x, lengths, [x]))


@of_each_kind
def test_tokens_and_given_states(kind: str, joint: list[str]) -> None:
    layer, batch = bidirectional(kind), len(LENGTHS)
    torch.manual_seed(5)
    vectors = torch.randn(9, INPUT, requires_grad=True)
    x = Tokens(torch.randint(0, 9, (batch, TIME)), vectors)
    kinds = layer.forward_layer.state_type
    ways = [kinds(*(torch.randn(batch, HIDDEN, requires_grad=True) for _ in kinds._fields)) for _ in range(2)]
    state = BidirectionalState(*ways)
    leaves = [vectors, *paths(state)]
    with with_threads(2):
        ours = answer(layer, x, LENGTHS, leaves, state)
        assert joint == ["both"]
        with one_after_the_other(layer):
            theirs = answer(layer, x, LENGTHS, leaves, state)
    of_vectors = 1 + 2 * len(kinds._fields)  # one sum over both directions, where else two are added
    torch.testing.assert_close(ours.pop(of_vectors), theirs.pop(of_vectors))
    assert_same_bits(ours, theirs)


@of_each_kind
def test_answers_without_gradients_are_the_same(kind: str, joint: list[str]) -> None:
    layer, x = bidirectional(kind), inputs()
    with with_threads(2), torch.inference_mode():
        outputs, state = layer(x, LENGTHS)
        with one_after_the_other(layer):
            again, again_state = layer(x, LENGTHS)
    assert joint == ["both"]
    assert_same_bits([outputs, *paths(state)], [again, *paths(again_state)])


@of_each_kind
def test_gradients_of_some_only(kind: str) -> None:
    layer, x = bidirectional(kind), inputs()
    for part in layer.backward_layer.parameters():
        part.requires_grad_(False)
    with with_threads(2):
        outputs, state = layer(x, LENGTHS)
        wanted = list(layer.forward_layer.parameters())
        ours = torch.autograd.grad(paths(state)[-1].sum() + outputs[..., :HIDDEN].sum(), wanted)
        with one_after_the_other(layer):
            outputs, state = layer(x, LENGTHS)
            theirs = torch.autograd.grad(paths(state)[-1].sum() + outputs[..., :HIDDEN].sum(), wanted)
    assert_same_bits(list(ours), list(theirs))


@of_each_kind
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_what_nothing_comes_back_from_has_no_gradient(kind: str, way: str) -> None:
    layer, x = bidirectional(kind), inputs().requires_grad_()

    def found() -> list[Tensor | None]:
        _, state = layer(x, LENGTHS)
        of_one = sum(path.square().sum() for path in getattr(state, way))
        return list(torch.autograd.grad(of_one, [x, *layer.parameters()], allow_unused=True))

    with with_threads(2):
        ours = found()
        with one_after_the_other(layer):
            theirs = found()
    assert sum(gradient is None for gradient in ours) == len(list(layer.backward_layer.parameters()))
    assert_same_bits(ours, theirs)


@of_each_kind
def test_a_frozen_direction_is_no_part_of_the_graph(kind: str, joint: list[str]) -> None:
    layer, x = bidirectional(kind), inputs()
    layer.backward_layer.requires_grad_(requires_grad=False)
    outputs, state = layer(x, LENGTHS)
    assert [path.requires_grad for path in paths(state)] == [True] * len(state.forward) + [False] * len(state.backward)
    weights = list(layer.forward_layer.parameters())
    (first, *_) = torch.autograd.grad(outputs.square().sum(), weights, create_graph=True)
    assert any(part.abs().sum() > 0 for part in torch.autograd.grad(first.square().sum(), weights))
    layer.forward_layer.requires_grad_(requires_grad=False)
    again, _ = layer(x, LENGTHS)
    assert joint == ["both"]
    assert torch.equal(outputs, again)


@of_each_kind
@pytest.mark.parametrize("way", ["both", "forward"])
def test_gradients_can_be_differentiated_again(kind: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> list[Tensor]:
        layer, x = bidirectional(kind, 6), inputs().requires_grad_()
        if way == "forward":
            state = layer(x, LENGTHS)[1].forward
            leaves = [x, *layer.forward_layer.parameters()]
            first = torch.autograd.grad(state.hidden.square().sum(), leaves, create_graph=True)
            again = torch.autograd.grad(sum(part.square().sum() for part in first), leaves)
            return [part.detach() for part in (*first, *again)]
        outputs, state = layer(x, LENGTHS)
        torch.manual_seed(6)
        loss = (outputs * torch.randn(outputs.shape)).square().sum() + sum(path.sum() for path in paths(state))
        first = torch.autograd.grad(loss, [x, *layer.parameters()], create_graph=True)
        again = torch.autograd.grad(sum(part.square().sum() for part in first), [x, *layer.parameters()])
        return [part.detach() for part in (*first, *again)]

    ours = twice()
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    for one, other in zip(ours, twice(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * max(1.0, float(other.abs().max())))


def another_size(layer: Bidirectional) -> None:
    layer.backward_layer = LSTM(INPUT, HIDDEN + 1)


def another_cell(layer: Bidirectional) -> None:
    layer.backward_layer = SimpleRNN(INPUT, HIDDEN)


def layer_norm(layer: Bidirectional) -> None:
    layer.backward_layer = LSTM(INPUT, HIDDEN, layer_norm=True)


@pytest.mark.parametrize("change", [another_size, another_cell, layer_norm])
def test_unlike_layers_are_read_one_after_the_other(change: Callable[[Bidirectional], None], joint: list[str]) -> None:
    layer, x = bidirectional("lstm"), inputs()
    change(layer)
    outputs, state = layer(x, LENGTHS)
    back, last = layer.backward_layer(x, LENGTHS, reverse=True)
    assert joint == []
    assert torch.equal(outputs[..., HIDDEN:], back)
    assert_same_bits(list(state.backward), list(last))


def test_a_layer_with_a_forward_of_its_own_is_asked() -> None:
    class Louder(LSTM):
        def forward(self, *arguments: Any, **options: Any) -> Any:
            outputs, state = super().forward(*arguments, **options)
            return 2 * outputs, state

    torch.manual_seed(0)
    layer = Bidirectional(Louder(INPUT, 6))
    outputs, _ = layer(inputs())
    quiet, _ = LSTM.forward(layer.forward_layer, inputs())
    assert torch.equal(outputs[..., :6], 2 * quiet)


def test_a_layer_compiled_by_itself_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, called = bidirectional("gru"), []

    def compiled(*arguments: Any, **options: Any) -> Any:
        called.append("compiled")
        return layer.forward_layer.forward(*arguments, **options)

    monkeypatch.setattr(layer.forward_layer, "_compiled_call_impl", compiled)  # as its method compile() sets it
    layer(inputs())
    assert called == ["compiled"]


def test_hooks_of_all_modules_see_both_layers() -> None:
    layer, seen = bidirectional("gru"), []
    hook = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        layer(inputs())
    finally:
        hook.remove()
    assert seen == [layer.forward_layer, layer.backward_layer, layer]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_alone_are_the_rows_of_a_batch(kind: str) -> None:
    layer, x = bidirectional(kind), inputs()
    with with_threads(2), torch.no_grad():
        outputs, _ = layer(x, LENGTHS)
        for row, length in enumerate(LENGTHS):
            alone, _ = layer(x[row : row + 1], [length])
            assert torch.equal(alone[0], outputs[row])
