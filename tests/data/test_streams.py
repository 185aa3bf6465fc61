"""A text as a stream: what is read, where it is cut, how windows tile it, and what a bad line costs."""

import gzip
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqloom.config import Config
from seqloom.data import (
    PreparedStreams,
    TextWindows,
    TokenStream,
    check,
    is_stream,
    kept,
    prepare_streams,
    reviews,
)
from seqloom.data.next_targets import NextTargets
from seqloom.data.plain_text import Piece, PlainText, Range, is_prose
from seqloom.errors import ConfigError, DataError
from seqloom.text import UNKNOWN, Tokeniser, Vocabulary

POEM = "One two three\n\nfour, Five\nsix seven\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def prepared(path: Path, **data: object) -> PreparedStreams:
    settings = {"valid_fraction": 0.0, "test_fraction": 0.0} | data
    return prepare_streams(Config.model_validate({"task": "generate", "data": settings}), path)


def spelled(found: PreparedStreams, stream: TokenStream) -> list[str]:
    return found.targets.tokens(stream.read(1, len(stream) + 1).tolist())


# Tokens


def test_characters_are_read_as_they_stand(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "a.txt", POEM), tokens="character")
    assert "".join(spelled(found, found.train)) == POEM
    assert (len(found.train), found.train.characters, found.train.texts) == (len(POEM), len(POEM), 4)
    bare = prepared(write(tmp_path / "b.txt", POEM[:-1]), tokens="character")
    assert "".join(spelled(bare, bare.train)) == POEM[:-1]


def test_words_have_a_token_for_the_end_of_each_line(tmp_path: Path) -> None:
    for text in (POEM, POEM[:-1], POEM.replace("\n", "\r\n"), "\ufeff" + POEM):
        found = prepared(write(tmp_path / "a.txt", text), tokens="whitespace")
        assert spelled(found, found.train) == [
            "One",
            "two",
            "three",
            "\n",
            "\n",
            "four,",
            "Five",
            "\n",
            "six",
            "seven",
            "\n",
        ]
    found = prepared(tmp_path / "a.txt", tokens="word", lowercase=True)
    assert spelled(found, found.train)[5:8] == ["four", ",", "five"]


def test_bytes_and_subwords_go_on_over_lines(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "a.txt", "é\nb\n"), tokens="byte")
    assert spelled(found, found.train) == ["c3", "a9", "0a", "62", "0a"]
    assert found.targets.start == found.vocabulary.encode(["0a"])[0]
    pytest.importorskip("sentencepiece")
    text = "\n".join(text for text, _ in reviews(50, seed=0)) + "\n"
    found = prepared(write(tmp_path / "b.txt", text), tokens="subword", max_vocabulary=60)
    assert found.targets.join(spelled(found, found.train)) == text


def test_a_word_spelled_unk_is_one_that_is_not_known(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "a.txt", "the <unk> of the\n"))
    assert "tokens: whitespace (<unk> stands in it: it is cut into words already)" in found.notes
    assert "<unk>" not in found.vocabulary
    assert found.train.read(1, 6).tolist()[1] == UNKNOWN
    assert found.train.unknown == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("A Song, of Words.\nAnd more.\n", "character"),
        ("a song , of words .\n" * 20, "whitespace"),
        ("A song , of words .\n" * 20, "character"),
        ("a song, of words.\n" * 20, "character"),
    ],
)
def test_tokens_are_inferred_from_the_text(tmp_path: Path, text: str, kind: str) -> None:
    found = prepared(write(tmp_path / "a.txt", text))
    assert found.tokeniser.kind == kind
    assert any(note.startswith(f"tokens: {kind} (") for note in found.notes)


def test_the_rows_of_a_table_end_and_are_parted_by_rows(tmp_path: Path) -> None:
    rows = [text for text, _ in reviews(40, seed=0)]
    path = write(tmp_path / "a.csv", "number,text\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(rows)))
    found = prepared(path, tokens="word", valid_fraction=0.2)
    assert found.targets.ends and found.columns.input == "text" and found.targets.start == 0
    assert found.train.texts + found.valid.texts == 40 and not len(found.test)
    ids = found.train.read(1, len(found.train) + 1)
    assert (ids == 0).sum() == found.train.texts and ids[-1] == 0


# Parts


def test_the_end_of_a_text_is_kept_and_lines_stay_whole(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(100)]
    path = write(tmp_path / "a.txt", "".join(lines))
    text = PlainText(path)
    parts = text.cut(0.2, 0.1)
    read = [[p.text + "\n" for p in text.pieces(part) if isinstance(p, Piece)] for part in parts]
    assert [line for part in read for line in part] == lines
    assert [part.line for part in parts] == [1, 1 + len(read[0]), 1 + len(read[0]) + len(read[1])]
    assert all(abs(len(part) - wanted) <= 2 for part, wanted in zip(read, (70, 20, 10), strict=True))


def test_a_text_of_one_line_is_cut_between_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqloom.data.plain_text.LONGEST", 64)
    words = [f"wörd{number}" for number in range(300)]
    text = PlainText(write(tmp_path / "a.txt", " ".join(words)))
    found = [p.text for part in text.cut(0.3) for p in text.pieces(part) if isinstance(p, Piece)]
    assert " ".join(found).split() == words and len(found) > 30
    unbroken = PlainText(write(tmp_path / "b.txt", "ö" * 500))
    assert (
        "".join(p.text for part in unbroken.cut(0.3) for p in unbroken.pieces(part) if isinstance(p, Piece))
        == "ö" * 500
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    signs=st.lists(
        st.sampled_from([b"a", "ö".encode(), b" ", b"\n", b"\r\n", b"\r", b"\xff", b"\0", b"\xef\xbb\xbf"]), max_size=40
    ),
    longest=st.integers(1, 40),
)
def test_lines_are_the_same_in_blocks_of_any_size(signs: list[bytes], longest: int, tmp_path: Path) -> None:
    data = b"enough text\n" * 60 + b"".join(signs)  # or it is taken for binary data
    text = PlainText(write(tmp_path / "a.txt", data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqloom.data.plain_text.LONGEST", max(longest, *(len(line) + 1 for line in data.split(b"\n"))))
        found = list(text.pieces(Range(0, text.size)))
    *whole, rest = data.split(b"\n")
    assert [piece.line for piece in found] == list(range(1, 1 + len(whole) + bool(rest)))
    for piece, raw in zip(found, [*whole, rest], strict=False):
        if isinstance(piece, Piece):
            assert piece.text.encode() == (raw.removesuffix(b"\r") if piece.ended else raw) and b"\0" not in raw
            assert piece.ended == (piece.line <= len(whole))
        else:
            assert b"\xff" in raw or b"\0" in raw


def test_two_readings_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    text = PlainText(write(tmp_path / "a.txt", POEM))
    whole = Range(0, text.size)
    assert [one == other for one, other in zip(text.pieces(whole), text.pieces(whole), strict=True)] == [True] * 4


def test_a_packed_text_is_the_same_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", gzip.compress(POEM.encode()))
    assert is_prose(path)
    found = prepared(path, tokens="character")
    assert "".join(spelled(found, found.train)) == POEM


def test_a_bad_line_costs_itself_and_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"good\nb\xe9d\nn\0l\nfine\n")
    found = prepared(path, tokens="character")
    assert "".join(spelled(found, found.train)) == "good\nfine\n"
    assert [tuple(row) for row in found.rejected] == [
        ("a.txt", 2, "not utf-8: byte 0xe9 at offset 6"),
        ("a.txt", 3, "holds a NUL character"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "a.txt is empty. At least one line is needed."),
        ("a.txt", b"\x89PNG\r\n", "a.txt is an image"),
        ("a.txt", b"\x00\x01" * 50, "looks like UTF-16 or binary data"),
        ("a.txt", b"\xff\n\xfe\n", "a.txt: no line for train can be used. The first, in line 1: not utf-8"),
        ("a.txt.gz", b"\x1f\x8b damaged", "is a damaged gzip file"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        prepared(write(tmp_path / name, content))


def test_files_that_are_not_there_or_do_not_go_together_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", POEM)
    table = write(tmp_path / "b.csv", "text\na\nb\n")
    with pytest.raises(DataError, match=r"there is no file .*c\.txt"):
        prepare_streams(Config(task="generate"), path, valid=tmp_path / "c.txt")
    with pytest.raises(DataError, match="a table and a text file do not go together"):
        prepare_streams(Config(task="generate"), path, test=table)
    with pytest.raises(DataError, match=r"valid_fraction 0\.6 and test_fraction 0\.4 leave no text"):
        prepared(path, valid_fraction=0.6, test_fraction=0.4)


@pytest.mark.parametrize("key", ["target", "label_separator", "target_tokens"])
def test_settings_of_other_tasks_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key} is a setting of .*, the task is generate"):
        prepared(write(tmp_path / "a.txt", POEM), **{key: "word"})


def test_only_what_is_no_table_is_taken_for_a_text(tmp_path: Path) -> None:
    assert is_stream(Config(), write(tmp_path / "a.txt", POEM))
    assert not is_stream(Config(), write(tmp_path / "b.txt", "text\tlabel\ngood\ta\nbad\tb\n"))
    assert not is_stream(Config(), write(tmp_path / "c.csv", POEM))
    assert not is_stream(Config(), tmp_path / "absent.txt")
    assert not is_stream(Config(task="classify"), tmp_path / "a.txt")
    assert is_stream(Config(task="generate"), tmp_path / "b.txt")


# Streams and windows


@pytest.mark.parametrize(("entries", "width"), [(256, 1), (257, 2), (65_536, 2), (65_537, 4)])
def test_ids_take_as_few_bytes_as_they_need_and_come_back(
    entries: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "BUFFER", 100)  # the rest of it is in a file
    ids = [random.Random(0).randrange(entries) for _ in range(1000)] + [entries - 1]
    stream = TokenStream(entries=entries, before=7)
    stream.add(ids[:400], characters=1)
    stream.add(ids[400:], characters=2)
    assert (len(stream), stream.characters, stream.texts) == (1001, 3, 2)
    assert stream.read(0, 1002).tolist() == [7, *ids]
    assert stream.read(0, 1).tolist() == [7] and stream.read(500, 503).tolist() == ids[499:502]
    assert len(stream._scratch) == 1001 * width


@pytest.mark.parametrize(
    ("length", "tracks", "steps", "warm"), [(103, 4, 7, 0), (103, 4, 7, 10), (5, 8, 3, 4), (64, 1, 64, 9)]
)
def test_windows_predict_each_token_once_after_the_one_before_it(
    length: int, tracks: int, steps: int, warm: int
) -> None:
    stream = TokenStream(entries=1000, before=0)
    stream.add(list(range(1, length + 1)), characters=0)  # the token at place n is n + 1
    windows = TextWindows(stream, tracks=tracks, steps=steps, warm=warm)
    predicted: list[int] = []
    last = torch.zeros(min(tracks, length), dtype=torch.int64)
    for number in range(len(windows)):
        window = windows[number]
        for row, count in enumerate(window.batch.lengths.tolist()):
            read, wanted = window.batch.values[row, :count], window.targets[row, :count]
            assert torch.equal(wanted, read + 1)
            assert not window.batch.values[row, count:].any() and not window.targets[row, count:].any()
            if count:
                assert last[row] in (0, read[0]), "a track goes on where its window before ended"
                last[row] = wanted[-1]
                predicted += wanted.tolist() if number >= windows.warming else []
    assert sorted(predicted) == list(range(1, length + 1))
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_warm_tracks_have_read_what_stands_before_them() -> None:
    stream = TokenStream(entries=1000)
    stream.add(list(range(1, 101)), characters=0)
    windows = TextWindows(stream, tracks=4, steps=8, warm=20)
    assert windows.warming == 3
    warm = torch.cat([windows[number].targets[1, : windows[number].batch.lengths[1]] for number in range(3)])
    assert warm.tolist() == list(range(2, 26))  # 24 tokens, up to where the track begins
    assert not windows[0].batch.lengths[0], "nothing stands before the first"


# Texts back


def test_a_continuation_has_the_blank_that_stands_between() -> None:
    words = NextTargets(Tokeniser("word"), Vocabulary(("good", ",", "bad", "\n")), ends=False)
    assert words.continuation(["good"], ["bad"]) == " bad"
    assert words.continuation(["good"], [",", "bad"]) == ", bad"
    assert words.continuation([], ["bad"]) == "bad"
    assert words.continuation(["good"], ["\n", "bad"]) == "\nbad"
    letters = NextTargets(Tokeniser("character"), Vocabulary(("a", "b")), ends=True)
    assert letters.continuation(["a"], ["b", "a"]) == "ba"
    assert words.encode("good\nbad zzz") == [2, 5, 4, UNKNOWN]
    assert (words.start, words.barred, letters.start, letters.barred) == (5, (1, 0), 0, (1,))


# Findings


def test_check_tells_lines_in_two_parts_and_unknown_tokens(tmp_path: Path) -> None:
    train = write(tmp_path / "a.txt", "a b <unk>\na b c\na b c\n")
    valid = write(tmp_path / "v.txt", "a b c\nd d\n")
    report = check(Config(), train, valid=valid)
    found = {finding.number: finding for finding in report.findings}
    assert found["D101"].text == "5 lines used (3 train, 2 valid, 0 test), 0 rejected"
    assert found["D305"].text == "train 12 tokens of 22 characters; valid 7 tokens of 10 characters"
    assert found["D401"].text == "5 different tokens: 4 known, and one for all others"
    assert (found["D402"].level, found["D402"].text) == (
        "warning",
        "28.57% of the tokens in valid are unknown to training",
    )
    assert found["D501"].text == "1 training lines repeat another"
    assert found["D502"].text == "1 of 2 valid lines are also in train"
    assert set(report.fingerprints) == {"a.txt", "v.txt"}


def test_unknown_tokens_that_training_never_meets_are_told(tmp_path: Path) -> None:
    train, valid = write(tmp_path / "a.txt", "a b\n"), write(tmp_path / "v.txt", "a z\n")
    found = prepare_streams(Config(task="generate"), train, valid=valid)
    assert "1 tokens are unknown, and training has none: to learn where they stand, set data.min_count=2" in found.notes


def test_ptb_has_the_published_numbers_of_tokens() -> None:
    import os

    if "SEQLOOM_DATA" not in os.environ:
        pytest.skip("SEQLOOM_DATA is not set: no real data here")
    ptb = Path(os.environ["SEQLOOM_DATA"]) / "ptb"
    found = prepare_streams(Config(), ptb / "ptb.train.txt", valid=ptb / "ptb.valid.txt", test=ptb / "ptb.test.txt")
    assert [len(part) for part in (found.train, found.valid, found.test)] == [929_589, 73_760, 82_430]
    assert len(found.vocabulary.known) + 1 == 10_000
    assert np.unique(found.test.read(1, 82_431)).max() < 10_001
