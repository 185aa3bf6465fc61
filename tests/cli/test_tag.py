"""Tags on the command line: trained, checked, answered, scored, shown, and a clear line for each mistake."""

import csv
import io
import json
from pathlib import Path

import pytest

import seqloom
from seqloom.data.generators_tags import tagged
from tests.cli.conftest import Run
from tests.tagging import Taggers, small_taggers, write_tagged

SMALL = ("--set", "hidden_size=4", "--set", "embedding_size=4", "--epochs", "1")


@pytest.fixture(scope="module")
def taggers(tmp_path_factory: pytest.TempPathFactory) -> Taggers:
    return small_taggers(tmp_path_factory.getbasetemp())


@pytest.fixture
def conll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with train.conll of 40 sentences, the third of them broken."""
    monkeypatch.chdir(tmp_path)
    data = write_tagged(tmp_path / "train.conll", 40)
    sentences = data.read_text().split("\n\n")
    sentences[2] += "\nbroken"
    data.write_text("\n\n".join(sentences))
    return data


def test_train_json_keeps_the_contract(run: Run, conll: Path) -> None:
    code, out, err = run("train", "train.conll", "--out", "m", "--json", *SMALL)
    result = json.loads(out)
    assert (code, out.count("\n"), result["task"]) == (0, 1, "tag")
    assert {"accuracy", "unknown_word_accuracy"} == set(result["metrics"]) == set(result["intervals"])
    assert set(result["baselines"]) == {"most_frequent", "feature_logreg"}
    assert {"parameters", "tokens_per_second", "epochs", "confusions", "seconds"} <= set(result)
    assert result["rows"]["rejected"] == 1
    assert "task: tag (form and tag are lists of equal lengths)" in err
    assert "train.conll, line " in err and "1 column where 2 are needed" in err
    code, out, _ = run("evaluate", "m", "train.conll")
    assert code == 0
    assert "unknown_word_accuracy" in out and "most_frequent" in out


def test_answers_are_words_and_tags(run: Run, taggers: Taggers) -> None:
    code, out, err = run("predict", taggers.speech, "--text", "We watch.", "--text", "")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert [first] == seqloom.load(taggers.speech).predict("We watch.")
    assert first["tokens"] == ["We", "watch", "."] and len(first["tags"]) == 3
    assert second == {"input": "", "error": "line 2: empty text"}
    assert err == "1 of 2 rows could not be answered: see their errors\n"


def test_files_are_answered_in_order_and_bad_sentences_keep_their_place(
    run: Run, taggers: Taggers, conll: Path
) -> None:
    code, out, _ = run("predict", taggers.speech, conll)
    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, len(answers)) == (0, 40)
    assert [row for row, answer in enumerate(answers) if "error" in answer] == [2]
    words = [sentence for sentence, _ in tagged(40, seed=1)]
    assert [answer["tokens"] for answer in answers if "tokens" in answer] == words[:2] + words[3:]
    (conll.parent / "untagged.conll").write_text("we\nwatch\n\nthey\n")
    code, out, _ = run("predict", taggers.speech, "untagged.conll")
    assert [json.loads(line)["tokens"] for line in out.splitlines()] == [["we", "watch"], ["they"]]


def test_csv_has_words_and_tags_with_blanks_between(run: Run, taggers: Taggers) -> None:
    code, out, _ = run("predict", taggers.speech, "--format", "csv", "--text", 'we "watch"', "--text", "")
    header, first, second = csv.reader(io.StringIO(out))
    assert code == 0
    assert header == ["input", "tokens", "tags", "error"]
    assert first[:2] == ['we "watch"', 'we " watch "'] and len(first[2].split()) == 4
    assert second == ["", "", "", "line 2: empty text"]


def test_check_counts_tags_and_unknown_words(run: Run, taggers: Taggers, tmp_path: Path) -> None:
    code, out, _ = run("check", taggers.spans_data)
    findings = [line.split(None, 2) for line in out.splitlines()]
    text = {number: said for number, _, said in findings}
    assert code == 0
    assert text["D101"].startswith("80 rows used")
    assert text["D201"].startswith("7 tags, which mark spans: O ")
    assert "D301" in text and text["D402"].endswith("of the tokens in test are unknown to training")
    twice = tmp_path / "twice.conll"
    twice.write_text("a X\nb Y\n\n" * 2 + "c X\n\nd Y\n\n" + "e X\nf Y\n\n" * 3)
    code, out, _ = run("check", twice, "--test", twice, "--json")
    numbers = {each["number"]: each["text"] for each in json.loads(out)["findings"]}
    assert "training rows repeat the text of another" in numbers["D501"]
    assert "test texts are also in train" in numbers["D502"]


def test_look_shows_chances_under_each_word(run: Run, taggers: Taggers) -> None:
    code, out, err = run("look", taggers.speech, "we watch Zugzwang")
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    assert (code, err) == (0, "")
    assert lines[0].split() == ["we", "watch", "Zugzwang", "*"]
    assert len(lines[2].split()) == 3 and len(lines[3].split()) == 6
    assert lines[-1] == "* not in the training rows"
    seen = json.loads(run("look", taggers.speech, "we watch", "--json")[1])
    assert set(seen) == {"input", "tokens", "tags", "known", "chances"}
    assert set(seen["chances"][0][0]) == {"tag", "probability"}
    assert run("look", taggers.speech, "")[2] == "error: the text cannot be read: empty text\n"


MISTAKES = [
    ("train rows.csv --task tag", ["rows.csv (columns: text, label) has no two columns of lists of equal lengths"]),
    ("train train.conll --target upos", ['column "upos" is not in train.conll (columns: form, tag)']),
    (
        "train train.conll --set tokens=character",
        ["tokens is a setting of tasks that cut texts; here words are given, the task is tag."],
    ),
    (
        "train train.conll --set max_length=5",
        ["max_length is a setting of tasks that cut texts, row by row, the task is tag."],
    ),
    ("train train.conll --set pooling=last", ["model.pooling is a setting of classify and regress, the task is tag."]),
    ("train train.conll --set class_weights=balanced", ["training.class_weights is a setting for one label a row"]),
    ("train train.conll --set characters=false --set character_size=9", ["character_size is a setting of models that"]),
    ("train one.conll", ['all words of the training rows have the tag "X": there is nothing to tell apart.']),
    ("predict model rows.csv", ['rows.csv has no column "form", which this model was trained with']),
    ("predict model --text x --suggest 3", ["suggest: this model writes no texts."]),
    ("evaluate model one.conll", ['no row can be used: line 1: tag "X" of word 1 does not occur in training']),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_each_mistake_ends_with_2_and_a_clear_line(
    run: Run, taggers: Taggers, conll: Path, words: str, said: list[str]
) -> None:
    (conll.parent / "model").symlink_to(taggers.speech)
    (conll.parent / "rows.csv").write_text("text,label\na b,x\nc d,y\n")
    (conll.parent / "one.conll").write_text("".join(f"w{number} X\n\n" for number in range(9)))
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    last = err[err.index("error: ") :]
    for part in said:
        assert part in last
