"""One-hot vectors say which token it is, and padding says nothing."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from seqloom.nn import OneHot


@given(st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), max_size=4))
def test_each_token_has_a_one_at_its_own_place_and_padding_has_none(rows: list[list[int]]) -> None:
    vectors = OneHot(7)(torch.tensor(rows, dtype=torch.int64).reshape(-1, 3))
    expected = [[[float(place == token != 0) for place in range(7)] for token in row] for row in rows]
    assert vectors.tolist() == expected


def test_one_hot_learns_nothing_and_holds_nothing() -> None:
    layer = OneHot(7)
    assert not list(layer.parameters())
    assert not list(layer.buffers())
