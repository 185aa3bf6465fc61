"""The last real step, and the sizes that wrapped layers give."""

import pytest
import torch

from seqloom.nn import GRU, LSTM, Bidirectional, Last, SimpleRNN, Stack, last_hidden

LENGTHS = [5, 2, 1]


@pytest.mark.parametrize("layer", [SimpleRNN(3, 4), LSTM(3, 4), GRU(3, 4), Stack([GRU(3, 2), LSTM(2, 4)])])
def test_last_is_the_output_at_the_last_real_step(layer: torch.nn.Module) -> None:
    outputs, state = layer(torch.randn(3, 5, 3), LENGTHS)
    expected = torch.stack([outputs[row, length - 1] for row, length in enumerate(LENGTHS)])
    torch.testing.assert_close(Last()((outputs, state)), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "make", [lambda: Bidirectional(LSTM(3, 4)), lambda: Stack([GRU(3, 3), Bidirectional(GRU(3, 4))])]
)
def test_last_of_both_readings_is_the_end_of_each(make) -> None:
    outputs, state = make()(torch.randn(3, 5, 3), LENGTHS)
    for row, length in enumerate(LENGTHS):
        expected = torch.cat([outputs[row, length - 1, :4], outputs[row, 0, 4:]])
        torch.testing.assert_close(last_hidden(state)[row], expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (SimpleRNN(3, 4), 4),
        (LSTM(3, 4), 4),
        (Bidirectional(LSTM(3, 4)), 8),
        (Stack([Bidirectional(LSTM(3, 4)), GRU(8, 5)]), 5),
    ],
)
def test_output_size_is_the_size_of_the_outputs(layer, size: int) -> None:
    assert layer.output_size == size == layer(torch.zeros(1, 2, 3))[0].shape[-1]
    assert layer.input_size == 3


def test_a_stacks_trace_has_the_trace_of_every_layer_in_its_residual_stream() -> None:
    layers = [GRU(3, 4), Bidirectional(LSTM(4, 2)), LSTM(4, 4)]
    x = torch.randn(3, 5, 3)
    one = layers[0](x, LENGTHS)[0]
    two = layers[1](one, LENGTHS)[0] + one
    traced = Stack(layers, residual=True).trace(x, LENGTHS)
    torch.testing.assert_close(traced[2].hidden, layers[2](two, LENGTHS)[0], rtol=0, atol=0)
