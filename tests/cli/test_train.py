"""seqloom train, check and evaluate as they are read, by a person and by a machine."""

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Run, command
from tests.trained import Trained, copy_of

SMALL = ("--set", "hidden_size=4", "--set", "embedding_size=4", "--epochs", "1")


def test_train_json_is_one_object_that_keeps_the_contract(run: Run, trained: Trained, tmp_path: Path) -> None:
    code, out, err = run("train", trained.reviews, "--out", tmp_path / "m", "--json", "--task", "classify", *SMALL)
    result = json.loads(out)
    assert (code, out.count("\n")) == (0, 1)
    assert {"task", "metrics", "baselines", "rows", "seconds", "parameters", "tokens_per_second", "epochs"} <= set(
        result
    )
    assert result["task"] == "classify"
    assert set(result["baselines"]) == {"majority", "tfidf_logreg"}
    assert all("accuracy" in scores for scores in result["baselines"].values())
    assert {"used", "rejected"} <= set(result["rows"])
    assert result["epochs"] == 1
    assert "input: text (longest text column)" in err
    assert re.search(r"^epoch 1  train loss \d\.\d{4}  valid loss \d\.\d{4}  accuracy .*  best \*$", err, re.MULTILINE)
    assert "comparing with TF-IDF + a linear model" in err


def test_train_prints_scores_on_stdout_and_the_next_step_on_stderr(run: Run, trained: Trained, tmp_path: Path) -> None:
    code, out, err = run("train", trained.reviews, "--out", tmp_path / "my model", *SMALL)
    assert code == 0
    shown = [re.split("  +", line.strip())[0] for line in out.splitlines()]
    assert [name for name in shown if name in ("this model", "majority", "tfidf_logreg")] == [
        "this model",
        "majority",
        "tfidf_logreg",
    ]
    assert "6 test rows · 95 % interval in brackets" in out
    page = f"report: {tmp_path}/my model/report.html\n"
    assert err.endswith(
        f"model: {tmp_path}/my model\n{page}try:   seqloom predict '{tmp_path}/my model' --text \"...\"\n"
    )


def test_evaluate_json_keeps_the_contract(run: Run, trained: Trained, tmp_path: Path) -> None:
    for model, data, metrics, baseline in (
        (trained.classifier, trained.reviews, {"accuracy", "macro_f1"}, "majority"),
        (trained.multilabel, trained.topics, {"exact_match", "macro_f1"}, "majority"),
        (trained.regressor, trained.numbers, {"mae", "rmse"}, "mean"),
    ):
        code, out, err = run("evaluate", copy_of(model, below=tmp_path), data, "--json")
        result = json.loads(out)
        assert (code, err) == (0, "")
        assert {"task", "metrics", "baselines", "rows", "seconds"} <= set(result)
        assert set(result["metrics"]) == metrics
        assert metrics <= set(result["baselines"][baseline])
        assert result["rows"] == {"used": 60, "rejected": 0}


def test_evaluate_says_which_rows_it_left_out(run: Run, trained: Trained, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\ngood,positive\n" + "bad,\x1b[2J\n" * 7)
    code, out, err = run("evaluate", copy_of(trained.classifier, below=tmp_path), rows)
    assert code == 0
    assert "1 rows, 7 not used" in out
    assert err.splitlines()[0] == (
        f'{rows}:3: not used: label "\\u001b[2J" does not occur in training (known: negative, positive)'
    )
    assert err.splitlines()[-1] == "2 more rows not used"
    assert len(err.splitlines()) == 6


def test_check_prints_numbered_findings_one_a_line(run: Run, trained: Trained) -> None:
    code, out, err = run("check", trained.reviews)
    assert (code, err) == (0, "")
    assert all(re.match(r"D\d{3}  (ok|note|warning|error) +\S", line) for line in out.splitlines())
    assert "D101  ok       60 rows used (48 train, 6 valid, 6 test), 0 rejected" in out


def test_check_json_holds_the_same_findings(run: Run, trained: Trained) -> None:
    lines = run("check", trained.reviews)[1].splitlines()
    code, out, err = run("check", trained.reviews, "--json")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert [f"{f['number']}  {f['level']:<7}  {f['text']}" for f in report["findings"]] == lines
    assert list(report["files"]) == ["reviews.csv"]


def test_check_ends_with_2_where_a_finding_is_an_error(run: Run, trained: Trained, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(trained.reviews.read_text() + "ragged\n" * 100)
    code, out, _ = run("check", rows)
    assert code == 2
    assert "D101  error    60 rows used (48 train, 6 valid, 6 test), 100 rejected" in out
    assert "D102  error    rows.csv, line 62: 1 fields where the header has 2" in out


def test_check_shows_the_rows_though_training_could_not_start(run: Run, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"text,label\ngood,pos\nfine,pos\nnice,pos\nragged\n")
    code, out, err = run("check", rows)
    assert (code, err) == (2, "")
    assert "D102  warning  rows.csv, line 5: 1 fields where the header has 2" in out
    assert out.splitlines()[-1].startswith("D601  error    training could not start: all ")


def test_labels_of_a_file_do_not_steer_the_terminal(run: Run, trained: Trained, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(trained.reviews.read_text().replace("positive", "\x1b]0;pwned\x07\x9b2J\u202e"))
    for words in (("check", rows), ("train", rows, "--out", tmp_path / "m", *SMALL)):
        code, out, err = run(*words)
        assert code == 0
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out + err)
    assert "\\u001b]0;pwned\\u0007\\u009b2J\\u202e" in run("check", rows)[1]


def test_doctor_says_what_is_there_and_how_to_get_the_rest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqloom.cli.doctor.EXTRAS", {"look": ("plotly-that-is-not-there",), "text": ("torch",)})
    code, out, err = run("doctor", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert set(found) == {"versions", "kernels", "threads", "cpus", "gpu", "missing"}
    assert found["missing"] == {"look": ["plotly-that-is-not-there"]}
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert "missing      plotly-that-is-not-there: pip install 'seqloom[look]'" in out
    assert re.search(r"^torch +2\.", out, re.MULTILINE)


def test_ctrl_c_saves_and_the_printed_command_goes_on(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "my reviews.csv"
    data.write_bytes(trained.reviews.read_bytes())
    words = ("train", data.name, "--set", "hidden_size=4", "--epochs", "5000", "--set", "patience=9999", "--json")
    process = subprocess.Popen(
        command(*words), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert re.search(r"^interrupted: stopped .* all is saved\.$", err, re.MULTILINE)
    printed = err.splitlines()[-1].removeprefix("  to go on: ")
    again = shlex.split(printed)
    assert again == ["seqloom", "train", "--resume", "--out", "runs/my reviews", *words[1:]]

    # The very words, and an end to what would take long.
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*again[1:], "--max-minutes", "0.0001")
    assert code == 0, err
    assert "resumed at step" in err
    assert json.loads(out)["epochs"] >= 2


def test_ctrl_c_before_anything_is_saved_prints_a_command_that_starts_anew(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seqloom.training.train_model", stop)
    code, out, err = run("train", trained.reviews, "--out", tmp_path / "m", *SMALL)
    assert (code, out) == (130, "")
    printed = shlex.split(err.splitlines()[-1].removeprefix("  to go on: "))
    assert err.splitlines()[-2] == "interrupted: stopped at once"
    assert "--resume" not in printed
    monkeypatch.undo()
    assert run(*printed[1:])[0] == 0


def test_narrow_terminal_shows_whole_figures(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COLUMNS": "60", "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    code, _, err = run("train", trained.reviews, "--out", tmp_path / "m", *SMALL)
    shown = [line.rstrip() for line in re.split("[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err))]
    assert code == 0
    assert " epoch  train loss  valid loss  accuracy  macro_f1  best" in shown
    assert not [line for line in shown if "…" in line]
    assert not [line for line in shown[: shown.index(f"model: {tmp_path / 'm'}")] if len(line) > 60]


def test_one_terminal_after_the_other_shows_the_same_table(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for width in ("80", "200"):
        for name, value in {"COLUMNS": width, "FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}.items():
            monkeypatch.setenv(name, value)
        _, _, err = run("train", trained.reviews, "--out", tmp_path / width, *SMALL)
        last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err).rpartition(" epoch ")[2]
        tables.append(last.partition("\n")[0].split())
    assert tables == [["train", "loss", "valid", "loss", "accuracy", "macro_f1", "tokens/s", "seconds", "best"]] * 2
