"""A cell that attends, by the compiled core: against the equations in float64, and its promises to the last bit."""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from seqloom.errors import ConfigError
from seqloom.kernels import choose_attending, native
from seqloom.nn import Attentive
from seqloom.shapes import Attended, LSTMState, RNNState, Source, State, Tokens
from tests.kernels.cases import KINDS, assert_same_bits, needs_core, of_each_kind

ATTENTIONS = ("additive", "general", "dot")
INPUT, TIME, STEPS = 5, 6, 7
LENGTHS, SOURCE_LENGTHS = [6, 0, 3, 5, 1], [7, 4, 0, 1, 6]

of_each_attention = pytest.mark.parametrize("attention", ATTENTIONS)


@pytest.fixture(autouse=True)
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu" if native.available() else "reference")


class Case(NamedTuple):
    """What is read: the steps, the memory and its keys, and the first state."""

    x: Tensor
    memory: Tensor
    keys: Tensor
    paths: tuple[Tensor, ...]


class Answer(NamedTuple):
    """What a reading gave: outputs, contexts, weights and last state; gradients of the case, and of all weights."""

    results: list[Tensor]
    of_case: list[Tensor | None]
    of_weights: list[Tensor | None]

    def parts(self) -> list[Tensor | None]:
        return [*self.results, *self.of_case, *self.of_weights]


def made(kind: str, attention: str, hidden: int = 6, memory: int = 9, **options: float) -> Attentive:
    torch.manual_seed(0)
    memory = hidden if attention == "dot" else memory
    layer = Attentive(KINDS[kind](INPUT, hidden, **options), memory, attention=attention)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_(std=0.7 / math.sqrt(weight.shape[0]) if weight.dim() > 1 else 0.7)
    return layer


def case_for(layer: Attentive, batch: int = len(LENGTHS), time: int = TIME, steps: int = STEPS) -> Case:
    torch.manual_seed(1)
    compared = layer.hidden_size if layer.weight_query is None else layer.weight_query.shape[1]
    paths = tuple(torch.randn(batch, layer.hidden_size) for _ in layer.layer.state_type._fields)
    return Case(
        torch.randn(batch, time, INPUT),
        torch.randn(batch, steps, layer.memory_size),
        torch.randn(batch, steps, compared),
        paths,
    )


def rows(case: Case, chosen: slice) -> Case:
    return Case(*(part[chosen] for part in case[:3]), tuple(path[chosen] for path in case.paths))


def read(
    layer: Attentive,
    case: Case,
    lengths: list[int] | None = LENGTHS,
    source_lengths: list[int] | None = SOURCE_LENGTHS,
    *,
    loop=None,
) -> Answer:
    """Read, and go back from distinct random gradients of all results; `loop` instead of the layer, where given."""
    case = Case(*(part.detach().requires_grad_() for part in case[:3]), tuple(
        path.detach().requires_grad_() for path in case.paths
    ))  # fmt: skip
    seen = [case.memory.shape[1]] * len(case.memory) if source_lengths is None else source_lengths
    source = Source(case.memory, case.keys, torch.tensor(seen, dtype=torch.int64))
    layer.zero_grad()
    attended, last = (loop or type(layer).__call__)(layer, case.x, source, lengths, layer.layer.state_type(*case.paths))
    results = [*attended, *last]
    torch.manual_seed(2)
    pairs = [(part, torch.randn(part.shape).to(part.dtype)) for part in results]
    torch.autograd.backward(*zip(*((part, back) for part, back in pairs if part.requires_grad), strict=True))
    of_case = [part.grad for part in (*case[:3], *case.paths)]
    return Answer([part.detach() for part in results], of_case, [weight.grad for weight in layer.parameters()])


def in_doubles(layer: Attentive, x: Tensor, source: Source, lengths: list[int], state: State) -> tuple[Attended, State]:
    """The equations, a row and a step at a time, with nothing of ours but the weights."""
    cell, hidden, steps = layer.layer, layer.hidden_size, source.memory.shape[1]
    found, last = [], []
    for b, length in enumerate(lengths):
        h, c = state.hidden[b], getattr(state, "cell", state.hidden)[b]
        of_row = []
        for t in range(x.shape[1]):
            if t >= length:
                of_row.append((torch.zeros_like(h), x.new_zeros(layer.memory_size), x.new_zeros(steps)))
                continue
            weights, z = torch.zeros(steps, dtype=x.dtype), torch.zeros(layer.memory_size, dtype=x.dtype)
            if seen := int(source.lengths[b]):
                query = h if layer.weight_query is None else h @ layer.weight_query
                keys = source.keys[b, :seen]
                scores = keys @ query if layer.score is None else torch.tanh(keys + query) @ layer.score
                some = torch.exp(scores - scores.max()) / torch.exp(scores - scores.max()).sum()
                weights, z = torch.cat([some, torch.zeros(steps - seen, dtype=x.dtype)]), some @ source.memory[b, :seen]
            d = x[b, t] @ cell.weight_input + z @ layer.weight_context + (0 if cell.bias is None else cell.bias)
            h, c = moved(cell, d, h, c, hidden)
            of_row.append((h, z, weights))
        found.append([torch.stack(each) for each in zip(*of_row, strict=True)])
        last.append((h, c))
    attended = Attended(*(torch.stack(each) for each in zip(*found, strict=True)))
    paths = [torch.stack(each) for each in zip(*last, strict=True)]
    return attended, LSTMState(*paths) if isinstance(state, LSTMState) else RNNState(paths[0])


def moved(cell, d: Tensor, h: Tensor, c: Tensor, size: int) -> tuple[Tensor, Tensor]:
    u = cell.weight_hidden
    if len(cell.gates) == 4:
        i, f, g, o = (d + h @ u).split(size)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    if len(cell.gates) == 3:
        r, z = torch.sigmoid(d[: 2 * size] + h @ u[:, : 2 * size]).split(size)
        inside = r * (h @ u[:, 2 * size :] + cell.bias_candidate) if cell.reset_after else (r * h) @ u[:, 2 * size :]
        return z * h + (1 - z) * torch.tanh(d[2 * size :] + inside), c
    known = {"tanh": torch.tanh, "relu": torch.relu, "leaky_relu": torch.nn.functional.leaky_relu}
    return known[cell.activation](d + h @ u), c


def assert_close(ours: Answer, truth: Answer, *, within: float = 1e-5) -> None:
    for mine, right in zip(ours.parts(), truth.parts(), strict=True):
        assert (mine is None) == (right is None)
        if right is not None and right.numel():
            assert (mine - right).abs().max() <= within * right.abs().max() + 1e-30


# Right


@of_each_kind
@of_each_attention
@pytest.mark.parametrize(("hidden", "memory", "steps"), [(1, 1, 1), (6, 9, 7), (17, 33, 40), (64, 50, 3)])
def test_results_and_gradients_are_those_of_the_equations_in_float64(
    kind: str, attention: str, hidden: int, memory: int, steps: int
) -> None:
    layer = made(kind, attention, hidden, memory)
    case, seen = case_for(layer, steps=steps), [min(length, steps) for length in SOURCE_LENGTHS]
    wide = Case(*(part.double() for part in case[:3]), tuple(path.double() for path in case.paths))
    truth = read(copy.deepcopy(layer).double(), wide, LENGTHS, seen, loop=in_doubles)
    assert_close(read(layer, case, LENGTHS, seen), truth)


@of_each_kind
@needs_core
def test_a_recurrent_dropout_mask_is_that_of_the_reference(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = made(kind, "additive", 17, recurrent_dropout=0.5)
    masks, original = torch.rand(len(LENGTHS), 17).round() * 2, type(layer.layer).parameters_of_cell

    def with_mask(self, *, batch: int):
        return original(self, batch=batch)._replace(hidden_mask=masks.to(self.weight_hidden.dtype))

    monkeypatch.setattr(type(layer.layer), "parameters_of_cell", with_mask)
    case = case_for(layer)
    ours = read(layer, case)
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    wide = Case(*(part.double() for part in case[:3]), tuple(path.double() for path in case.paths))
    assert_close(ours, read(copy.deepcopy(layer).double(), wide))


@of_each_attention
def test_tokens_give_the_bits_of_their_vectors_and_gradients_to_each(attention: str) -> None:
    layer, ids, answers = made("lstm", attention), torch.randint(0, 4, (len(LENGTHS), TIME)), []
    case, vectors = case_for(layer), torch.randn(4, INPUT, requires_grad=True)
    source = Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS))
    for x in (Tokens(ids, vectors), Tokens(ids, vectors).spelled_out()):
        attended, _ = layer(x, source, LENGTHS)
        answers.append((attended, torch.autograd.grad(attended.outputs.sin().sum(), vectors)[0]))
    assert_same_bits(answers[0][0], answers[1][0])
    torch.testing.assert_close(answers[0][1], answers[1][1], rtol=0, atol=1e-5)


@needs_core
@of_each_kind
def test_gradients_can_be_differentiated_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, found = made(kind, "additive"), []
    case = case_for(layer)
    for path in ("fused_cpu", "reference"):
        monkeypatch.setenv("SEQLOOM_KERNELS", path)
        x, memory = case.x.clone().requires_grad_(), case.memory.clone().requires_grad_()
        attended, last = layer(x, Source(memory, case.keys, torch.tensor(SOURCE_LENGTHS)), LENGTHS)
        first = torch.autograd.grad(
            attended.outputs.sin().sum() + last.hidden.cos().sum(), (x, memory), create_graph=True
        )
        squares = sum(part.square().sum() for part in first)
        found.append(torch.autograd.grad(squares, (x, memory, layer.weight_context, layer.score)))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_a_gradient_is_found_for_what_is_wanted_alone() -> None:
    layer = made("gru", "general")
    case = case_for(layer)
    everything = read(layer, case)
    for chosen in ("weight_query", "weight_context", "layer.weight_hidden", "layer.bias"):
        alone = copy.deepcopy(layer).requires_grad_(False)
        alone.get_parameter(chosen).requires_grad_()
        source = Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS))
        attended, last = alone(case.x, source, LENGTHS, RNNState(case.paths[0]))
        results = [*attended, *last]
        torch.manual_seed(2)
        torch.autograd.backward(results, [torch.randn(part.shape) for part in results])
        names = [name for name, _ in layer.named_parameters()]
        assert_same_bits(alone.get_parameter(chosen).grad, everything.of_weights[names.index(chosen)])


# To the bit


@needs_core
@of_each_kind
@of_each_attention
def test_a_row_alone_gives_the_bits_of_the_row_in_its_batch(kind: str, attention: str) -> None:
    layer = made(kind, attention, 33, 50)
    case = case_for(layer)
    whole = read(layer, case)
    for row, (length, seen) in enumerate(zip(LENGTHS, SOURCE_LENGTHS, strict=True)):
        one = rows(case, slice(row, row + 1))
        one = one._replace(x=one.x[:, :length], memory=one.memory[:, :seen], keys=one.keys[:, :seen])
        source = Source(one.memory, one.keys, torch.tensor([seen]))
        attended, last = layer(one.x, source, None, layer.layer.state_type(*one.paths))
        assert_same_bits(attended.outputs[0], whole.results[0][row, :length])
        assert_same_bits(attended.contexts[0], whole.results[1][row, :length])
        assert_same_bits(attended.weights[0], whole.results[2][row, :length, :seen])
        assert_same_bits([path[0] for path in last], [path[row] for path in whole.results[3:]])


@needs_core
@of_each_kind
@of_each_attention
@pytest.mark.parametrize("filler", [1e30, math.nan, math.inf])
def test_padding_reaches_no_bit_of_results_and_gradients(kind: str, attention: str, filler: float) -> None:
    layer, answers = made(kind, attention), []
    for padding in (0.0, filler):
        case = case_for(layer)
        for row, (length, seen) in enumerate(zip(LENGTHS, SOURCE_LENGTHS, strict=True)):
            case.x[row, length:] = padding
            case.memory[row, seen:] = case.keys[row, seen:] = padding
        answers.append(read(layer, case))
    assert_same_bits(*answers)
    outputs, contexts, weights = answers[0].results[:3]
    of_x, of_memory, of_keys = answers[0].of_case[:3]
    for row, (length, seen) in enumerate(zip(LENGTHS, SOURCE_LENGTHS, strict=True)):
        assert not any(part[row, length:].any() for part in (outputs, contexts, weights, of_x))
        assert not any(part[row, seen:].any() for part in (weights.transpose(1, 2), of_memory, of_keys))


@needs_core
@of_each_kind
@of_each_attention
def test_thread_counts_give_the_same_bits(kind: str, attention: str) -> None:
    layer, before, answers = made(kind, attention, 65, 80), torch.get_num_threads(), []
    case = case_for(layer, batch=23, time=9, steps=31)
    lengths, seen = [(7 * row) % 10 for row in range(23)], [(5 * row) % 32 for row in range(23)]
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            answers.append(read(layer, case, lengths, seen))
    finally:
        torch.set_num_threads(before)
    for answer in answers[1:]:
        assert_same_bits(answer, answers[0])


@needs_core
@of_each_kind
def test_training_and_inference_give_the_same_bits(kind: str) -> None:
    layer = made(kind, "additive", 33)
    case = case_for(layer)
    source, state = Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS)), layer.layer.state_type(*case.paths)
    trained = layer(case.x, source, LENGTHS, state)
    assert trained[0].outputs.requires_grad
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            assert_same_bits(layer(case.x, source, LENGTHS, state), trained)


@needs_core
@of_each_kind
@of_each_attention
def test_a_sequence_in_pieces_gives_the_bits_of_the_whole(kind: str, attention: str) -> None:
    layer = made(kind, attention, 33)
    case = case_for(layer)
    source, state = Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS)), layer.layer.state_type(*case.paths)
    whole, last = layer(case.x, source, LENGTHS, state)
    pieces = []
    for t in range(TIME):
        piece, state = layer(case.x[:, t : t + 1], source, [int(length > t) for length in LENGTHS], state)
        pieces.append(piece)
    assert_same_bits(Attended(*(torch.cat(each, dim=1) for each in zip(*pieces, strict=True))), whole)
    assert_same_bits(list(state), list(last))


@needs_core
def test_strides_give_the_same_bits() -> None:
    layer = made("lstm", "general")
    case = case_for(layer)
    wanted = read(layer, case)
    turned = Case(*(part.transpose(0, 1).contiguous().transpose(0, 1) for part in case[:3]), case.paths)
    apart = Case(*(torch.stack([part, -part], dim=-1)[..., 0] for part in case[:3]), case.paths)
    for strided in (turned, apart):
        assert not strided.memory.is_contiguous()
        assert_same_bits(read(layer, strided), wanted)


@needs_core
def test_levels_give_the_same_bits_forward_and_back() -> None:
    script = (
        "import hashlib, torch; from tests.kernels.test_attention import *\n"
        "for kind in ('lstm', 'gru'):\n"
        "    for attention in ATTENTIONS:\n"
        "        layer = made(kind, attention, 37, 70); answer = read(layer, case_for(layer, steps=STEPS))\n"
        "        for part in answer.parts():\n"
        "            if part is not None: print(hashlib.sha256(part.numpy().tobytes()).hexdigest())"
    )
    levels = [level for level in native.core().isas() if level != "plain"]
    if len(levels) < 2:
        pytest.skip(f"this machine has no two levels to compare: {levels}")
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[2], check=True, capture_output=True,
            env=os.environ | {"SEQLOOM_ISA": level, "SEQLOOM_KERNELS": "fused_cpu"}, text=True, timeout=120,
        ).stdout
        for level in levels
    }  # fmt: skip
    assert len(printed) <= 1 and all(text.count("\n") > 50 for text in printed)


# Edges


@of_each_kind
@of_each_attention
@pytest.mark.parametrize(("batch", "time", "steps"), [(0, 4, 3), (2, 0, 3), (2, 3, 0), (0, 0, 0), (1, 1, 1)])
def test_empty_batches_sequences_and_sources_have_answers_and_gradients(
    kind: str, attention: str, batch: int, time: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = made(kind, attention)
    case = case_for(layer, batch, time, steps)
    ours = read(layer, case, [time] * batch, None)
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    theirs = read(layer, case, [time] * batch, None)
    for found, wanted in zip(ours.parts(), theirs.parts(), strict=True):
        if found is not None:
            torch.testing.assert_close(found, torch.zeros_like(found) if wanted is None else wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1e-3, 1.0, 20.0, 22.0, 300.0])
def test_keys_and_queries_of_any_size_have_the_tanh_of_their_sum(size: float) -> None:
    layer = made("gru", "additive")
    case = case_for(layer)
    assert layer.weight_query is not None
    with torch.no_grad():
        layer.weight_query.mul_(size)  # from 21 on not by their powers, which overflow: both large, the sum is small
    case.keys.copy_(0.1 * case.keys - (case.paths[0] @ layer.weight_query)[:, None])
    wide = Case(*(part.double() for part in case[:3]), tuple(path.double() for path in case.paths))
    truth = read(copy.deepcopy(layer).double(), wide, loop=in_doubles)
    assert_close(read(layer, case), truth, within=5e-5 * max(1.0, size))  # the sum itself is rounded


@pytest.mark.parametrize("where", ["keys", "state"])
def test_a_number_that_is_none_shows_in_its_row_alone(where: str) -> None:
    layer = made("gru", "additive")
    case = case_for(layer)
    before = layer(case.x, Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS)), LENGTHS, RNNState(*case.paths))
    (case.keys if where == "keys" else case.paths[0])[0].view(-1)[2] = math.nan
    after = layer(case.x, Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS)), LENGTHS, RNNState(*case.paths))
    assert after[0].weights[0].isnan().any()
    assert_same_bits(after[0].weights[1:], before[0].weights[1:])


@needs_core
def test_large_scores_keep_the_weights_finite() -> None:
    layer = made("lstm", "dot")
    case = case_for(layer)
    case.keys.mul_(1e4)
    attended, _ = layer(case.x, Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS)), LENGTHS)
    sums = attended.weights.sum(dim=-1)
    assert ((sums - 1).abs() < 1e-6).sum() == sum(n for n, seen in zip(LENGTHS, SOURCE_LENGTHS, strict=True) if seen)
    assert attended.outputs.isfinite().all()


# Which path


@needs_core
def test_what_the_core_cannot_do_goes_to_the_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "")
    layer = made("lstm", "additive")
    case = case_for(layer)
    source, state = Source(case.memory, case.keys, torch.tensor(SOURCE_LENGTHS)), LSTMState(*case.paths)

    def path_of(layer: Attentive, x: Tensor = case.x, source: Source = source, state: State = state) -> str:
        p = layer.layer.parameters_of_cell(batch=len(x))
        return choose_attending(layer.layer.step(), p, layer.parameters_of_attention(), x, source, state).name

    assert path_of(layer) == "fused_cpu"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert path_of(layer) == "reference"
        assert layer(case.x, source, LENGTHS, state)[0].outputs.isfinite().all()
    assert path_of(made("lstm", "additive", layer_norm=True)) == "reference"
    assert path_of(layer, source=source._replace(keys=case.keys[..., :3])) == "reference"
    wide = Source(case.memory.double(), case.keys.double(), source.lengths)
    assert path_of(copy.deepcopy(layer).double(), case.x.double(), wide, LSTMState(*(s.double() for s in state)))
    mapped = torch.func.vmap(lambda x: layer(x, source, None, state)[0].outputs)(torch.stack([case.x, -case.x]))
    torch.testing.assert_close(mapped[1], layer(-case.x, source, None, state)[0].outputs, rtol=0, atol=1e-5)
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    assert path_of(layer) == "reference"
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")
    with pytest.raises(ConfigError, match="which cannot do this: layer norm"):
        path_of(made("lstm", "additive", layer_norm=True))


def test_an_exported_program_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "")
    layer = made("gru", "additive")
    case = case_for(layer)

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
            return self.layer(x, self.layer.source(memory, lengths))[0].outputs

    given = (case.x, case.memory, torch.tensor(SOURCE_LENGTHS))
    with torch.no_grad():
        program = torch.export.export(Decoder(), given)
        torch.testing.assert_close(program.module()(*given), Decoder()(*given), rtol=0, atol=1e-5)
