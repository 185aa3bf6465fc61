"""The attention experiment: what is compared, how it is measured, and that its sentences say what the numbers say."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from seqloom.bundle import load_bundle
from seqloom.data import Example, read_table
from seqloom.data.text_targets import TextTargets
from seqloom.errors import ConfigError, DataError, StorageError
from seqloom.inference import Written
from seqloom.lab import attention as lab
from seqloom.lab import attention_findings as said
from seqloom.lab import pairs as generated
from seqloom.lab.attention import Questions, Span, Trial
from seqloom.lab.pairs import Pairs, write_pairs
from seqloom.text import Tokeniser, Vocabulary
from seqloom.training.metrics import Scores, wilson_interval

TINY = ("model.hidden_size=4", "model.embedding_size=4", "training.epochs=1", "training.batch_size=32")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "ROWS", {"train": 64, "valid": 8, "test": 40})


def span(right: float, *, at: tuple[int, int] = (1, 5), seen: bool = True, spread: float = 0.02) -> Span:
    """A span with a share of units right, known to `spread`; a tenth of that of the texts."""
    wrong = 1 - right
    intervals = {"error_rate": (max(0.0, wrong - spread), wrong + spread), "exact_match": (0.0, 1.0)}
    return Span(*at, seen, 100, Scores({"exact_match": right / 10, "error_rate": wrong}, intervals))


def trial(variant: str, *rights: float, unseen: tuple[float, ...] = (), spread: float = 0.02) -> Trial:
    """A trial by spans of five: lengths of the training, and beyond."""
    shares = [*rights, *unseen]
    ends = [(5 * n + 1, 5 * n + 5) for n in range(len(shares))]
    spans = [
        span(s, at=at, seen=n < len(rights), spread=spread) for n, (s, at) in enumerate(zip(shares, ends, strict=True))
    ]
    seen = span(sum(rights) / len(rights), at=(1, 5 * len(rights)), spread=spread)
    beyond = span(sum(unseen) / len(unseen), at=(5 * len(rights) + 1, 5 * len(shares)), seen=False) if unseen else None
    return Trial(variant, Path("runs") / variant, 31, 1.5, 2, spans, seen, beyond)


def trials(plain: Trial, turned: Trial, attention: Trial) -> dict[str, Trial]:
    return {"plain": plain, "reversed": turned, "attention": attention}


# What is compared


@pytest.mark.parametrize("task", [*generated.TASKS, None])
def test_variants_differ_in_attention_and_reversal_alone(task: str | None) -> None:
    pairs = Pairs(task, Path("train.csv"))
    settings = [lab.config_for(name, pairs, seed=3, overrides=["model.cell=gru"]).model_dump() for name in lab.VARIANTS]
    told = [(each["model"].pop("attention"), each["model"].pop("reverse_source")) for each in settings]
    assert told == [("none", False), ("none", True), ("additive", False)]
    assert settings[0] == settings[1] == settings[2]
    assert settings[0]["seed"] == 3
    assert not settings[0]["model"]["bidirectional"]
    passes = settings[0]["training"]
    assert task is None or passes["patience"] >= passes["epochs"]  # none stops before the others


def test_overrides_hold_for_all_and_cannot_take_attention_away() -> None:
    pairs = Pairs("copy", Path("train.csv"))
    chosen = [lab.config_for(n, pairs, seed=0, overrides=["attention=dot", "hidden_size=7"]) for n in lab.VARIANTS]
    assert [each.model.attention for each in chosen] == ["none", "none", "dot"]
    assert [each.model.hidden_size for each in chosen] == [7, 7, 7]
    with pytest.raises(ConfigError, match="one variant has none already. Allowed: additive, general, dot"):
        lab.config_for("attention", pairs, seed=0, overrides=["attention=none"])


def test_only_trainings_on_pairs_of_unknown_size_are_limited_in_time_unless_told() -> None:
    def minutes(task: str | None, asked: float | None) -> float | None:
        return lab.config_for("plain", Pairs(task, Path("x.csv")), seed=0, max_minutes=asked).training.max_minutes

    assert [minutes("copy", None), minutes(None, None), minutes("copy", 2.0), minutes(None, 3.0)] == [
        None,
        lab.MINUTES,
        2.0,
        3.0,
    ]


# The pairs


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("task", generated.TASKS)
def test_pairs_are_a_function_of_task_and_seed(task: str, tmp_path: Path) -> None:
    first, again, other = (write_pairs(task, tmp_path / n, seed=s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    for part in ("train", "valid", "test"):
        same = getattr(first, part).read_bytes()
        assert same == getattr(again, part).read_bytes() != getattr(other, part).read_bytes()
        assert len(read_table(getattr(first, part)).rows) == generated.ROWS[part]


@pytest.mark.usefixtures("few")
def test_tests_ask_longer_words_than_training_had(tmp_path: Path) -> None:
    for task, answer in (("copy", lambda word: word), ("reverse", lambda word: word[::-1])):
        pairs = write_pairs(task, tmp_path / task, seed=0)
        rows = {part: [row.values for row in read_table(getattr(pairs, part)).rows] for part in generated.ROWS}
        assert all(answer(source) == target for part in rows.values() for source, target in part)
        longest = {part: max(len(source) for source, _ in of) for part, of in rows.items()}
        assert max(longest["train"], longest["valid"]) <= generated.TRAINED_TO < longest["test"] <= generated.TESTED_TO


@pytest.mark.usefixtures("few")
def test_no_date_of_the_test_is_learned(tmp_path: Path) -> None:
    pairs = write_pairs("dates", tmp_path, seed=0)
    sources = [
        row.values[0] for path in (pairs.train, pairs.valid, pairs.test) if path for row in read_table(path).rows
    ]
    assert len(set(sources)) == sum(generated.ROWS.values())


@pytest.mark.usefixtures("few")
def test_pairs_of_the_same_experiment_are_kept_and_others_never_overwritten(tmp_path: Path) -> None:
    path = write_pairs("copy", tmp_path, seed=0).train
    before = path.stat().st_mtime_ns
    assert write_pairs("copy", tmp_path, seed=0).train.stat().st_mtime_ns == before
    with pytest.raises(StorageError, match=r"train.csv is there already with other rows, and it is not overwritten"):
        write_pairs("copy", tmp_path, seed=1)
    with pytest.raises(ConfigError, match="--task copying: there is no such task, did you mean"):
        write_pairs("copying", tmp_path, seed=0)


# Spans of lengths


def test_longer_sources_than_in_training_are_cut_by_fives_and_at_the_edge() -> None:
    assert lab.spans_of(list(range(1, 41)), edge=20) == [(n, n + 4) for n in range(1, 41, 5)]
    assert lab.spans_of([3, 9, 13, 14, 23], edge=13) == [(3, 5), (6, 10), (11, 13), (14, 15), (21, 23)]


@pytest.mark.parametrize("lengths", [[1], [7, 7, 7], [1, 2], list(range(100, 0, -1)), [5] * 50 + [90]])
def test_other_lengths_are_cut_into_spans_of_about_as_many_rows(lengths: list[int]) -> None:
    spans = lab.spans_of(lengths, edge=max(lengths))
    of = Counter(next(at for at, (low, high) in enumerate(spans) if low <= n <= high) for n in lengths)
    assert sum(of.values()) == len(lengths)
    assert sorted(of) == list(range(len(spans)))
    assert len(spans) <= lab.SPANS
    if len(set(lengths)) == len(lengths) == 100:
        assert set(of.values()) == {20}


def test_texts_are_scored_by_the_length_of_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["ab", "abc", "abcdef", "abcdefg", "abcdefgh", "abcdefghijkl"]
    rows = [Example(n, word, [2] * len(word), [2], word) for n, word in enumerate(words)]
    written = ["ab", "abc", "abcdef", "abcdefX", "XXXXXXXX", "abcdef"]
    monkeypatch.setattr(lab, "write_for", lambda bundle, asked: [[Written(text, [], 0.0, None)] for text in written])
    bundle: Any = type("Bundle", (), {"targets": TextTargets(Tokeniser("character"), Vocabulary([]))})()
    spans, seen, unseen = lab.score_by_length(bundle, Questions(rows, 9, trained_to=10))
    assert [(s.name, s.rows, s.seen) for s in spans] == [("2-5", 2, True), ("6-10", 3, True), ("11-12", 1, False)]
    assert [s.scores.metrics["exact_match"] for s in spans] == [1, 1 / 3, 0]
    assert [s.right for s in spans] == pytest.approx([1, 1 - 9 / 21, 0.5])
    assert spans[1].scores.intervals["exact_match"] == wilson_interval(1, 3)
    low, high = spans[1].scores.intervals["error_rate"]
    assert spans[1].right_interval == pytest.approx((max(0, 1 - high), 1 - low))
    assert (seen.name, seen.rows, seen.scores.metrics["exact_match"]) == ("2-10", 5, 3 / 5)
    assert unseen is not None
    assert (unseen.name, unseen.rows, unseen.seen) == ("12", 1, False)


def test_all_targets_of_one_source_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Example(n, "tomato", [2] * 6, [2], target) for n, target in enumerate(("AH", "EY"))]
    monkeypatch.setattr(lab, "write_for", lambda bundle, asked: [[Written("EY", [], 0.0, None)]] * 2)
    bundle: Any = type("Bundle", (), {"targets": TextTargets(Tokeniser("word"), Vocabulary([]))})()
    assert lab.score_by_length(bundle, Questions(rows, 9, None))[1].scores.metrics["exact_match"] == 1


def test_more_edits_than_units_leave_nothing_right() -> None:
    worse = span(-0.5)
    assert (worse.right, worse.right_interval) == (0.0, (0.0, 0.0))


# What is found


def test_differences_count_only_where_intervals_have_nothing_in_common() -> None:
    assert said.compared(span(0.9), span(0.5)) == 1
    assert said.compared(span(0.5), span(0.9)) == -1
    assert said.compared(span(0.52), span(0.5)) == 0


def test_findings_tell_of_collapse_and_cure_where_the_numbers_do() -> None:
    plain = trial("plain", 0.99, 0.6, 0.3, unseen=(0.2, 0.2))
    turned = trial("reversed", 0.99, 0.9, 0.5, unseen=(0.1, 0.1))
    attention = trial("attention", 1.0, 1.0, 1.0, unseen=(0.95, 0.21))
    found = said.findings(trials(plain, turned, attention), task="copy", units="characters")
    assert found == [
        "Without attention quality falls with length: 99 % of the characters (10 % of the texts as a whole) are right "
        "at 1-5 tokens, and 30 % (3 %) at 11-15.",
        "Attention wins: at 11-15 tokens 100 % of the characters are right with it and 30 % without, 10 % and 3 % of "
        "the texts as a whole.",
        "At 16-25 tokens, longer than anything in training, 58 % of the characters are right with attention and 20 % "
        "without: clearly more in 1 of 2 spans, clearly fewer in 0; 6 % and 2 % of the texts as a whole.",
        "Reading the source from its end should help: the first letter to write is then the last one read (Sutskever "
        "et al. 2014). Here it helped: 80 % of the characters right instead of 63 % at lengths of the training, and at "
        "longer ones it hurt: 10 % instead of 20 %.",
    ]


def test_findings_admit_that_attention_lost() -> None:
    plain, attention = trial("plain", 0.9, 0.9, unseen=(0.8,)), trial("attention", 0.9, 0.4, unseen=(0.3,))
    found = said.findings(trials(plain, plain, attention), task="reverse", units="words")
    assert found[0].startswith("Without attention quality does not clearly fall with length here: 90 % of the words")
    assert found[1].startswith("Attention loses: at 6-10 tokens 40 % of the words are right with it and 90 % without")
    assert "30 % of the words are right with attention and 80 % without: clearly more in 0 of 1 spans" in found[2]
    assert "clearly fewer in 1;" in found[2]
    assert "should hurt: " in found[3]
    assert "Here no difference beyond chance: 90 % of the words right instead of 90 %" in found[3]
    assert (
        said.title(plain, attention, units="words")
        == "Attention loses: 40 % of the words at 6-10 tokens, without it 90 %"
    )
    assert not re.search("wins|helped", " ".join(found))


def test_findings_leave_small_differences_to_chance() -> None:
    plain, attention = trial("plain", 0.5, 0.9), trial("attention", 0.9, 0.92)
    found = said.findings(trials(plain, trial("reversed", 0.3, 0.3), attention), task=None, units="words")
    assert len(found) == 3
    assert found[0].startswith("Without attention quality does not fall with length here, it rises: ")
    assert found[1].startswith("Attention makes no difference beyond chance: at 6-10 tokens 92 %")
    assert found[2] == (
        "Reading the source from its end helped translation between European languages (Sutskever et al. 2014). "
        "Here it hurt: 30 % of the words right instead of 70 %."
    )


def test_one_length_alone_says_nothing_of_length() -> None:
    assert said.collapse(trial("plain", 0.5), units="words").startswith("All tested sources are about as long")


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.5249, "52 %"),
        (0.9996, "99.9 %"),
        (0.995, "99.5 %"),
        (0.00001, "0.1 %"),
        (0.01, "1 %"),
    ],
)
def test_all_and_nothing_are_said_only_where_they_are_so(share: float, shown: str) -> None:
    assert said.percent(share) == shown


def test_figure_has_units_a_title_that_says_what_is_seen_and_every_point() -> None:
    both = trials(trial("plain", 0.9, 0.3, unseen=(0.2,)), trial("reversed", 0.9, 0.5), trial("attention", 1.0, 0.9))
    figure = said.figure(both, Questions([], 9, trained_to=10), units="characters")
    layout = figure["layout"]
    assert layout["title"]["text"] == "Attention wins: 90 % of the characters at 6-10 tokens, without it 30 %"
    assert layout["xaxis"]["title"]["text"] == "length of the source (tokens)"
    assert layout["yaxis"]["title"]["text"] == "characters right (%)"
    assert layout["shapes"][0]["x0"] == 10.5
    first = figure["data"][0]
    assert (first["name"], first["x"]) == (lab.LABELS["plain"], [3, 8, 13])
    assert first["y"] == pytest.approx([90, 30, 20])
    assert first["error_y"]["array"] == pytest.approx([2, 2, 2])
    assert first["error_y"]["arrayminus"] == pytest.approx([2, 2, 2])
    assert [line["name"] for line in figure["data"]] == list(lab.LABELS.values())


# The whole of it


@pytest.mark.usefixtures("few")
def test_trial_leaves_a_model_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    pairs = write_pairs("copy", tmp_path, seed=0)
    config = lab.config_for("attention", pairs, seed=0, overrides=TINY)
    questions = lab.ask(config, pairs)
    assert (len(questions.rows), questions.trained_on, questions.trained_to) == (40, 64, 20)
    events: list[Any] = []
    first = lab.train_variant("attention", config, pairs, questions, tmp_path, report=events.append)
    assert sum(each.rows for each in first.spans) == first.seen.rows + (first.unseen.rows if first.unseen else 0) == 40
    bundle = load_bundle(first.folder)
    assert bundle.metrics["metrics"]["exact_match"] * 40 == pytest.approx(
        sum(each.scores.metrics["exact_match"] * each.rows for each in first.spans)
    )
    seen = lab.example_map(bundle, questions)
    assert len(seen.source) <= 20
    assert seen.weights is not None
    events.clear()
    assert lab.train_variant("attention", config, pairs, questions, tmp_path, report=events.append) == first
    assert any("has finished already" in getattr(event, "text", "") for event in events)


@pytest.mark.usefixtures("few")
def test_given_pairs_are_parted_once_for_all_and_no_length_is_called_unseen(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("en,de\n" + "".join(f"word {n},wort {n}\n" for n in range(60)))
    pairs = Pairs(None, path)
    asked = [lab.ask(lab.config_for(name, pairs, seed=0), pairs) for name in lab.VARIANTS]
    assert asked[0] == asked[1] == asked[2]
    assert asked[0].trained_to is None
    assert (len(asked[0].rows), asked[0].trained_on) == (6, 48)
    with pytest.raises(DataError, match="no column|not in mine.csv"):
        lab.ask(lab.config_for("plain", Pairs(None, path, input="fr", target="de"), seed=0), pairs)


@pytest.mark.long
@pytest.mark.parametrize("task", ["dates", "reverse"])
def test_attention_does_what_is_promised(task: str, tmp_path: Path) -> None:
    pairs = write_pairs(task, tmp_path, seed=0)
    questions = lab.ask(lab.config_for("plain", pairs, seed=0), pairs)

    def train(name: str) -> Trial:
        config = lab.config_for(name, pairs, seed=0)
        return lab.train_variant(name, config, pairs, questions, tmp_path, report=lambda event: None)

    attention = train("attention")
    if task == "dates":
        assert attention.seen.scores.metrics["exact_match"] >= 0.99
        return
    both = list(zip(attention.spans, train("plain").spans, strict=True))
    assert all(said.compared(a, b) > 0 for a, b in both if a.shortest > 10)
