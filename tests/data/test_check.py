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


def write_pairs(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("source", "target"), *rows])
    return path


def sound_pairs(count: int = 100) -> list[tuple[str, str]]:
    return [(f"der Satz {n}", f"the very sentence {n}") for n in range(count)]


def check_pairs(tmp_path: Path, rows: list[tuple[str, str]], valid: list[tuple[str, str]]) -> Report:
    files = write_pairs(tmp_path / "train.csv", rows), write_pairs(tmp_path / "valid.csv", valid)
    return check(load_config(None, ["tokens=word", "target_tokens=word"]), files[0], valid=files[1])


def test_sound_pairs_have_no_warning_and_both_sides_are_measured(tmp_path: Path) -> None:
    report = check_pairs(tmp_path, sound_pairs(), [("der Satz", "the very sentence"), ("Satz 1", "very very")])
    assert {finding.level for finding in report.findings} <= {"ok", "note"}
    assert texts(report, "D301") == [
        "tokens in a training row: 50 % up to 3, 95 % up to 3, 99 % up to 3, the longest 3"
    ]
    assert texts(report, "D302") == [
        "tokens in a training target: 50 % up to 4, 95 % up to 4, 99 % up to 4, the longest 4"
    ]
    assert texts(report, "D303") == [
        "1.33 tokens of target for each of its source in half of the rows, 1 % below 1.33, 1 % above 1.33"
    ]
    assert texts(report, "D401") == ["104 entries in the vocabulary"]
    assert texts(report, "D403") == ["105 entries in the vocabulary of targets"]
    assert texts(report, "D402") == ["0.00% of the tokens in valid are unknown to training"]
    assert texts(report, "D404") == ["0.00% of the tokens in the targets of valid are unknown to training"]
    assert not {"D201", "D202", "D206", "D304", "D501", "D503"} & {finding.number for finding in report.findings}
    numbers = [finding.number for finding in report.findings]
    assert numbers == sorted(numbers) and set(numbers) <= set(FINDINGS)


def test_unknown_tokens_of_both_sides_are_counted_apart(tmp_path: Path) -> None:
    report = check_pairs(tmp_path, sound_pairs(), [("der Hund", "the very dog here")])
    assert texts(report, "D402") == ["50.00% of the tokens in valid are unknown to training"]
    assert texts(report, "D404") == ["50.00% of the tokens in the targets of valid are unknown to training"]
    assert {finding.level for finding in report.findings if finding.number in ("D402", "D404")} == {"warning"}


def test_targets_that_equal_their_source_are_counted(tmp_path: Path) -> None:
    report = check_pairs(tmp_path, [*sound_pairs(), ("Tom ", "Tom"), ("der Satz", "Der Satz")], [("der", "the")])
    assert texts(report, "D206") == [
        '1 of 102 training rows have a target that equals their source, such as line 102: "Tom"'
    ]
    mostly = check_pairs(tmp_path, [(f"a {n}", f"a {n}") for n in range(60)] + sound_pairs(40), [("der", "the")])
    assert [finding.level for finding in mostly.findings if finding.number == "D206"] == ["warning"]


def test_rows_of_very_unequal_length_are_named_the_worst_first(tmp_path: Path) -> None:
    odd = [("der Satz", "the " * 15), ("der " * 60, "the"), ("der", "the the the")]
    report = check_pairs(tmp_path, [*sound_pairs(), *odd], [("der", "the")])
    assert texts(report, "D304") == [
        "2 training rows are over 3 times as long or short as usual for their source: line 103 (60 tokens to 1), "
        "line 102 (2 tokens to 15)"
    ]


def test_a_source_with_several_targets_is_no_fault_of_pairs(tmp_path: Path) -> None:
    report = check_pairs(tmp_path, [*sound_pairs(), ("der  Satz 1", "another one")], [("der", "the")])
    assert texts(report, "D501") == ["1 training rows repeat the text of another"]
    assert texts(report, "D503") == ['1 training texts have different targets in different rows, such as "der Satz 1"']
    assert [finding.level for finding in report.findings if finding.number == "D503"] == ["note"]


def test_pairs_from_which_training_could_not_start_are_reported(tmp_path: Path) -> None:
    report = check(load_config(None, ["task=translate"]), write_pairs(tmp_path / "one.csv", sound_pairs(1)))
    assert report.findings[-1].number == "D601" and "1 different texts" in report.findings[-1].text
