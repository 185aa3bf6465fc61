"""Files of series: the three layouts, gaps as gaps, and each mistake in its line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.config import DataSettings
from seqloom.data import read_table
from seqloom.data.series_layout import infer_layout, looks_like_series
from seqloom.data.series_table import SeriesFile, read_series
from seqloom.errors import DataError

HOURS = [f"2024-01-01 {hour:02}:00:00" for hour in range(24)]
LONG = "".join(
    f"{name},{hour},{number + 100 * of}\n" for of, name in enumerate("ab") for number, hour in enumerate(HOURS)
)
COLUMNS = "".join(f"{hour},{number},{100 + number}\n" for number, hour in enumerate(HOURS))
ROWS = '"V1",' + ",".join(f"V{n}" for n in range(2, 30)) + "\n"
ROWS += "".join(f'"{name}",{",".join(str(100 * of + n) for n in range(24))},,,,\n' for of, name in enumerate("ab"))


def read(tmp_path: Path, text: str, **settings: Any) -> SeriesFile:
    table = read_table(write(tmp_path, text))
    layout, notes = infer_layout(table, DataSettings(**settings))
    found = read_series(table, layout)
    return found._replace(notes=[*notes, *found.notes])


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "series.csv"
    path.write_text(text, encoding="utf-8")
    return path


def values(found: SeriesFile) -> dict[str, list[float]]:
    return {one.name: one.values.tolist() for one in found.series}


EXPECTED = {"a": [float(n) for n in range(24)], "b": [100.0 + n for n in range(24)]}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"series,time,value\n{LONG}", "a step of one series, the series is named by series; target: value"),
        (f"time,a,b\n{COLUMNS}", "each row is a step of 2 series: a, b"),
        ("a,b\n" + "".join(f"{n},{100 + n}\n" for n in range(24)), "each row is a step of 2 series: a, b"),
        (ROWS, "each row is a series, named by V1"),
    ],
    ids=["long", "columns", "columns without times", "rows"],
)
def test_each_layout_is_found_and_gives_the_same_series(tmp_path: Path, text: str, kind: str) -> None:
    found = read(tmp_path, text)
    assert values(found) == EXPECTED
    assert any(kind in note for note in found.notes), found.notes
    assert found.rejected == []


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = "x,when,shop,sold,cost\n" + "".join(f"5,{hour},s,{n},{2 * n}\n" for n, hour in enumerate(HOURS))
    found = read(tmp_path, text, series="shop", time="when", target="sold", input="cost, x")
    [one] = found.series
    assert (one.name, one.values.tolist()) == ("s", EXPECTED["a"])
    assert one.beside.tolist() == [[2.0 * n, 5.0] for n in range(24)]
    assert one.clock is not None
    assert one.clock.text(1) == HOURS[1]


def test_columns_that_are_not_read_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, f"time,a,b\n{COLUMNS}", target="b")
    assert values(found) == {"b": EXPECTED["b"]}
    assert "not read: a. To read columns beside b: --input a" in found.notes


def test_gaps_and_empty_cells_are_missing_never_zero(tmp_path: Path) -> None:
    lines = f"time,a,b\n{COLUMNS}".splitlines()
    del lines[6]
    lines[3] = f"{HOURS[2]},,102"
    found = read(tmp_path, "\n".join(lines))
    a, b = (one.values for one in found.series)
    assert np.flatnonzero(np.isnan(a)).tolist() == [2, 5]
    assert np.flatnonzero(np.isnan(b)).tolist() == [5]
    assert np.nansum(a) == sum(range(24)) - 2 - 5
    assert "3 missing steps in 2 series: read as missing, and not scored" in found.notes


def test_a_series_begins_with_its_first_value_and_ends_with_its_last(tmp_path: Path) -> None:
    lines = f"time,a,b\n{COLUMNS}".splitlines()
    lines[1], lines[24] = f"{HOURS[0]},,100", f"{HOURS[23]},,123"
    a, b = read(tmp_path, "\n".join(lines)).series
    assert (a.steps, b.steps) == (22, 24)
    assert a.clock is not None
    assert a.clock.text(0) == HOURS[1]


BAD = f"time,a,b\n{COLUMNS}".splitlines()


@pytest.mark.parametrize(
    ("line", "text", "said", "missing"),
    [
        (5, f"{HOURS[3]},x,103", 'a: "x" is not a finite number', [3]),
        (5, f"{HOURS[3]},3,nan", 'b: "nan" is not a finite number', [3]),
        (5, f'{HOURS[3]},"3,5",103', "(write it with a decimal point)", [3]),
        (5, f"{HOURS[3]},1e200,103", "a: 1e+200 is too large to compute with", [3]),
        (5, f"{HOURS[3]},1e999,103", "is not a finite number", [3]),
        (5, "3 o'clock,3,103", '"3 o\'clock" is no time', [3]),
        (5, ",3,103", "no time", [3]),
        (5, f"{HOURS[3]},3", "2 fields where the header has 3", [3]),
        (5, f"{HOURS[2]},3,103", f"the time {HOURS[2]} stands in line 4 already", [3]),
        (5, "2024-01-01 03:10:00,3,103", "does not fit steps of 1 hour from 2024-01-01 00:00:00 on", [3]),
        (26, "2094-01-01 00:00:00,3,103", "steps after the one before", []),
        (5, "3,3,103", "is a number, the times before are dates", [3]),
        (5, f"{HOURS[3]}+00:00,3,103", "only some times have an offset from UTC", [3]),
    ],
)
def test_a_bad_row_is_reported_and_the_others_are_used(
    tmp_path: Path, line: int, text: str, said: str, missing: list[int]
) -> None:
    lines = [*BAD, ""]
    lines[line - 1] = text
    found = read(tmp_path, "\n".join(lines))
    [refused] = found.rejected
    assert refused.line == line
    assert said in refused.reason
    assert [np.flatnonzero(np.isnan(one.values)).tolist() for one in found.series] == [missing, missing]
    assert [one.steps for one in found.series] == [24, 24]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n".join([BAD[0], *reversed(BAD[1:])]), "run backwards: 2024-01-01 22:00:00 comes after 2024-01-01 23:00:00"),
        (f"time,name,a\n{HOURS[0]},x y,\n{HOURS[1]},x y,\n", "has no column of numbers to forecast"),
        (f"time,a\n{HOURS[0]},1\n", "no two times follow each other"),
        ("series,time,p,q\na,1,1,2\na,2,1,2\nb,1,1,2\n", "what to forecast cannot be inferred"),
    ],
)
def test_a_file_that_cannot_be_read_as_series_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, text)
    assert said in str(refused.value)


def test_a_row_that_is_a_series_is_refused_as_a_whole(tmp_path: Path) -> None:
    head = "id," + ",".join(f"s{n}" for n in range(9))
    rows = ["a,1,2,3,4,5,6,7,8,9", "b,1,2,x,4,5,6,7,8,9", "a,1,2,3,4,5,6,7,8,9", "c,,,,,,,,,", "d,1,,3,,,,,,"]
    found = read(tmp_path, "\n".join([head, *rows]))
    assert [(row.line, row.reason) for row in found.rejected] == [
        (3, 's2: "x" is not a finite number'),
        (4, "series a stands in line 2 already"),
        (5, "series c has no value"),
    ]
    assert [one.name for one in found.series] == ["a", "d"]
    assert np.isnan(found.series[1].values).tolist() == [False, True, False]


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='column "tiem" is not in series.csv'):
        read(tmp_path, f"time,a,b\n{COLUMNS}", time="tiem")


@pytest.mark.parametrize(
    "text",
    [
        "text,label\ngood film,yes\nbad film,no\n",
        "date,text,label\n2024-01-01,good film,1\n2024-01-02,bad film,0\n",
        "x,y\n1,2\n3,4\n",
        "series,value,label\na,1,yes\na,2,yes\nb,1,no\n",
        "day,mood,steps\n2024-01-01,good,10\n2024-01-02,bad,9\n2024-01-03,good,8\n",
    ],
)
def test_other_tables_are_not_taken_for_series(tmp_path: Path, text: str) -> None:
    assert not looks_like_series(read_table(write(tmp_path, text)))


def test_a_column_that_tells_apart_what_stands_at_one_time_names_series(tmp_path: Path) -> None:
    days = ("2024-01-01", "2024-01-02")
    text = "day,place,steps\n" + "".join(f"{day},{place},{len(place)}\n" for day in days for place in ("here", "there"))
    assert looks_like_series(read_table(write(tmp_path, text)))
    assert not looks_like_series(read_table(write(tmp_path, f"{text}2024-01-02,here,5\n")))
