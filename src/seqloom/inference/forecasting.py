"""A forecaster at work: the quantiles of the next steps of each series, in its own unit."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from seqloom.bundle import SeriesBundle
from seqloom.data import Rejected, SeriesTargets, Window, evaluation_order
from seqloom.data.rows import Table
from seqloom.data.series import LARGEST, Numbers, Reader, Series
from seqloom.data.series_table import SeriesFile, read_series
from seqloom.errors import DataError
from seqloom.models import Forecaster

BATCH = 64


class Forecast(NamedTuple):
    """What is forecast of a series: `quantiles` (K, Q) in the order of the targets' levels, and the times if known."""

    series: Series
    quantiles: Numbers
    times: list[str] | None


@torch.inference_mode()
def forecasts_of(
    model: Forecaster, targets: SeriesTargets, windows: Sequence[Window], *, batch_size: int = BATCH
) -> Numbers:
    """The quantiles of each window (N, K, Q), rising, in the unit of its series and in the order given.

    Windows of similar length are computed together. The model is left in the mode it was in.
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    found = np.zeros((len(windows), targets.reader.horizon, len(targets.levels)))
    for rows in evaluation_order([window.length for window in windows], batch_size=batch_size):
        batch = targets.reader.batch([windows[row] for row in rows]).to(device)
        for row, scaled in zip(rows, model.quantiles(batch).cpu().double().numpy(), strict=True):
            found[row] = targets.reader.in_unit(windows[row], scaled)
    model.train(training)
    return found


def series_of(bundle: SeriesBundle, table: Table) -> SeriesFile:
    """The series of a file, as the model reads them.

    Raises DataError where columns are missing, or steps are as far apart as the model does not know.
    """
    targets = bundle.targets
    assert isinstance(targets, SeriesTargets)
    return read_series(table, targets.layout, expected=targets.frequency)


def series_of_numbers(values: Any) -> SeriesFile:
    """The series of numbers in memory, each by its name. Raises DataError for anything else."""
    if not isinstance(values, Mapping):
        raise DataError('a forecaster takes the values of each series by its name, as in {"sales": [3.5, None, 4]}.')
    found: list[Series] = []
    for line, (name, given) in enumerate(values.items(), start=1):
        numbers = list(given)
        known = [value for value in numbers if value is not None]
        if not known or not all(isinstance(value, int | float) and abs(value) <= LARGEST for value in known):
            raise DataError(f"series {name}: each value must be a finite number, or None where it is missing.")
        whole = np.array([np.nan if value is None else value for value in numbers], dtype=np.float64)
        found.append(Series(str(name), line, whole, np.zeros((len(numbers), 0))))
    return SeriesFile(found, [], [])


def forecast_all(bundle: SeriesBundle, series: Sequence[Series]) -> list[Forecast | Rejected]:
    """What follows the end of each series, or why it cannot be forecast, in the order given."""
    reader = bundle.targets.reader
    windows = [reader.window(one, one.steps) for one in series]
    refused = [_why_not(reader, window) for window in windows]
    usable = [window for window, why in zip(windows, refused, strict=True) if why is None]
    assert isinstance(bundle.model, Forecaster)
    quantiles = iter(forecasts_of(bundle.model, bundle.targets, usable))
    found: list[Forecast | Rejected] = []
    for window, why in zip(windows, refused, strict=True):
        if why is not None:
            found.append(Rejected(window.line, f"series {window.series.name}: {why}"))
            continue
        forecast = next(quantiles)
        try:
            found.append(Forecast(window.series, forecast, _times(window, reader.horizon)))
        except DataError as error:
            found.append(Rejected(window.line, f"series {window.series.name}: {error}"))
    return found


def forecast_answers(bundle: SeriesBundle, read: SeriesFile) -> Iterator[dict[str, Any]]:
    """One plain answer a series, in order of their lines, and one for each row that could not be read.

    `{"series", "time", "forecast", "quantiles": {"0.1": [...]}}`, "time" where the file has times;
    `{"series", "error"}` for a series that is too short, `{"input", "error"}` for a row.
    """
    answers: list[tuple[int, dict[str, Any]]] = []
    for series, found in zip(read.series, forecast_all(bundle, read.series), strict=True):
        if isinstance(found, Rejected):
            answers.append((found.line, {"series": series.name, "error": f"line {found.line}: {found.reason}"}))
        else:
            answers.append((series.line, _plain(bundle.targets, found)))
    for row in read.rejected:
        answers.append((row.line, {"input": None, "error": f"line {row.line}: {row.reason}"}))
    answers.sort(key=lambda entry: entry[0])
    yield from (answer for _, answer in answers)


def _why_not(reader: Reader, window: Window) -> str | None:
    """Why a window cannot be read; None where it can."""
    if reader.log and (window.read <= 0).any():
        return "a value of 0 or less, and this model reads logarithms"
    if not reader.usable(window):
        steps = f"{window.series.steps:,} steps, but at least {reader.fewest:,} are read"
        return f"{steps}, with a value among the last {reader.context:,}"
    if reader.calendar and window.series.clock is None:
        return f"the {', '.join(reader.calendar)} of each step is read, so times are needed"
    if window.series.beside.shape[1] != len(reader.beside):
        return f"{', '.join(column.name for column in reader.beside)} are read beside it, so a file with them is needed"
    return None


def _plain(targets: SeriesTargets, found: Forecast) -> dict[str, Any]:
    columns = dict(zip(targets.levels, found.quantiles.T.tolist(), strict=True))
    times = {} if found.times is None else {"time": found.times}
    quantiles = {f"{level:g}": columns[level] for level in targets.quantiles}
    return {"series": found.series.name, **times, "forecast": columns[0.5], "quantiles": quantiles}


def _times(window: Window, horizon: int) -> list[str] | None:
    clock = window.series.clock
    return None if clock is None else [clock.text(window.at + step) for step in range(horizon)]
