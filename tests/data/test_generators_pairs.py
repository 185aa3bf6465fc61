"""Generated dates have the one meaning that a reader of our own gives them, and reversed words are reversed."""

import re
import string
from collections import Counter
from datetime import date, datetime

import pytest

from seqloom.data.generators_pairs import dates, reversals

NUMBER = 20_000

# Every way to read a date once weekday, commas and the endings of ordinals are gone: also those that would be wrong.
READINGS = ["%B %d %Y", "%b %d %Y", "%d %B %Y", "%d %b %Y", "%m %d %Y", "%d %m %Y", "%Y %m %d"]


def readings(source: str) -> set[date]:
    text = re.sub(r"(?i)^(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?,? |\bthe |\bof ", "", source)
    text = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text)
    text = " ".join(re.split(r"[ ,./-]+", text))
    found = set()
    for form in READINGS:
        try:
            found.add(datetime.strptime(text, form).date())
        except ValueError:
            continue
    return found


def form_of(source: str) -> str:
    """A source without weekday, case and what else changes from date to date."""
    text = re.sub(r"^(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?,? ", "", source.lower())
    text = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "th", text)
    text = re.sub(
        r"jan[a-z]+|feb[a-z]+|march|april|june|july|aug[a-z]+|sep[a-z]+|[a-z]+ober|[a-z]+ember", "month", text
    )
    return re.sub(r"\d+", "0", re.sub(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", "mon", text))


FORMS = {
    *("month 0, 0", "month 0th, 0", "month the 0th, 0", "mon 0, 0", "mon. 0th, 0", "0 month 0", "0 mon 0"),
    *("0th month 0", "the 0th of month 0", "the 0th of month, 0", "0-mon-0", "0/0/0", "0.0.0"),
}


def test_same_seed_same_pairs() -> None:
    assert dates(50, seed=1) == dates(50, seed=1)
    assert dates(50, seed=1) != dates(50, seed=2)
    assert dates(80, seed=1)[:50] == dates(50, seed=1)
    assert reversals(50, shortest=1, longest=9, seed=1) == reversals(50, shortest=1, longest=9, seed=1)
    assert reversals(50, shortest=1, longest=9, seed=1) != reversals(50, shortest=1, longest=9, seed=2)


def test_a_date_has_one_meaning_and_its_answer_is_that() -> None:
    for source, target in dates(5000, seed=0):
        assert {found.isoformat() for found in readings(source)} == {target}, source


def test_figures_alone_are_written_where_day_and_month_cannot_be_confused() -> None:
    alone = [target for source, target in dates(NUMBER, seed=0) if re.fullmatch(r"\d+[/.]\d+[/.]\d{4}", source)]
    days = [date.fromisoformat(target) for target in alone]
    assert len(days) > 1500
    assert all(day.day > 12 or day.day == day.month for day in days)
    assert any(day.day <= 12 for day in days)


def test_weekdays_and_ordinals_are_right() -> None:
    named, ordinals = 0, set()
    for source, target in dates(NUMBER, seed=0):
        day = date.fromisoformat(target)
        if weekday := re.match(r"(?i)(mon|tue|wed|thu|fri|sat|sun)", source):
            assert weekday[0].lower() == day.strftime("%a").lower(), source
            named += 1
        ordinals |= set(re.findall(r"\d+(?:st|nd|rd|th)", source))
    assert named > NUMBER / 5
    special = {"1st", "21st", "31st", "2nd", "22nd", "3rd", "23rd"}
    assert ordinals == special | {f"{n}th" for n in range(4, 31) if n not in (21, 22, 23)}


def test_sources_differ_and_are_of_many_forms() -> None:
    sources = [source for source, _ in dates(NUMBER, seed=0)]
    assert len(sources) == len(set(sources)) == NUMBER
    times = Counter(map(form_of, sources))
    assert {form for form, count in times.items() if count > NUMBER / 50} == FORMS
    in_words = [source for source in sources if re.search("[A-Za-z]", source)]
    assert 0.15 < sum(source == source.lower() for source in in_words) / len(in_words) < 0.25
    assert not [source for source in sources if re.search(r"(?i)\b(may|june?|july?)\.", source)]


def test_days_are_spread_over_two_centuries() -> None:
    days = [date.fromisoformat(target) for _, target in dates(NUMBER, seed=0)]
    years, months = Counter(day.year for day in days), Counter(day.month for day in days)
    assert min(days) < date(1900, 2, 1) < date(2099, 12, 1) < max(days)
    assert len(years) == 200
    assert max(years.values()) < 2 * NUMBER / 200
    assert min(months.values()) > 0.8 * NUMBER / 12
    assert {day.day for day in days} == set(range(1, 32))


def test_more_dates_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="500001 dates are more than the 500000"):
        dates(500_001, seed=0)


def test_a_word_is_answered_from_its_end() -> None:
    pairs = reversals(2000, shortest=3, longest=12, seed=0)
    for source, target in pairs:
        assert list(target) == list(reversed(source))
        assert set(source) <= set(string.ascii_lowercase)
    lengths = Counter(len(source) for source, _ in pairs)
    assert set(lengths) == set(range(3, 13))
    assert min(lengths.values()) > 0.7 * 2000 / 10
    letters = Counter("".join(source for source, _ in pairs))
    assert len(letters) == 26
    assert min(letters.values()) > 0.7 * letters.total() / 26


def test_words_are_of_the_symbols_given() -> None:
    assert set("".join(source for source, _ in reversals(50, shortest=5, longest=5, seed=0, symbols="01"))) == set("01")
    assert reversals(3, shortest=1, longest=1, seed=0, symbols="x") == [("x", "x")] * 3


@pytest.mark.parametrize(("shortest", "longest", "symbols"), [(0, 3, "ab"), (4, 3, "ab"), (1, 3, "")])
def test_words_that_cannot_be_are_refused(shortest: int, longest: int, symbols: str) -> None:
    with pytest.raises(ValueError, match="no words of"):
        reversals(5, shortest=shortest, longest=longest, seed=0, symbols=symbols)
