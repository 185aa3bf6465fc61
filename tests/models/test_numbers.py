"""Models of numbers, compared with loops in float64 and with themselves in other batches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqloom.config import ModelSettings
from seqloom.models import Dense, ManyToOne
from seqloom.models.many_to_one import framed
from seqloom.shapes import Batch

CHANNELS = 3


def filled(model: Any) -> Any:
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def reader(frames: int = 1, **settings: Any) -> ManyToOne:
    chosen = ModelSettings(hidden_size=4, cell="gru", **settings)
    model = ManyToOne(chosen, input_size=CHANNELS, frames=frames, outputs=3, problem="multiclass")
    return filled(model)  # type: ignore[no-any-return]


def batch_of(lengths: list[int], *, longest: int | None = None, padding: float = 0.0) -> Batch:
    """Series of random numbers, the same for the same place, with `padding` behind them."""
    generator = torch.Generator().manual_seed(1)
    whole = torch.randn(len(lengths), 20, CHANNELS, generator=generator)[:, : longest or max(lengths)].clone()
    for row, length in enumerate(lengths):
        whole[row, length:] = padding
    return Batch(whole, torch.tensor(lengths))


@pytest.mark.parametrize("frames", [1, 2, 3, 50])
def test_frames_are_steps_side_by_side(frames: int) -> None:
    batch = batch_of([5, 7, 1], padding=9.0)
    values, lengths = framed(batch, frames)
    for row, length in enumerate([5, 7, 1]):
        steps = -(-length // frames)
        assert int(lengths[row]) == steps
        for step in range(steps):
            wanted = [
                number
                for at in range(step * frames, step * frames + frames)
                for number in (batch.values[row, at].tolist() if at < length else [0.0] * CHANNELS)
            ]
            assert values[row, step].tolist() == wanted


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_neighbours_and_padding_change_no_bit_of_a_series(either_path: str, frames: int, pooling: str) -> None:
    model = reader(frames, pooling=pooling)
    with torch.inference_mode():
        together = model(batch_of([5, 11, 2], longest=16, padding=7.0))
        for row, length in enumerate([5, 11, 2]):
            values, _ = batch_of([5, 11, 2])
            alone: Tensor = model(Batch(values[row : row + 1, :length], torch.tensor([length])))
            if either_path == "fused_cpu":
                assert torch.equal(alone[0], together[row])
            else:
                torch.testing.assert_close(alone[0], together[row])


def test_the_order_of_steps_tells() -> None:
    model, (values, lengths) = reader(), batch_of([6])
    assert not torch.allclose(model(Batch(values, lengths)), model(Batch(values.flip(1), lengths)))


@pytest.mark.parametrize("layers", [1, 2])
def test_dense_layers_equal_a_loop_in_float64(layers: int) -> None:
    settings = ModelSettings(hidden_size=5, num_layers=layers)
    model = filled(Dense(settings, input_size=CHANNELS, outputs=2, problem="binary"))
    batch = batch_of([1] * 4)
    found = model(batch).detach().double().numpy()
    for row in range(4):
        read = batch.values[row, 0].double().numpy()
        for layer in model.layers:
            read = np.maximum(layer.weight.detach().double().numpy() @ read + layer.bias.detach().double().numpy(), 0)
        logit = model.head.weight.detach().double().numpy() @ read + model.head.bias.detach().double().numpy()
        np.testing.assert_allclose(found[row], logit, rtol=1e-5)
    assert torch.equal(model(Batch(batch.values[2:3], batch.lengths[2:3]))[0], model(batch)[2])
    assert len(list(model.parameters())) == 2 * (layers + 1)
    assert (model.tables, reader().tables) == ((), ())


def test_dropout_rests_outside_training() -> None:
    settings = ModelSettings(hidden_size=50, dropout=0.5)
    model = Dense(settings, input_size=CHANNELS, outputs=2, problem="squared")
    batch = batch_of([1] * 4)
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))
