"""Pairs of texts on the command line: trained, answered, suggested, scored, and a clear line for each mistake."""

import csv
import io
import json
from pathlib import Path

import pytest

import seqloom
from tests.cli.conftest import Run
from tests.trained import Trained, copy_of
from tests.training.tiny import pairs, write_rows

SMALL = ("--set", "hidden_size=4", "--set", "embedding_size=4", "--epochs", "1")


@pytest.fixture
def aligned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with train.de and train.en of 40 lines each."""
    monkeypatch.chdir(tmp_path)
    for ending, side in (("de", 0), ("en", 1)):
        (tmp_path / f"train.{ending}").write_text("".join(f"{pair[side]}\n" for pair in pairs(40)), encoding="utf-8")
    return tmp_path


def test_train_json_keeps_the_contract(run: Run, trained: Trained, tmp_path: Path) -> None:
    words = ("train", trained.pairs, "--task", "translate", "--target", "reply", "--out", tmp_path / "m", "--json")
    code, out, err = run(*words, *SMALL)
    result = json.loads(out)
    assert (code, out.count("\n"), result["task"]) == (0, 1, "translate")
    assert {"perplexity", "exact_match", "error_rate", "bleu", "chrf"} <= set(result["metrics"])
    assert set(result["baselines"]) == {"copy", "majority", "unigram", "bigram"}
    assert "tokens of text: " in err
    assert "tokens of reply: " in err


def test_aligned_files_are_named_by_their_stem_throughout(run: Run, aligned: Path) -> None:
    assert run("check", "train", "--input", "de", "--target", "en", "--task", "translate")[0] == 0
    words = ("train", "train", "--task", "translate", "--input", "de", "--target", "en", "--out", "model")
    code, out, _ = run(*words, *SMALL)
    assert code == 0
    assert "bigram" in out
    code, out, _ = run("evaluate", "model", "train", "--json")
    assert (code, json.loads(out)["rows"]["used"]) == (0, 40)
    code, out, _ = run("predict", "model", "train")
    assert [json.loads(line)["input"] for line in out.splitlines()] == [source for source, _ in pairs(40)]


def test_answers_have_score_and_alternatives(run: Run, trained: Trained) -> None:
    code, out, err = run("predict", trained.translator, "--text", "the film was good", "--text", "")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert [first] == seqloom.load(trained.translator).predict("the film was good")
    assert set(first) == {"input", "prediction", "score", "alternatives"}
    assert second == {"input": "", "error": "line 2: empty text"}
    assert err == "1 of 2 rows could not be answered: see their errors\n"


def test_csv_has_a_column_for_each_text(run: Run, trained: Trained) -> None:
    words = ("predict", trained.translator, "--format", "csv", "--set", "beam=2", "--text")
    code, out, _ = run(*words, 'the "film",\nindeed', "--text", "")
    header, first, second = csv.reader(io.StringIO(out))
    assert code == 0
    assert header == ["input", "prediction", "score", "alternative 1", "error"]
    assert first[0] == 'the "film",\nindeed'
    assert float(first[2]) < 0
    assert first[3] not in ("", first[1])
    assert second == ["", "", "", "", "line 2: empty text"]


def test_suggestions_are_as_many_as_asked_for_and_differ(run: Run, trained: Trained) -> None:
    code, out, _ = run("predict", trained.translator, "--suggest", "3", "--text", "the film was good")
    answer = json.loads(out)
    texts = {answer["prediction"], *(other["prediction"] for other in answer["alternatives"])}
    assert (code, len(texts), len(answer["alternatives"])) == (0, 3, 2)


def test_evaluate_shows_what_each_baseline_has(run: Run, trained: Trained, tmp_path: Path) -> None:
    code, out, err = run("evaluate", copy_of(trained.translator, below=tmp_path), trained.pairs)
    assert (code, err) == (0, "")
    head = next(line for line in out.splitlines() if "perplexity" in line)
    assert head.split() == ["perplexity", "exact_match", "error_rate", "bleu", "chrf"]
    copy = next(line for line in out.splitlines() if line.strip().startswith("copy"))
    assert copy.split()[1].count(".") == 1


def test_look_shows_what_was_attended_to(run: Run, trained: Trained) -> None:
    code, out, err = run("look", trained.translator, "the film was good", "--json")
    seen = json.loads(out)
    assert (code, err) == (0, "")
    assert seen["source"] == ["the", "film", "was", "good"]
    assert [len(row) for row in seen["weights"]] == [4] * len(seen["tokens"])
    assert run("look", trained.translator, "")[2] == "error: the text cannot be read: empty text\n"


MISTAKES = [
    ("train train --task translate --input de --target fr", ['column "fr" is not in train (columns: de, en)']),
    ("train one.csv --task translate", ["1 different texts cannot be parted into 3 sets."]),
    ("train short --task translate", ["short.de has 2 lines, short.en has 1: each line of one must go with the same"]),
    ("train train --set beam=0", ["decoding.beam = 0: input should be greater than or equal to 1"]),
    ("train train --set pooling=last", ["model.pooling is a setting of classify and regress, the task is translate."]),
    (
        "train train --set top_k=3",
        ["decoding.top_k cuts what is drawn from. Set decoding.temperature above 0 to draw."],
    ),
    ("train train --set attention=dot", ["model.attention=dot compares states of one size", "bidirectional=false"]),
    ("train train --set class_weights=balanced", ["training.class_weights is a setting for one label a row"]),
    (
        "train train --task translate --set label_separator=|",
        ["label_separator is a setting of classify, the task is translate."],
    ),
    ("predict model --text x --set hidden_size=3", ["hidden_size=3: only the settings of [decoding] can still be"]),
    ("predict model --text x --set top_p=0.5", ["decoding.top_p cuts what is drawn from."]),
    ("predict model --text x --suggest 101", ["suggest is 101, but must lie in 1..100."]),
    ("predict model train", ['train has no column "text", which this model was trained with (columns: de, en)']),
    (
        "predict classifier --text x --suggest 3",
        ["suggest: this model writes no texts. Train one with --task"],
    ),
    ("predict classifier --text x --set beam=1", ["only the settings of [decoding] can still be changed, of a model"]),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_each_mistake_ends_with_2_and_a_clear_line(
    run: Run, trained: Trained, aligned: Path, words: str, said: list[str]
) -> None:
    (aligned / "model").symlink_to(trained.translator)
    (aligned / "classifier").symlink_to(trained.classifier)
    write_rows(aligned / "one.csv", [("one", "eins")], ("source", "target"))
    (aligned / "short.de").write_text("eins\nzwei\n", encoding="utf-8")
    (aligned / "short.en").write_text("one\n", encoding="utf-8")
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    last = err[err.index("error: ") :]
    for part in said:
        assert part in last
