"""Lengths, real steps and the reversal within them, held against plain Python lists."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from seqloom.shapes import check_lengths, reverse_within, valid_steps

rows_of_lengths = st.integers(0, 7).flatmap(
    lambda time: st.tuples(st.just(time), st.lists(st.integers(0, time), max_size=5))
)


@given(rows_of_lengths)
def test_each_row_is_reversed_within_its_length_and_padding_stays(drawn: tuple[int, list[int]]) -> None:
    time, lengths = drawn
    x = torch.arange(len(lengths) * time * 2, dtype=torch.float32).reshape(len(lengths), time, 2)
    turned = reverse_within(x, torch.tensor(lengths, dtype=torch.int64))
    expected = [row[:length][::-1] + row[length:] for row, length in zip(x.tolist(), lengths, strict=True)]
    assert turned.tolist() == expected


@given(rows_of_lengths)
def test_reversing_twice_changes_nothing(drawn: tuple[int, list[int]]) -> None:
    time, lengths = drawn
    x, steps = torch.randn(len(lengths), time, 2, 3), torch.tensor(lengths, dtype=torch.int64)
    assert torch.equal(reverse_within(reverse_within(x, steps), steps), x)


@given(rows_of_lengths)
def test_real_steps_are_the_first_ones(drawn: tuple[int, list[int]]) -> None:
    time, lengths = drawn
    valid = valid_steps(torch.tensor(lengths, dtype=torch.int64), time)
    assert valid.tolist() == [[step < length for step in range(time)] for length in lengths]


@given(rows_of_lengths)
def test_lengths_are_kept_as_they_are_and_default_to_every_step(drawn: tuple[int, list[int]]) -> None:
    time, lengths = drawn
    x = torch.zeros(len(lengths), time, 3)
    assert check_lengths(lengths, x).tolist() == lengths
    assert check_lengths(None, x).tolist() == [time] * len(lengths)
    assert check_lengths(lengths, x).dtype == check_lengths(None, x).dtype == torch.int64
