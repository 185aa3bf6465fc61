"""The path through torch's own kernels: its numbers on the CPU, where they need no GPU, and its choice on one."""

import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqloom import kernels
from seqloom.data.batches import pad
from seqloom.kernels import gpu, reference
from seqloom.nn import Recurrent
from tests.kernels.cases import INPUT, KINDS, LENGTHS, TIME, both_ways, build, inputs
from tests.training.tiny import train, write_reviews

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
@pytest.mark.parametrize(
    "lengths", [LENGTHS, [TIME] * 5, [3, 1, 2, 3, 1], [0] * 5], ids=["empty_row", "full", "short", "all_empty"]
)
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
@both_ways
def test_without_lengths_all_steps_are_read_from_zeros(kind: str, reverse: bool) -> None:
    layer, x = build(kind), inputs()
    p, full = layer.parameters_of_cell(batch=len(x)), torch.full((len(x),), x.shape[1])
    none_given = gpu.run(layer.step(), p, x, None, layer.state_type, reverse=reverse)
    spelled_out = gpu.run(layer.step(), p, x, full, layer.first(batch=len(x)), reverse=reverse)
    torch.testing.assert_close(none_given, spelled_out, rtol=0, atol=0)


@of_each_plain_kind
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["lengths", "full"])
def test_torchs_default_device_changes_nothing(kind: str, lengths: list[int] | None) -> None:
    layer, x = build(kind), inputs()
    p, known = layer.parameters_of_cell(batch=len(x)), None if lengths is None else torch.tensor(lengths)
    expected = gpu.run(layer.step(), p, x, known, layer.state_type)
    with torch.device("meta"):
        found = gpu.run(layer.step(), p, x, known, layer.state_type)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@of_each_plain_kind
def test_an_empty_batch_gives_no_rows(kind: str) -> None:
    layer = build(kind)
    x, none = torch.zeros(0, 3, INPUT), torch.zeros(0, dtype=torch.int64)
    outputs, last = gpu.run(layer.step(), layer.parameters_of_cell(batch=0), x, none, layer.first(batch=0))
    assert outputs.shape == (0, 3, 6) and last.hidden.shape == (0, 6)


@needs_gpu
@pytest.mark.parametrize("kind", KINDS)
@both_ways
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("lengths", [LENGTHS, [TIME] * 5], ids=["empty_row", "full"])
def test_on_a_gpu_plain_cells_run_on_cudnn_and_the_others_on_the_reference(
    kind: str, reverse: bool, bias: bool, lengths: list[int]
) -> None:
    layer, x = build(kind, bias=bias).cuda(), inputs().cuda()
    assert kernels.which(layer, x).name == ("gpu" if kind in PLAIN else "reference")
    with torch.backends.cudnn.flags(allow_tf32=False):  # which rounds to 10 bits what it multiplies
        ours = gradients(functools.partial(kernels.run, reverse=reverse), layer, x, lengths)
    theirs = gradients(functools.partial(reference.run, reverse=reverse), layer, x, lengths)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@needs_gpu
@of_each_plain_kind
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_without_lengths_the_device_is_not_waited_for(kind: str) -> None:
    layer, x = build(kind).cuda(), inputs().cuda()
    layer(x)[0].sum().backward()
    try:
        torch.cuda.set_sync_debug_mode("error")
        layer(x)[0].sum().backward()
        with pytest.raises(RuntimeError, match="synchronizing"):
            layer(x, torch.tensor(LENGTHS, device="cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_there_are_traces_and_empty_batches(kind: str) -> None:
    layer, x = build(kind).cuda(), inputs().cuda()
    outputs, _ = layer(x, LENGTHS)
    torch.testing.assert_close(layer.trace(x, LENGTHS).hidden, outputs, rtol=1e-2, atol=1e-2)
    assert layer(torch.zeros(0, 3, INPUT, device="cuda"))[0].shape == (0, 3, 6)
    assert layer(x, [0] * len(x))[0].eq(0).all()


@needs_gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["lengths", "full"])
def test_autocast_on_a_gpu_gives_about_the_same(kind: str, lengths: list[int] | None) -> None:
    layer, x = build(kind).cuda(), inputs().cuda()
    exact, last = layer(x, lengths)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        about, ended = layer(x, lengths)
        about.float().sum().backward()
    torch.testing.assert_close([about.float(), *map(Tensor.float, ended)], [exact, *last], rtol=0.05, atol=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@needs_gpu
def test_a_model_is_trained_on_a_gpu_and_answers_alike_on_both(tmp_path: Path) -> None:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    model = train(write_reviews(tmp_path / "reviews.csv"), tmp_path / "out", {"device": "cuda"}).model.eval()
    assert torch.cuda.max_memory_allocated() > before
    assert {p.device.type for p in model.parameters()} == {"cpu"}  # as it is loaded
    batch = pad([[2, 3, 4], [5]])
    here, there = model(batch), model.cuda()(batch.to(torch.device("cuda")))
    torch.testing.assert_close(there.cpu(), here, rtol=1e-2, atol=1e-2)
