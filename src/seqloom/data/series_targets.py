"""What a forecaster was trained to read and to forecast, kept with it and checked when it is loaded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from seqloom.data.series import Beside, Reader
from seqloom.data.series_layout import Layout
from seqloom.data.series_times import PARTS, Frequency, parse_frequency
from seqloom.errors import ConfigError, DataError

MEDIAN = 0.5
KEYS = ("problem", "layout", "frequency", "context", "horizon", "season", "beside", "calendar", "log", "quantiles")
KINDS = ("long", "columns", "rows")


@dataclass(frozen=True)
class SeriesTargets:
    """How series are read, and which quantiles of each step ahead are forecast; `frequency` where there are times."""

    layout: Layout
    frequency: Frequency | None
    reader: Reader
    quantiles: tuple[float, ...]
    problem: ClassVar[Literal["series"]] = "series"
    task: ClassVar[Literal["forecast"]] = "forecast"
    labels: ClassVar[tuple[str, ...]] = ()

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles that the model forecasts: those asked for, and the median, which is the forecast itself."""
        return tuple(sorted({*self.quantiles, MEDIAN}))

    @property
    def band(self) -> float:
        """The share of values that should lie between the lowest and the highest quantile asked for."""
        return self.quantiles[-1] - self.quantiles[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving."""
        return {
            "problem": self.problem,
            "layout": self.layout.to_dict(),
            "frequency": None if self.frequency is None else str(self.frequency),
            "context": self.reader.context,
            "horizon": self.reader.horizon,
            "season": self.reader.season,
            "beside": [column._asdict() for column in self.reader.beside],
            "calendar": list(self.reader.calendar),
            "log": self.reader.log,
            "quantiles": list(self.quantiles),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SeriesTargets":
        """The targets that `to_dict` described. Raises DataError for any other keys and for impossible values."""
        if set(values) != set(KEYS):
            found = ", ".join(sorted(map(str, values))) or "none"
            raise DataError(f"saved series targets have the keys {', '.join(KEYS)} and no other; found: {found}.")
        if values["problem"] != cls.problem:
            raise DataError(f"saved series targets have the problem {values['problem']!r}; allowed: {cls.problem}.")
        beside = tuple(map(_beside, _list(values, "beside")))
        context, horizon, season = (_count(values, name) for name in ("context", "horizon", "season"))
        if not isinstance(values["log"], bool):
            raise DataError(f"saved series targets: log is {values['log']!r:.40}, but must be true or false.")
        reader = Reader(context, horizon, season, beside, tuple(_list(values, "calendar")), values["log"])
        try:
            frequency = None if values["frequency"] is None else parse_frequency(str(values["frequency"]))
        except ConfigError as error:
            raise DataError(f"saved series targets: {error}") from None
        if list(reader.calendar) != [part for part in PARTS if part in reader.calendar] or (
            reader.calendar and (frequency is None or set(reader.calendar) - set(frequency.calendar))
        ):
            raise DataError(f"saved series targets: the calendar {values['calendar']!r:.80} is none of {frequency}.")
        quantiles = _list(values, "quantiles")
        rising = all(type(level) is float and 0 < level < 1 for level in quantiles)
        if not rising or not quantiles or sorted(set(quantiles)) != quantiles:
            raise DataError(f"saved series targets: quantiles are {quantiles!r:.80}, but must rise between 0 and 1.")
        layout = _layout(values["layout"], [column.name for column in beside])
        return cls(layout, frequency, reader, tuple(quantiles))


def _layout(values: Any, beside: Sequence[str]) -> Layout:
    if not isinstance(values, dict) or set(values) != {"kind", "series", "time", "values"}:
        raise DataError("saved series targets: layout must have kind, series, time and values.")
    columns = _list(values, "values")
    known = all(isinstance(column, str) for column in columns) and values["kind"] in KINDS
    if not known or not all(values[name] is None or isinstance(values[name], str) for name in ("series", "time")):
        raise DataError(f"saved series targets: there is no layout {values!r:.80}.")
    if (values["kind"] == "long") != (len(columns) == 1 and values["kind"] != "columns") or (
        values["kind"] == "columns" and not columns
    ):
        raise DataError(f"saved series targets: {len(columns)} columns of values do not fit {values['kind']}.")
    return Layout(values["kind"], values["series"], values["time"], tuple(columns), tuple(beside))


def _beside(values: Any) -> Beside:
    if not isinstance(values, dict) or set(values) != set(Beside._fields) or not isinstance(values["name"], str):
        raise DataError("saved series targets: each column beside the target needs a name, a mean and a scale.")
    for name in ("mean", "scale"):
        if type(values[name]) is not float or not math.isfinite(values[name]):
            raise DataError(f"saved series targets: {name} is {values[name]!r:.40}, but must be a finite number.")
    if values["scale"] <= 0:
        raise DataError(f"saved series targets: scale is {values['scale']}, but must be above 0.")
    return Beside(**values)


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(values[name], list):
        raise DataError(f"saved series targets: {name} must be a list.")
    return list(values[name])


def _count(values: Mapping[str, Any], name: str) -> int:
    if type(values[name]) is not int or not 1 <= values[name] <= 1 << 24:
        raise DataError(f"saved series targets: {name} is {values[name]!r:.40}, but must be a whole number from 1 on.")
    return int(values[name])
