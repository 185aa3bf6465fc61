"""Time stamps as steps of a regular clock: read strictly, and written again as they were given.

ISO dates and times, or plain numbers; nothing is guessed of 01/02/2024.
"""

import calendar
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.data.rows import Value
from seqloom.data.targets import NUMBER
from seqloom.errors import ConfigError, DataError

Instant = datetime | float

SECOND = 1_000_000  # in microseconds, as time stamps are exact to them
DAY = 86_400 * SECOND
UNITS = {"week": 7 * DAY, "day": DAY, "hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND}
MONTHS = {"year": 12, "quarter": 3, "month": 1}
FREQUENCY = re.compile(r"(?:(\d{1,6})\s+)?(week|day|hour|minute|second|year|quarter|month)s?")
BASIC_DATE = re.compile(r"(?:19|20)\d{6}")
MONTH_ALONE = re.compile(r"\d{4}-\d{2}")
PARTS = ("hour", "weekday", "month")
REGULAR = 0.5
MOST_DAY_STEPS = 288  # a day of more steps than this is no season to be read at once
NEARLY = 1e-6


class Frequency(NamedTuple):
    """The distance of two steps: microseconds of an even clock, calendar months, or units of a plain number."""

    unit: Literal["microsecond", "month", "number"]
    size: float

    def __str__(self) -> str:
        if self.unit == "number":
            return f"{self.size:.9g}"
        units = UNITS if self.unit == "microsecond" else MONTHS
        for name, unit in units.items():
            if self.size % unit == 0:
                many = int(self.size // unit)
                return f"{many} {name}{'s' * (many > 1)}"
        return f"{self.size / SECOND:.6f} seconds"

    @property
    def season(self) -> int:
        """The steps of a usual season: a day, a week of days, a year of months or quarters; 1 where there is none."""
        if self.unit == "month":
            return {1: 12, 3: 4}.get(int(self.size), 1)
        if self.unit == "number" or self.size > DAY:
            return 1
        if self.size == DAY:
            return 7
        steps, rest = divmod(DAY, self.size)
        return int(steps) if rest == 0 and steps <= MOST_DAY_STEPS else 1

    @property
    def calendar(self) -> tuple[str, ...]:
        """What of the calendar changes from step to step and comes back: hour, weekday, month."""
        if self.unit == "number":
            return ()
        if self.unit == "month":
            return ("month",) if self.size < 12 else ()
        found = ["hour"] * (self.size < DAY) + ["weekday"] * (self.size < 7 * DAY)
        return tuple(found + ["month"] * (self.size >= DAY))


def parse_frequency(text: str) -> Frequency:
    """The frequency written as "1 hour", "15 minutes", "month" or, of plain numbers, "1". Raises ConfigError."""
    words = text.strip().lower()
    if NUMBER.fullmatch(words) and 0 < float(words) < 1e15:
        return Frequency("number", float(words))
    if (seconds := re.fullmatch(r"(\d{1,6}\.\d{1,6}) seconds", words)) and float(seconds[1]) > 0:
        return Frequency("microsecond", round(float(seconds[1]) * SECOND))
    found = FREQUENCY.fullmatch(words)
    many = int(found[1] or 1) if found else 0
    if not found or many < 1:
        raise ConfigError(
            f'data.frequency is "{text[:40]}". Write it as 1 hour, 15 minutes, 1 day, 1 month, 1 quarter, or as a '
            "number where times are numbers."
        )
    if found[2] in MONTHS:
        return Frequency("month", many * MONTHS[found[2]])
    return Frequency("microsecond", many * UNITS[found[2]])


@dataclass(frozen=True)
class Clock:
    """When the steps of a series are: the first one, their distance, and how a time is written."""

    first: Instant
    frequency: Frequency
    style: str = " "  # "date", or what stands between date and time

    def at(self, step: int) -> Instant:
        """The time of a step, counted from 0; negative before the first. Raises DataError beyond year 9999."""
        size = self.frequency.size
        if not isinstance(self.first, datetime):
            return self.first + step * size
        try:
            if self.frequency.unit == "month":
                return _add_months(self.first, step * int(size))
            return self.first + timedelta(microseconds=step * size)
        except (OverflowError, ValueError):
            raise DataError("times beyond the year 9999 cannot be written") from None

    def text(self, step: int) -> str:
        """The time of a step as the file writes times. Raises DataError beyond year 9999."""
        instant = self.at(step)
        if not isinstance(instant, datetime):
            return f"{instant:.15g}"
        return instant.date().isoformat() if self.style == "date" else instant.isoformat(sep=self.style)

    def step(self, instant: Instant) -> int:
        """The step of a time. Raises DataError for one between two steps."""
        if isinstance(instant, datetime) and isinstance(self.first, datetime):
            if self.frequency.unit == "month":
                steps, rest = divmod(_months(instant) - _months(self.first), int(self.frequency.size))
            else:
                steps, rest = divmod((instant - self.first) // timedelta(microseconds=1), int(self.frequency.size))
            if rest == 0:
                return steps
        elif not isinstance(instant, datetime) and not isinstance(self.first, datetime):
            away = (instant - self.first) / self.frequency.size
            if abs(away - round(away)) < NEARLY * max(1.0, abs(away)):
                return round(away)
        raise DataError(f"the time does not fit steps of {self.frequency} from {self.text(0)} on")

    def turns(self, start: int, stop: int) -> dict[str, NDArray[np.float64]]:
        """How far the hour, the weekday and the month of each step have come, from 0 to before 1. Dates only."""
        steps = np.arange(start, stop)
        assert isinstance(self.first, datetime)
        first = np.datetime64(self.first.replace(tzinfo=None), "us")
        if self.frequency.unit == "month":
            month = (_months(self.first) + steps * int(self.frequency.size)) % 12
            return {"month": month / 12}
        passed = (first + steps * np.timedelta64(int(self.frequency.size), "us")).astype(np.int64)
        month = passed.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
        # 1970-01-01 was a Thursday.
        return {"hour": passed % DAY / DAY, "weekday": (passed + 3 * DAY) % (7 * DAY) / (7 * DAY), "month": month / 12}

    def shifted(self, steps: int) -> "Clock":
        """The same clock, its first step so many later."""
        return Clock(self.at(steps), self.frequency, self.style)


def read_time(value: Value) -> Instant:
    """A time: an ISO date, an ISO date and time, a year and month such as 2024-03, or a plain number.

    With an offset it is taken in UTC. Raises DataError for anything else.
    """
    text = value.strip() if isinstance(value, str) else ""
    try:
        if BASIC_DATE.fullmatch(text):
            return datetime.fromisoformat(text)
        if NUMBER.fullmatch(text):
            return float(text)
        found = datetime.fromisoformat(f"{text}-01" if MONTH_ALONE.fullmatch(text) else text)
    except ValueError:
        raise DataError(
            f'"{text[:40]}" is no time: write 2024-03-31, 2024-03-31 13:00 or a number' if text else "no time"
        ) from None
    return found if found.tzinfo is None else found.astimezone(UTC)


def is_time(value: Value) -> bool:
    """Whether it is an ISO date or time; a plain number may be one, but may be anything else."""
    try:
        return isinstance(read_time(value), datetime)
    except DataError:
        return False


def style_of(value: Value) -> str:
    """How a time is written: "date", or what stands between date and time."""
    text = str(value).strip()
    return "date" if len(text) <= len("2024-03-31") else text[10:11]


def infer_frequency(series: Iterable[Sequence[Instant]], *, name: str) -> Frequency:
    """The most frequent distance of times that follow each other. Raises DataError where no half of them has it."""
    listed = [times for times in series if len(times) > 1]
    distances: Counter[Frequency] = Counter()
    for times in listed:
        monthly = _is_monthly(times)
        distances.update(_distance(before, after, monthly=monthly) for before, after in pairwise(times))
    ahead = Counter({distance: count for distance, count in distances.items() if distance.size > 0})
    if not ahead:
        raise DataError(f"{name}: no two times follow each other, so how far steps are apart is not known.")
    most = max(ahead.values())
    best = min((distance for distance, count in ahead.items() if count == most), key=lambda found: found.size)
    if most < REGULAR * ahead.total():
        raise DataError(
            f"{name}: times are not regular: {best} apart, most often, but only in {most / ahead.total():.0%} of the "
            'cases. Bring them to one distance, or say it with --set data.frequency="1 hour".'
        )
    return best


def _distance(before: Instant, after: Instant, *, monthly: bool) -> Frequency:
    if isinstance(before, datetime) and isinstance(after, datetime):
        if monthly:
            return Frequency("month", _months(after) - _months(before))
        return Frequency("microsecond", (after - before) // timedelta(microseconds=1))
    if isinstance(before, datetime) or isinstance(after, datetime):
        raise DataError("dates and plain numbers are mixed")
    return Frequency("number", float(f"{after - before:.9g}"))


def _is_monthly(times: Sequence[Instant]) -> bool:
    """Whether all times are the same day of their months, or the last, at the same hour, and of different months."""
    dates = [time for time in times if isinstance(time, datetime)]
    if len(dates) < max(2, len(times)):
        return False
    days = {time.day for time in dates}
    last = all(_is_month_end(time) for time in dates)
    return (len(days) == 1 or last) and len({time.time() for time in dates}) == 1 and _all_months_differ(dates)


def _all_months_differ(dates: Sequence[datetime]) -> bool:
    return all(_months(before) != _months(after) for before, after in pairwise(dates))


def _is_month_end(day: date) -> bool:
    return day.day == calendar.monthrange(day.year, day.month)[1]


def _months(day: date) -> int:
    return 12 * day.year + day.month - 1


def _add_months(first: datetime, months: int) -> datetime:
    year, month = divmod(_months(first) + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return first.replace(year=year, month=month + 1, day=last if _is_month_end(first) else min(first.day, last))
