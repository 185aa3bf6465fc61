"""Parameters are counted as in the textbook, and the summary shows where each of them is."""

import math

import pytest
import torch
from torch import nn

from seqloom.nn import GRU, LSTM, Bidirectional, Last, SimpleRNN, Stack, summary


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_three_units_on_five_inputs_and_one_sigmoid_unit_have_31_parameters() -> None:
    model = nn.Sequential(SimpleRNN(5, 3), Last(), nn.Linear(3, 1), nn.Sigmoid())
    assert model(torch.zeros(2, 4, 5)).shape == (2, 1)
    assert count(model) == 31
    assert str(summary(model)) == (
        "layer        what              how many  parameters\n"
        "0 SimpleRNN  input weights     5·3               15\n"
        "0 SimpleRNN  feedback weights  3·3                9\n"
        "0 SimpleRNN  bias              3                  3\n"
        "2 Linear     weights           3·1                3\n"
        "2 Linear     bias              1                  1\n"
        "total                                            31"
    )


@pytest.mark.parametrize(("i", "h"), [(5, 3), (1, 1), (7, 2)])
def test_parameters_count_as_in_the_textbook(i: int, h: int) -> None:
    gate = i * h + h * h + h
    assert count(SimpleRNN(i, h)) == gate
    assert count(LSTM(i, h)) == 4 * gate
    assert count(GRU(i, h)) == 3 * gate
    assert count(GRU(i, h, reset_after=True)) == 3 * gate + h
    assert count(GRU(i, h, reset_after=True, bias=False)) == 3 * (gate - h)
    assert count(LSTM(i, h, bias=False)) == 4 * (gate - h)
    assert count(LSTM(i, h, layer_norm=True)) == 4 * gate + 8 * h
    assert count(LSTM(i, h, initial_state="learned")) == 4 * gate + 2 * h
    assert count(GRU(i, h, initial_state="learned")) == 3 * gate + h
    assert count(Bidirectional(LSTM(i, h))) == 8 * gate


MODELS = [
    GRU(5, 3, reset_after=True, layer_norm=True, initial_state="learned"),
    Stack([Bidirectional(LSTM(5, 3)), LSTM(6, 2, initial_state="learned")]),
    nn.Sequential(nn.Embedding(9, 5), SimpleRNN(5, 3, initial_state="learned"), Last(), nn.Linear(3, 2)),
    nn.LSTM(3, 4, bidirectional=True),
    nn.Conv1d(3, 4, 5),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_the_arithmetic_of_each_row_gives_its_count_and_the_rows_the_total(model: nn.Module) -> None:
    counted = summary(model)
    assert counted.total == counted.trained == count(model)
    for row in counted.rows:
        assert math.prod(int(size) for size in row.arithmetic.split("·")) == row.parameters
        assert not row.meaning.isdecimal()


def test_gates_are_shown_as_a_factor() -> None:
    rows = {(row.place, row.meaning): row.arithmetic for row in summary(MODELS[0]).rows}
    assert rows == {
        ("GRU", "input weights"): "3·5·3",
        ("GRU", "feedback weights"): "3·3·3",
        ("GRU", "bias"): "3·3",
        ("GRU", "bias inside the reset"): "3",
        ("GRU", "layer norm of the input"): "3·3",
        ("GRU", "layer norm of the feedback"): "3·3",
        ("first_state ParameterList", "first state"): "3",
    }


def test_weights_used_twice_count_once() -> None:
    embedding, output = nn.Embedding(9, 5), nn.Linear(5, 9, bias=False)
    output.weight = embedding.weight
    assert summary(nn.Sequential(embedding, output)).total == 45


def test_kept_weights_are_told_apart() -> None:
    model = nn.Sequential(nn.Embedding(9, 5), nn.Linear(5, 2))
    model[0].weight.requires_grad_(False)
    counted = summary(model)
    assert (counted.total, counted.trained) == (57, 12)
    assert str(counted).endswith("of these 12 are trained and 45 are kept as they are")
