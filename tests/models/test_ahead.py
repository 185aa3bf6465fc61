"""What the core writes by itself is, to the bit, what is written step by step."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from seqloom.config import DecodingSettings, ModelSettings
from seqloom.errors import SeqloomError
from seqloom.kernels import fused_decoding, native
from seqloom.models import Seq2Seq, TextWriter
from seqloom.models.decoding import Hypothesis, write
from seqloom.models.text_writer import Writing
from seqloom.nn.stream import Precision
from seqloom.shapes import Batch

needs_core = pytest.mark.skipif(bool(native.reason()), reason=native.reason())
LENGTHS = [6, 1, 4, 9, 3]


class StepByStep:
    """A writer that cannot go ahead."""

    def __init__(self, writer: TextWriter) -> None:
        self.writer = writer

    def step(self, tokens: Tensor, state: Writing) -> Any:
        return self.writer.step(tokens, state)

    def select(self, state: Writing, rows: Tensor) -> Writing:
        return self.writer.select(state, rows)


def model_of(words: int = 11, *, end: float = 0.0, seed: int = 0, **settings: Any) -> Seq2Seq:
    torch.manual_seed(seed)
    given = {"embedding_size": 6, "hidden_size": 20, "dropout": 0, "word_dropout": 0, **settings}
    model = Seq2Seq(ModelSettings(**given), vocabulary_size=13, target_size=words).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2).add_(0.1 * torch.randn_like(parameter))  # distinct texts, not one token for ever
        model.output.bias[0] += end
    return model


def batch_of(lengths: Sequence[int] = LENGTHS) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randint(2, 13, (len(lengths), max(lengths))), torch.tensor(lengths))


def both_ways(
    model: Seq2Seq, batch: Batch, longest: list[int], settings: DecodingSettings, *, weights: Precision = "float32"
) -> tuple[list[list[Hypothesis]], list[list[Hypothesis]]]:
    writer, lengths = TextWriter(model, weights=weights), batch.lengths.tolist()
    alternatives = settings.beam
    ahead = write(writer, writer.begin(batch), longest, settings, alternatives=alternatives, source_lengths=lengths)
    slow = StepByStep(writer)
    return ahead, write(slow, writer.begin(batch), longest, settings, alternatives=alternatives, source_lengths=lengths)


def assert_same(found: list[list[Hypothesis]], wanted: list[list[Hypothesis]]) -> None:
    assert [[text[:2] for text in texts] for texts in found] == [[text[:2] for text in texts] for texts in wanted]
    for text, other in zip(itertools.chain(*found), itertools.chain(*wanted), strict=True):
        assert text.attention is not None and other.attention is not None
        torch.testing.assert_close(text.attention, other.attention, rtol=0, atol=0)


@needs_core
@pytest.mark.parametrize("attention", ["additive", "dot", "general"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize("readout", ["tanh", "direct"])
def test_greedy_texts_are_those_of_single_steps(cell: str, attention: str, readout: str) -> None:
    ended = set()
    for seed, end in enumerate((-1.0, 0.0, 1.0)):
        both = attention != "dot"  # which compares what is of one size
        model = model_of(end=end, seed=seed, cell=cell, attention=attention, readout=readout, bidirectional=both)
        found, wanted = both_ways(model, batch_of(), [12, 12, 0, 3, 7], DecodingSettings())
        assert_same(found, wanted)
        ended |= {len(texts[0].tokens) for texts in found}
    assert len(ended) > 3  # some end by themselves, some where there is no room


@needs_core
@pytest.mark.parametrize("beam", [2, 3, 5, 16])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_texts_of_a_beam_are_those_of_single_steps(cell: str, beam: int) -> None:
    sizes = set()
    for seed, end in enumerate((-4.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)):
        model = model_of(end=end, seed=seed, cell=cell)
        for length, longest in ((5, 14), (1, 1), (3, 0)):
            for penalty in (0.0, 1.0):
                settings = DecodingSettings(beam=beam, length_penalty=penalty)
                found, wanted = both_ways(model, batch_of([length]), [longest], settings)
                assert_same(found, wanted)
                sizes |= {len(text.tokens) for text in found[0]}
    assert len(sizes) > 3  # some end early


@needs_core
def test_a_beam_wider_than_the_vocabulary_and_equal_tokens_are_as_step_by_step() -> None:
    model = model_of(words=4, end=-3)
    assert_same(*both_ways(model, batch_of([4]), [9], DecodingSettings(beam=7)))
    with torch.no_grad():
        model.output.weight[:] = 0
        model.output.bias[:] = torch.tensor([-9.0, 0, 0, 0])  # three are always equal
    for beam in (1, 2, 3, 5):
        found, wanted = both_ways(model, batch_of([4]), [6], DecodingSettings(beam=beam))
        assert_same(found, wanted)
        assert found[0][0].tokens == [1] * 6


@needs_core
@pytest.mark.parametrize("settings", [DecodingSettings(), DecodingSettings(beam=3)], ids=["greedy", "beam"])
def test_weights_of_8_bits_go_ahead_too(settings: DecodingSettings) -> None:
    model = model_of(end=-1)
    assert_same(*both_ways(model, batch_of([5]), [9], settings, weights="int8"))
    precisions: tuple[Precision, ...] = ("float32", "int8")
    exact, rounded = (both_ways(model, batch_of([5]), [9], settings, weights=w)[0] for w in precisions)
    assert exact[0][0].score != rounded[0][0].score


@needs_core
@pytest.mark.parametrize("settings", [DecodingSettings(), DecodingSettings(beam=3)], ids=["greedy", "beam"])
def test_the_core_does_go_ahead(settings: DecodingSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    taken = TextWriter.step
    monkeypatch.setattr(TextWriter, "step", lambda *given: steps.append(1) or taken(*given))
    writer = TextWriter(model_of(end=-50))
    write(writer, writer.begin(batch_of([5])), [20], settings)
    assert len(steps) == 1  # the last, where the text must end


@needs_core
def test_penalties_of_coverage_and_repetition_are_taken_step_by_step() -> None:
    model = model_of(end=-1)
    for settings in (DecodingSettings(beam=3, coverage_penalty=0.5), DecodingSettings(beam=3, no_repeat=2)):
        assert_same(*both_ways(model, batch_of([5]), [9], settings))
    assert_same(*both_ways(model, batch_of(), [9] * 5, DecodingSettings(no_repeat=1)))


@needs_core
@pytest.mark.parametrize("settings", [DecodingSettings(), DecodingSettings(beam=3)], ids=["greedy", "beam"])
def test_weights_that_are_no_numbers_are_told_as_step_by_step(settings: DecodingSettings) -> None:
    model, said = model_of(end=-50), []
    with torch.no_grad():
        model.output.bias[3] = torch.nan
    writer = TextWriter(model)
    for each in (writer, StepByStep(writer)):
        with pytest.raises(SeqloomError) as error:
            write(each, writer.begin(batch_of([5])), [9], settings)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "nan as the highest log-probability of token 1 of a text" in said[0]


@needs_core
def test_a_vocabulary_too_large_for_a_table_is_read_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(end=-2)
    tabled = both_ways(model, batch_of(), [9] * 5, DecodingSettings())
    monkeypatch.setattr(fused_decoding, "TABLE", 0)
    assert_same(both_ways(model, batch_of(), [9] * 5, DecodingSettings())[0], tabled[0])


@needs_core
@pytest.mark.parametrize("settings", [DecodingSettings(), DecodingSettings(beam=4)], ids=["greedy", "beam"])
def test_the_number_of_threads_changes_nothing(settings: DecodingSettings) -> None:
    model, found, before = model_of(end=-4, hidden_size=256), [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(both_ways(model, batch_of([5]), [9], settings)[0])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert_same(other, found[0])


@needs_core
def test_log_probabilities_are_those_of_float64() -> None:
    model = model_of(words=4001, end=-2, readout="direct")
    writer = TextWriter(model)
    state = writer.begin(batch_of())
    found, _, after = writer.step(torch.zeros(5, dtype=torch.int64), state)
    (hidden, *_), context = after.states[0], _context(model, state)
    read = torch.cat([hidden, context], dim=-1).double()
    logits = read @ model.output.weight.double().t() + model.output.bias.double()
    torch.testing.assert_close(found.double(), logits.log_softmax(-1), rtol=1e-5, atol=1e-5)


def _context(model: Seq2Seq, state: Writing) -> Tensor:
    """What the first step attends to, by the layer itself."""
    assert state.source is not None
    vectors = model.target_embedding(torch.zeros(5, 1, dtype=torch.int64))
    attended, _ = model.decoder(vectors, state.source, None, state.states[0])  # type: ignore[call-arg, arg-type]
    context: Tensor = attended.contexts[:, 0].detach()
    return context
