"""Forecaster: the steps of a series so far in, quantiles of each of the next steps out.

scaled values, marks of gaps, calendar -> (bi)recurrent stack -> last state -> head, added to what was seasons before.
`direct` gives all steps at once, with a linear map of the window beside the recurrent layers (LSTNet, Lai et al. 2018);
`recursive` gives one, reads it as if it had happened, and gives the next.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqloom.config import ForecastSettings, ModelSettings
from seqloom.data import Windows
from seqloom.models.parts import PLAIN_LOSS, LossOptions, stack
from seqloom.nn import Dropout, Linear, last_pool
from seqloom.shapes import Float

NEAREST = 2.0  # the log odds, to begin with, of the season just before against each of the others


class Forecaster(nn.Module):
    """Reads a window of a series and forecasts the `levels`, which are quantiles, of the next `horizon` steps.

    A step read is (I,): the scaled value and a mark that it is there, the columns beside it with theirs, and the
    calendar, whose F numbers are the last ones. Trained by the pinball loss (Koenker & Bassett 1978).
    """

    def __init__(
        self,
        settings: ModelSettings,
        forecast: ForecastSettings,
        *,
        input_size: int,
        context: int,
        horizon: int,
        levels: Sequence[float],
        seasons: int = 1,
    ) -> None:
        super().__init__()
        self.horizon, self.recursive = horizon, forecast.decoder == "recursive"
        self.bidirectional, self.median = settings.bidirectional, levels.index(0.5)
        self.recurrent = stack(settings, input_size=input_size)
        self.dropout = Dropout(settings.dropout)
        steps = 1 if self.recursive else horizon
        self.head = Linear(self.recurrent.output_size, steps * len(levels))
        self.levels = tuple(levels)
        self.highway = Linear(context, horizon, bias=False) if forecast.highway and not self.recursive else None
        self.seasons = Linear(self.recurrent.output_size, seasons) if seasons > 1 else None
        if self.seasons is not None and not self.seasons.weight.is_meta:
            nn.init.zeros_(self.seasons.weight)
            nn.init.zeros_(self.seasons.bias)
            with torch.no_grad():
                self.seasons.bias[0] = NEAREST
        if self.highway is not None and not self.highway.weight.is_meta:
            nn.init.zeros_(self.highway.weight)  # to begin with, what was a season before is the forecast

    @property
    def tables(self) -> tuple[nn.Module, ...]:
        """None: numbers are read as they are."""
        return ()

    def forward(self, batch: Windows) -> Float[Tensor, "B K Q"]:
        """The scaled quantiles of each step, (B, K, Q), in the order of `levels`; nothing yet keeps them in order."""
        outputs, state = self.recurrent(batch.values, batch.lengths)
        last = last_pool(outputs, batch.lengths, bidirectional=self.bidirectional)
        anchor = self._anchor(last, batch.anchor)
        if not self.recursive:
            changes: Tensor = self.head(self.dropout(last)).view(len(last), self.horizon, -1)
            level = anchor if self.highway is None else anchor + self.highway(batch.recent)
            return level[:, :, None] + batch.spread[:, :, None] * changes
        steps = []
        for step in range(self.horizon):
            forecast = anchor[:, step, None] + batch.spread * self.head(self.dropout(last))
            steps.append(forecast)
            read = torch.zeros_like(batch.values[:, :1])
            read[:, 0, 0] = forecast[:, self.median]
            read[:, 0, 1] = 1
            if batch.future.shape[2]:
                read[:, 0, -batch.future.shape[2] :] = batch.future[:, step]
            outputs, state = self.recurrent(read, None, state)
            last = outputs[:, 0]
        return torch.stack(steps, dim=1)

    def _anchor(self, last: Float[Tensor, "B H"], before: Float[Tensor, "B K J"]) -> Float[Tensor, "B K"]:
        """What was one, two and more seasons before, weighed by what was read: some series repeat days, some weeks."""
        if self.seasons is None:
            return before[:, :, 0]
        shares: Tensor = self.seasons(last).softmax(dim=-1)
        mixed = shares[:, :1] * before[:, :, 0]
        for back in range(1, before.shape[2]):  # term by term: the same bits in every batch
            mixed = mixed + shares[:, back, None] * before[:, :, back]
        return mixed

    def quantiles(self, batch: Windows) -> Float[Tensor, "B K Q"]:
        """The scaled quantiles in rising order: where two would cross they change places (Chernozhukov et al. 2010)."""
        forecasts: Tensor = self(batch)
        return forecasts.sort(dim=-1).values

    def batch_loss(self, batch: Windows, targets: Tensor, options: LossOptions = PLAIN_LOSS) -> Float[Tensor, ""]:
        """The mean pinball loss over the steps of `targets` (B, K) that are not NaN, and over the levels."""
        return self.loss(self(batch), targets, batch.spread)

    def loss(
        self, forecasts: Float[Tensor, "B K Q"], targets: Float[Tensor, "B K"], spread: Float[Tensor, "B 1"]
    ) -> Float[Tensor, ""]:
        """The mean pinball loss: `level` a unit for a value above its quantile, 1 - level for one below.

        A unit is the `spread` of the window: series that are hard to forecast do not outweigh the others.
        """
        there = targets.isfinite()
        errors = (torch.where(there, targets, 0.0)[:, :, None] - forecasts) / spread[:, :, None]
        levels = forecasts.new_tensor(self.levels)
        losses = torch.maximum(levels * errors, (levels - 1) * errors).mean(dim=-1)
        return torch.where(there, losses, 0.0).sum() / there.sum().clamp(min=1)
