"""The layer with attention: what it refuses, and that its stream gives the bits of the sequence read whole."""

import pytest
import torch
from torch import Tensor

from seqloom.errors import ConfigError, ShapeError
from seqloom.nn import LSTM, Attentive, Linear
from seqloom.shapes import LSTMState, RNNState, Source, State
from tests.kernels.cases import INPUT, KINDS, assert_same_bits, needs_core, of_each_kind
from tests.kernels.test_attention import ATTENTIONS, LENGTHS, SOURCE_LENGTHS, STEPS, TIME, case_for, made

of_each_attention = pytest.mark.parametrize("attention", ATTENTIONS)


def given(layer: Attentive, batch: int = len(LENGTHS)) -> tuple[Tensor, Source, State]:
    case = case_for(layer, batch)
    lengths = torch.tensor([SOURCE_LENGTHS[row % len(SOURCE_LENGTHS)] for row in range(batch)])
    return case.x, layer.source(case.memory, lengths), layer.layer.state_type(*case.paths)


@of_each_kind
@of_each_attention
@pytest.mark.parametrize("batch", [1, 5, 9])
def test_a_stream_is_the_sequence_read_whole(kind: str, attention: str, batch: int, either_path: str) -> None:
    layer = made(kind, attention, 33)
    x, source, state = given(layer, batch)
    whole, last = layer(x, source, None, state)
    stream = layer.stream()
    equal = {"rtol": 0, "atol": 0} if either_path == "fused_cpu" else {"rtol": 1e-5, "atol": 1e-6}
    for t in range(TIME):
        step, state = stream.step(x[:, t], state, source)
        for part, right in zip(step, whole, strict=True):
            assert not part.requires_grad
            torch.testing.assert_close(part, right[:, t].detach(), **equal)
    torch.testing.assert_close(list(state), [path.detach() for path in last], **equal)


@needs_core
def test_a_stream_takes_other_rows_at_each_step() -> None:
    layer = made("lstm", "additive", 17)
    x, source, state = given(layer)
    stream = layer.stream()
    whole, after = stream.step(x[:, 0], state, source)
    chosen = torch.tensor([4, 0, 4])
    some, _ = stream.step(x[chosen, 0], LSTMState(*(path[chosen] for path in state)), source.rows(chosen))
    assert_same_bits(list(some), [part[chosen] for part in whole])
    again, _ = stream.step(x[:, 1], after, source)
    assert_same_bits(again.outputs, layer(x[:, :2], source, None, state)[0].outputs[:, 1].detach())


@needs_core
def test_threads_give_a_stream_the_same_bits() -> None:
    layer, threads, found = made("gru", "general", 257, 300), torch.get_num_threads(), []
    x, source, state = given(layer)
    try:
        for number in (1, 2, 4):
            torch.set_num_threads(number)
            found.append(layer.stream().step(x[:, 0], state, source))
    finally:
        torch.set_num_threads(threads)
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


def test_a_stream_keeps_the_weights_it_was_made_with(either_path: str) -> None:
    layer = made("lstm", "additive")
    x, source, state = given(layer)
    stream = layer.stream()
    wanted = stream.step(x[:, 0], state, source)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
    assert_same_bits(stream.step(x[:, 0], state, source), wanted)


@pytest.mark.parametrize("strided", [lambda x: torch.stack([x, -x], -1)[..., 0], lambda x: x.mT.contiguous().mT])
def test_a_stream_reads_any_layout(strided, either_path: str) -> None:
    layer = made("lstm", "additive")
    x, source, state = given(layer)
    wanted = layer.stream().step(x[:, 0], state, source)
    odd = LSTMState(*map(strided, state)), Source(strided(source.memory.mT).mT, source.keys, source.lengths.int())
    assert_same_bits(layer.stream().step(strided(x[:, 0]), *odd), wanted)


def test_a_stream_looks_the_vectors_of_tokens_up(either_path: str) -> None:
    layer = made("lstm", "additive")
    _, source, state = given(layer)
    vectors, ids = torch.randn(9, layer.input_size), torch.tensor([8, 0, 3, 3, 1])
    by_id, by_vector = layer.stream(vectors), layer.stream()
    assert_same_bits(by_id.step(ids, state, source), by_vector.step(vectors[ids], state, source))
    with pytest.raises(IndexError):
        by_id.step(torch.tensor([8, 0, 9, 3, 1]), state, source)
    for wrong in (ids[:4], ids.int(), vectors[ids], ids.to("meta"), ids.tolist()):
        with pytest.raises(ShapeError, match=r"must be int64 token ids, \(5,\): one for each row of the source"):
            by_id.step(wrong, state, source)
    with pytest.raises(ShapeError, match=r"vectors are \(9, 4\), but must be \(V, 5\)"):
        layer.stream(vectors[:, :4])


def test_a_stream_in_float64_takes_the_equations() -> None:
    layer = made("gru", "additive").double()
    x, source, state = given(made("gru", "additive"))
    wide = Source(source.memory.double(), source.keys.double(), source.lengths)
    first = RNNState(state.hidden.double())
    step, _ = layer.stream().step(x[:, 0].double(), first, wide)
    torch.testing.assert_close(step.outputs, layer(x[:, :1].double(), wide, None, first)[0].outputs[:, 0].detach())


@pytest.mark.usefixtures("own_messages")
def test_a_stream_refuses_what_does_not_fit_in_words() -> None:
    layer = made("lstm", "additive")
    x, source, state = given(layer)
    stream = layer.stream()
    with pytest.raises(ShapeError, match=r"x is \(5, 6, 5\), but must be \(5, 5\)"):
        stream.step(x, state, source)
    with pytest.raises(ShapeError, match=r"state.cell is \(4, 6\), but must be \(5, 6\)"):
        stream.step(x[:, 0], LSTMState(state.hidden, state.cell[:4]), source)
    with pytest.raises(ShapeError, match="state is a RNNState, but must be an LSTMState"):
        stream.step(x[:, 0], RNNState(state.hidden), source)
    with pytest.raises(ShapeError, match="the source has memory .* which is not what this layer attends to"):
        stream.step(x[:, 0], state, source._replace(keys=source.keys[..., :4]))
    with pytest.raises(ShapeError, match="Attentive.stream: x is torch.float64 but the weights are torch.float32"):
        stream.step(x[:, 0].double(), state, source)


def test_a_source_is_zero_at_padding_and_its_keys_are_projected_once() -> None:
    layer = made("lstm", "additive")
    memory = torch.randn(len(SOURCE_LENGTHS), STEPS, layer.memory_size)
    source = layer.source(memory, SOURCE_LENGTHS)
    assert isinstance(layer.key, Linear)
    for row, length in enumerate(SOURCE_LENGTHS):
        assert not source.memory[row, length:].any() and not source.keys[row, length:].any()
        assert torch.equal(source.memory[row, :length], memory[row, :length])
        assert torch.equal(source.keys[row, :length], layer.key(memory[row, :length]))


@pytest.mark.usefixtures("own_messages")
def test_wrong_settings_and_inputs_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="layer is .* but must be a SimpleRNN, LSTM or GRU"):
        Attentive(Linear(3, 4), 5)
    with pytest.raises(ConfigError, match='attention is "none". Allowed: additive, general, dot.'):
        Attentive(LSTM(INPUT, 6), 5, attention="none")
    with pytest.raises(ConfigError, match="their sizes are 6 and 5. Make them equal"):
        Attentive(LSTM(INPUT, 6), 5, attention="dot")
    layer = made("lstm", "additive")
    x, source, state = given(layer)
    with pytest.raises(ShapeError, match="x has 4 rows, but the source has 5"):
        layer(x[:4], source, None, LSTMState(*(path[:4] for path in state)))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_parameters_are_those_of_the_layer_and_of_attention(attention: str) -> None:
    layer = Attentive(KINDS["lstm"](3, 4), 4, attention=attention)
    of_layer = 4 * (3 * 4 + 4 * 4 + 4) + 4 * 16
    of_attention = {"additive": 4 * 4 + (4 * 4 + 4) + 4, "general": 4 * 4, "dot": 0}[attention]
    assert sum(weight.numel() for weight in layer.parameters()) == of_layer + of_attention
