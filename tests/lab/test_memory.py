"""Memory tasks and cells compared: a solved task is one, chance is not, and the sentences are from the numbers."""

import math

import pytest
import torch

from seqloom.errors import ConfigError
from seqloom.lab import cells, memory
from seqloom.lab.learning import Learned
from seqloom.lab.memory import Outcome

TASKS = {"adding": 1 / 6, "copy": 10 * math.log(8) / 26, "order": math.log(4)}


@pytest.mark.parametrize("task", TASKS)
def test_an_attempt_is_a_function_of_its_seed_and_knows_the_guess(task: str) -> None:
    steps = 6 if task == "copy" else 12
    first, again = (memory.attempt(task, "GRU", steps=steps, seed=1, updates=2, hidden=4, batch=4) for _ in "12")
    assert (first.loss, first.right) == (again.loss, again.right)
    assert first.guess == pytest.approx(TASKS[task])
    assert len(first.course) == 1
    assert (first.learned.updates, first.solved) == (2, False)
    assert first.to_dict()["updates"] == 2


def test_a_layer_that_solves_a_task_stops_and_is_told_so() -> None:
    found = memory.attempt("order", "GRU", steps=10, seed=0, updates=600, hidden=24)
    assert found.solved
    assert found.right > 0.95
    assert found.learned.updates < 600
    assert found.course[0] > 0.8
    assert found.course[-1] < 0.05


def test_who_always_answers_one_scores_the_guess() -> None:
    task = memory.TASKS["adding"]
    _, sums = task.draw(4000, steps=10, seed=0)
    ones = torch.ones(4000, 1)
    assert float(task.loss(ones, sums)) == pytest.approx(task.guess(10), rel=0.05)
    assert float(task.right(ones, sums).float().mean()) == pytest.approx(0.078, abs=0.02)


def test_only_the_asked_letters_count_as_right() -> None:
    task = memory.TASKS["copy"]
    _, targets = task.draw(3, steps=5, seed=0)
    answers = torch.nn.functional.one_hot(targets, 10).float()
    answers[:, :15] = 0
    assert task.right(answers, targets).all()
    assert task.right(answers, targets).shape == (3, 10)


def outcome(task: str, cell: str, loss: float, *, diverged: bool = False) -> Outcome:
    return Outcome(task, cell, 50, 0, 31, 0.5, loss, 0.25, Learned(100, 1.0, diverged), [1.0, loss / 0.5])


def test_findings_tell_who_solves_what() -> None:
    all_of_them = [outcome("adding", "GRU", 0.01), outcome("adding", "tanh", 0.5), outcome("copy", "GRU", 0.4)]
    assert memory.findings(all_of_them) == [
        "adding, 50 steps: solved by GRU. Of the loss of a guess (0.5000) is left: GRU 2 %, tanh 100 %.",
        "copy, 50 steps: solved by no layer. Of the loss of a guess (0.5000) is left: GRU 80 %.",
    ]
    assert [figure["layout"]["title"]["text"] for figure in memory.figures(all_of_them)] == [
        "adding, 50 steps: solved by GRU",
        "copy, 50 steps: solved by no layer",
    ]
    assert memory.line(outcome("adding", "GRU", 0.01))[-1] == "yes"
    lost = outcome("adding", "GRU", math.nan, diverged=True)
    assert (memory.line(lost)[-1], lost.solved, lost.to_dict()["loss"]) == ("lost its numbers", False, None)


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match='there is no task "add": did you mean "adding"'):
        memory.sizes("add", steps=None, updates=None)
    with pytest.raises(ConfigError, match='there is no cell "RNN"'):
        memory.attempt("adding", "RNN", steps=5, seed=0, updates=1)
    with pytest.raises(ConfigError, match=r"order: 5 steps: this task needs 10 or more. Use --steps with more."):
        memory.attempt("order", "GRU", steps=5, seed=0, updates=1)
    assert memory.sizes("copy", steps=7, updates=None) == {"steps": 7, "updates": memory.SHORT["copy"][1]}


# Cells


def cell(name: str, *rights: float, parameters: int, seconds: float = 1.0) -> cells.Outcome:
    trials = [cells.Trial([right] * len(cells.PASSES), seconds) for right in rights]
    return cells.Outcome(name, parameters, parameters + 9, trials)


def test_cells_read_the_same_sentences_none_of_which_was_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "TRAINED", 64)
    monkeypatch.setattr(cells, "TESTED", 32)
    monkeypatch.setattr(cells, "PASSES", (1, 2))
    data = cells.sentences(seed=0)
    assert not {row.text for row in data.train} & {row.text for row in data.test}
    assert (len(data.train), len(data.test)) == (64, 32)
    first, again = (cells.measure("gru", data, seeds=2) for _ in "12")
    assert [trial.accuracy for trial in first.trials] == [trial.accuracy for trial in again.trials]
    assert [len(trial.accuracy) for trial in first.trials] == [2, 2]
    assert first.recurrent == 3 * (32 * 32 + 32 * 32 + 32)
    assert first.parameters == first.recurrent + 32 * data.vocabulary + 33


def test_cells_are_compared_by_their_intervals() -> None:
    told = {
        "simple_rnn": cell("SimpleRNN", 0.7, 0.71, parameters=100),
        "gru": cell("GRU", 0.99, 0.98, parameters=300, seconds=2.0),
        "lstm": cell("LSTM", 0.97, 0.99, parameters=400, seconds=3.0),
    }
    found = cells.findings(told)
    assert found[0] == (
        "The recurrent layer has 100 parameters as SimpleRNN, 300 as GRU (3 times), 400 as LSTM (4 times): "
        "one set a gate."
    )
    assert found[1] == "Training GRU takes 2 times as long as SimpleRNN: 2.0 s (2.0 to 2.0) and 1.0 s (1.0 to 1.0)."
    assert found[2].startswith("Training LSTM takes 3 times as long")
    assert "take cannot be told apart" in cells.slower(told["gru"], told["gru"])
    assert found[3].startswith("GRU is better than SimpleRNN: 98.5 % (92.1 to 100.0) and 70.5 % (")
    assert found[5].startswith("GRU and LSTM cannot be told apart with these seeds")
    worse = told | {"gru": cell("GRU", 0.5, 0.5, parameters=300)}
    assert cells.findings(worse)[3].startswith("GRU is worse than SimpleRNN")
    assert cells.figure(told)["layout"]["title"]["text"].startswith("GRU is ahead after the first pass, GRU after")
