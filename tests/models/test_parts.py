"""Tokens as a model reads them: a small table whole, of which products are kept, or one vector a different token."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from seqloom.models import parts
from seqloom.nn import LSTM
from seqloom.shapes import Batch

BATCH = Batch(torch.tensor([[3, 1, 3, 0], [2, 4, 0, 0]]), torch.tensor([3, 2]))


def read(table: nn.Embedding, layer: LSTM, dropout: nn.Module) -> Tensor:
    tokens = parts.read_tokens(table, BATCH, dropout=dropout, word_dropout=0.0)
    outputs: Tensor = layer(tokens, BATCH.lengths)[0]
    return outputs


@torch.no_grad()
def test_a_small_table_gives_the_bits_of_its_tokens_whatever_becomes_of_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, layer, dropout = nn.Embedding(6, 5).eval(), LSTM(5, 4), nn.Dropout(0.5).eval()
    found = []
    for changed in (None, table.weight, layer.weight_input, layer.bias):
        if changed is not None:
            changed.normal_()  # in the same memory: what is kept of it must not be taken for it
        whole = read(table, layer, dropout)
        with monkeypatch.context() as patch:
            patch.setattr(parts, "SMALL", 0)
            assert torch.equal(read(table, layer, dropout), whole)
        found.append(whole)
    assert all(not torch.equal(one, other) for one, other in pairwise(found))


@torch.no_grad()
def test_a_small_table_is_read_whole_only_where_nothing_is_dropped() -> None:
    table = nn.Embedding(6, 5).eval()
    assert len(parts.read_tokens(table, BATCH, dropout=nn.Dropout(0.5).eval(), word_dropout=0.0).vectors) == 6
    dropped = parts.read_tokens(table, BATCH, dropout=nn.Dropout(0.5), word_dropout=0.0).vectors
    assert len(dropped) == 5
    assert (dropped == 0).any()
