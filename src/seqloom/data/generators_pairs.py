"""Pairs of texts to learn from, made without a file: dates as people write them, and sequences to turn around.

Dates need a look at the right place of the source for each letter of the answer; a sequence turned around needs its
first letter last, and so a memory as long as the sequence. Both have one right answer.
"""

import string
from datetime import date
from random import Random

FIRST, LAST = date(1900, 1, 1).toordinal(), date(2099, 12, 31).toordinal()
MOST_DATES = 500_000  # far fewer than there are, so that finding new ones stays quick

# Not the calendar's own names, which follow the language of the machine.
WEEKDAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"

IN_WORDS = [
    "{month} {day}, {year}",
    "{month} {nth}, {year}",
    "{month} the {nth}, {year}",
    "{short} {day}, {year}",
    "{dotted} {nth}, {year}",
    "{day} {month} {year}",
    "{day} {short} {year}",
    "{nth} {month} {year}",
    "the {nth} of {month} {year}",
    "the {nth} of {month}, {year}",
    "{day:02}-{short}-{year}",
]
YEAR_FIRST = ["{year}/{number:02}/{day:02}"]
IN_FIGURES = [
    "{number:02}/{day:02}/{year}",
    "{number}/{day}/{year}",
    "{day:02}/{number:02}/{year}",
    "{day}.{number}.{year}",
]


def dates(count: int, *, seed: int) -> list[tuple[str, str]]:
    """`count` different English spellings of days of 1900 to 2099, each with its ISO date.

    ("Tuesday, March 3rd, 1998", "1998-03-03"), ("3 Mar 2021", "2021-03-03"), ("03/15/1999", "1999-03-15"). Each has
    one meaning: years have four digits, and figures alone are written only where day and month cannot be confused,
    that is where the day is above 12 or both are equal, or where the year comes first.
    Raises ValueError for more than 500,000.
    """
    if count > MOST_DATES:
        raise ValueError(f"{count} dates are more than the {MOST_DATES} that can be made")
    random = Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        day = date.fromordinal(random.randint(FIRST, LAST))
        pairs[_written(random, day)] = day.isoformat()
    return list(pairs.items())


def reversals(
    count: int, *, shortest: int, longest: int, seed: int, symbols: str = string.ascii_lowercase
) -> list[tuple[str, str]]:
    """`count` random words of shortest..longest symbols, each length as likely, with the same word from its end.

    ("kqzv", "vzqk"): nothing stands between the symbols, so that each is one character token.
    Short words occur more than once where there are few of them.
    Raises ValueError where no word fits.
    """
    if not 1 <= shortest <= longest or not symbols:
        raise ValueError(f"no words of {shortest} to {longest} of {len(symbols)} symbols can be made")
    random = Random(seed)
    words = ["".join(random.choices(symbols, k=random.randint(shortest, longest))) for _ in range(count)]
    return [(word, word[::-1]) for word in words]


def _written(random: Random, day: date) -> str:
    unmistakable = day.day > 12 or day.day == day.month
    form = random.choice(IN_WORDS + YEAR_FIRST + (IN_FIGURES if unmistakable else []))
    text = form.format(**_parts(day))
    if form in IN_WORDS:
        weekday = WEEKDAYS.split("|")[day.weekday()]
        text = random.choice(["", "", "", f"{weekday}, ", f"{weekday[:3]} "]) + text
    return text.lower() if random.random() < 0.2 else text


def _parts(day: date) -> dict[str, str | int]:
    month = MONTHS.split("|")[day.month - 1]
    short = month[:3]
    ending = "th" if 11 <= day.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return {
        "year": day.year,
        "month": month,
        "short": short,
        "dotted": month if len(month) <= 4 else f"{short}.",
        "number": day.month,
        "day": day.day,
        "nth": f"{day.day}{ending}",
    }
