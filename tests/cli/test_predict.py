"""seqloom predict: one answer a row, in order, whatever the row."""

import csv
import io
import json
from pathlib import Path

import pytest

import seqloom
from tests.cli.conftest import Run
from tests.trained import Trained

LINES = [
    b"the film was good",
    b"",
    b"  ",
    b"bad \xff byte",
    b"\x1b[31mred\x9b \xc2\x9b2J\x7f",
    b"next\xc2\x85line\r",
    b"end",
]


def test_rows_of_a_file_are_answered_in_order(run: Run, trained: Trained, tmp_path: Path) -> None:
    code, out, err = run("predict", trained.classifier, trained.reviews)
    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert answers == seqloom.load(trained.classifier).predict_file(trained.reviews)
    texts = [line.rpartition(",")[0].strip('"') for line in trained.reviews.read_text().splitlines()[1:]]
    assert [answer["input"] for answer in answers] == texts


def test_bad_rows_keep_their_place_and_are_counted(run: Run, trained: Trained, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"text,other\ngood,1\n,2\nbad \xff,3\nragged\nend,4\n")
    code, out, err = run("predict", trained.classifier, rows)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [answer.get("error") for answer in answers] == [
        None,
        "line 3: empty text",
        "line 4: not utf-8: byte 0xff at offset 25",
        "line 5: 1 fields where the header has 2",
        None,
    ]
    assert err == "3 of 5 rows could not be answered: see their errors\n"


def test_texts_of_the_command_line_are_answered(run: Run, trained: Trained) -> None:
    code, out, err = run("predict", trained.classifier, "--text", "good 好", "--text", "")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert '"input": "good 好"' in out
    assert set(first) == {"input", "prediction", "probabilities"}
    assert second == {"input": "", "error": "line 2: empty text"}
    assert err == "1 of 2 rows could not be answered: see their errors\n"


def test_lines_of_stdin_are_answered_and_cannot_steer_the_terminal(
    run: Run, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n".join(LINES))))
    code, out, err = run("predict", trained.classifier, "-")
    answers = [json.loads(line) for line in out.split("\n")[:-1]]
    assert code == 0
    assert [("error" in answer) for answer in answers] == [False, True, True, True, True, False, False]
    assert answers[3]["input"] == "bad \udcff byte"
    assert answers[4]["input"] == "\x1b[31mred\udc9b \x9b2J\x7f"
    assert answers[5]["input"] == "next\x85line"
    assert not set(out) & set(map(chr, [*range(10), *range(11, 32), *range(127, 160)]))
    assert err == "4 of 7 rows could not be answered: see their errors\n"


@pytest.mark.parametrize(("stdin", "rows"), [(b"", 0), (b"\n", 1), (b"a", 1), (b"a\n", 1), (b"a\n\n", 2)])
def test_as_many_answers_as_lines(
    run: Run, trained: Trained, monkeypatch: pytest.MonkeyPatch, stdin: bytes, rows: int
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    code, out, _ = run("predict", trained.classifier, "-")
    assert (code, out.count("\n")) == (0, rows)


def test_csv_has_a_column_for_each_label(run: Run, trained: Trained) -> None:
    text = 'a "good", film\nindeed'
    code, out, _ = run("predict", trained.classifier, "--format", "csv", "--text", text, "--text", "")
    header, first, second = csv.reader(io.StringIO(out))
    assert code == 0
    assert header == ["input", "prediction", "p(negative)", "p(positive)", "error"]
    assert first[0] == text
    assert first[1] in ("negative", "positive")
    assert sum(map(float, first[2:4])) == pytest.approx(1, abs=2e-6)
    assert second == ["", "", "", "", "line 2: empty text"]


def test_csv_of_a_number_and_of_several_labels(run: Run, trained: Trained) -> None:
    _, out, _ = run("predict", trained.regressor, "--format", "csv", "--text", "a film")
    [answer] = csv.DictReader(io.StringIO(out))
    assert 3 < float(answer["prediction"]) < 20
    _, out, _ = run("predict", trained.multilabel, "--format", "csv", trained.topics)
    answers = list(csv.DictReader(io.StringIO(out)))
    expected = seqloom.load(trained.multilabel).predict_file(trained.topics)
    assert [row["prediction"].split("|") for row in answers] == [row["prediction"] or [""] for row in expected]


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "vocabulary.json", "metrics.json", "README.md"])
def test_damaged_model_is_refused_with_one_line(run: Run, trained: Trained, tmp_path: Path, name: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in trained.classifier.iterdir():
        if path.is_file():
            (model / path.name).write_bytes(path.read_bytes())
    (model / name).write_bytes((model / name).read_bytes()[:-1])
    code, out, err = run("predict", model, "--text", "good")
    size = (trained.classifier / name).stat().st_size
    assert (code, out) == (2, "")
    assert err == (
        f"error: {model / name} is cut short: {size - 1:,} bytes of {size:,} are there. "
        "Copy the model again or train it again.\n"
    )
