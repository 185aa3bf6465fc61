"""One step of each cell, at the ends of its gates: what is kept, what is written, what is shown."""

import pytest
import torch
from torch import Tensor

from seqloom.cells import (
    CellParameters,
    feedback,
    gru_reset_after_step,
    gru_step,
    lstm_step,
    project,
    simple_rnn_step,
)
from seqloom.shapes import LSTMState, RNNState

H = 3
OPEN, SHUT = 1e4, -1e4


def without_weights(gates: int) -> CellParameters:
    """Products that are all zero, so that `drive` alone decides."""
    return CellParameters(weight_input=torch.zeros(2, gates * H), weight_hidden=torch.zeros(H, gates * H))


def drive(*gates: float) -> Tensor:
    return torch.cat([torch.full((2, H), gate) for gate in gates], dim=-1)


def random_weights(gates: int) -> CellParameters:
    return CellParameters(weight_input=torch.randn(2, gates * H), weight_hidden=torch.randn(H, gates * H))


def test_an_lstm_whose_forget_gate_alone_is_open_keeps_its_long_term_path() -> None:
    before = LSTMState(torch.randn(2, H), torch.randn(2, H))
    after, _ = lstm_step(without_weights(4), drive(SHUT, OPEN, 0.7, SHUT), before)
    torch.testing.assert_close(after.cell, before.cell)
    assert not after.hidden.any()


def test_an_lstm_whose_input_gate_alone_is_open_writes_the_candidate() -> None:
    before = LSTMState(torch.randn(2, H), torch.randn(2, H))
    after, gates = lstm_step(without_weights(4), drive(OPEN, SHUT, 0.7, OPEN), before)
    torch.testing.assert_close(after.cell, torch.tensor(0.7).tanh().expand(2, H))
    torch.testing.assert_close(after.hidden, after.cell.tanh())
    torch.testing.assert_close(gates.candidate, after.cell)


@pytest.mark.parametrize("step", [gru_step, gru_reset_after_step])
def test_a_gru_keeps_where_update_is_open_and_writes_where_it_is_shut(step) -> None:
    before = RNNState(torch.randn(2, H))
    kept, _ = step(without_weights(3), drive(0.0, OPEN, 0.7), before)
    written, gates = step(without_weights(3), drive(0.0, SHUT, 0.7), before)
    torch.testing.assert_close(kept.hidden, before.hidden)
    torch.testing.assert_close(written.hidden, torch.tensor(0.7).tanh().expand(2, H))
    torch.testing.assert_close(gates.candidate, written.hidden)


@pytest.mark.parametrize("step", [gru_step, gru_reset_after_step])
def test_a_gru_whose_reset_is_shut_writes_as_if_it_had_no_memory(step) -> None:
    p, before = random_weights(3), RNNState(torch.randn(2, H))
    nothing = RNNState(torch.zeros(2, H))
    shut = drive(SHUT, 0.0, 0.7)
    torch.testing.assert_close(step(p, shut, before)[1].candidate, step(p, shut, nothing)[1].candidate)


def test_the_forms_of_the_gru_agree_only_where_reset_is_all_or_nothing() -> None:
    p, before = random_weights(3), RNNState(torch.randn(2, H))
    for reset in (OPEN, SHUT):
        one, other = (step(p, drive(reset, 0.0, 0.7), before)[0].hidden for step in (gru_step, gru_reset_after_step))
        torch.testing.assert_close(one, other)
    p.weight_hidden[:, :H] = torch.randn(H, H)
    one, other = (step(p, drive(0.0, 0.0, 0.7), before)[0].hidden for step in (gru_step, gru_reset_after_step))
    assert not torch.allclose(one, other)


def test_a_simple_rnn_feeds_its_output_back() -> None:
    p, before = random_weights(1), RNNState(torch.randn(2, H))
    after, gates = simple_rnn_step(p, drive(0.4), before, activation=lambda sums: sums)
    torch.testing.assert_close(after.hidden, 0.4 + before.hidden @ p.weight_hidden)
    assert gates == ()


def test_the_products_of_a_cell_are_those_of_its_columns() -> None:
    p = random_weights(4)._replace(bias=torch.randn(4 * H))
    x, hidden = torch.randn(5, 2, 2), torch.randn(2, H)
    for row, column in [(0, 0), (4, 1)]:
        expected = sum(x[row, column, i] * p.weight_input[i] for i in range(2)) + p.bias
        torch.testing.assert_close(project(p, x)[row, column], expected)
    whole = feedback(p, hidden)
    torch.testing.assert_close(feedback(p, hidden, gates=slice(H, 3 * H)), whole[:, H : 3 * H])


def test_the_mask_falls_on_what_is_fed_back() -> None:
    p, hidden = random_weights(3), torch.randn(2, H)
    masked = p._replace(hidden_mask=torch.tensor([[0.0, 2.0, 0.0], [2.0, 0.0, 2.0]]))
    torch.testing.assert_close(feedback(masked, hidden), feedback(p, hidden * masked.hidden_mask))
