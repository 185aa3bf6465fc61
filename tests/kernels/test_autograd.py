"""The compiled core in torch's autograd: what a user relies on holds, and what the core cannot do still works."""

import copy

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from seqloom import kernels
from seqloom.nn import Recurrent
from tests.kernels.cases import LENGTHS, assert_same_bits, both_ways, build, inputs, needs_core, of_each_kind, read

pytestmark = needs_core
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own


def loss(layer: Recurrent, x: Tensor) -> Tensor:
    outputs, last = layer(x, LENGTHS)
    return outputs.sin().sum() + sum(path.cos().sum() for path in last)


def test_going_back_twice_gives_twice_the_gradient() -> None:
    layer, x = build("lstm"), inputs()
    total = loss(layer, x)
    total.backward(retain_graph=True)
    once = [weight.grad.clone() for weight in layer.parameters()]
    total.backward()
    assert_same_bits([weight.grad for weight in layer.parameters()], [2 * gradient for gradient in once])
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        total.backward()


@pytest.mark.parametrize("changed", ["weight_hidden", "weight_input", "x", "outputs", "lengths"])
def test_what_backward_needs_may_not_be_changed_meanwhile(changed: str) -> None:
    layer, x, lengths = build("gru"), inputs().requires_grad_() * 1, torch.tensor(LENGTHS)
    outputs, _ = layer(x, lengths)
    found = {"x": x, "outputs": outputs, "lengths": lengths, **dict(layer.named_parameters())}
    total = outputs.sin().sum()
    with torch.no_grad():
        found[changed].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


@of_each_kind
def test_only_gradients_that_are_wanted_are_found(kind: str) -> None:
    layer, x = build(kind), inputs()
    everything = read(layer, x).gradients
    paths = len(layer.state_type._fields)
    names = [name for name, _ in layer.named_parameters()]
    for only in names:
        for name, weight in layer.named_parameters():
            weight.requires_grad_(name == only)
        found = read(layer, x).gradients
        assert_same_bits(found[: 1 + paths], everything[: 1 + paths])
        assert [name for name, g in zip(names, found[1 + paths :], strict=True) if g is not None] == [only]
        assert_same_bits(dict(layer.named_parameters())[only].grad, everything[1 + paths + names.index(only)])
    layer.requires_grad_(False)
    assert not loss(layer, x).requires_grad
    x.requires_grad_()
    loss(layer, x).backward()
    assert x.grad is not None


@of_each_kind
def test_a_result_that_is_not_used_gives_no_gradient(kind: str) -> None:
    layer, x = build(kind), inputs()
    outputs, last = layer(x, LENGTHS)
    gradients = []
    for results in ([outputs], *([path] for path in last)):
        layer.zero_grad()
        sum(part.sin().sum() for part in results).backward(retain_graph=True)
        gradients.append([weight.grad for weight in layer.parameters()])
    layer.zero_grad()
    sum(part.sin().sum() for part in (outputs, *last)).backward()
    summed = [sum(parts) for parts in zip(*gradients, strict=True)]
    torch.testing.assert_close([weight.grad for weight in layer.parameters()], summed, rtol=1e-5, atol=1e-4)


@of_each_kind
@pytest.mark.parametrize("how", ["expanded", "transposed", "every_other"])
def test_strides_of_a_gradient_change_no_bit(kind: str, how: str) -> None:
    layer, x = build(kind), inputs()
    outputs, _ = layer(x, LENGTHS)
    dense = torch.randn(outputs.shape)
    if how == "expanded":
        dense = torch.full_like(outputs, 0.3)
    strided = {
        "expanded": torch.tensor(0.3).expand(outputs.shape),
        "transposed": dense.transpose(0, 1).contiguous().transpose(0, 1),
        "every_other": torch.stack([dense, -dense], dim=-1)[..., 0],
    }[how]
    weights = list(layer.parameters())
    wanted = torch.autograd.grad(outputs, weights, dense, retain_graph=True)
    assert_same_bits(torch.autograd.grad(outputs, weights, strided), wanted)


def test_a_gradient_at_padding_is_not_read() -> None:
    layer, x = build("lstm"), inputs()
    outputs, _ = layer(x, LENGTHS)
    dense = torch.randn(outputs.shape)
    spoilt = dense.clone()
    for row, length in enumerate(LENGTHS):
        spoilt[row, length:] = float("nan")
    weights = list(layer.parameters())
    wanted = torch.autograd.grad(outputs, weights, dense, retain_graph=True)
    assert_same_bits(torch.autograd.grad(outputs, weights, spoilt), wanted)


@of_each_kind
@both_ways
def test_a_gradient_can_be_differentiated_again(kind: str, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(layer: Recurrent, x: Tensor) -> list[Tensor]:
        first = torch.full((len(LENGTHS), 6), 0.3, dtype=x.dtype, requires_grad=True)
        # The first state comes of a weight as well: a gradient must end where it belongs, and be counted once.
        state = layer.state_type(*(first * layer.weight_hidden[0, 0] for _ in layer.state_type._fields))
        outputs, last = layer(x, LENGTHS, state, reverse=reverse)
        total = outputs.sin().sum() + sum(path.cos().sum() for path in last)
        leaves = [x, first, *layer.parameters()]
        gradients = torch.autograd.grad(total, leaves, create_graph=True)
        return [*gradients, *torch.autograd.grad(sum(g.sin().sum() for g in gradients), leaves)]

    layer, x = build(kind), inputs()
    with torch.no_grad():
        layer.weight_hidden *= 0.4
    ours = second(layer, x.requires_grad_())
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    truth = second(copy.deepcopy(layer).double(), x.detach().double().requires_grad_())
    torch.testing.assert_close([part.double() for part in ours], truth, rtol=2e-4, atol=2e-4)


@of_each_kind
@both_ways
def test_a_gradient_through_the_trace_is_that_of_the_reference(
    kind: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def through(layer: Recurrent, x: Tensor) -> tuple[Tensor, ...]:
        trace = layer.trace(x, LENGTHS, reverse=reverse)
        values = [trace.hidden, *([] if trace.cell is None else [trace.cell]), *trace.gates.values()]
        total = sum((number * value).sin().sum() for number, value in enumerate(values, start=1))
        return torch.autograd.grad(total, [x, *layer.parameters()])

    layer, x = build(kind), inputs().requires_grad_()
    ours = through(layer, x)
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    torch.testing.assert_close(ours, through(layer, x), rtol=1e-4, atol=1e-4)


def test_a_trace_with_gradients_through_its_outputs_stays_on_the_core() -> None:
    layer, x = build("lstm"), inputs()
    layer.trace(x, LENGTHS).hidden.sin().sum().backward()
    traced = [weight.grad for weight in layer.parameters()]
    layer.zero_grad()
    layer(x, LENGTHS)[0].sin().sum().backward()
    assert_same_bits(traced, [weight.grad for weight in layer.parameters()])


@of_each_kind
def test_several_gradients_at_once_are_found(kind: str) -> None:
    layer, x = build(kind), inputs().requires_grad_()
    outputs, _ = layer(x, LENGTHS)
    directions = torch.randn(3, *outputs.shape)
    leaves = [x, *layer.parameters()]
    batched = torch.autograd.grad(outputs, leaves, directions, is_grads_batched=True, retain_graph=True)
    single = [torch.autograd.grad(outputs, leaves, direction, retain_graph=True) for direction in directions]
    torch.testing.assert_close(
        batched, tuple(torch.stack(parts) for parts in zip(*single, strict=True)), rtol=1e-4, atol=1e-4
    )


@forward_mode
@of_each_kind
def test_transforms_of_torch_func_take_the_reference(kind: str) -> None:
    layer, x = build(kind), inputs()
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}
    taken = []

    def total(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        taken.append(kernels.which(layer, x).name)
        return torch.func.functional_call(layer, weights, (x,))[0].sin().sum()

    with torch.no_grad():
        plain = torch.stack([total(weights, x + shift) for shift in (0.0, 0.5)])
    mapped = torch.func.vmap(total, in_dims=(None, 0))(weights, torch.stack([x, x + 0.5]))
    torch.testing.assert_close(mapped, plain, rtol=1e-5, atol=1e-4)
    gradient = torch.func.grad(total)(weights, x)
    layer(x)[0].sin().sum().backward()
    torch.testing.assert_close(gradient, {name: w.grad for name, w in layer.named_parameters()}, rtol=1e-4, atol=1e-4)
    value, slope = torch.func.jvp(lambda x: total(weights, x), (x,), (torch.ones_like(x),))
    torch.testing.assert_close(value, plain[0], rtol=1e-5, atol=1e-4)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(total(weights, leaf), leaf)[0].sum(), rtol=1e-3, atol=1e-3)
    assert taken == ["fused_cpu"] * 2 + ["reference"] * 3 + ["fused_cpu"]


@forward_mode
def test_forward_mode_takes_the_reference() -> None:
    layer, x = build("lstm"), inputs()
    with forward_ad.dual_level():
        outputs, _ = layer(forward_ad.make_dual(x, torch.ones_like(x)), LENGTHS)
        slope = forward_ad.unpack_dual(outputs).tangent
        assert kernels.which(layer, x).reason.endswith("forward-mode differentiation is active")
    step = 1e-2
    near = (layer(x + step, LENGTHS)[0] - layer(x - step, LENGTHS)[0]) / (2 * step)
    torch.testing.assert_close(slope, near, rtol=0, atol=1e-3)


def test_checkpointing_gives_the_same_bits() -> None:
    layer, x = build("gru_reset_after"), inputs().requires_grad_()
    loss(layer, x).backward()
    wanted = [x.grad, *(weight.grad for weight in layer.parameters())]
    x.grad = None
    layer.zero_grad()
    torch.utils.checkpoint.checkpoint(loss, layer, x, use_reentrant=False).backward()
    assert_same_bits([x.grad, *(weight.grad for weight in layer.parameters())], wanted)


def test_a_mask_that_learns_takes_the_reference() -> None:
    layer, x = build("lstm"), inputs()
    mask = torch.rand(len(LENGTHS), 6, requires_grad=True)
    p = layer.parameters_of_cell(batch=len(LENGTHS))._replace(hidden_mask=mask)
    outputs, _, _ = kernels.run(layer.step(), p, x, torch.tensor(LENGTHS), layer.first(batch=len(LENGTHS)))
    outputs.sin().sum().backward()
    assert mask.grad is not None
    assert mask.grad.any()
