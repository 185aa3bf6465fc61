"""Words to tags, from Python: answers in order, the same in any batch, scored beside what must be beaten."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import seqloom
from seqloom.bundle import Bundle, load_bundle
from seqloom.data import TagTargets, read_table
from seqloom.data.generators_tags import named, tagged
from seqloom.errors import ConfigError, DataError
from seqloom.inference import encode, tag_rows
from seqloom.kernels import native
from seqloom.lens import TagTable
from seqloom.models import Tagger
from tests.tagging import Taggers, small_taggers, write_tagged
from tests.training import tiny
from tests.training.tiny import train


@pytest.fixture(scope="module")
def taggers(tmp_path_factory: pytest.TempPathFactory) -> Taggers:
    return small_taggers(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def model(taggers: Taggers) -> seqloom.Model:
    return seqloom.load(taggers.speech)


@pytest.fixture(scope="module")
def spans(taggers: Taggers) -> seqloom.Model:
    return seqloom.load(taggers.spans)


def parts(bundle: Bundle) -> tuple[Tagger, TagTargets]:
    assert isinstance(bundle.model, Tagger) and isinstance(bundle.targets, TagTargets)
    return bundle.model, bundle.targets


# Answers


def test_each_answer_stands_in_its_row_and_bad_rows_keep_theirs(model: seqloom.Model) -> None:
    given: list[Any] = ["We watch the watch.", "", ["we", "New York", "go"], [], ["a", ""], "half \ud83d", ["x"] * 3000]
    answers = model.predict(given)
    assert [row for row, answer in enumerate(answers) if "error" in answer] == [1, 3, 4, 5]
    assert answers[0]["tokens"] == ["We", "watch", "the", "watch", "."]
    assert answers[2]["tokens"] == ["we", "New York", "go"]
    assert answers[2]["input"] == "we New York go"
    assert [answers[row]["error"] for row in (1, 3, 4)] == [
        "line 2: empty text",
        "line 4: no words",
        "line 5: word 2 is empty",
    ]
    assert "lone surrogate U+D83D" in answers[5]["error"]
    for row in (0, 2, 6):
        assert set(answers[row]) == {"input", "tokens", "tags"}
        assert len(answers[row]["tags"]) == len(answers[row]["tokens"])
        assert set(answers[row]["tags"]) <= set(model.bundle.targets.labels)
    assert model.predict([]) == []


def test_words_of_a_text_are_its_own_with_capitals_and_signs(model: seqloom.Model) -> None:
    [answer] = model.predict("L’été, e\u0301TÉ don't")
    assert answer["tokens"] == ["L’été", ",", "e\u0301TÉ", "don't"]


@pytest.mark.parametrize("name", ["model", "spans"])
def test_a_batch_changes_no_bit_of_an_answer(name: str, request: pytest.FixtureRequest, taggers: Taggers) -> None:
    if not native.available() or os.environ.get("SEQLOOM_KERNELS") == "reference":
        pytest.skip(f"not on the compiled core, and torch's products hang on the batch: {native.reason()}")
    bundle = request.getfixturevalue(name).bundle
    path = taggers.speech_data if name == "model" else taggers.spans_data
    rows = encode(bundle, read_table(path), with_target=True)
    one, *others = (tag_rows(parts(bundle)[0], rows, batch_size=size) for size in (1, 7, 64))
    for other in others:
        assert [row.tags for row in other] == [row.tags for row in one]
        if name == "model":
            assert [row.loss for row in other] == [row.loss for row in one]
        else:
            assert [row.loss for row in other] == pytest.approx([row.loss for row in one], rel=1e-4, abs=1e-4)
    backwards = tag_rows(parts(bundle)[0], rows[::-1])
    assert [row.tags for row in backwards[::-1]] == [row.tags for row in one]
    assert len({tuple(row.tags) for row in one}) > 10, "one answer to all: nothing could be mixed up"


def test_tagging_leaves_the_model_in_its_mode(taggers: Taggers) -> None:
    bundle = load_bundle(taggers.speech)
    tagger, _ = parts(bundle)
    rows = encode(bundle, read_table(taggers.speech_data), with_target=True)[:3]
    for training in (True, False):
        tagger.train(training)
        first, second = (tag_rows(tagger, rows)[0].loss for _ in range(2))
        assert first == second, "dropout was at work"
        assert tagger.training is training


# Scores


def test_it_learns_more_than_which_tag_a_word_has_most_often(model: seqloom.Model, spans: seqloom.Model) -> None:
    reached, baselines = model.metrics["metrics"], model.metrics["baselines"]
    assert list(reached) == ["accuracy", "unknown_word_accuracy"]
    assert set(baselines) == {"most_frequent", "feature_logreg"}
    assert reached["accuracy"] > baselines["most_frequent"]["accuracy"] + 0.1
    assert baselines["feature_logreg"]["accuracy"] > baselines["most_frequent"]["accuracy"]
    assert reached["unknown_word_accuracy"] > 0.5 > baselines["most_frequent"]["unknown_word_accuracy"]
    assert list(spans.metrics["metrics"]) == ["accuracy", "unknown_word_accuracy", "span_f1"]
    assert set(spans.metrics["baselines"]) == {"most_frequent"}


def test_the_epoch_is_chosen_by_spans_where_tags_mark_them(taggers: Taggers) -> None:
    for folder, name in ((taggers.spans, "span_f1"), (taggers.speech, "accuracy")):
        history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        best = max(row["epoch"] for row in history if row["best"])
        kept = history[best - 1]["metrics"][name]
        assert kept == max(row["metrics"][name] for row in history)


def test_evaluate_shows_confusions_and_the_baseline_on_any_file(model: seqloom.Model, tmp_path: Path) -> None:
    path = write_tagged(tmp_path / "more.conll", 30, seed=9)
    with path.open("a") as file:
        file.write("\nodd\tFOREIGN\n\none\ttwo\tthree\n")
    found = model.evaluate(path)
    assert (found["task"], found["rows"]) == ("tag", {"used": 30, "rejected": 2})
    assert [row["reason"] for row in found["rejected"]] == [
        'tag "FOREIGN" of word 1 does not occur in training (known: ADJ, ADP, ADV, DET, NOUN, PRON, PROPN, VERB)',
        "3 columns where 2 are needed",
    ]
    assert set(found["baselines"]) == {"most_frequent"}
    table = read_table(path)
    _, targets = parts(model.bundle)
    assert isinstance(model.bundle.constant, int)
    truth = [(word, tag) for row in table.rows[:30] for word, tag in zip(*row.values, strict=True)]
    expected = [targets.labels[targets.lexicon.get(word, model.bundle.constant)] == tag for word, tag in truth]
    assert found["baselines"]["most_frequent"]["accuracy"] == pytest.approx(sum(expected) / len(expected))
    answers = model.predict_file(path)
    pairs = [
        (tag, answer)
        for row, given in zip(table.rows[:30], answers, strict=False)
        for tag, answer in zip(row.values[1], given["tags"], strict=True)
    ]
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    assert found["metrics"]["accuracy"] == pytest.approx(1 - len(wrong) / len(pairs))
    counted = Counter(wrong)
    assert found["confusions"][0]["words"] == max(counted.values())
    assert all(counted[each["tag"], each["taken_for"]] == each["words"] for each in found["confusions"])
    unknown = [
        tag == answer for (word, tag), (_, answer) in zip(truth, pairs, strict=True) if word not in targets.lexicon
    ]
    assert found["metrics"]["unknown_word_accuracy"] == pytest.approx(sum(unknown) / len(unknown))


def test_a_file_it_was_scored_on_shows_all_baselines(tmp_path: Path) -> None:
    data, test = write_tagged(tmp_path / "a.conll", 40), write_tagged(tmp_path / "b.conll", 20, seed=2)
    settings = {"model.hidden_size": 4, "model.embedding_size": 4, "training.epochs": 1}
    model = seqloom.train(data, test=test, out=tmp_path / "m", settings=settings)
    assert set(model.evaluate(test)["baselines"]) == {"most_frequent", "feature_logreg"}


# Capitals, settings and vectors


def trained(tmp_path: Path, **changed: Any) -> Bundle:
    data = write_tagged(tmp_path / "data.conll", 40)
    settings = {
        "task": "tag",
        "training.epochs": 1,
        **{name.replace("__", "."): value for name, value in changed.items()},
    }
    return train(data, tmp_path / f"out-{len(list(tmp_path.iterdir()))}", settings)


def test_capitals_are_left_to_the_characters_where_these_are_read(tmp_path: Path) -> None:
    def names(bundle: Bundle) -> list[str]:
        return [word for word in bundle.vocabulary.known if word[0].isupper()]

    assert not names(trained(tmp_path))
    assert names(trained(tmp_path, model__characters=False))
    assert names(trained(tmp_path, data__lowercase=False))
    assert not names(trained(tmp_path, data__lowercase=True, model__characters=False))
    _, targets = parts(trained(tmp_path, data__min_count=5))
    assert any(word[0].isupper() for word in targets.lexicon), "the lexicon has the words as they were written"


def test_pretrained_vectors_are_where_words_begin(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("the 1 2 3 4\nwe -1 -2 -3 -4\nunheard 0 0 0 0\n")
    vectors = str(tmp_path / "vectors.txt")
    bundle = trained(tmp_path, data__vectors=vectors, model__freeze_embedding=True)
    table = parts(bundle)[0].embedding.weight
    assert table[bundle.vocabulary.encode(["we"])[0]].tolist() == [-1, -2, -3, -4]


def test_a_rare_character_is_read_as_an_unknown_one() -> None:
    targets = TagTargets.learn({("ab", "N"): 1, ("cab", "N"): 1, ("ax", "V"): 1})
    assert targets.characters.known == ("a", "b")
    assert targets.lexicon == {"ab": 0, "ax": 1, "cab": 0}


def test_of_tags_as_frequent_the_first_counts() -> None:
    targets = TagTargets.learn({("a", "V"): 1, ("a", "N"): 1, ("b", "V"): 2, ("b", "N"): 1})
    assert targets.decode([targets.lexicon["a"], targets.lexicon["b"]]) == ["N", "V"]


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        (("B-A", "I-A", "O"), True),
        (("I-A", "O"), True),
        (("B-A", "E-A", "I-A", "O", "S-A"), True),
        (("B-A", "I-A"), True),
        (("O", "S-A"), False),
        (("NOUN", "O"), False),
        (("B-A", "X"), False),
        (("-LRB-", "B-"), False),
    ],
)
def test_spans_are_told_by_the_tags(labels: tuple[str, ...], spans: bool) -> None:
    other = TagTargets.learn({("w", label): 1 for label in labels})
    assert other.has_spans is spans


# Look


def test_look_shows_the_likeliest_tags_of_each_word(model: seqloom.Model, spans: seqloom.Model) -> None:
    seen = model.look("we watch the Zigglypuff")
    assert isinstance(seen, TagTable)
    assert seen.tokens == ["we", "watch", "the", "Zigglypuff"]
    assert seen.known == [True, True, True, False]
    assert seen.tags == model.predict("we watch the Zigglypuff")[0]["tags"] == [word[0].tag for word in seen.chances]
    for word in seen.chances:
        assert [each.probability for each in word] == sorted((each.probability for each in word), reverse=True)
        assert 0 < sum(each.probability for each in word) <= 1 + 1e-5
    looked = spans.look("Anna met Omar")
    assert isinstance(looked, TagTable) and len(looked.chances) == 3
    with pytest.raises(DataError, match="^the text cannot be read: empty text$"):
        model.look(" ")


def test_what_a_tagger_does_not_do_is_refused(model: seqloom.Model) -> None:
    with pytest.raises(ConfigError, match=r"^suggest: this model writes no texts\."):
        model.predict("we", suggest=3)
    with pytest.raises(ConfigError, match=r"only the settings of \[decoding\] can still be changed"):
        model.with_decoding(["beam=1"])


# Determinism


def test_stopped_and_resumed_is_as_never_stopped(tmp_path: Path) -> None:
    data = write_tagged(tmp_path / "data.conll", 40)
    settings = {
        "task": "tag",
        "model.output": "crf",
        "model.recurrent_dropout": 0.2,
        "training.average": 0.9,
        "training.checkpoint_minutes": 0.0,
    }

    def stop(event: Any) -> None:
        if getattr(event, "batch", 0) == 2 and event.epoch == 2:
            raise KeyboardInterrupt

    whole = tiny.train(data, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        tiny.train(data, tmp_path / "stopped", settings, report=stop)
    resumed = tiny.train(data, tmp_path / "stopped", settings, resume=True)
    assert whole.model.state_dict().keys() == resumed.model.state_dict().keys()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert whole.metrics["metrics"] == resumed.metrics["metrics"]


def test_lists_of_jsonl_are_tagged_too(tmp_path: Path) -> None:
    rows = [
        {"tokens": words, "ner_tags": tags, "id": str(number)} for number, (words, tags) in enumerate(named(40, seed=1))
    ]
    rows[3]["ner_tags"] = rows[3]["ner_tags"][:-1]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said: list[str] = []
    settings = {"model.hidden_size": 4, "model.embedding_size": 4, "training.epochs": 1, "training.baselines": False}
    model = seqloom.train(data, out=tmp_path / "m", settings=settings, report=lambda event: said.append(str(event)))
    assert (model.bundle.input, model.bundle.target, model.bundle.targets.problem) == ("tokens", "ner_tags", "tags")
    assert model.metrics["rejected"][0]["line"] == 4
    words = len(rows[3]["tokens"])
    assert model.metrics["rejected"][0]["reason"] == f"{words - 1} tags for {words} words"
    assert [answer["tokens"] for answer in model.predict_file(data)] == [row["tokens"] for row in rows]


def test_features_are_of_the_word_and_its_neighbours() -> None:
    from seqloom.training.tag_baselines import features_of, shape_of

    assert shape_of("McDonald's-77") == "AaAa'a-9"
    features = features_of(["The", "Dogs", "bark"], 1)
    assert {"word=dogs", "end=ogs", "begin=d", "shape=Aa", "-1=the", "1=bark", "first=False"} <= set(features)
    assert features != features_of(["The", "Dogs", "run"], 1)


def test_every_seed_generates_sentences_of_equal_lengths() -> None:
    for words, tags in [*tagged(200, seed=5), *named(200, seed=5)]:
        assert len(words) == len(tags) > 1
