"""Real pairs of texts as people have them. SEQLOOM_DATA names the folder they lie in."""

import csv
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from seqloom.config import Config, load_config
from seqloom.data import Prepared, TextTargets, check, prepare, read_table
from seqloom.data.columns import infer_columns
from seqloom.text import Tokeniser, normalise


@pytest.fixture(scope="module")
def folder() -> Path:
    path = Path(os.environ.get("SEQLOOM_DATA", ""))
    if not (path / "multi30k").is_dir():
        pytest.skip("SEQLOOM_DATA does not name the folder of real data sets")
    return path


def size(short: int) -> pytest.MarkDecorator:
    """The first `short` lines of a file in the short run, the whole of it in the long one."""
    return pytest.mark.parametrize("lines", [short, pytest.param(None, marks=pytest.mark.long, id="all")])


def beginning(path: Path, lines: int | None) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1][:lines]


def kinds(prepared: Prepared) -> tuple[str, str]:
    assert isinstance(prepared.targets, TextTargets)
    return prepared.tokeniser.kind, prepared.targets.tokeniser.kind


def test_29_000_captions_in_four_languages_are_read_line_by_line(folder: Path) -> None:
    table = read_table(folder / "multi30k" / "train")
    assert (table.columns, len(table.rows), table.rejected) == (("cs", "de", "en", "fr"), 29_000, [])
    lines = [(folder / "multi30k" / f"train.{column}").read_bytes().decode().split("\n") for column in table.columns]
    assert [row.values for row in table.rows] == list(zip(*lines, strict=True))[:-1]


@size(1_000)
def test_captions_are_read_by_subwords_that_write_them_again(folder: Path, tmp_path: Path, lines: int | None) -> None:
    pytest.importorskip("sentencepiece")
    for language in ("de", "en"):
        texts = beginning(folder / "multi30k" / f"train.{language}", lines)
        (tmp_path / f"train.{language}").write_text("\n".join([*texts, ""]), encoding="utf-8")
    config = load_config(None, ["input=de", "target=en"])
    prepared = prepare(config, tmp_path / "train", valid=folder / "multi30k" / "val")
    assert prepared.columns.task == "translate" and kinds(prepared) == ("subword", "subword")
    assert (len(prepared.train), len(prepared.valid), len(prepared.test)) == (lines or 29_000, 1_014, 0)
    assert isinstance(prepared.targets, TextTargets)
    for vocabulary in (prepared.vocabulary, prepared.targets.vocabulary):
        assert (7_000 if lines is None else 500) < len(vocabulary) < 9_000
    assert all(
        prepared.targets.decode(row.target) == normalise(row.target_text, lowercase=False)
        for row in prepared.train
        if isinstance(row.target, list) and row.target_text
    )


@size(5_000)
@pytest.mark.parametrize(("language", "least"), [("en", 0.998), ("de", 0.994), ("fr", 0.996), ("cs", 0.997)])
def test_words_of_captions_join_as_they_were(folder: Path, language: str, least: float, lines: int | None) -> None:
    words = Tokeniser("word", lowercase=False)
    texts = beginning(folder / "multi30k" / f"train.{language}", lines)
    wanted = [" ".join(normalise(text, lowercase=False).replace("’", "'").split()) for text in texts]
    same = sum(words.join(words.texts(text)) == want for text, want in zip(texts, wanted, strict=True))
    assert same / len(texts) > least


@size(5_000)
def test_words_are_read_by_letter_and_pronounced_by_phoneme(folder: Path, tmp_path: Path, lines: int | None) -> None:
    entries = beginning(folder / "cmudict" / "cmudict.dict", lines)
    with (tmp_path / "sounds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("word", "phonemes"))
        for entry in entries:
            word, phonemes = entry.split("#")[0].strip().split(" ", 1)
            writer.writerow((re.sub(r"\(\d+\)$", "", word), phonemes))
    prepared = prepare(Config(), tmp_path / "sounds.csv")
    assert prepared.columns.task == "translate" and kinds(prepared) == ("character", "word")
    assert sum(map(len, (prepared.train, prepared.valid, prepared.test))) == (lines or 135_166)
    assert isinstance(prepared.targets, TextTargets) and len(prepared.targets.vocabulary) == 69 + 2
    assert all(prepared.targets.decode(row.target or []) == row.target_text for row in prepared.train)
    train, valid, test = ({row.text for row in part} for part in (prepared.train, prepared.valid, prepared.test))
    assert not train & valid and not train & test and not valid & test


def test_names_are_written_letter_by_letter(folder: Path, tmp_path: Path) -> None:
    text = (folder / "translit_ar_en" / "ar2en-train.txt").read_text(encoding="utf-8")
    (tmp_path / "names.tsv").write_text(f"arabic\tlatin\n{text}", encoding="utf-8")
    prepared = prepare(Config(), tmp_path / "names.tsv")
    assert (prepared.columns.task, prepared.columns.input, prepared.columns.target) == ("translate", "arabic", "latin")
    assert kinds(prepared) == ("character", "character") and prepared.rejected == []


@size(2_500)
def test_sentences_with_many_translations_stay_on_one_side(folder: Path, tmp_path: Path, lines: int | None) -> None:
    """98,659 English sentences have 142,787 French ones, in order of their length; the first have the most."""
    texts = beginning(folder / "tatoeba_eng_fra" / "fra.txt", lines)
    (tmp_path / "pairs.tsv").write_text("\n".join(["english\tfrench", *texts, ""]), encoding="utf-8")
    assert infer_columns(read_table(tmp_path / "pairs.tsv")).task == "translate"
    prepared = prepare(load_config(None, ["tokens=word", "target_tokens=word"]), tmp_path / "pairs.tsv")
    parts = (prepared.train, prepared.valid, prepared.test)
    assert sum(map(len, parts)) == (lines or 142_787) and prepared.rejected == []
    assert not any("also in train" in note for note in prepared.notes)


def test_check_finds_copies_and_odd_lengths_among_replies(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "replies.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("message", "reply"))
        for dialogue in (folder / "dailydialog" / "dialogues_validation.txt").read_text(encoding="utf-8").split("\n"):
            turns = [turn.strip() for turn in dialogue.split("__eou__") if turn.strip()]
            writer.writerows(pairwise(turns))
    report = check(load_config(None, ["tokens=word", "target_tokens=word"]), tmp_path / "replies.csv")
    found = {finding.number: finding.text for finding in report.findings}
    assert found["D101"].startswith("7,069 rows used") and "translate" in found["D103"] + str(report.findings)
    assert "have a target that equals their source" in found["D206"]
    assert "times as long or short as usual for their source" in found["D304"]
