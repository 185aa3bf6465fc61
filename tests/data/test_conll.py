"""CoNLL files, read strictly: what is a sentence becomes a row, and what is not is told with its line."""

from pathlib import Path

import pytest

from seqloom.config import load_config
from seqloom.data import Table, prepare, read_table
from seqloom.data.generators_tags import named, tagged, to_conll
from seqloom.errors import DataError

WORD = "{id}\t{form}\t{form}\t{upos}\t{upos}X\t_\t0\troot\t_\t_"


def line(number: int | str, form: str, upos: str = "NOUN") -> str:
    return WORD.format(id=number, form=form, upos=upos)


def conllu(path: Path, *lines: str) -> Table:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_table(path)


# CoNLL-U


def test_each_sentence_is_a_row_of_lists_and_its_line_that_of_its_first_word(tmp_path: Path) -> None:
    table = conllu(
        tmp_path / "a.conllu", "# text = Hey you", line(1, "Hey", "INTJ"), line(2, "you", "PRON"), "", line(1, "Go"), ""
    )
    assert table.columns == ("form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
    assert [row.line for row in table.rows] == [2, 5]
    assert table.values("form") == [("Hey", "you"), ("Go",)]
    assert table.values("upos") == [("INTJ", "PRON"), ("NOUN",)]
    assert table.values("xpos") == [("INTJX", "PRONX"), ("NOUNX",)]
    assert (table.rejected, table.notes) == ([], [])


def test_multi_word_tokens_and_empty_nodes_are_passed_over_and_counted(tmp_path: Path) -> None:
    table = conllu(
        tmp_path / "a.conllu",
        line("1-2", "cannot", "_"),
        line(1, "can"),
        line(2, "not"),
        line("2.1", "ghost", "_"),
        line("2.2", "ghost", "_"),
        "",
        "# a comment alone",
        "",
        line("0.1", "ghost", "_"),
        line(1, "Go"),
    )
    assert table.values("form") == [("can", "not"), ("Go",)]
    assert table.notes == ["passed over: multi-word tokens (3-4) 1, empty nodes (8.1) 3"]
    assert table.rejected == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("2\tonly\tthree", "in line 3: 3 columns where 10 are needed"),
        (line(3, "skips"), "in line 3: the id is 3 where 2 is next"),
        (line(1, "again"), "in line 3: the id is 1 where 2 is next: is a blank line missing before it?"),
        (line("x", "odd"), 'in line 3: the id is "x", neither 1, 2, 3 ... nor 3-4 nor 8.1'),
        (line("02", "odd"), 'in line 3: the id is "02", neither 1, 2, 3 ... nor 3-4 nor 8.1'),
        (line(2, ""), "in line 3: column 2 is empty"),
        (line(2, "  "), "in line 3: column 2 is empty"),
        (line(2, "a\0b"), "in line 3: holds a NUL character"),
    ],
)
def test_a_bad_line_costs_its_own_sentence_and_no_other(tmp_path: Path, bad: str, said: str) -> None:
    table = conllu(tmp_path / "a.conllu", "# one", line(1, "Hey"), bad, "", line(1, "Go"))
    assert table.values("form") == [("Go",)]
    assert [(row.line, row.reason) for row in table.rejected] == [(2, said)]


def test_words_of_a_refused_sentence_are_not_counted_as_passed_over(tmp_path: Path) -> None:
    table = conllu(tmp_path / "a.conllu", line("1-2", "cannot"), line(1, "can"), "bad", "", line(1, "Go"))
    assert table.notes == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_and_a_byte_order_mark_are_read(tmp_path: Path, end: str) -> None:
    text = end.join(["\ufeff# one", line(1, "Hé"), "", line(1, "a\x85b\u2028c"), ""])
    (tmp_path / "a.conllu").write_bytes(text.encode())
    assert read_table(tmp_path / "a.conllu").values("form") == [("Hé",), ("a\x85b\u2028c",)]


def test_bytes_that_are_not_text_are_told_with_their_offset(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_bytes(b"caf\xe9\tN\n\nfine\tA\n")
    table = read_table(tmp_path / "a.conll")
    assert table.values("form") == [("fine",)]
    assert [tuple(row) for row in table.rejected] == [(1, "not utf-8: byte 0xe9 at offset 3")]
    assert "some rows are not utf-8" in table.notes[-1]


# Plain columns


def test_first_column_is_the_form_and_last_the_tag(tmp_path: Path) -> None:
    text = (
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n-DOCSTART- -X- O O\nGerman JJ B-NP B-MISC\n"
    )
    table = conllu(tmp_path / "a.conll", *text.split("\n"))
    assert table.columns == ("form", "column2", "column3", "tag")
    assert table.values("form") == [("EU", "rejects"), ("German",)]
    assert table.values("tag") == [("B-ORG", "O"), ("B-MISC",)]
    assert [row.line for row in table.rows] == [3, 8]
    assert table.notes == ["columns: form, column2, column3, tag"]


def test_columns_of_tabs_may_hold_blanks_and_other_white_space_cuts_nothing(tmp_path: Path) -> None:
    assert conllu(tmp_path / "a.conll", "New York\tLOC", "10\xa0000\tNUM").values("form") == [("New York", "10\xa0000")]
    assert conllu(tmp_path / "b.conll", "10\xa0000  \t NUM ", "a DET").values("form") == [("10\xa0000", "a")]


def test_a_number_sign_is_a_word_where_it_has_the_columns_of_one(tmp_path: Path) -> None:
    table = conllu(tmp_path / "a.conll", "# sentence number one", "We O", "# O", "", "# O", "7 O")
    assert table.values("form") == [("We", "#"), ("#", "7")]


def test_words_alone_are_one_column(tmp_path: Path) -> None:
    assert conllu(tmp_path / "a.conll", "We", "go", "", "Yes").values("form") == [("We", "go"), ("Yes",)]


def test_most_lines_decide_how_many_columns_there_are(tmp_path: Path) -> None:
    table = conllu(tmp_path / "a.conll", "We", "", "We O", "go O", "", "a b c", "d O", "", "Yes O")
    assert [(row.line, row.reason) for row in table.rejected] == [
        (1, "1 column where 2 are needed"),
        (6, "3 columns where 2 are needed"),
    ]
    assert len(table.rows) == 2


def test_the_first_sentences_alone_decide_how_many_columns_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqloom.data.conll.LOOKED_AT", 1)
    table = conllu(tmp_path / "a.conll", "We O", "", "a b c", "d e f", "g h i", "", "Yes O")
    assert [(row.line, row.reason) for row in table.rejected] == [(3, "3 columns where 2 are needed")]
    assert table.values("form") == [("We",), ("Yes",)]


@pytest.mark.parametrize(("bad", "place"), [("go\t", 2), ("\tO", 1), ("  \tO", 1)])
def test_an_empty_column_costs_its_sentence(tmp_path: Path, bad: str, place: int) -> None:
    table = conllu(tmp_path / "a.conll", "We\tO", bad, "", "Yes\tO")
    assert [(row.line, row.reason) for row in table.rejected] == [(1, f"in line 2: column {place} is empty")]
    assert table.values("form") == [("Yes",)]


@pytest.mark.parametrize("text", ["\n\n", "# a comment\n\n# another\n", " \n\t\n"])
def test_a_file_without_words_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.conllu").write_text(text)
    with pytest.raises(DataError, match=r"^a\.conllu has no words\. A line for each word and a blank line after"):
        read_table(tmp_path / "a.conllu")


def test_a_file_of_bad_sentences_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="All 1 are at fault, the first in line 1: 1 column where 10 are need"):
        conllu(tmp_path / "a.conllu", "one")


def test_universal_columns_under_the_name_of_plain_ones_are_not_taken_for_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^a\.conll has the ten columns of CoNLL-U, a number first\. Name it with"):
        conllu(tmp_path / "a.conll", "# text", line(1, "Hey"), line(2, "you"))


# Generated


@pytest.mark.parametrize("generator", [tagged, named])
def test_generated_sentences_come_back_as_they_were_made(tmp_path: Path, generator: object) -> None:
    sentences = generator(50, seed=3)  # type: ignore[operator]
    (tmp_path / "a.conll").write_text(to_conll(sentences))
    table = read_table(tmp_path / "a.conll")
    assert [(list(words), list(tags)) for words, tags in (row.values for row in table.rows)] == sentences
    assert sentences == generator(50, seed=3) != generator(50, seed=4)  # type: ignore[operator]


def test_generated_words_hang_on_their_neighbours_and_many_are_new() -> None:
    tags: dict[str, set[str]] = {}
    for words, given in tagged(500, seed=1):
        for word, tag in zip(words, given, strict=True):
            tags.setdefault(word, set()).add(tag)
    assert tags["watch"] == {"NOUN", "VERB"}
    words = [word for sentence, _ in tagged(100, seed=2) for word in sentence]
    assert 0.2 < sum(word not in tags for word in words) / len(words) < 0.6


# From files to examples


def test_tags_are_inferred_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(to_conll(tagged(60, seed=1)))
    data = prepare(load_config(), tmp_path / "a.conll")
    assert (data.columns.task, data.columns.input, data.columns.target) == ("tag", "form", "tag")
    assert data.columns.notes == (
        "input: form (by its name)",
        "target: tag (by its name)",
        "task: tag (form and tag are lists of equal lengths)",
    )
    assert data.targets.labels == ("ADJ", "ADP", "ADV", "DET", "NOUN", "PRON", "PROPN", "VERB")
    assert len(data.train) + len(data.valid) + len(data.test) + len(data.rejected) == 60


def test_equal_sentences_stay_on_one_side(tmp_path: Path) -> None:
    sentences = [sentence for sentence in tagged(30, seed=1) for _ in range(2)]
    (tmp_path / "a.conll").write_text(to_conll(sentences))
    data = prepare(load_config(None, ["test_fraction=0.3"]), tmp_path / "a.conll")
    train = {example.text for example in data.train}
    assert data.valid and data.test
    assert not train & {example.text for example in [*data.valid, *data.test]}
