"""Files of the UCR and UEA archives: read as their header promises, each line that breaks a promise refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from seqloom.data.ts import read_ts
from seqloom.errors import DataError

HEAD = "#made for a test\n@problemName waves\n@timeStamps false\n@univariate false\n@dimensions 2\n"
CLASSES = HEAD + "@equalLength false\n@classLabel true a b\n@data\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_series_of_unequal_length_and_missing_values(tmp_path: Path) -> None:
    lines = "1,2.5,-3e1:4,?,6:a\n 1.0 : NaN :b\n1,?,?:2,?,?:a\n"
    file = read_ts(write(tmp_path / "x.ts", CLASSES + lines))
    assert (file.task, file.layout.inputs, file.rejected) == ("classify", ("dimension 1", "dimension 2"), [])
    first, second, third = file.samples
    np.testing.assert_array_equal(first.values, [[1, 4], [2.5, np.nan], [-30, 6]])
    assert (first.line, first.name, first.label) == (9, "line 9", "a")
    np.testing.assert_array_equal(second.values, [[1, np.nan]])
    assert third.values.shape == (1, 2)  # what is missing at the end is padding
    packed = tmp_path / "x.ts.gz"
    packed.write_bytes(gzip.compress((CLASSES + lines).encode()))
    again = read_ts(packed)
    assert [sample.label for sample in again.samples] == ["a", "b", "a"]


def test_what_the_header_may_leave_out(tmp_path: Path) -> None:
    file = read_ts(
        write(tmp_path / "x.ts", "@univariate true\r\n@targetLabel true\r\n@unheard of\r\n@data\r\n1,2:3.5\r\n")
    )
    assert (file.task, file.samples[0].label, file.notes) == ("regress", "3.5", ["@unheard is not known, and not used"])
    file = read_ts(write(tmp_path / "x.ts", "@data\n1,2:3,4\n5:6\n5\n"))
    assert (file.task, [one.label for one in file.samples]) == (None, [None, None])
    assert [row.reason for row in file.rejected] == ["1 dimensions, where 2 are promised"]
    said = "the header says @missing false, but 1 series have missing values"
    assert read_ts(write(tmp_path / "x.ts", "@missing false\n" + CLASSES + "1,?,2:1,1,1:a\n")).notes == [said]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,2:a", "1 dimensions before the label, where 2 are promised"),
        ("1,2:3,4", "1 dimensions before the label, where 2 are promised"),
        ("1,2:3,4:5,6:a", "3 dimensions before the label, where 2 are promised"),
        ("1,2:3:a", "dimension 2 has 1 values, dimension 1 has 2"),
        ("1,2:3,4:c", 'label "c" is not in @classLabel (a, b)'),
        ("1,2:3,4:", 'label "" is not in @classLabel (a, b)'),
        ("1,x:3,4:a", 'dimension 1, value 2: "x" is not a finite number'),
        ("1,2:3,inf:a", 'dimension 2, value 2: "inf" is not a finite number'),
        ("1,1e999:3,4:a", 'dimension 1, value 2: "1e999" is not a finite number'),
        ("1,1e101:3,4:a", 'dimension 1, value 2: "1e101" is not a finite number'),
        ("1,1_0:3,4:a", 'dimension 1, value 2: "1_0" is not a finite number'),
        ("1,0x1:3,4:a", 'dimension 1, value 2: "0x1" is not a finite number'),
        ("1,,2:3,4,5:a", 'dimension 1, value 2: "" is not a finite number'),
        (":3,4:a", "dimension 1 is empty"),
        ("?,?:?,nan:a", "no value"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_others_are_used(tmp_path: Path, line: str, said: str) -> None:
    file = read_ts(write(tmp_path / "x.ts", f"{CLASSES}1,2:3,4:a\n{line}\n5:6:b\n"))
    assert [(row.line, row.reason) for row in file.rejected] == [(10, said)]
    assert [sample.line for sample in file.samples] == [9, 11]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.ts is empty. A header with @data and a series a line below it are needed."),
        (HEAD, "x.ts has no line @data."),
        (CLASSES, "x.ts has no series that can be used. A header"),
        (CLASSES + "1:2:c\n", 'The first fault, in line 9: label "c" is not in @classLabel'),
        ("1,2:a\n@data\n", 'line 1: "1,2:a" is no line of a header'),
        ("@timeStamps true\n@data\n", "line 1: @timeStamps true: steps with times in brackets are not read"),
        ("@univariate perhaps\n@data\n", "line 1: @univariate must be true or false, not perhaps."),
        ("@dimensions 0\n@data\n", "line 1: @dimensions must be a whole number from 1 on, not 0."),
        ("@classLabel true\n@data\n", "line 1: @classLabel true must be followed by the labels."),
        ("@equalLength true\n@seriesLength 2\n@data\n1\n", "in line 4: 1 steps, where @seriesLength 2 is promised"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        read_ts(write(tmp_path / "x.ts", text))
    assert said in str(refused.value)


def test_labels_are_not_looked_at_where_none_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ts", CLASSES + "1:2:?\n")
    assert len(read_ts(path, labelled=False).samples) == 1
