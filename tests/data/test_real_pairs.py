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


def kinds(prepared: Prepared) -> tuple[str, str]:
    assert isinstance(prepared.targets, TextTargets)
    return prepared.tokeniser.kind, prepared.targets.tokeniser.kind


def test_29_000_captions_in_four_languages_are_read_line_by_line(folder: Path) -> None:
    table = read_table(folder / "multi30k" / "train")
    assert (table.columns, len(table.rows), table.rejected) == (("cs", "de", "en", "fr"), 29_000, [])
    lines = [(folder / "multi30k" / f"train.{column}").read_bytes().decode().split("\n") for column in table.columns]
    assert [row.values for row in table.rows] == list(zip(*lines, strict=True))[:-1]


def test_captions_are_read_by_subwords_that_write_them_again(folder: Path) -> None:
    pytest.importorskip("sentencepiece")
    config = load_config(None, ["input=de", "target=en"])
    prepared = prepare(config, folder / "multi30k" / "train", valid=folder / "multi30k" / "val")
    assert prepared.columns.task == "translate" and kinds(prepared) == ("subword", "subword")
    assert (len(prepared.train), len(prepared.valid), len(prepared.test)) == (29_000, 1_014, 0)
    assert isinstance(prepared.targets, TextTargets)
    assert 7_000 < len(prepared.vocabulary) < 9_000 and 7_000 < len(prepared.targets.vocabulary) < 9_000
    assert all(
        prepared.targets.decode(row.target) == normalise(row.target_text, lowercase=False)
        for row in prepared.train
        if isinstance(row.target, list) and row.target_text
    )


@pytest.mark.parametrize(("language", "least"), [("en", 0.998), ("de", 0.994), ("fr", 0.996), ("cs", 0.997)])
def test_words_of_captions_join_as_they_were(folder: Path, language: str, least: float) -> None:
    words = Tokeniser("word", lowercase=False)
    texts = (folder / "multi30k" / f"train.{language}").read_text(encoding="utf-8").split("\n")[:-1]
    wanted = [" ".join(normalise(text, lowercase=False).replace("’", "'").split()) for text in texts]
    same = sum(words.join(words.texts(text)) == want for text, want in zip(texts, wanted, strict=True))
    assert same / len(texts) > least


def test_words_are_read_by_letter_and_pronounced_by_phoneme(folder: Path, tmp_path: Path) -> None:
    entries = (folder / "cmudict" / "cmudict.dict").read_text(encoding="utf-8").split("\n")[:-1]
    with (tmp_path / "sounds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("word", "phonemes"))
        for entry in entries:
            word, phonemes = entry.split("#")[0].strip().split(" ", 1)
            writer.writerow((re.sub(r"\(\d+\)$", "", word), phonemes))
    prepared = prepare(Config(), tmp_path / "sounds.csv")
    assert prepared.columns.task == "translate" and kinds(prepared) == ("character", "word")
    assert sum(map(len, (prepared.train, prepared.valid, prepared.test))) == 135_166
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


def test_sentences_with_many_translations_stay_on_one_side(folder: Path, tmp_path: Path) -> None:
    """98,659 English sentences have 142,787 French ones, in order of their length."""
    text = (folder / "tatoeba_eng_fra" / "fra.txt").read_text(encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text(f"english\tfrench\n{text}", encoding="utf-8")
    assert infer_columns(read_table(tmp_path / "pairs.tsv")).task == "translate"
    prepared = prepare(load_config(None, ["tokens=word", "target_tokens=word"]), tmp_path / "pairs.tsv")
    parts = (prepared.train, prepared.valid, prepared.test)
    assert sum(map(len, parts)) == 142_787 and prepared.rejected == []
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
