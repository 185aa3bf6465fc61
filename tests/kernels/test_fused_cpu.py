"""The compiled core against the reference in float64, and its promises, each to the last bit."""

import copy
import math
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqloom.kernels import native
from seqloom.nn import GRU, LSTM, Bidirectional, Stack
from tests.contract.layers import random_state, scramble
from tests.kernels.cases import (
    INPUT,
    LENGTHS,
    TIME,
    Answer,
    assert_same_bits,
    both_ways,
    build,
    inputs,
    needs_core,
    of_each_kind,
    read,
)

pytestmark = [needs_core, pytest.mark.usefixtures("forced")]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")


def wide(answer: Answer) -> Answer:
    return Answer(*([None if part is None else part.double() for part in parts] for parts in answer))


def in_float64(layer, x: Tensor, *, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> Answer:
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    answer = read(copy.deepcopy(layer).double(), x.double(), reverse=reverse)
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")
    return answer


@of_each_kind
@both_ways
@pytest.mark.parametrize("hidden", [1, 6, 17, 64])
@pytest.mark.parametrize("option", [{}, {"bias": False}, {"recurrent_dropout": 0.5}], ids=["", "no_bias", "dropout"])
def test_results_and_gradients_are_those_of_the_reference(
    kind: str, reverse: bool, hidden: int, option: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = build(kind, hidden, **option)
    with torch.no_grad():
        layer.weight_hidden /= math.sqrt(hidden)  # or an unbounded unit grows until rounding is all there is to see
    masks = torch.rand(len(LENGTHS), hidden).round() * 2
    if option.get("recurrent_dropout"):
        original = type(layer).parameters_of_cell

        def with_mask(self, *, batch: int):
            return original(self, batch=batch)._replace(hidden_mask=masks.to(self.weight_hidden.dtype))

        monkeypatch.setattr(type(layer), "parameters_of_cell", with_mask)
    x = inputs()
    truth = in_float64(layer, x, reverse=reverse, monkeypatch=monkeypatch)
    torch.testing.assert_close(wide(read(layer, x, reverse=reverse)), truth, rtol=2e-5, atol=2e-5)


@of_each_kind
def test_gradients_over_more_tokens_than_two_rounds_are_those_of_the_reference(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = build(kind, 41), inputs(26, 41)
    with torch.no_grad():
        layer.weight_hidden /= math.sqrt(41)
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    truth = read(copy.deepcopy(layer).double(), x.double(), None)
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")
    for ours, theirs in zip(read(layer, x, None).gradients, truth.gradients, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


# To the bit


@of_each_kind
@pytest.mark.parametrize("steps", [1, 2, 3])  # few steps of many rows are multiplied in another way
def test_a_few_steps_of_a_row_give_the_bits_of_the_row_in_its_batch(kind: str, steps: int) -> None:
    layer, x = build(kind, 33), inputs(8, steps)
    outputs = layer(x)[0]
    for row in range(len(x)):
        assert_same_bits(layer(x[row : row + 1])[0][0], outputs[row])


@of_each_kind
@both_ways
@pytest.mark.parametrize("copies", [1, 5])  # many rows of a small layer are multiplied in another way
def test_a_row_alone_gives_the_bits_of_the_row_in_its_batch(kind: str, reverse: bool, copies: int) -> None:
    lengths = LENGTHS * copies
    layer, x = build(kind, 33), inputs(len(lengths))
    state = random_state(layer, len(lengths))
    outputs, last = layer(x, lengths, state, reverse=reverse)
    for row, length in enumerate(lengths):
        first = type(state)(*(path[row : row + 1] for path in state))
        alone, alone_last = layer(x[row : row + 1, :length], None, first, reverse=reverse)
        assert_same_bits(alone[0], outputs[row, :length])
        assert_same_bits([path[0] for path in alone_last], [path[row] for path in last])


@of_each_kind
@pytest.mark.parametrize("piece", [1, 2, 4])
def test_a_sequence_in_pieces_gives_the_bits_of_the_whole(kind: str, piece: int) -> None:
    layer, x = build(kind, 33), inputs()
    whole, last = layer(x, LENGTHS)
    state, pieces = None, []
    for start in range(0, TIME, piece):
        part = x[:, start : start + piece]
        outputs, state = layer(part, [min(max(length - start, 0), part.shape[1]) for length in LENGTHS], state)
        pieces.append(outputs)
    assert_same_bits(torch.cat(pieces, dim=1), whole)
    assert_same_bits(list(state), list(last))


@of_each_kind
@both_ways
@pytest.mark.parametrize("filler", [1e30, math.nan, math.inf])
def test_padding_reaches_no_bit_of_results_and_gradients(kind: str, reverse: bool, filler: float) -> None:
    layer, answers = build(kind), []
    for padding in (0.0, filler):
        x = inputs()
        for row, length in enumerate(LENGTHS):
            x[row, length:] = padding
        answers.append(read(layer, x, reverse=reverse))
    assert_same_bits(*answers)
    assert all(not answers[0].results[0][row, length:].any() for row, length in enumerate(LENGTHS))


@of_each_kind
def test_thread_counts_give_the_same_bits(kind: str) -> None:
    layer, before, answers = build(kind, 33), torch.get_num_threads(), []
    x, lengths = inputs(batch=23, time=40), [(7 * row) % 41 for row in range(23)]
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            answers.append(read(layer, x, lengths))
    finally:
        torch.set_num_threads(before)
    for answer in answers[1:]:
        assert_same_bits(answer, answers[0])


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru_reset_after"])
@pytest.mark.parametrize("hidden", [64, 72])  # 72 units: rows begin in the midst of a cache line
def test_what_is_stored_past_the_caches_comes_back_as_it_was(kind: str, hidden: int) -> None:
    layer, x, before = build(kind, hidden), inputs(batch=40, time=420), torch.get_num_threads()
    layer.weight_hidden.data /= math.sqrt(hidden)
    coming = torch.randn(40, 420, hidden)

    def gradients(rows: slice) -> tuple[Tensor, ...]:
        read_from = x[rows].requires_grad_()
        return torch.autograd.grad(layer(read_from)[0], [read_from, *layer.parameters()], coming[rows])

    try:
        torch.set_num_threads(2)
        found = gradients(slice(None))  # 13 MB and more of pre-activations' gradients, and of what is saved
        torch.set_num_threads(1)
        assert_same_bits(gradients(slice(None)), found)
    finally:
        torch.set_num_threads(before)
    for row in (0, 39):  # alone, all of it stays in the caches
        assert_same_bits(gradients(slice(row, row + 1))[0], found[0][row : row + 1])
    halves = [gradients(rows)[1:] for rows in (slice(20), slice(20, 40))]
    for whole, one, other in zip(found[1:], *halves, strict=True):
        torch.testing.assert_close(whole, one + other, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))


@of_each_kind
def test_strides_give_the_same_bits(kind: str) -> None:
    layer, x = build(kind), inputs()
    wanted = read(layer, x)
    for strided in (
        x.transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([x, -x], dim=-1)[..., 0],
        torch.cat([x, -x], dim=-1)[..., :INPUT],
    ):
        assert not strided.is_contiguous()
        assert_same_bits(read(layer, strided), wanted)
    one = x[:1, :1].expand(3, TIME, INPUT)
    assert_same_bits(layer(one)[0], layer(one.contiguous())[0])
    lengths = torch.tensor([length for length in LENGTHS for _ in "12"])[::2]
    assert_same_bits(layer(x, lengths)[0], layer(x, LENGTHS)[0])


@of_each_kind
@both_ways
def test_training_inference_and_tracing_give_the_same_bits(kind: str, reverse: bool) -> None:
    layer, x = build(kind), inputs()
    trained, last = layer(x, LENGTHS, reverse=reverse)
    assert trained.requires_grad
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            outputs, final = layer(x, LENGTHS, reverse=reverse)
            assert not outputs.requires_grad
            assert_same_bits([outputs, *final], [trained.detach(), *(path.detach() for path in last)])
            assert_same_bits(layer.trace(x, LENGTHS, reverse=reverse).hidden, outputs)
    assert_same_bits(layer.trace(x, LENGTHS, reverse=reverse).hidden, trained)


@of_each_kind
@both_ways
def test_the_trace_is_that_of_the_reference(kind: str, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = build(kind), inputs()
    found = [layer.trace(x, LENGTHS, reverse=reverse)]
    with torch.no_grad():
        found.append(layer.trace(x, LENGTHS, reverse=reverse))
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    wanted = layer.trace(x, LENGTHS, reverse=reverse)
    for trace in found:
        assert tuple(trace.gates) == tuple(wanted.gates) == layer.gates
        torch.testing.assert_close(trace, wanted, rtol=0, atol=1e-5)
        for value in (trace.hidden, *trace.gates.values(), *([] if trace.cell is None else [trace.cell])):
            assert all(not value[row, length:].any() for row, length in enumerate(LENGTHS))


# Edges


@of_each_kind
@both_ways
@pytest.mark.parametrize(("batch", "time"), [(0, 4), (2, 0), (0, 0), (1, 1)])
def test_empty_batches_and_sequences_have_answers_and_gradients(
    kind: str, reverse: bool, batch: int, time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = build(kind), inputs(batch, time)
    ours = read(layer, x, None, reverse=reverse)
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    theirs = read(layer, x, None, reverse=reverse)
    found = [torch.zeros_like(g) if t is None else t for g, t in zip(ours.gradients, theirs.gradients, strict=True)]
    torch.testing.assert_close(ours, Answer(theirs.results, found), rtol=0, atol=1e-5)


@of_each_kind
def test_a_first_state_shared_by_all_rows_is_read_in_place(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = build(kind, initial_state="learned"), inputs()
    outputs, last = layer(x, LENGTHS)
    (outputs.sin().sum() + sum(path.cos().sum() for path in last)).backward()
    gradients = [path.grad.clone() for path in layer.first_state]
    layer.zero_grad()
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    outputs, last = layer(x, LENGTHS)
    (outputs.sin().sum() + sum(path.cos().sum() for path in last)).backward()
    torch.testing.assert_close(gradients, [path.grad for path in layer.first_state], rtol=0, atol=2e-5)


def test_a_deep_copy_and_a_loaded_state_give_the_same_bits() -> None:
    torch.manual_seed(0)
    layer = Stack([Bidirectional(LSTM(INPUT, 6, initial_state="learned")), GRU(12, 5, reset_after=True)])
    scramble(layer)
    loaded = Stack([Bidirectional(LSTM(INPUT, 6, initial_state="learned")), GRU(12, 5, reset_after=True)])
    wanted, _ = layer(inputs(), LENGTHS)
    loaded(inputs(), LENGTHS)  # its own weights first, so that they would be found again were they kept for good
    loaded.load_state_dict(layer.state_dict())
    for other in (copy.deepcopy(layer), loaded):
        assert_same_bits(other(inputs(), LENGTHS)[0], wanted)


def test_autocast_changes_nothing() -> None:
    layer, x = build("lstm"), inputs()
    wanted = read(layer, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same_bits(read(layer, x), wanted)
        narrow, last = layer(x.bfloat16(), LENGTHS, random_state(layer, len(LENGTHS)))
    assert narrow.dtype == last.hidden.dtype == torch.float32
    narrow.sum().backward()


def _child(layer: LSTM, x: Tensor, wanted: Tensor) -> None:
    sys.exit(0 if torch.equal(layer(x, LENGTHS)[0], wanted) else 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_goes_on() -> None:
    layer, x = build("lstm", 33), inputs()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        wanted = layer(x, LENGTHS)[0].detach()
        child = multiprocessing.get_context("fork").Process(target=_child, args=(layer, x, wanted))
        child.start()
        child.join(timeout=60)
    finally:
        torch.set_num_threads(before)
        child.kill()
    assert child.exitcode == 0


def test_threads_that_read_and_change_different_layers_do_not_disturb_each_other() -> None:
    layers = [build("lstm"), build("gru"), build("rnn_tanh"), build("gru_reset_after")]
    x, wrong = inputs(), []

    def work(layer) -> None:
        for _ in range(30):
            with torch.no_grad():
                layer.weight_hidden.mul_(1.01)
                if not torch.equal(layer(x, LENGTHS)[0], copy.deepcopy(layer)(x, LENGTHS)[0]):
                    wrong.append(layer)

    threads = [threading.Thread(target=work, args=(layer,)) for layer in layers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_wrong_instruction_set_is_an_error_in_words() -> None:
    script = "import torch; from seqloom.nn import LSTM; LSTM(3, 4)(torch.zeros(1, 2, 3))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "SEQLOOM_ISA": "sse9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'ConfigError: SEQLOOM_ISA is "sse9", but this machine runs: plain' in done.stderr


def test_a_process_forked_before_the_core_was_ever_used_goes_on() -> None:
    script = (
        "import os, torch; torch.set_num_threads(2); torch.ones(1 << 22).exp()  # torch's threads are there now\n"
        "from seqloom.nn import LSTM; layer = LSTM(64, 64).requires_grad_(False); x = torch.ones(40, 30, 64)\n"
        "if not (child := os.fork()): layer(x); os._exit(0)  # what torch itself cannot do in a child is not asked\n"
        "assert os.waitpid(child, 0)[1] == 0"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_levels_give_the_same_bits_forward_and_back() -> None:
    script = (
        "import hashlib, torch; from tests.kernels.cases import KINDS, build, inputs, LENGTHS\n"
        "for kind in KINDS:\n"
        "    layer, x = build(kind, hidden=37), inputs().requires_grad_()\n"
        "    outputs, last = layer(x, LENGTHS)\n"
        "    gradients = torch.autograd.grad(outputs.sin().sum(), [x, *layer.parameters()])\n"
        "    for part in (outputs.detach(), *gradients): print(hashlib.sha256(part.numpy().tobytes()).hexdigest())"
    )
    levels = [level for level in native.core().isas() if level != "plain"]
    if len(levels) < 2:
        pytest.skip(f"this machine has no two levels to compare: {levels}")
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"SEQLOOM_ISA": level}, cwd=ROOT, check=True,
            capture_output=True, text=True, timeout=120,
        ).stdout
        for level in levels
    }  # fmt: skip
    assert len(printed) <= 1 and all(text.count("\n") > 30 for text in printed)


def test_a_default_device_is_no_matter() -> None:
    layer, x = build("lstm"), inputs()
    wanted = layer(x, LENGTHS)[0]
    with torch.device("meta"):
        assert_same_bits(layer(x, torch.tensor(LENGTHS, device="cpu"), layer.first(batch=len(x)))[0], wanted)
