"""Times: read strictly, told as a regular clock, and written as they were given."""

from datetime import UTC, datetime, timedelta

import pytest

from seqloom.data.series_times import Clock, Frequency, infer_frequency, is_time, parse_frequency, read_time, style_of
from seqloom.errors import ConfigError, DataError

HOUR = Frequency("microsecond", 3_600_000_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-07-01", datetime(2016, 7, 1)),
        (" 2016-07-01 13:05:00 ", datetime(2016, 7, 1, 13, 5)),
        ("2016-07-01T13:05:00.25", datetime(2016, 7, 1, 13, 5, 0, 250_000)),
        ("20160701", datetime(2016, 7, 1)),
        ("2016-07", datetime(2016, 7, 1)),
        ("2016-07-01T02:00:00+02:00", datetime(2016, 7, 1, tzinfo=UTC)),
        ("2016-07-01T00:00:00Z", datetime(2016, 7, 1, tzinfo=UTC)),
        ("7", 7.0),
        ("-1.5e3", -1500.0),
    ],
)
def test_times_are_read_as_they_are_meant(text: str, expected: datetime | float) -> None:
    assert read_time(text) == expected
    assert is_time(text) == isinstance(expected, datetime)


@pytest.mark.parametrize("text", ["01/07/2016", "2016-13-01", "2016-02-30", "July", "25:00", "nan", "1,5", "20161301"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r'" is no time: write 2024-03-31, 2024-03-31 13:00 or a number'):
        read_time(text)


@pytest.mark.parametrize("value", ["", "  ", ("2016",)])
def test_nothing_is_no_time(value: str) -> None:
    with pytest.raises(DataError, match=r"^no time$"):
        read_time(value)


@pytest.mark.parametrize(
    ("times", "expected", "season", "calendar"),
    [
        (["2016-01-01 00:00", "2016-01-01 01:00", "2016-01-01 02:00"], "1 hour", 24, ("hour", "weekday")),
        (["2016-01-01 00:00", "2016-01-01 00:15", "2016-01-01 00:30"], "15 minutes", 96, ("hour", "weekday")),
        (["2016-01-01 00:00", "2016-01-01 00:01"], "1 minute", 1, ("hour", "weekday")),
        (["2016-01-01", "2016-01-02", "2016-01-04", "2016-01-05"], "1 day", 7, ("weekday", "month")),
        (["2016-01-01", "2016-01-08", "2016-01-15"], "1 week", 1, ("month",)),
        (["2016-01-01", "2016-02-01", "2016-03-01"], "1 month", 12, ("month",)),
        (["2016-01-31", "2016-02-29", "2016-03-31"], "1 month", 12, ("month",)),
        (["2016-03-31", "2016-06-30", "2016-09-30"], "1 quarter", 4, ("month",)),
        (["2016-01-01", "2017-01-01", "2018-01-01"], "1 year", 1, ()),
        (["1", "2", "3", "5"], "1", 1, ()),
        (["0.5", "1.0", "1.5"], "0.5", 1, ()),
        (["2016-01-01T00:00:00.00", "2016-01-01T00:00:00.25"], "0.250000 seconds", 1, ("hour", "weekday")),
    ],
)
def test_frequency_is_the_usual_distance(times: list[str], expected: str, season: int, calendar: tuple[str]) -> None:
    found = infer_frequency([[read_time(time) for time in times]], name="f.csv")
    assert (str(found), found.season, found.calendar) == (expected, season, calendar)
    assert parse_frequency(str(found)) == found, "what is kept with a model is not read back"


def test_frequency_is_of_all_series_together() -> None:
    hours = [read_time(f"2016-01-01 {hour:02}:00") for hour in range(8)]
    assert infer_frequency([hours, hours[::4], hours[:1]], name="f.csv") == HOUR


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["2016-01-01"], "f.csv: no two times follow each other"),
        (["2016-01-01", "2016-01-03", "2016-01-04", "2016-01-09", "2016-01-12 01:00"], "times are not regular: 1 day"),
    ],
)
def test_times_without_one_distance_are_refused(times: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        infer_frequency([[read_time(time) for time in times]], name="f.csv")


@pytest.mark.parametrize("text", ["often", "0 hours", "-1 day", "1.5 hours", "", "1 fortnight", "nan"])
def test_a_frequency_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.frequency is .* Write it as 1 hour, 15 minutes"):
        parse_frequency(text)


@pytest.mark.parametrize(
    ("first", "frequency", "written"),
    [
        ("2016-01-30", "1 month", ["2016-01-30", "2016-02-29", "2016-03-30"]),
        ("2016-01-31", "1 month", ["2016-01-31", "2016-02-29", "2016-03-31"]),
        ("2015-12-31 23:00:00", "1 hour", ["2015-12-31 23:00:00", "2016-01-01 00:00:00", "2016-01-01 01:00:00"]),
        ("2015-12-31T23:00:00", "1 hour", ["2015-12-31T23:00:00", "2016-01-01T00:00:00", "2016-01-01T01:00:00"]),
        ("2016-02-28", "2 days", ["2016-02-28", "2016-03-01", "2016-03-03"]),
        ("2016-10", "1 quarter", ["2016-10-01", "2017-01-01", "2017-04-01"]),
        ("3", "0.5", ["3", "3.5", "4"]),
    ],
)
def test_clock_counts_steps_and_writes_them_as_they_were_given(first: str, frequency: str, written: list[str]) -> None:
    clock = Clock(read_time(first), parse_frequency(frequency), style_of(first))
    assert [clock.text(step) for step in range(3)] == written
    assert [clock.step(clock.at(step)) for step in (-7, 0, 1, 100)] == [-7, 0, 1, 100]
    assert clock.shifted(2).text(0) == written[2]


def test_a_time_between_two_steps_is_refused() -> None:
    clock = Clock(datetime(2016, 1, 1), HOUR)
    with pytest.raises(DataError, match=r"does not fit steps of 1 hour from 2016-01-01 00:00:00 on"):
        clock.step(datetime(2016, 1, 1, 0, 30))
    with pytest.raises(DataError, match="does not fit"):
        clock.step(3.0)


def test_times_beyond_the_calendar_are_an_error_of_ours() -> None:
    clock = Clock(datetime(9999, 12, 31), HOUR)
    with pytest.raises(DataError, match="beyond the year 9999"):
        clock.text(24)


def test_turns_are_those_of_the_calendar() -> None:
    """Against the calendar of the standard library, step by step."""
    clock = Clock(datetime(2023, 12, 30, 22), HOUR)
    turns = clock.turns(-30, 60)
    for place, step in enumerate(range(-30, 60)):
        time = datetime(2023, 12, 30, 22) + timedelta(hours=step)
        assert turns["hour"][place] == pytest.approx(time.hour / 24)
        assert turns["weekday"][place] == pytest.approx((time.weekday() + time.hour / 24) / 7)
        assert turns["month"][place] == pytest.approx((time.month - 1) / 12)
    monthly = Clock(datetime(2023, 11, 1), Frequency("month", 1)).turns(0, 3)["month"]
    assert monthly.tolist() == pytest.approx([10 / 12, 11 / 12, 0])
