"""Each finding is raised by data that has it, and only by such data."""

import csv
import json
from pathlib import Path

import pytest

from seqloom.config import Config, load_config
from seqloom.data import FINDINGS, Report, check


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def sound(count: int = 100, *, word: str = "text") -> list[tuple[str, str]]:
    return [(f"{word} {n}", ("pos", "neg")[n % 2]) for n in range(count)]


def texts(report: Report, number: str) -> list[str]:
    return [finding.text for finding in report.findings if finding.number == number]


def test_sound_data_has_no_warning(tmp_path: Path) -> None:
    valid = write(tmp_path / "valid.csv", [("text text", "pos"), ("text text text", "neg")])
    report = check(Config(), write(tmp_path / "train.csv", sound()), valid=valid)
    assert {finding.level for finding in report.findings} <= {"ok", "note"}
    assert texts(report, "D101") == ["102 rows used (100 train, 2 valid, 0 test), 0 rejected"]
    assert texts(report, "D201") == ["2 classes (binary): neg 50, pos 50"]
    lengths = "50 % up to 2, 95 % up to 2, 99 % up to 2, the longest 2"
    assert texts(report, "D301") == [f"tokens in a training row: {lengths}"]
    assert texts(report, "D402") == ["0.00% of the tokens in valid are unknown to training"]


def test_percentiles_are_those_of_the_training_lengths(tmp_path: Path) -> None:
    rows = [("word " * (n + 1), ("pos", "neg")[n % 2]) for n in range(100)]
    report = check(Config(), write(tmp_path / "train.csv", rows), valid=write(tmp_path / "valid.csv", sound(4)))
    lengths = "50 % up to 50, 95 % up to 95, 99 % up to 99, the longest 100"
    assert texts(report, "D301") == [f"tokens in a training row: {lengths}"]


def test_rejected_rows_are_shown_by_line(tmp_path: Path) -> None:
    report = check(Config(), write(tmp_path / "train.csv", sound() + [("", "pos")] * 7))
    shown = texts(report, "D102")
    assert shown[0] == "train.csv, line 102: empty text"
    assert shown[-1] == "and 2 more; --json lists them all" and len(shown) == 6
    assert [row["line"] for row in report.to_dict()["rejected"]] == list(range(102, 109))
    assert {finding.level for finding in report.findings if finding.number in ("D101", "D102")} == {"warning"}


def test_more_rejected_than_used_is_an_error(tmp_path: Path) -> None:
    report = check(Config(), write(tmp_path / "train.csv", sound(20) + [("", "pos")] * 21))
    assert report.findings[0].level == "error"


def test_rare_unequal_and_missing_classes_are_named(tmp_path: Path) -> None:
    valid = write(tmp_path / "valid.csv", sound(4, word="other"))
    report = check(Config(), write(tmp_path / "train.csv", [*sound(), ("text a", "odd")]), valid=valid)
    assert texts(report, "D203") == ["1 classes have fewer than 10 training rows: odd"]
    assert texts(report, "D204")[0].startswith("neg has 50 rows, odd 1")
    assert texts(report, "D205") == ["1 classes do not occur in valid: odd"]


def test_unknown_words_copies_leaks_and_contradictions_are_counted(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*sound(), ("text 0", "pos"), ("text 1", "pos"), ("text 1", "pos")])
    valid = write(tmp_path / "valid.csv", [("text 5", "neg"), ("never seen", "pos")])
    report = check(Config(), train, valid=valid)
    assert texts(report, "D402") == ["50.00% of the tokens in valid are unknown to training"]
    assert texts(report, "D501") == ["3 training rows repeat the text of another"]
    assert texts(report, "D502") == ["1 of 2 valid texts are also in train: their scores flatter"]
    assert texts(report, "D503") == ['1 training texts have different targets in different rows, such as "text 1"']


def test_repeats_and_contradictions_are_those_a_model_reads(tmp_path: Path) -> None:
    copies = [("Text 0", "pos"), ("TEXT  0", "neg"), ("te xt 1", "neg")]
    valid = write(tmp_path / "valid.csv", [("TEXT 5", "neg"), ("never seen", "pos")])
    report = check(Config(), write(tmp_path / "train.csv", [*sound(), *copies]), valid=valid)
    assert texts(report, "D501") == ["2 training rows repeat the text of another"]
    assert texts(report, "D502") == ["1 of 2 valid texts are also in train: their scores flatter"]
    assert texts(report, "D503") == ['1 training texts have different targets in different rows, such as "text 0"']
    assert not any("also in train" in note for note in texts(report, "D103"))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (b"good,pos\nfine,pos\nnice,pos\n", "training rows have the target pos: there is nothing to tell apart"),
        (b"good,pos\nGOOD,neg\n", "1 different texts cannot be parted into 3 sets"),
    ],
)
def test_rows_are_reported_though_training_could_not_start(tmp_path: Path, rows: bytes, why: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'text,label\n"never closed,neg\ncaf\xe9,neg\n' + rows)
    report = check(load_config(None, ["task=classify"]), path)
    used = rows.count(b"\n")
    assert texts(report, "D101") == [f"{used} rows used ({used} train), 2 rejected"]
    assert texts(report, "D102") == [
        "rows.csv, line 2: the quote that opens field 1 is never closed",
        "rows.csv, line 3: not utf-8: byte 0xe9 at offset 32",
    ]
    assert any("input: text" in note for note in texts(report, "D103"))
    assert [row.line for row in report.rejected] == [2, 3] and list(report.fingerprints) == ["rows.csv"]
    last = report.findings[-1]
    assert (last.number, last.level) == ("D601", "error")
    assert last.text.startswith("training could not start: ") and why in last.text


def test_numbers_have_a_range_instead_of_classes(tmp_path: Path) -> None:
    rows = [(f"text {n}", f"{n}") for n in range(-50, 51)]
    valid = write(tmp_path / "valid.csv", rows[:4])
    report = check(load_config(None, ["task=regress"]), write(tmp_path / "train.csv", rows), valid=valid)
    assert texts(report, "D202") == ["target numbers from -50 to 50, mean 0, standard deviation 29.1548"]
    assert texts(report, "D201") == []


def test_labels_of_rows_that_have_several_are_counted_singly(tmp_path: Path) -> None:
    rows = [(f"text {n}", "a|b" if n % 2 else "b") for n in range(40)]
    valid = write(tmp_path / "valid.csv", rows[:2])
    report = check(load_config(None, ["label_separator=|"]), write(tmp_path / "train.csv", rows), valid=valid)
    assert texts(report, "D201") == ["2 classes (multilabel): b 40, a 20"]


def test_report_is_plain_data_with_known_numbers_in_order(tmp_path: Path) -> None:
    report = check(Config(), write(tmp_path / "train.csv", [*sound(), ("", "pos")]))
    plain = json.loads(json.dumps(report.to_dict()))
    numbers = [finding["number"] for finding in plain["findings"]]
    assert numbers == sorted(numbers) and set(numbers) <= set(FINDINGS)
    assert plain["files"] == report.fingerprints
