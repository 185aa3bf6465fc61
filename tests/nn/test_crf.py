"""The proof of the CRF: every way to tag a short sentence, counted one by one; gradients; blind to padding."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from seqloom.errors import ConfigError
from seqloom.nn import CRF

LENGTHS = [4, 1, 3, 0]


def crf_of(tags: int = 3, *, dtype: torch.dtype = torch.float64) -> CRF:
    """Weights that are all distinct."""
    torch.manual_seed(1)
    crf = CRF(tags).to(dtype)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf


def scores_of(rows: int = 4, time: int = 4, tags: int = 3) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(rows, time, tags, dtype=torch.float64)


def all_ways(crf: CRF, scores: Tensor) -> dict[tuple[int, ...], float]:
    """The score of each way to tag one row (T, K), by the definition."""
    start, change, end = (part.tolist() for part in (crf.start, crf.change, crf.end))
    table = scores.tolist()
    ways = {}
    for tags in itertools.product(range(len(start)), repeat=len(table)):
        score = sum(table[step][tag] for step, tag in enumerate(tags))
        score += sum(change[one][next_one] for one, next_one in itertools.pairwise(tags))
        ways[tags] = score + (start[tags[0]] + end[tags[-1]] if tags else 0.0)
    return ways


@pytest.mark.parametrize("row", range(len(LENGTHS)))
def test_all_ways_to_tag_a_row_are_counted(row: int) -> None:
    crf, scores, lengths = crf_of(), scores_of(), torch.tensor(LENGTHS)
    ways = all_ways(crf, scores[row, : LENGTHS[row]])
    total = math.log(sum(map(math.exp, ways.values())))
    assert crf.log_partition(scores, lengths)[row].item() == pytest.approx(total, abs=1e-10)
    best = max(ways, key=lambda tags: ways[tags])
    assert tuple(crf.best(scores, lengths)[row, : LENGTHS[row]].tolist()) == best
    for tags in list(ways)[:: max(1, len(ways) // 9)]:
        given = torch.zeros(4, 4, dtype=torch.int64)
        given[row, : len(tags)] = torch.tensor(tags, dtype=torch.int64)
        found = crf.log_likelihood(scores, lengths, given)[row].item()
        assert found == pytest.approx(ways[tags] - total, abs=1e-10)


def test_marginals_are_the_shares_of_all_ways() -> None:
    crf, scores, lengths = crf_of(), scores_of(), torch.tensor(LENGTHS)
    with torch.inference_mode():
        found = crf.marginals(scores.clone(), lengths)
    for row, length in enumerate(LENGTHS):
        ways = all_ways(crf, scores[row, :length])
        total = sum(map(math.exp, ways.values()))
        for step in range(length):
            for tag in range(3):
                share = sum(math.exp(score) for tags, score in ways.items() if tags[step] == tag) / total
                assert found[row, step, tag].item() == pytest.approx(share, abs=1e-10)
        assert not found[row, length:].any()


def test_gradients_are_those_of_finite_differences() -> None:
    crf, lengths = crf_of(), torch.tensor(LENGTHS)
    tags = torch.tensor([[0, 2, 1, 1], [2, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    names = [name for name, _ in crf.named_parameters()]

    def loss(scores: Tensor, *weights: Tensor) -> Tensor:
        call = dict(zip(names, weights, strict=True))
        found: Tensor = torch.func.functional_call(_Likelihood(crf), {f"crf.{k}": w for k, w in call.items()}, scores)
        return found

    class _Likelihood(torch.nn.Module):
        def __init__(self, crf: CRF) -> None:
            super().__init__()
            self.crf = crf

        def forward(self, scores: Tensor) -> Tensor:
            return self.crf.log_likelihood(scores, lengths, tags)

    weights = [parameter.detach().clone().requires_grad_() for parameter in crf.parameters()]
    assert gradcheck(loss, (scores_of().requires_grad_(), *weights))


def test_padding_is_never_read() -> None:
    """NaN at padding, and tags there that do not exist: neither results nor gradients may know."""
    crf, lengths = crf_of(), torch.tensor(LENGTHS)
    tags = torch.tensor([[0, 2, 1, 1], [2, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    clean = scores_of()
    padding = torch.arange(4) >= lengths[:, None]
    dirty = clean.masked_fill(padding[..., None], torch.nan).requires_grad_()
    dirty_tags = tags.masked_fill(padding, -99)
    assert torch.equal(crf.log_likelihood(dirty, lengths, dirty_tags), crf.log_likelihood(clean, lengths, tags))
    assert torch.equal(crf.best(dirty, lengths), crf.best(clean, lengths))
    crf.log_likelihood(dirty, lengths, dirty_tags).sum().backward()
    assert dirty.grad is not None and torch.isfinite(dirty.grad).all()
    assert not dirty.grad[padding].any()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in crf.parameters())


def test_a_row_alone_is_tagged_as_in_any_batch() -> None:
    crf = crf_of(7, dtype=torch.float32)
    torch.manual_seed(3)
    lengths = torch.randint(1, 12, (40,))
    scores = torch.randn(40, 11, 7)
    together = crf.best(scores, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = crf.best(scores[row : row + 1, :length], lengths[row : row + 1])
        assert torch.equal(alone[0], together[row, :length])
        assert not together[row, length:].any()


def test_large_scores_neither_overflow_nor_vanish() -> None:
    crf = crf_of()
    scores = scores_of() * 1e4
    tags = crf.best(scores, torch.tensor(LENGTHS))
    likelihood = crf.log_likelihood(scores, torch.tensor(LENGTHS), tags)
    assert torch.isfinite(likelihood).all() and (likelihood <= 1e-6).all() and (likelihood > -1).all()


def test_no_steps_and_no_rows_are_fine() -> None:
    crf = crf_of()
    empty = torch.zeros(2, 0, 3, dtype=torch.float64)
    assert crf.log_partition(empty, torch.tensor([0, 0])).tolist() == [0, 0]
    assert crf.best(empty, torch.tensor([0, 0])).shape == (2, 0)
    none = torch.zeros(0, 2, 3, dtype=torch.float64)
    assert crf.best(none, torch.zeros(0, dtype=torch.int64)).shape == (0, 2)


def test_without_tags_there_is_no_crf() -> None:
    with pytest.raises(ConfigError, match=r"^CRF: tags is 0\. It must be a whole number from 1 on\.$"):
        CRF(0)
