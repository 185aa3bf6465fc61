"""The forecaster: every step read counts, quantiles are trained to be quantiles, a forecast is fed back as a value."""

import math

import pytest
import torch
from torch import Tensor

from seqloom.config import ForecastSettings, ModelSettings
from seqloom.data import Windows
from seqloom.models import Forecaster

LEVELS = (0.1, 0.5, 0.9)
CONTEXT, HORIZON = 6, 4


def model(decoder: str = "direct", *, bidirectional: bool = False, highway: bool = True) -> Forecaster:
    settings = ModelSettings(hidden_size=5, bidirectional=bidirectional)
    forecast = ForecastSettings(decoder=decoder, highway=highway)  # type: ignore[arg-type]
    made = Forecaster(settings, forecast, input_size=4, context=CONTEXT, horizon=HORIZON, levels=LEVELS).eval()
    with torch.no_grad():
        for weights in made.parameters():
            weights.normal_(std=0.5)
    return made


def windows(rows: int = 3, lengths: tuple[int, ...] = (6, 4, 5)) -> Windows:
    values, count = torch.randn(rows, CONTEXT, 4), torch.tensor(lengths)
    recent = torch.zeros(rows, CONTEXT)
    for row, length in enumerate(lengths):
        values[row, length:] = 0
        recent[row, CONTEXT - length :] = values[row, :length, 0]
    return Windows(
        values, count, recent, torch.randn(rows, HORIZON, 2), torch.randn(rows, HORIZON, 1), torch.rand(rows, 1) + 0.5
    )


def moved(made: Forecaster, before: Windows, after: Windows) -> Tensor:
    """Which steps of which rows change."""
    return (made(before) != made(after)).any(dim=-1)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_step_that_is_read_moves_every_step_that_is_forecast(bidirectional: bool) -> None:
    made, batch = model(bidirectional=bidirectional, highway=False), windows()
    for step in range(4):
        values = batch.values.clone()
        values[:, step, 0] += 1
        assert moved(made, batch, batch._replace(values=values)).all()
    padding = batch.values.clone()
    padding[1, 4:] = 7
    assert not moved(made, batch, batch._replace(values=padding)).any()


def test_a_season_before_moves_its_own_step_only() -> None:
    made, batch = model(), windows()
    anchor = batch.anchor.clone()
    anchor[1, 2, 0] += 1
    assert moved(made, batch, batch._replace(anchor=anchor)).nonzero().tolist() == [[1, 2]]
    assert (made(batch._replace(anchor=anchor)) - made(batch))[1, 2].tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_seasons_before_are_weighed_by_what_was_read() -> None:
    settings = ModelSettings(hidden_size=5, bidirectional=False)
    made = Forecaster(
        settings, ForecastSettings(), input_size=4, context=CONTEXT, horizon=HORIZON, levels=LEVELS, seasons=3
    ).eval()
    assert made.seasons is not None
    begun = made.seasons(torch.randn(2, 5)).softmax(dim=-1)
    assert (begun[:, 0] > 0.7).all(), "to begin with, what was a season before is the forecast"
    with torch.no_grad():
        made.seasons.weight.normal_()
    batch = windows()._replace(anchor=torch.randn(3, HORIZON, 3))
    outputs, _ = made.recurrent(batch.values, batch.lengths)
    last = outputs[torch.arange(3), batch.lengths - 1]
    shares = (last.double() @ made.seasons.weight.double().T + made.seasons.bias.double()).softmax(dim=-1)
    mixed = torch.einsum("bj,bkj->bk", shares, batch.anchor.double())
    without = made(batch._replace(anchor=torch.zeros(3, HORIZON, 3)))
    assert torch.allclose((made(batch) - without).double(), mixed[:, :, None].expand(-1, -1, 3), atol=1e-5)
    assert shares.std(dim=0).max() > 0.01, "all windows weigh alike: it could not show"


def test_highway_is_a_linear_map_of_the_window() -> None:
    made, batch = model(), windows()
    assert made.highway is not None
    without = made(batch._replace(recent=torch.zeros_like(batch.recent)))
    added = torch.einsum("bt,kt->bk", batch.recent.double(), made.highway.weight.double())
    assert torch.allclose((made(batch) - without).double(), added[:, :, None].expand(-1, -1, 3), atol=1e-5)


def test_an_untrained_highway_adds_nothing() -> None:
    made = Forecaster(ModelSettings(), ForecastSettings(), input_size=2, context=6, horizon=4, levels=LEVELS)
    assert made.highway is not None
    assert not made.highway.weight.any()


def test_recursive_reads_each_forecast_as_if_it_had_happened() -> None:
    """By hand: the whole sequence read anew for each step, the medians put at its end."""
    made, batch = model("recursive"), windows(rows=1, lengths=(6,))
    expected, values = [], batch.values
    for step in range(HORIZON):
        outputs, _ = made.recurrent(values)
        forecast = batch.spread * made.head(outputs[:, -1]) + batch.anchor[:, step]
        expected.append(forecast)
        read = torch.cat([forecast[:, 1:2], torch.ones(1, 1), batch.future[:, step]], dim=1)
        values = torch.cat([values, read[:, None]], dim=1)
    assert torch.allclose(made(batch), torch.stack(expected, dim=1), atol=1e-5)


def test_recursive_gives_a_row_alone_what_it_gives_in_a_batch() -> None:
    made, batch = model("recursive"), windows()
    whole = made(batch)
    for row, length in enumerate(batch.lengths.tolist()):
        alone = Windows(*(part[row : row + 1] for part in batch))
        alone = alone._replace(values=alone.values[:, :length])
        assert torch.allclose(made(alone)[0], whole[row], atol=1e-6)


def test_quantiles_rise_and_are_those_of_the_model() -> None:
    made, batch = model(), windows()
    raw, sorted_ = made(batch), made.quantiles(batch)
    assert (raw.diff(dim=-1) < 0).any(), "nothing crossed: sorting could not show"
    assert (sorted_.diff(dim=-1) >= 0).all()
    assert torch.equal(raw.sum(dim=-1), raw.sum(dim=-1))
    assert torch.equal(raw.sort(dim=-1).values, sorted_)


def test_loss_is_the_pinball_loss_of_what_is_there() -> None:
    made = model()
    forecasts, targets = torch.randn(3, HORIZON, 3), torch.randn(3, HORIZON)
    targets[0, 1] = targets[2] = math.nan
    spread, losses = torch.tensor([[1.0], [2.0], [0.5]]), []
    for row in range(3):
        for step in range(HORIZON):
            for place, level in enumerate(LEVELS):
                error = targets[row, step].item() - forecasts[row, step, place].item()
                if not math.isnan(error):
                    losses.append((level * error if error > 0 else (level - 1) * error) / spread[row].item())
    assert made.loss(forecasts, targets, spread).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert made.loss(forecasts, torch.full_like(targets, math.nan), spread).item() == 0


def test_what_is_missing_gives_no_gradient() -> None:
    made = model()
    forecasts = torch.randn(2, HORIZON, 3, requires_grad=True)
    targets = torch.randn(2, HORIZON)
    targets[1, 2] = math.nan
    made.loss(forecasts, targets, torch.ones(2, 1)).backward()
    assert forecasts.grad is not None
    assert forecasts.grad.isfinite().all()
    assert (forecasts.grad == 0).all(dim=-1).nonzero().tolist() == [[1, 2]]
