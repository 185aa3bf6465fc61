"""Pairs of texts from file to examples: both sides encoded, none learned from validation, no row lost."""

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from seqloom.config import load_config
from seqloom.data import Prepared, TextTargets, collate, encode_rows, prepare, read_table
from seqloom.errors import ConfigError, DataError


def write(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("source", "target")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def pairs(count: int, *, word: str = "satz") -> list[tuple[str, ...]]:
    return [(f"Der {word} Nummer {n}.", f"The {word} number {n}, here.") for n in range(count)]


def run(path: Path, *settings: str, **files: Path) -> Prepared:
    return prepare(load_config(None, ["task=translate", *settings]), path, **files)


def text_targets(prepared: Prepared) -> TextTargets:
    assert isinstance(prepared.targets, TextTargets)
    return prepared.targets


def test_both_sides_are_encoded_and_the_target_text_is_kept(tmp_path: Path) -> None:
    prepared = run(write(tmp_path / "rows.csv", pairs(40)))
    targets = text_targets(prepared)
    assert (len(prepared.train), len(prepared.valid), len(prepared.test)) == (32, 4, 4)
    for example in prepared.train:
        assert isinstance(example.target, list)
        assert prepared.vocabulary.encode(prepared.tokeniser.texts(example.text)) == example.ids
        assert targets.decode(example.target) == example.target_text
    assert (prepared.tokeniser.kind, prepared.tokeniser.lowercase, targets.tokeniser.lowercase) == (
        "word",
        False,
        False,
    )
    assert "tokens of source: word (160 words are too few to learn subwords from)" not in prepared.notes
    assert any(note.startswith("tokens of source: word (") for note in prepared.notes)
    assert any(note.startswith("tokens of target: word (") for note in prepared.notes)


def test_nothing_is_learned_from_validation(tmp_path: Path) -> None:
    valid = write(tmp_path / "valid.csv", [("unerhört", "unheard"), ("Der satz", "The satz")])
    prepared = run(write(tmp_path / "rows.csv", pairs(40)), valid=valid)
    assert "unerhört" not in prepared.vocabulary and "unheard" not in text_targets(prepared).vocabulary
    assert (prepared.valid[0].ids, prepared.valid[0].target, prepared.valid[0].target_text) == ([1], [1], "unheard")


def test_empty_sides_are_rejected_by_line(tmp_path: Path) -> None:
    prepared = run(write(tmp_path / "rows.csv", [*pairs(40), (" ", "a"), ("a", "\u00a0"), ("a",)]))
    assert [(row.line, row.reason) for row in prepared.rejected] == [
        (42, "empty text"),
        (43, "empty target"),
        (44, "1 fields where the header has 2"),
    ]


def test_equal_sources_stay_on_one_side_whatever_is_read(tmp_path: Path) -> None:
    rows = [(f"Satz {n}" + " " * (turn % 2) + "’s" * 0, f"sentence {n} {turn}") for n in range(40) for turn in range(4)]
    rows += [(source.replace(" ", "  ").strip(), target + " again") for source, target in rows]
    for setting in ((), ("tokens=character",), ("tokens=word",)):
        prepared = run(write(tmp_path / "rows.csv", rows), *setting)
        sides = [{"".join(e.text.split()) for e in part} for part in (prepared.train, prepared.valid, prepared.test)]
        if setting != ("tokens=character",):
            assert not any(one & other for one, other in pairwise([*sides, sides[0]]))
        assert not any("also in train" in note for note in prepared.notes)
        assert all(sides)


def test_capitals_count_unless_asked_otherwise(tmp_path: Path) -> None:
    rows = [*pairs(40), ("DER SATZ", "THE SATZ")]
    valid = write(tmp_path / "valid.csv", [("der satz", "the satz"), ("x", "y")])
    cased, lower = (run(write(tmp_path / "rows.csv", rows), *s, valid=valid) for s in ((), ("lowercase=true",)))
    assert "DER" in cased.vocabulary and "DER" not in lower.vocabulary
    assert "1 of 2 valid texts are also in train: their scores flatter" in lower.notes
    assert not any("also in train" in note for note in cased.notes)


def test_both_sides_are_cut_and_counted(tmp_path: Path) -> None:
    rows = [*pairs(40), ("a b c d e f g h i", "j"), ("k", "a b c d e f g h i")]
    valid = write(tmp_path / "valid.csv", pairs(4, word="v"))
    whole = run(write(tmp_path / "rows.csv", rows), valid=valid)
    cut = run(tmp_path / "rows.csv", "max_length=7", valid=valid)
    assert [e.ids[:7] for e in whole.train] == [e.ids for e in cut.train]
    assert [e.target[:7] for e in whole.train if isinstance(e.target, list)] == [e.target for e in cut.train]
    assert cut.train[-1].target_text == "a b c d e f g h i"
    assert [note for note in cut.notes if "cut to" in note] == [
        "1 of 42 train rows are cut to 7 tokens",
        "1 of 42 train targets are cut to 7 tokens",
    ]


def test_each_side_may_be_cut_differently(tmp_path: Path) -> None:
    prepared = run(write(tmp_path / "rows.csv", pairs(40)), "tokens=character", "target_tokens=byte")
    assert (prepared.tokeniser.kind, text_targets(prepared).tokeniser.kind) == ("character", "byte")
    assert not any(note.startswith("tokens of") for note in prepared.notes)


def test_names_and_phonemes_are_read_as_what_they_are(tmp_path: Path) -> None:
    rows = [(f"name{n}", f"N EY1 M {('W AH1 N', 'T UW1')[n % 2]}") for n in range(300)]
    prepared = run(write(tmp_path / "rows.csv", rows))
    assert (prepared.tokeniser.kind, text_targets(prepared).tokeniser.kind) == ("character", "word")
    assert set(text_targets(prepared).vocabulary.known) == {"N", "EY1", "M", "W", "AH1", "T", "UW1"}


def spelled(number: int) -> str:
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def many(count: int) -> list[tuple[str, ...]]:
    names = [(spelled(n % 997), spelled(n % 499), spelled(n)) for n in range(count)]
    return [(f"das wort {a} steht neben {b} und {c}", f"the word {a} is by {b} with {c}") for a, b, c in names]


def test_subwords_suit_the_amount_of_training_text_and_know_no_other(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    valid = write(tmp_path / "valid.csv", [("Ω", "Ω"), ("das wort", "the word")])
    prepared = run(write(tmp_path / "rows.csv", many(2000)), valid=valid)
    targets = text_targets(prepared)
    assert prepared.tokeniser.kind == targets.tokeniser.kind == "subword"
    assert "subwords of source: 1,800 at most, for the amount of text (max_vocabulary sets it)" in prepared.notes
    assert 100 < len(prepared.vocabulary) <= 1802 and prepared.vocabulary != targets.vocabulary
    assert 1 in prepared.valid[0].ids and 1 in (prepared.valid[0].target or [])
    fewer = run(tmp_path / "rows.csv", "max_vocabulary=60", valid=valid)
    assert not any(1 in example.ids for example in fewer.train)
    assert len(fewer.vocabulary) <= 62 and not any(note.startswith("subwords") for note in fewer.notes)


def test_one_vocabulary_serves_both_sides_where_that_is_asked(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    prepared = run(write(tmp_path / "rows.csv", many(2000)), "joint_vocabulary=true")
    targets = text_targets(prepared)
    assert (targets.tokeniser, targets.vocabulary) == (prepared.tokeniser, prepared.vocabulary)
    assert {"u", "y"} <= set("".join(prepared.vocabulary.known))
    joint = run(write(tmp_path / "rows.csv", pairs(40)), "joint_vocabulary=true", "target_tokens=character")
    assert joint.tokeniser.kind == "character" and "T" in joint.vocabulary


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["task=translate", "joint_vocabulary=true", "tokens=word", "target_tokens=byte"], "needs the same tokens"),
        (["task=translate", "label_separator=|"], "label_separator is a setting of classify"),
        (
            ["task=classify", "target_tokens=byte"],
            "target_tokens is a setting of translate and caption, the task is classify",
        ),
        (["task=classify", "joint_vocabulary=true"], "joint_vocabulary is a setting of translate"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(tmp_path: Path, settings: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        prepare(load_config(None, settings), write(tmp_path / "rows.csv", pairs(40)))


def test_a_batch_holds_both_sides(tmp_path: Path) -> None:
    prepared = run(write(tmp_path / "rows.csv", [*pairs(40), ("a", "b")]), "valid_fraction=0.1", "test_fraction=0")
    sources, targets = collate(prepared.train)
    assert sources.lengths.tolist() == [len(example.ids) for example in prepared.train]
    assert isinstance(targets, tuple)
    assert targets.lengths.tolist() == [len(example.target or []) for example in prepared.train]
    for example, row in zip(prepared.train, targets.values.tolist(), strict=True):
        assert row == [*example.target, *[0] * (targets.values.shape[1] - len(example.target))]


def test_long_and_unknown_sources_are_read_alike(tmp_path: Path) -> None:
    prepared = run(write(tmp_path / "rows.csv", [*pairs(40), ("wort " * 10_000, "word")]), "test_fraction=0")
    table = read_table(write(tmp_path / "more.csv", [("nie " * 10_000, "x " * 99), ("", "y"), ("Der satz", "")]))
    longest, empty, lacking = encode_rows(
        table,
        input="source",
        target="target",
        tokeniser=prepared.tokeniser,
        vocabulary=prepared.vocabulary,
        targets=prepared.targets,
        max_length=50,
    )
    assert longest.ids == longest.target == [1] * 50 and longest.target_text == ("x " * 99).strip()
    assert (empty.reason, lacking.reason) == ("empty text", "empty target")


def test_one_pair_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="1 different texts cannot be parted into 3 sets. Give more rows, or files with"
    ):
        run(write(tmp_path / "rows.csv", pairs(1)))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'column "german" is not in rows.csv \(columns: source, target\)'):
        run(write(tmp_path / "rows.csv", pairs(40)), "target=german")
    with pytest.raises(DataError, match=r'valid.csv has no column "source" \(columns: a, b\)'):
        run(tmp_path / "rows.csv", valid=write(tmp_path / "valid.csv", pairs(4), ("a", "b")))


def test_same_file_twice_gives_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", many(1000))
    first, second = run(path), run(path)
    assert first.train == second.train and first.valid == second.valid and first.targets == second.targets
