"""The path through torch's own kernels: its numbers on the CPU, where they need no GPU, and its choice on one."""

import functools

import pytest
import torch
from torch import Tensor

from seqloom import kernels
from seqloom.kernels import gpu, reference
from seqloom.nn import Recurrent
from tests.kernels.cases import INPUT, KINDS, LENGTHS, TIME, both_ways, build, inputs

PLAIN = ["rnn_tanh", "rnn_relu", "lstm", "gru_reset_after"]
of_each_plain_kind = pytest.mark.parametrize("kind", PLAIN)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device on this machine")


def gradients(run, layer: Recurrent, x: Tensor, lengths: list[int]) -> list[Tensor]:
    x = x.detach().requires_grad_()
    torch.manual_seed(2)
    size = (len(lengths), layer.hidden_size)
    first = [torch.randn(size).to(x).requires_grad_() for _ in layer.state_type._fields]
    p = layer.parameters_of_cell(batch=len(lengths))
    outputs, last, *_ = run(layer.step(), p, x, torch.tensor(lengths, device=x.device), layer.state_type(*first))
    total = outputs.sin().sum() + sum(path.cos().sum() for path in last)
    return [outputs, *last, *torch.autograd.grad(total, [x, *first, *layer.parameters()])]


@of_each_plain_kind
@both_ways
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("lengths", [LENGTHS, [TIME] * 5, [3, 1, 2, 3, 1]], ids=["empty_row", "full", "short"])
def test_torchs_kernels_with_our_weights_are_the_reference(
    kind: str, reverse: bool, bias: bool, lengths: list[int]
) -> None:
    layer, x = build(kind, bias=bias).double(), inputs().double()
    ours = gradients(functools.partial(gpu.run, reverse=reverse), layer, x, lengths)
    theirs = gradients(functools.partial(reference.run, reverse=reverse), layer, x, lengths)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@of_each_plain_kind
def test_nan_in_padding_reaches_nothing(kind: str) -> None:
    layer, answers = build(kind), []
    for padding in (0.0, float("nan")):
        x = inputs()
        for row, length in enumerate(LENGTHS):
            x[row, length:] = padding
        answers.append(gradients(gpu.run, layer, x, LENGTHS))
    torch.testing.assert_close(*answers, rtol=0, atol=0)


@of_each_plain_kind
def test_an_empty_batch_gives_no_rows(kind: str) -> None:
    layer = build(kind)
    x, none = torch.zeros(0, 3, INPUT), torch.zeros(0, dtype=torch.int64)
    outputs, last = gpu.run(layer.step(), layer.parameters_of_cell(batch=0), x, none, layer.first(batch=0))
    assert outputs.shape == (0, 3, 6) and last.hidden.shape == (0, 6)


@needs_gpu
@pytest.mark.parametrize("kind", KINDS)
@both_ways
def test_on_a_gpu_plain_cells_run_on_cudnn_and_the_others_on_the_reference(kind: str, reverse: bool) -> None:
    layer, x = build(kind).cuda(), inputs().cuda()
    assert kernels.which(layer, x).name == ("gpu" if kind in PLAIN else "reference")
    ours = gradients(functools.partial(kernels.run, reverse=reverse), layer, x, LENGTHS)
    theirs = gradients(functools.partial(reference.run, reverse=reverse), layer, x, LENGTHS)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    assert layer.trace(x, LENGTHS).hidden.shape == (len(LENGTHS), TIME, 6)
    assert layer(torch.zeros(0, 3, INPUT, device="cuda"))[0].shape == (0, 3, 6)
