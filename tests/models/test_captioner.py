"""What sees: regions as a float64 loop computes them, each from its own part of the image, alone as in any batch."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from seqloom.config import DecodingSettings, ModelSettings
from seqloom.data import Sight
from seqloom.kernels import native
from seqloom.models import Captioner, LossOptions, TextWriter
from seqloom.models.captioner import Image
from seqloom.models.decoding import write
from seqloom.shapes import Batch

Doubles = npt.NDArray[np.float64]


def captioner_of(sight: Sight, *, target_size: int = 9, **settings: Any) -> Captioner:
    """A small model in evaluation, with random distinct weights."""
    small = {"hidden_size": 6, "embedding_size": 5} | settings
    model = Captioner(ModelSettings.model_validate(small), sight=sight, target_size=target_size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def images(count: int, size: int) -> Batch:
    across = Sight("image", size).across
    pixels = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8)
    return Batch(pixels, torch.full((count,), across**2))


def texts(count: int) -> Batch:
    lengths = torch.arange(count) % 4 + 1
    return Batch(torch.randint(2, 9, (count, 4)), lengths)


def numpy_regions(eye: Image, pixels: Tensor) -> Doubles:
    """The regions (R, H) of one image, place by place, from the weights alone."""
    image: Doubles = pixels.double().numpy() / 127.5 - 1
    for stage in eye.stages:
        weights = stage.weights.weight.detach().double().numpy()  # type: ignore[union-attr, operator]
        bias = stage.weights.bias.detach().double().numpy()  # type: ignore[union-attr, operator]
        gain, shift = (part.detach().double().numpy() for part in (stage.norm.weight, stage.norm.bias))  # type: ignore[union-attr, operator]
        height, width, channels = image.shape
        stride = int(stage.stride)  # type: ignore[arg-type]
        made = np.zeros((-(-height // stride), -(-width // stride), len(bias)))
        for y in range(made.shape[0]):
            for x in range(made.shape[1]):
                around = np.zeros((3, 3, channels))
                for dy in range(3):
                    for dx in range(3):
                        at_y, at_x = stride * y + dy - 1, stride * x + dx - 1
                        if 0 <= at_y < height and 0 <= at_x < width:
                            around[dy, dx] = image[at_y, at_x]
                value = weights @ around.reshape(-1) + bias
                spread = np.sqrt(((value - value.mean()) ** 2).mean() + 1e-5)
                made[y, x] = np.maximum((value - value.mean()) / spread * gain + shift, 0)
        image = made
    return image.reshape(-1, image.shape[-1]) + eye.places.detach().double().numpy()


@pytest.mark.parametrize("size", [16, 21, 40])
def test_regions_are_those_of_a_loop_over_places(size: int) -> None:
    model, batch = captioner_of(Sight("image", size)), images(2, size)
    assert isinstance(model.eye, Image)
    regions = model.eye(batch.values)
    assert regions.shape == (2, Sight("image", size).across ** 2, 6)
    for row in range(2):
        expected = numpy_regions(model.eye, batch.values[row])
        np.testing.assert_allclose(regions[row].detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_region_sees_its_own_part_of_the_image() -> None:
    model, batch = captioner_of(Sight("image", 32)), images(1, 32)
    changed = batch.values.clone()
    changed[0, 0:4, 28:32] = 255 - changed[0, 0:4, 28:32]  # the four by four pixels in the top right corner
    moved = (model.eye(batch.values) != model.eye(changed)).any(dim=-1)[0].view(8, 8).nonzero().tolist()
    assert [0, 7] in moved
    assert all(y <= 2 and x >= 5 for y, x in moved)


def test_first_states_come_from_the_mean_of_the_regions() -> None:
    model = captioner_of(Sight("features", 3), num_layers=2)
    batch = Batch(torch.randn(2, 4, 3), torch.tensor([4, 2]))
    encoded = model.encode(batch)
    assert len(encoded.states) == 2
    for row, steps in enumerate(batch.lengths.tolist()):
        regions = torch.tanh(
            batch.values[row, :steps].double() @ model.eye.weights.weight.double().T + model.eye.weights.bias
        )
        mean = regions.mean(dim=0)
        for layer, state in zip(model.first, encoded.states, strict=True):
            hidden = torch.tanh(layer.hidden.weight.double() @ mean + layer.hidden.bias)
            cell = layer.cell.weight.double() @ mean + layer.cell.bias
            torch.testing.assert_close(state.hidden[row].double(), hidden)
            torch.testing.assert_close(state.cell[row].double(), cell)


@pytest.mark.parametrize("attention", ["additive", "general", "dot", "none"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_step_by_step_a_caption_has_the_likelihood_of_the_whole(attention: str, cell: str) -> None:
    model, batch = captioner_of(Sight("image", 16), attention=attention, cell=cell), images(3, 16)
    writer = TextWriter(model)
    found = write(writer, writer.begin(batch), [6] * 3, DecodingSettings(beam=3))
    for row, (best, *_) in enumerate(found):
        one = Batch(batch.values[row : row + 1], batch.lengths[row : row + 1])
        told = Batch(torch.tensor([best.tokens], dtype=torch.int64), torch.tensor([len(best.tokens)]))
        assert model.log_likelihood(one, told).item() == pytest.approx(best.score, abs=1e-4)
        if attention == "none":
            assert best.attention is None
        elif best.tokens:
            assert best.attention is not None and best.attention.shape == (len(best.tokens), 64)
            torch.testing.assert_close(best.attention.sum(dim=1), torch.ones(len(best.tokens)))


@pytest.mark.parametrize("kind", ["image", "features"])
def test_neither_batch_nor_padding_changes_a_bit(kind: str) -> None:
    if not native.available() or os.environ.get("SEQLOOM_KERNELS") == "reference":
        pytest.skip(f"not on the compiled core, and torch's products hang on the batch: {native.reason()}")
    if kind == "image":
        model, batch = captioner_of(Sight("image", 24), hidden_size=20), images(7, 24)
    else:
        model = captioner_of(Sight("features", 5), hidden_size=20)
        lengths = torch.tensor([1, 9, 4, 2, 3, 9, 1])
        batch = Batch(torch.randn(7, 9, 5), lengths)
    told = texts(7)
    together = model.log_likelihood(batch, told)
    for row in range(7):
        one, its = slice(row, row + 1), int(batch.lengths[row])
        values = batch.values[one] if kind == "image" else batch.values[one, :its]
        alone = model.log_likelihood(
            Batch(values, batch.lengths[one]), Batch(told.values[one, : told.lengths[row]], told.lengths[one])
        )
        assert torch.equal(alone[0], together[row])


def test_every_weight_learns() -> None:
    model, batch = captioner_of(Sight("image", 16), num_layers=2), images(4, 16)
    model.batch_loss(batch, texts(4), LossOptions(label_smoothing=0.1, own_tokens=0.5)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_channels_grow_to_the_hidden_size_and_settings_shape_the_model() -> None:
    model = captioner_of(Sight("image", 64), hidden_size=96)
    sizes = [stage.weights.weight.shape for stage in model.eye.stages]  # type: ignore[union-attr]
    assert sizes == [(24, 27), (48, 216), (96, 432), (96, 864)]
    with torch.device("meta"):  # as a saved model is built, before its weights are read
        Captioner(ModelSettings(), sight=Sight("image", 64), target_size=9)
