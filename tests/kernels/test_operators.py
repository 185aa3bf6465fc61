"""torch.compile and torch.export go through the core's operators and give the bits of an eager call."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.export import Dim

from seqloom.errors import LengthError
from seqloom.kernels import fused_cpu
from seqloom.kernels.recurrence import name_of
from seqloom.nn import GRU, LSTM, Bidirectional, Recurrent, Stack
from tests.contract.layers import scramble
from tests.kernels.cases import INPUT, KINDS, LENGTHS, assert_same_bits, build, inputs, needs_core, of_each_kind

pytestmark = needs_core
torchs_own = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def operands(layer: Recurrent, x: Tensor) -> fused_cpu.Operands:
    batch = x.shape[0]
    p = layer.parameters_of_cell(batch=batch)
    return fused_cpu.operands(p, x, torch.tensor(LENGTHS), layer.first(batch=batch))


@torchs_own
@pytest.mark.parametrize(("kind", "save"), [*((kind, True) for kind in KINDS), ("lstm", False)])
def test_the_operators_keep_torchs_rules(kind: str, save: bool) -> None:
    layer, x = build(kind), inputs().requires_grad_()
    arguments = (name_of(layer.step()), False, save, *operands(layer, x)[:9])  # a graph looks nothing up
    torch.library.opcheck(torch.ops.seqloom.recurrent, arguments)


def answers(read, layer: Recurrent, batch: int, time: int) -> list[Tensor]:
    torch.manual_seed(batch)
    x = torch.randn(batch, time, INPUT, requires_grad=True)
    lengths = torch.randint(0, time + 1, (batch,))
    layer.zero_grad()
    outputs, last = read(x, lengths)
    (outputs.sin().sum() + sum(path.cos().sum() for path in last)).backward()
    return [outputs.detach(), *(path.detach() for path in last), x.grad, *(w.grad for w in layer.parameters())]


@torchs_own
@of_each_kind
def test_a_compiled_layer_gives_the_bits_of_an_eager_one(kind: str) -> None:
    torch._dynamo.reset()
    layer = build(kind)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch, time in ((7, 11), (9, 4)):
        assert_same_bits(answers(compiled, layer, batch, time), answers(layer, layer, batch, time))


def stack() -> Stack:
    torch.manual_seed(0)
    return scramble(Stack([Bidirectional(LSTM(INPUT, 6, initial_state="learned")), GRU(12, 4, reset_after=True)]))


@pytest.mark.long
@torchs_own
def test_a_compiled_stack_gives_the_bits_of_an_eager_one_through_inductor() -> None:
    torch._dynamo.reset()
    model, x = stack(), torch.randn(7, 11, INPUT)
    lengths = torch.tensor([11, 0, 3, 11, 1, 2, 9])
    compiled = torch.compile(model, fullgraph=True)
    assert_same_bits(compiled(x, lengths)[0], model(x, lengths)[0])


@torchs_own
def test_an_exported_stack_takes_any_batch_time_and_lengths_and_can_be_trained() -> None:
    model = stack()
    batch, time = Dim("batch"), Dim("time")
    program = torch.export.export(
        model,
        (torch.randn(7, 11, INPUT), torch.tensor([11, 0, 3, 11, 1, 2, 9])),
        dynamic_shapes={"x": {0: batch, 1: time}, "lengths": {0: batch}},
    )
    called = [node.target for node in program.graph.nodes if "seqloom" in str(node.target)]
    assert called == [torch.ops.seqloom.recurrent.default] * 3
    loaded = program.module()
    for rows, steps in ((9, 4), (2, 13)):
        x, lengths = torch.randn(rows, steps, INPUT), torch.randint(0, steps + 1, (rows,))
        gradients = []
        for read, weights in ((loaded, loaded.named_parameters()), (model, model.named_parameters())):
            found = dict(weights)
            outputs = read(x, lengths)[0]
            gradient = torch.autograd.grad(outputs.sin().sum(), found.values(), allow_unused=True)
            gradients.append([outputs.detach(), dict(zip(found, gradient, strict=True))])
        assert_same_bits(gradients[0], gradients[1])


@torchs_own
def test_a_compiled_trace_and_dropout_are_those_of_an_eager_one() -> None:
    torch._dynamo.reset()
    layer, x, lengths = build("lstm"), inputs(), torch.tensor(LENGTHS)
    with torch.no_grad():
        traced = torch.compile(layer.trace, fullgraph=True, backend="aot_eager")(x, lengths)
        assert_same_bits(traced, layer.trace(x, lengths))
    dropping = build("gru", recurrent_dropout=0.5)
    compiled = torch.compile(dropping, fullgraph=True, backend="aot_eager")
    torch.manual_seed(3)
    outputs, _ = compiled(x, lengths)
    torch.manual_seed(3)
    assert_same_bits(outputs, dropping(x, lengths)[0])


@torchs_own
def test_lengths_that_a_graph_could_not_check_are_refused_by_the_operator() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(build("lstm"), fullgraph=True, backend="aot_eager")
    with pytest.raises(LengthError, match=r"lengths lie in 1\.\.8\. They must lie in 0\.\.7\."):
        compiled(inputs(), torch.tensor([1, 8, 3, 4, 5]))


@torchs_own
def test_fake_tensors_see_the_shapes_without_computing() -> None:
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        layer = LSTM(INPUT, 6)
        outputs, last = layer(torch.randn(3, 4, INPUT))
    assert (outputs.shape, last.cell.shape) == ((3, 4, 6), (3, 6))


def test_the_operators_bring_no_compiler_along() -> None:
    script = (
        "import sys, torch; from seqloom.nn import LSTM; LSTM(3, 4)(torch.zeros(1, 2, 3)); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@torchs_own
def test_a_gradient_differentiated_again_is_refused_by_the_operators_in_words() -> None:
    layer, x = build("lstm"), inputs().requires_grad_()
    outputs = torch.ops.seqloom.recurrent(name_of(layer.step()), False, True, *operands(layer, x)[:9])[0]
    (first,) = torch.autograd.grad(outputs.sin().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="Set SEQLOOM_KERNELS=reference before compiling"):
        first.square().sum().backward()
