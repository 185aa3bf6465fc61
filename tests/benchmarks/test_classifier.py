"""The classifier of every side is one model: the same words, batches, first weights and answers."""

import random
from pathlib import Path

import pytest
import torch

from benchmarks import classifier
from benchmarks.cases import GATES
from benchmarks.classifier import BATCH, Plan, Row, batches, measure, read, sides, turns


def rows(number: int) -> list[Row]:
    draw = random.Random(3)
    return [
        Row([draw.randrange(2, 30) for _ in range(draw.randrange(1, 12))], draw.randrange(2)) for _ in range(number)
    ]


def test_batches_hold_every_row_once_and_rows_alike_together() -> None:
    given = rows(500)
    drawn = list(batches(given, seed=1))
    seen = sorted(words[:length].tolist() for b in drawn for words, length in zip(b.words, b.lengths, strict=True))
    assert seen == sorted(row.words for row in given)
    assert max(len(batch.labels) for batch in drawn) == BATCH
    spread = [int(batch.lengths.max() - batch.lengths.min()) for batch in drawn]
    assert sum(spread) / len(spread) < 4
    again, other = list(batches(given, seed=1)), list(batches(given, seed=2))
    assert all(torch.equal(one.words, two.words) for one, two in zip(drawn, again, strict=True))
    assert any(not torch.equal(one.labels, two.labels) for one, two in zip(drawn, other, strict=True))


def test_turns_end_with_the_plan() -> None:
    given = rows(500)
    assert [len(turn) for turn in turns(given, Plan(turn=3, turns=2, epochs=9))] == [3, 3]
    assert sum(len(turn) for turn in turns(given, Plan(turn=3, epochs=2))) == 2 * len(list(batches(given, seed=0)))


def test_only_the_sides_named_so_have_an_optimiser_as_torch_makes_it() -> None:
    fused = {name: trained.optimiser.defaults["fused"] for name, trained in sides("GRU", words=30).items()}
    assert [name for name, is_fused in fused.items() if not is_fused] == [classifier.PACKED[1], classifier.PADDED[1]]


@pytest.mark.parametrize("cell", GATES)
def test_all_sides_start_with_the_same_answers(cell: str) -> None:
    batch = next(iter(batches(rows(64), seed=0)))
    answers = {}
    for name, trained in sides(cell, words=30).items():
        with torch.no_grad():
            answers[name] = trained.model.eval()(batch.words, batch.lengths)
    padded = [answers.pop(name) for name in classifier.PADDED]
    assert torch.equal(*padded)
    assert len(answers) == 5
    for name, found in answers.items():
        torch.testing.assert_close(found, answers["torch packed"], rtol=1e-4, atol=1e-5, msg=name)
    # Its backward reading starts in the padding.
    assert not torch.allclose(padded[0], answers["torch packed"], atol=1e-6)


def test_a_race_gives_speeds_and_the_time_to_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sst2").mkdir()
    text = "sentence\tlabel\n" + "".join(f"{'good fun' if n % 2 else 'a bad film'} \t{n % 2}\n" for n in range(200))
    for part in ("train", "dev"):
        (tmp_path / "sst2" / f"{part}.tsv").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SEQLOOM_DATA", str(tmp_path))
    monkeypatch.setitem(classifier.TARGETS, "sst2", 0.99)
    data = read("sst2")
    assert (len(data.train), data.words, len(data.train[0].words)) == (200, 7, 3)
    result = measure("sst2", "SimpleRNN", plan=Plan(turn=2, epochs=20, scored_every=1), without=classifier.PACKED)
    assert set(result["sides"]) == {"seqloom", "seqloom train", "seqloom accelerate", *classifier.PADDED}
    for side in result["sides"].values():
        assert 0 < side["seconds_to_target"] <= side["curve"][-1][0] + 0.01
        assert side["tokens_per_second"] > 0
        assert side["curve"][-1][1] == 1.0 or side["curve"][-1][1] >= 0.99
