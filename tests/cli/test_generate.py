"""A text on the command line: checked, learned, gone on with, scored, looked into; a clear line for each mistake."""

import csv
import io
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from seqloom.data import reviews
from tests.cli.conftest import Run, command

SMALL = ("--set", "hidden_size=6", "--set", "embedding_size=4", "--set", "window=16", "--epochs", "1")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli-generate") / "play.txt"
    path.write_text("".join(f"{text}\n" for text, _ in reviews(40, seed=1)), encoding="utf-8")
    return path


@pytest.fixture
def trained(text: Path, run: Run) -> Path:
    out = text.parent / "model"
    if not out.exists():
        assert run("train", text, "--out", out, "--set", "max_output=20", *SMALL)[0] == 0
    return out


def test_train_json_keeps_the_contract_and_says_what_was_inferred(run: Run, text: Path, tmp_path: Path) -> None:
    code, out, err = run("train", text, "--out", tmp_path / "m", "--json", *SMALL)
    result = json.loads(out)
    assert (code, out.count("\n"), result["task"]) == (0, 1, "generate")
    assert set(result["metrics"]) == {"perplexity", "bits_per_character", "loss"}
    assert set(result["baselines"]) == {"unigram", "bigram"}
    assert {"parameters", "tokens_per_second", "epochs", "seconds", "rows"} <= set(result)
    assert "task: generate (a text file without columns)" in err
    assert "tokens: character (" in err and "windows an epoch" in err


def test_check_lists_findings(run: Run, text: Path) -> None:
    code, out, err = run("check", text)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()][:2] == ["D101", "D103"]
    code, out, _ = run("check", text, "--task", "generate", "--json")
    assert {"D101", "D305", "D401", "D402"} <= {finding["number"] for finding in json.loads(out)["findings"]}


def test_starts_are_gone_on_with_and_the_same_again(run: Run, trained: Path) -> None:
    words = ("predict", trained, "--text", "the film", "--text", "")
    code, out, err = run(*words)
    first, second = (json.loads(line) for line in out.splitlines())
    assert (code, err) == (0, "")
    assert (first["input"], second["input"]) == ("the film", "")
    assert len(first["prediction"]) <= 20 and first["prediction"]
    assert run(*words)[1] == out
    code, out, _ = run(*words, "--format", "csv", "--set", "temperature=0", "--set", "beam=2")
    header, row, _ = csv.reader(io.StringIO(out))
    assert header == ["input", "prediction", "score", "alternative 1", "error"] and row[0] == "the film"


def test_on_a_terminal_a_text_appears_as_it_is_written(trained: Path, run: Run) -> None:
    parent, child = pty.openpty()
    done = subprocess.run(
        command("predict", trained, "--text", "the film"),
        stdin=subprocess.DEVNULL, stdout=child, stderr=subprocess.PIPE, check=False, timeout=120,
    )  # fmt: skip
    os.close(child)
    shown = os.read(parent, 10_000).decode().replace("\r\n", "\n")
    os.close(parent)
    assert (done.returncode, done.stderr) == (0, b"")
    answer = json.loads(run("predict", trained, "--text", "the film")[1])
    assert shown == f"the film{answer['prediction']}\n"


def test_evaluate_and_look_print_figures(run: Run, trained: Path, text: Path) -> None:
    code, out, _ = run("evaluate", trained, text)
    assert code == 0
    assert next(line for line in out.splitlines() if "loss" in line).split() == [
        "perplexity",
        "bits_per_character",
        "loss",
    ]
    code, out, err = run("look", trained, "a b", "--json")
    seen = json.loads(out)
    assert (code, err, seen["tokens"]) == (0, "", ["a", " ", "b"])
    assert [len(chances) for chances in seen["likeliest"]] == [3] * 4
    code, out, _ = run("look", trained, "a b")
    assert code == 0 and "bits a token" in out and "expected" in out and "␣" in out


MISTAKES = [
    ("train absent.txt --task generate", "there is no file absent.txt"),
    (
        "train play.txt --task generate --target text",
        "target is a setting of tasks with an answer, the task is generate",
    ),
    ("train play.txt --task generate --set pooling=last", "model.pooling is a setting of classify and regress"),
    ("train play.txt --set bidirectional=true", "what comes next cannot be read before it is told"),
    ("train play.txt --set window=0", "training.window = 0: input should be greater than or equal to 1"),
    ("train play.txt --set valid_fraction=0.0", "no validation rows"),
    ("train table.csv --task generate --input none", 'column "none" is not in table.csv (columns: text)'),
    ("predict model --text x --suggest 3", "suggest: this model goes on with texts"),
    ("predict model table.tsv", "there is no file table.tsv"),
    ("evaluate model table.csv", "table.csv is a table, but this model was trained on a text file"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_each_mistake_ends_with_2_and_a_clear_line(
    run: Run, trained: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(trained)
    (tmp_path / "play.txt").symlink_to(text)
    (tmp_path / "table.csv").write_text("text\ngood\nbad\nfine\n", encoding="utf-8")
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert said in err[err.index("error: ") :]
