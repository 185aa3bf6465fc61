"""The end of a series and what is forecast of it, as plain data that a terminal or a page can draw."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqloom.bundle import SeriesBundle
from seqloom.data import Rejected, read_table
from seqloom.data.series import Series
from seqloom.errors import DataError, nearest
from seqloom.inference import forecast_all, series_of
from seqloom.lens.page import fragment
from seqloom.lens.show import series_parts

SEASONS_SHOWN, FEWEST_SHOWN = 3, 24


class SeriesView(NamedTuple):
    """The last steps of a series, None where one is missing, and the quantiles of those after it.

    `times` are of all of them, history first; numbers from the first step shown where the series has no times.
    `quantiles` go by their level, 0.5 the forecast itself.
    """

    series: str
    times: list[str]
    history: list[float | None]
    forecast: list[float]
    quantiles: dict[str, list[float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self._asdict()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return fragment(series_parts(self))


def series_view(bundle: SeriesBundle, path: str | Path, *, series: str | None = None) -> SeriesView:
    """The end of one series of a file, the first where no name is given, and what is forecast of it.

    Raises DataError for a file or a series that cannot be read.
    """
    known = {one.name: one for one in series_of(bundle, read_table(path)).series}
    if series is not None and series not in known:
        raise DataError(f'there is no series "{series}" in {Path(path).name}: {nearest(series, known)}')
    return view_of(bundle, known[series] if series is not None else next(iter(known.values())))


def view_of(bundle: SeriesBundle, chosen: Series) -> SeriesView:
    """The end of a series, and what is forecast of it. Raises DataError for one that is too short."""
    [found] = forecast_all(bundle, [chosen])
    if isinstance(found, Rejected):
        raise DataError(found.reason)
    targets = bundle.targets
    shown = min(chosen.steps, max(FEWEST_SHOWN, 2 * targets.reader.horizon, SEASONS_SHOWN * targets.reader.season))
    history = [None if np.isnan(value) else float(value) for value in chosen.values[chosen.steps - shown :]]
    steps = range(chosen.steps - shown, chosen.steps + targets.reader.horizon)
    times = [str(step) if chosen.clock is None else chosen.clock.text(step) for step in steps]
    columns = dict(zip(targets.levels, found.quantiles.T.tolist(), strict=True))
    quantiles = {f"{level:g}": columns[level] for level in targets.quantiles}
    return SeriesView(chosen.name, times, history, columns[0.5], quantiles)
