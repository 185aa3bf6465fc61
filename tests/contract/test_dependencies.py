"""What may move what: time, direction, padding and the rows of a batch, found by moving one number at a time."""

import math

import pytest
import torch
from torch import Tensor

from seqloom.nn import GRU, LSTM, Bidirectional, Stack
from tests.contract.layers import (
    ALL,
    INPUT,
    WRAPPED,
    Case,
    Layer,
    build,
    close,
    paths,
    random_state,
    singles,
    state_like,
)
from tests.contract.test_equations import traces

pytestmark = pytest.mark.usefixtures("path")
LENGTHS = [6, 4, 0, 1]
TIME = 6
of_each_case = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
BOTH = [case for case in WRAPPED if case.name.startswith("both-")]
ONE_WAY = [case for case in ALL if not any(isinstance(part, Bidirectional) for part in case.make().modules())]


def inputs() -> Tensor:
    torch.default_generator.manual_seed(1)
    return torch.randn(len(LENGTHS), TIME, INPUT)


def moved_steps(before: Tensor, after: Tensor) -> set[tuple[int, int]]:
    """The (row, step) pairs whose outputs differ."""
    return {(int(row), int(step)) for row, step in (before != after).any(dim=-1).nonzero()}


def perturbed(x: Tensor, *, row: int, step: int) -> Tensor:
    x = x.clone()
    x[row, step] += 0.5
    return x


def may_rest(case: Case) -> bool:
    """A ReLU unit may be off, so that its output stays where it is."""
    return "rnn_relu" in case.name


def assert_moved(before: Tensor, after: Tensor, expected: set[tuple[int, int]], *, case: Case) -> None:
    moved = moved_steps(before, after)
    assert moved <= expected
    assert may_rest(case) or moved == expected


@pytest.mark.parametrize("case", ONE_WAY, ids=lambda case: case.name)
def test_a_step_moves_itself_and_the_future_of_its_row(case: Case) -> None:
    layer, x = build(case), inputs()
    before, _ = layer(x, LENGTHS)
    for row, step in [(0, 2), (0, 5), (1, 3), (1, 0)]:
        after, _ = layer(perturbed(x, row=row, step=step), LENGTHS)
        assert_moved(before, after, {(row, t) for t in range(step, LENGTHS[row])}, case=case)


@pytest.mark.parametrize("case", BOTH, ids=lambda case: case.name)
def test_the_backward_reading_carries_a_step_only_to_the_past(case: Case) -> None:
    layer, x = build(case), inputs()
    before, _ = layer(x, LENGTHS)
    ahead, back = slice(0, before.shape[-1] // 2), slice(before.shape[-1] // 2, None)
    for row, step in [(0, 2), (1, 3), (1, 0)]:
        after, _ = layer(perturbed(x, row=row, step=step), LENGTHS)
        future = {(row, t) for t in range(step, LENGTHS[row])}
        past = {(row, t) for t in range(step + 1)}
        assert_moved(before[..., ahead], after[..., ahead], future, case=case)
        assert_moved(before[..., back], after[..., back], past, case=case)


@of_each_case
@pytest.mark.parametrize("filler", [1e30, math.nan])
def test_padding_reaches_no_output_no_state_and_no_gradient(case: Case, filler: float) -> None:
    answers = []
    for padding in (0.0, filler):
        layer, x = build(case), inputs()
        for row, length in enumerate(LENGTHS):
            x[row, length:] = padding
        x.requires_grad_()
        outputs, final = layer(x, LENGTHS)
        (outputs.sin().sum() + sum(path.sin().sum() for path in paths(final))).backward()
        traced = [value for trace in traces(layer.trace(x, LENGTHS)) for value in trace.gates.values()]
        gradients = {name: weight.grad for name, weight in layer.named_parameters()}
        answers.append((outputs, paths(final), traced, gradients, x.grad))
    torch.testing.assert_close(answers[1], answers[0], rtol=0, atol=0)


@of_each_case
def test_padding_gives_zeros_and_gets_no_gradient(case: Case) -> None:
    layer, x = build(case), inputs().requires_grad_()
    outputs, final = layer(x, LENGTHS)
    (outputs.sum() + sum(path.sum() for path in paths(final))).backward()
    for row, length in enumerate(LENGTHS):
        assert not outputs[row, length:].any()
        assert x.grad is not None
        assert not x.grad[row, length:].any()


@of_each_case
def test_nan_in_one_row_leaves_the_other_rows_alone(case: Case) -> None:
    layer, x = build(case), inputs()
    before, final_before = layer(x, LENGTHS)
    x[0, 1] = math.nan
    after, final_after = layer(x, LENGTHS)
    assert after[0].isnan().any()
    torch.testing.assert_close(after[1:], before[1:], rtol=0, atol=0)
    for one, other in zip(paths(final_after), paths(final_before), strict=True):
        torch.testing.assert_close(one[1:], other[1:], rtol=0, atol=0)


@of_each_case
def test_the_final_state_is_the_last_real_step_of_each_reading(case: Case) -> None:
    layer, x = build(case), inputs()
    state = random_state(layer, len(LENGTHS))
    _, final = layer(x, LENGTHS, state)
    hidden = [trace_paths for trace in traces(layer.trace(x, LENGTHS, state)) for trace_paths in _paths_of(trace)]
    backward = [number in _backward(layer) for number, one in enumerate(singles(layer)) for _ in one.state_type._fields]
    for last, first, steps, reads_back in zip(paths(final), paths(state), hidden, backward, strict=True):
        for row, length in enumerate(LENGTHS):
            if not length:
                torch.testing.assert_close(last[row], first[row], rtol=0, atol=0)
            else:
                torch.testing.assert_close(last[row], steps[row, 0 if reads_back else length - 1], rtol=0, atol=0)


def _paths_of(trace) -> list[Tensor]:
    return [trace.hidden] if trace.cell is None else [trace.hidden, trace.cell]


def _backward(layer: Layer) -> set[int]:
    """The numbers of those of `singles` that read back to front."""
    backs = {id(part.backward_layer) for part in layer.modules() if isinstance(part, Bidirectional)}
    return {number for number, single in enumerate(singles(layer)) if id(single) in backs}


@of_each_case
def test_a_row_alone_is_the_row_in_its_batch(case: Case) -> None:
    layer, x = build(case), inputs()
    together, final = layer(x, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone, alone_final = layer(x[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row, :length], **close())
        for one, many in zip(paths(alone_final), paths(final), strict=True):
            torch.testing.assert_close(one[0], many[row], **close())


@of_each_case
def test_rows_in_another_order_give_the_same_answers(case: Case) -> None:
    layer, x = build(case), inputs()
    order = [3, 1, 0, 2]
    outputs, _ = layer(x, LENGTHS)
    shuffled, _ = layer(x[order], [LENGTHS[row] for row in order])
    torch.testing.assert_close(shuffled, outputs[order], **close())


@pytest.mark.parametrize("case", ONE_WAY, ids=lambda case: case.name)
@pytest.mark.parametrize("piece", [1, 4])
def test_a_sequence_in_pieces_is_the_whole_sequence(case: Case, piece: int) -> None:
    layer, x = build(case), inputs()
    whole, final = layer(x, LENGTHS)
    state, pieces = None, []
    for start in range(0, TIME, piece):
        part = x[:, start : start + piece]
        lengths = [min(max(length - start, 0), part.shape[1]) for length in LENGTHS]
        outputs, state = layer(part, lengths, state)
        pieces.append(outputs)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, **close())
    torch.testing.assert_close(paths(state), paths(final), **close())


@of_each_case
def test_the_trace_tells_what_forward_did(case: Case) -> None:
    layer, x = build(case), inputs()
    top = layer.parts[-1] if isinstance(layer, Stack) else layer
    below = Stack(layer.parts[:-1], residual=layer.residual) if isinstance(layer, Stack) else None
    if below is not None:
        x, _ = below(x, LENGTHS)
    outputs, _ = top(x, LENGTHS)
    traced = torch.cat([trace.hidden for trace in traces(top.trace(x, LENGTHS))], dim=-1)
    torch.testing.assert_close(traced, outputs, rtol=0, atol=0)


@of_each_case
def test_every_path_of_a_given_state_is_used_in_its_own_place(case: Case) -> None:
    layer, x = build(case), inputs()
    given = paths(random_state(layer, len(LENGTHS)))
    before, _ = layer(x, LENGTHS, state_like(layer, list(given)))
    for number, path in enumerate(given):
        moved = [*given[:number], path + 0.5, *given[number + 1 :]]
        after, _ = layer(x, LENGTHS, state_like(layer, moved))
        rows = {row for row, _ in moved_steps(before, after)}
        assert rows <= {0, 1, 3}
        assert may_rest(case) or rows == {0, 1, 3}


@of_each_case
def test_strides_change_nothing(case: Case) -> None:
    layer, x = build(case), inputs()
    wanted, _ = layer(x, LENGTHS)
    for strided in (x.transpose(0, 1).contiguous().transpose(0, 1), torch.stack([x, -x], dim=-1)[..., 0]):
        assert not strided.is_contiguous()
        torch.testing.assert_close(layer(strided, LENGTHS)[0], wanted, **close())
    one = x[:1, :1].expand(3, TIME, INPUT)
    torch.testing.assert_close(layer(one)[0], layer(one.contiguous())[0], **close())


@of_each_case
def test_lengths_may_be_a_list_or_any_whole_numbers(case: Case) -> None:
    layer, x = build(case), inputs()
    wanted, _ = layer(x, LENGTHS)
    for dtype in (torch.int64, torch.int32, torch.uint8):
        torch.testing.assert_close(layer(x, torch.tensor(LENGTHS, dtype=dtype))[0], wanted, rtol=0, atol=0)
    full, _ = layer(x)
    torch.testing.assert_close(layer(x, [TIME] * len(LENGTHS))[0], full, rtol=0, atol=0)


@of_each_case
@pytest.mark.parametrize(("batch", "time"), [(0, 4), (2, 0), (0, 0), (1, 1)])
def test_empty_batches_and_sequences_are_answered(case: Case, batch: int, time: int) -> None:
    layer = build(case)
    state = random_state(layer, batch)
    outputs, final = layer(torch.zeros(batch, time, INPUT), [time] * batch, state)
    assert outputs.shape[:2] == (batch, time)
    if not time:
        torch.testing.assert_close(paths(final), paths(state), rtol=0, atol=0)


@of_each_case
def test_a_final_state_has_the_type_that_the_layer_takes(case: Case) -> None:
    layer, x = build(case), inputs()
    _, final = layer(x, LENGTHS)
    again = state_like(layer, paths(final))
    assert _types(final) == _types(again)
    layer(x, LENGTHS, final)


def _types(state: object) -> object:
    parts = state if isinstance(state, tuple) else ()
    return type(state), [_types(part) for part in parts]


@pytest.mark.parametrize("lengths", [None, [TIME] * len(LENGTHS)])
def test_rows_without_padding_are_not_masked(lengths: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies of everything that is read and answered, saved where there is nothing to hide."""
    masked = []
    monkeypatch.setattr(Tensor, "masked_fill", lambda *arguments: masked.append(arguments))
    GRU(INPUT, 4)(inputs(), lengths)
    assert not masked


def test_padding_reaches_nothing_where_every_row_has_a_step() -> None:
    layer, x, lengths = LSTM(3, 4), torch.randn(3, 5, 3), [5, 1, 3]
    spoilt = x.clone()
    spoilt[1, 1:] = spoilt[2, 3:] = math.nan
    outputs, last = layer(spoilt, lengths)
    assert not outputs[1, 1:].any() and not outputs[2, 3:].any()
    assert torch.equal(outputs, layer(x, lengths)[0])
    (outputs.sum() + last.cell.sum()).backward()
    assert all(weight.grad.isfinite().all() for weight in layer.parameters())
