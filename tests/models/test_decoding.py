"""The proof of decoding: searches against the enumeration of all texts, and what holds for every way of writing."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from seqloom.config import DecodingSettings
from seqloom.errors import ConfigError, LengthError, SeqloomError
from seqloom.models.decoding import END, START, Hypothesis, beam, greedy, write
from seqloom.models.writer import Followed
from tests.models.tables import (
    MEMORIES,
    Memory,
    Table,
    assert_same,
    best_of_all,
    judged,
    plain_table,
    random_table,
    repeats,
    source_lengths,
    texts_of,
)

# Beam


@pytest.mark.parametrize("no_repeat", [0, 1, 2])
@pytest.mark.parametrize("coverage_penalty", [0.0, 0.4])
@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 3.0])
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all_texts(length_penalty, coverage_penalty, no_repeat):
    penalties = {"length_penalty": length_penalty, "coverage_penalty": coverage_penalty}
    settings = DecodingSettings(beam=400, no_repeat=no_repeat, **penalties)
    longest = [4, 3, 1, 0]
    for seed, count in itertools.product(range(4), (1, 6)):
        table = random_table(seed, sentences=4, S=3, spread=0.3 + seed)
        lengths = source_lengths(4, 3)
        found = write(table, table.start(), longest, settings, alternatives=count, source_lengths=lengths)
        expected = [
            best_of_all(table, sentence, most, count, no_repeat, **penalties) for sentence, most in enumerate(longest)
        ]
        assert texts_of(found) == expected
        for sentence, texts in enumerate(found):
            for text in texts:
                assert text.score == pytest.approx(judged(table, sentence, text.tokens)[0])


def test_the_reference_tells_the_penalties_apart():
    tables = [random_table(seed, sentences=1, S=3) for seed in range(10)]
    for penalties in ({"length_penalty": 1.0}, {"coverage_penalty": 1.0}):
        changed = [best_of_all(t, 0, 4, 1, 0) != best_of_all(t, 0, 4, 1, 0, **penalties) for t in tables]
        assert any(changed)
    assert any(best_of_all(t, 0, 4, 1, 0, length_penalty=1.0) != best_of_all(t, 0, 4, 1, 1) for t in tables)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.5, 1000.0])
@pytest.mark.parametrize("markov", [False, True])
def test_beam_1_is_greedy(length_penalty, markov):
    table = random_table(sentences=20, V=7, S=4, markov=markov)
    longest = list(range(20))
    settings = DecodingSettings(beam=1, length_penalty=length_penalty, no_repeat=3)
    single = greedy(table, table.start(), longest, settings, source_lengths(20, 4))
    searched = beam(table, table.start(), longest, settings, 1, source_lengths(20, 4))
    for one, texts in zip(single, searched, strict=True):
        assert_same(texts, [one])


def test_beam_1_is_greedy_where_a_sum_would_round_two_tokens_to_one():
    rows = [[-5e6, -2e6, -1e6, -3e6], [-1.0] * 4, [-3.0, -3.0, -1 - 2**-52, -1.0], [-1.0, -3.0, -3.0, -3.0]]
    table = Table(torch.tensor([rows], dtype=torch.float64), markov=True)
    assert -1e6 + rows[2][2] == -1e6 + rows[2][3]
    assert greedy(table, table.start(), [9], DecodingSettings())[0].tokens == [2, 3]
    assert beam(table, table.start(), [9], DecodingSettings(beam=1))[0][0].tokens == [2, 3]


@given(
    seed=st.integers(0, 10**6),
    V=st.integers(2, 6),
    width=st.integers(2, 6),
    longest=st.integers(0, 9),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    coverage_penalty=st.sampled_from([0.0, 0.2, 2.0]),
    no_repeat=st.integers(0, 3),
    markov=st.booleans(),
)
@property_settings(max_examples=300)
def test_no_beam_is_worse_than_greedy(
    seed, V, width, longest, length_penalty, coverage_penalty, no_repeat, markov
):  # fmt: skip
    penalties = {"length_penalty": length_penalty, "coverage_penalty": coverage_penalty}
    settings = DecodingSettings(beam=width, no_repeat=no_repeat, **penalties)
    table = random_table(seed, sentences=2, V=V, S=3, markov=markov)
    single = greedy(table, table.start(), [longest] * 2, settings)
    found = beam(table, table.start(), [longest] * 2, settings, width, source_lengths(2, 3))
    only = beam(table, table.start(), [longest] * 2, settings, 1, source_lengths(2, 3))
    for sentence in range(2):
        worths = [judged(table, sentence, text.tokens, **penalties)[1] for text in found[sentence]]
        assert worths == pytest.approx(sorted(worths, reverse=True))
        assert worths[0] >= judged(table, sentence, single[sentence].tokens, **penalties)[1] - 1e-9
        assert len({tuple(text.tokens) for text in found[sentence]}) == len(worths) <= width
        assert not any(repeats(text.tokens, no_repeat) for text in found[sentence])
        assert_same(only[sentence], found[sentence][:1])  # asking for one text changes only the work


LOSES_GREEDY = torch.tensor(
    [
        [0.00, 0.40, 0.30, 0.30, 0.00, 0.00],
        [0.02, 0.18, 0.20, 0.20, 0.19, 0.21],  # 1, the likeliest: 5 follows, and two texts are likelier than 1 5
        [0.00, 0.00, 0.00, 0.49, 0.51, 0.00],
        [0.00, 0.00, 0.00, 0.00, 1.00, 0.00],
        [1e-9, 0.00, 0.00, 0.00, 1.00, 0.00],  # but they find no end
        [1.00, 0.00, 0.00, 0.00, 0.00, 0.00],
    ]
).log()[None]


def test_greedy_is_followed_where_the_beam_would_lose_it():
    table = Table(LOSES_GREEDY, markov=True)
    assert greedy(table, table.start(), [6], DecodingSettings())[0].tokens == [1, 5]
    assert beam(table, table.start(), [6], DecodingSettings(beam=2), 2)[0][0].tokens == [1, 5]
    assert max(table.rows_seen) == 3  # greedy's row beside the two of the beam


class TwoStepsAhead(Table):
    """Has taken the first two steps of a beam of 2 by itself: 2 4, 2 3 and greedy's 1 5 go on."""

    def ahead(self, tokens, state, most):
        raise AssertionError("a beam does not write one text")

    def follow(self, state, width, most):
        scores = [math.log(p * q) for p, q in ((0.30, 0.51), (0.30, 0.49), (0.40, 0.21))]
        rows = Memory(*(part.expand(3) for part in state))
        return Followed([[0, 0], [1, 1, 0]], [[1, 2], [4, 3, 5]], None, scores, 2, rows)


def test_greedy_is_followed_on_after_steps_that_a_writer_took_by_itself():
    table = TwoStepsAhead(LOSES_GREEDY, markov=True)
    found = beam(table, table.start(), [6], DecodingSettings(beam=2), 2)[0]
    assert found[0].tokens == [1, 5]
    assert found[0].score == pytest.approx(math.log(0.40 * 0.21))
    assert table.rows_seen[0] == 3


def test_alternatives_are_as_many_as_the_beam_at_most():
    table = random_table(V=6)
    counts = [
        [len(texts) for texts in write(table, table.start(), [5, 0, 5], DecodingSettings(beam=4), alternatives=count)]
        for count in (1, 3, 9)
    ]
    assert counts == [[1, 1, 1], [3, 1, 3], [4, 1, 4]]


def test_coverage_penalty_prefers_the_text_that_reads_all_of_the_source():
    probabilities = torch.tensor([[0.0, 0.6, 0.4], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])[None]
    attention = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])[None].clone()
    attention[0, START] = torch.tensor([0.9, 0.1])
    attention[0, 1] = torch.tensor([1.0, 0.0])
    attention[0, 2] = torch.tensor([0.1, 0.9])
    table = Table(probabilities.log(), attention, markov=True)
    for penalty, tokens in ((0.0, [1]), (1.0, [2])):
        settings = DecodingSettings(beam=3, coverage_penalty=penalty)
        assert write(table, table.start(), [3], settings)[0][0].tokens == tokens


def test_a_source_step_never_attended_costs_much_but_not_everything():
    attention = torch.zeros(1, MEMORIES, 3)
    attention[..., 0] = 1.0
    table = Table(random_table(sentences=1).log_probabilities, attention)
    found = write(table, table.start(), [4], DecodingSettings(beam=5, coverage_penalty=1.0), alternatives=5)[0]
    plain = write(table, table.start(), [4], DecodingSettings(beam=5), alternatives=5)[0]
    assert_same(found, plain)  # all cost the same


# Greedy, and what holds for all


@pytest.mark.parametrize("markov", [False, True])
def test_greedy_writes_the_likeliest_token_of_each_step(markov):
    table = random_table(sentences=12, V=6, S=3, markov=markov)
    found = write(table, table.start(), [7] * 12, DecodingSettings(beam=1), source_lengths=source_lengths(12, 3))
    for sentence, (text,) in enumerate(found):
        tokens, number, last, rows = [], 0, START, []
        while len(tokens) < 7:
            number = table.after(number, last)
            last = int(np.argmax(table.log_probabilities[sentence, number].numpy()))
            if last == END:
                break
            tokens.append(last)
            rows.append(table.attention[sentence, number, : source_lengths(12, 3)[sentence]])
        assert text.tokens == tokens
        assert text.score == pytest.approx(judged(table, sentence, tokens)[0])
        assert torch.equal(text.attention, torch.stack(rows) if rows else torch.empty(0, text.attention.shape[1]))


WAYS = [
    {"beam": 1},
    {"beam": 4},
    {"beam": 3, "coverage_penalty": 0.5, "no_repeat": 2},
    {"temperature": 1.0},
    {"temperature": 0.7, "top_k": 3, "no_repeat": 2},
    {"temperature": 1.5, "top_p": 0.7},
]
each_way = pytest.mark.parametrize("way", WAYS, ids=str)


@each_way
@given(seed=st.integers(0, 10**6), data=st.data())
@property_settings(max_examples=25)
def test_a_sentence_is_written_alone_as_in_any_batch(way, seed, data):
    table = random_table(seed, sentences=7, V=6, S=5)
    longest, lengths = [6, 0, 9, 3, 4, 9, 1], source_lengths(7, 5)
    settings = DecodingSettings(**way)

    def written(sentences: list[int], writer: Table = table) -> list[list[Hypothesis]]:
        return write(
            writer, table.start(sentences), [longest[each] for each in sentences], settings,
            seed=3, numbers=sentences, alternatives=3, source_lengths=[lengths[each] for each in sentences],
        )  # fmt: skip

    together = written(list(range(7)))
    batch = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=9))
    for sentence, texts in zip(batch, written(batch), strict=True):
        assert_same(texts, together[sentence])
    for sentence in set(batch):
        unpadded = Table(table.log_probabilities, table.attention[..., : lengths[sentence]])
        assert_same(written([sentence], unpadded)[0], together[sentence])


def test_rows_that_are_done_leave_the_batch():
    logits = torch.zeros(3, 5, 5)  # sentence n writes 1, 2 ... n and ends
    for sentence, token in itertools.product(range(3), range(5)):
        logits[sentence, token, token + 1 if token < sentence + 1 else END] = 60.0
    table = Table(logits.log_softmax(-1), markov=True)
    for way in ({"beam": 1}, {"temperature": 1.0}):
        table.rows_seen = []
        assert texts_of(write(table, table.start(), [9] * 3, DecodingSettings(**way))) == [[[1]], [[1, 2]], [[1, 2, 3]]]
        assert table.rows_seen == [3, 3, 2, 1]
    table.rows_seen = []
    assert texts_of(write(table, table.start(), [9] * 3, DecodingSettings(beam=4)))[2] == [[1, 2, 3]]
    assert table.rows_seen[0] == 3 and table.rows_seen[-1] < table.rows_seen[1] <= 12
    assert len(table.rows_seen) == 4  # what is sure to be worse is not followed to the end


@pytest.mark.parametrize("way", [{"beam": 1}, {"beam": 3}, {"temperature": 1.0}], ids=str)
def test_a_text_is_ended_at_its_longest_and_end_counts(way):
    table = plain_table([0.001, 0.333, 0.666])
    found = write(table, table.start([0, 0, 0]), [0, 1, 4], DecodingSettings(**way))
    assert [len(texts[0].tokens) for texts in found] == [0, 1, 4]
    for (text,) in found:
        assert text.score == pytest.approx(judged(table, 0, text.tokens)[0])
    assert len(table.rows_seen) == 5


@pytest.mark.parametrize("way", [{"beam": 1}, {"beam": 3}, {"temperature": 1.0}], ids=str)
@pytest.mark.parametrize("run", [1, 2, 3])
def test_no_run_is_written_twice(way, run):
    table = plain_table([0.001, 0.3, 0.699])
    (texts,) = write(table, table.start(), [40], DecodingSettings(no_repeat=run, **way), alternatives=3)
    for text in texts:
        assert not repeats(text.tokens, run)
        assert text.score == pytest.approx(judged(table, 0, text.tokens)[0])
    free = write(table, table.start(), [40], DecodingSettings(**way))[0][0]
    assert repeats(free.tokens, run)


@pytest.mark.parametrize("way", [{"beam": 1}, {"beam": 3}, {"temperature": 1.0, "top_p": 0.9}], ids=str)
def test_a_text_that_can_only_repeat_is_ended(way):
    table = plain_table([0.0, 0.4, 0.6])
    (texts,) = write(table, table.start(), [9], DecodingSettings(no_repeat=1, **way))
    assert sorted(texts[0].tokens) == [1, 2]
    assert texts[0].score == -math.inf  # what END is worth to this writer, and no NaN


def test_of_equal_tokens_the_lower_id_goes_first():
    even = plain_table([0.25] * 4)
    assert greedy(even, even.start(), [3], DecodingSettings())[0].tokens == []
    many = torch.full((1, MEMORIES, 300), 0.9 / 299)
    many[..., END] = 0.1 / 299
    table = Table(many.log())
    found = write(table, table.start(), [1], DecodingSettings(beam=4), alternatives=4)
    assert texts_of(found) == [[[1], [2], [3], [4]]]
    drawn = write(table, table.start([0] * 500), [1] * 500, DecodingSettings(temperature=1.0, top_k=3))
    assert {tuple(text.tokens) for (text,) in drawn} == {(1,), (2,), (3,)}


def test_without_sentences_nothing_is_written():
    assert write(random_table(), None, [], DecodingSettings()) == []


@pytest.mark.parametrize("wrong", [math.nan, "one nan", -math.inf, 2.5, math.inf])
@each_way
def test_a_writer_that_gives_no_probabilities_is_refused(way, wrong):
    table = random_table(V=5)
    broken = table.log_probabilities
    if wrong == "one nan":
        broken[1, :, 2] = math.nan
    else:
        broken[1] = wrong
    with pytest.raises(SeqloomError, match=r"highest log-probability of token 1 .*must be a number, and at most 0"):
        write(table, table.start(), [4] * 3, DecodingSettings(**way))


def test_arguments_that_do_not_fit_are_refused():
    table = random_table()
    for fault, error in (
        ({"longest": [1, -1, 1]}, LengthError),
        ({"numbers": [1]}, LengthError),
        ({"source_lengths": [1, 2]}, LengthError),
        ({"alternatives": 0}, ConfigError),
    ):
        with pytest.raises(error):
            write(table, table.start(), **{"longest": [1, 1, 1], "settings": DecodingSettings(), **fault})
