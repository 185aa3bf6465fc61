"""The vanishing gradient: what is compared, how it is measured, and that its sentences say what the numbers say."""

import math
from typing import Any

import pytest
import torch

from seqloom.lab import learning, vanishing
from seqloom.lab import vanishing_findings as said
from seqloom.lab.learning import Learned, Reader, Recipe, learn, with_interval
from seqloom.lab.vanishing import LENGTHS, VARIANTS, Outcome, Trial
from seqloom.nn import GRU, LSTM, SimpleRNN
from seqloom.shapes import Batch


def outcome(name: str, *rights: float, fall: float = 1.0, diverged: bool = False) -> Outcome:
    """A layer whose seeds are right so often at every length, and whose gradient falls by a factor a step."""
    curve = [fall**back for back in range(vanishing.LONGEST)]
    trials = [Trial(curve, curve, [right] * len(LENGTHS), Learned(9, 1.5, diverged)) for right in rights]
    return Outcome(name, 31, trials)


def outcomes(**changed: Outcome) -> dict[str, Outcome]:
    """Gates carry, all simple layers guess, unless it is told otherwise."""
    plain = {name: outcome(name, 0.25, 0.26, fall=0.5) for name in VARIANTS}
    gated = {name: outcome(name, 1.0, right, fall=0.99) for name, right in (("GRU", 0.99), ("LSTM", 0.98))}
    named = {each.name: each for each in changed.values()}
    return plain | gated | named


# What is compared


def test_variants_are_the_layers_that_their_names_say() -> None:
    for name, variant in VARIANTS.items():
        layer = variant.make()
        assert (variant.clip is None) == name.endswith(" unclipped")
        if name in ("GRU", "LSTM"):
            assert type(layer) is {"GRU": GRU, "LSTM": LSTM}[name]
            continue
        assert isinstance(layer, SimpleRNN)
        activation, start = name.removesuffix(" unclipped").rsplit(" ", 1)
        assert (layer.activation, layer.init) == (activation.lower().replace(" ", "_"), start)
    assert {said.CLIPPED, said.UNCLIPPED, vanishing.PLAIN, *vanishing.TANH, *said.CURES} <= set(VARIANTS)


def test_a_layer_that_only_decays_reaches_as_far_as_its_weight_says() -> None:
    torch.manual_seed(0)
    reader = Reader(SimpleRNN(8, 1, activation="leaky_relu"), 4)
    with torch.no_grad():
        reader.layer.weight_hidden.fill_(0.5)
        reader.layer.weight_input.fill_(1.0)  # always on the side where the slope is 1
    carried = vanishing.follow(reader, seed=0)
    assert carried == pytest.approx([0.5**back for back in range(vanishing.LONGEST)], rel=1e-3, abs=1e-30)
    told = Outcome("", 0, [Trial(carried, carried, [1.0] * len(LENGTHS), Learned(0, 0.0, False))])
    assert told.reach(trained=False) == 20  # 0.5 ** 20 is the first below 1e-6


def test_a_trial_is_a_function_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("UPDATES", 3), ("LONGEST", 20), ("LENGTHS", (10, 20)), ("TESTED", 20)):
        monkeypatch.setattr(vanishing, name, few)
    first, again, other = (vanishing.trial(VARIANTS["GRU"], seed=seed) for seed in (1, 1, 2))
    assert (first.before, first.after, first.right) == (again.before, again.after, again.right)
    assert first.before != other.before
    assert first.before != first.after
    assert len(first.before) == 20
    assert first.before[0] == 1
    assert len(first.right) == 2
    assert first.learned.updates == 3


def test_seeds_are_averaged_with_students_interval() -> None:
    mean, (low, high) = with_interval([0.2, 0.4, 0.6], within=(0.0, 1.0))
    assert (mean, high - mean) == (pytest.approx(0.4), pytest.approx(4.30 * 0.2 / math.sqrt(3)))
    assert low == 0
    assert with_interval([0.5], within=(0, 1)) == (0.5, (0.5, 0.5))
    carried = outcome("", 1.0, 1.0, fall=0.1).carried(trained=False)
    assert carried[3][0] == pytest.approx(1e-3)


# How it is taught


def constant(update: int) -> tuple[Batch, torch.Tensor]:
    return Batch(torch.ones(4, 2, 8), torch.full((4,), 2)), torch.zeros(4, dtype=torch.int64)


def test_learning_stops_when_solved_and_else_when_the_updates_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "EVERY", 2)
    asked = []

    def solved() -> bool:
        asked.append(len(asked))
        return len(asked) == 2

    reader = Reader(SimpleRNN(8, 2), 2)
    before = float(reader.batch_loss(*constant(0)).detach())
    assert learn(reader, constant, Recipe(9, 0.1), solved=solved).updates == 4
    assert float(reader.batch_loss(*constant(0)).detach()) < before
    assert learn(reader, constant, Recipe(3, 0.1)).updates == 3


def test_lost_numbers_end_the_training_and_reach_no_weight() -> None:
    reader = Reader(SimpleRNN(8, 2), 2)

    def burst(update: int) -> tuple[Batch, torch.Tensor]:
        batch, targets = constant(update)
        return (batch._replace(values=batch.values * math.nan) if update == 2 else batch), targets

    learned = learn(reader, burst, Recipe(9, 0.1))
    assert (learned.updates, learned.diverged) == (2, True)
    assert all(weight.isfinite().all() for weight in reader.parameters())


# What is said


def test_findings_tell_the_order_where_the_numbers_do() -> None:
    found = said.findings(outcomes())
    assert found[0].startswith(
        "Before training the gradient falls below a millionth of its end after so many steps (median seed): "
        "tanh uniform 20, "
    )
    assert found[0].endswith("GRU never, LSTM never.")
    assert "99 steps back" in found[1]
    assert "GRU 3.7e-01, LSTM 3.7e-01" in found[1]
    assert "GRU 100 % (2 of 2 seeds solve it)" in found[2]
    assert "where a guess is at 25 %: tanh uniform 26 % (0 of 2 seeds solve it)" in found[2]
    assert found[3].startswith(
        "Gates carry and tanh dies: the worse gated layer is above the best tanh SimpleRNN, LSTM "
    )
    assert found[4].endswith(
        "GRU, LSTM: help; tanh orthogonal, tanh identity, ReLU identity, leaky ReLU identity: make no difference "
        "beyond chance."
    )
    assert found[5].startswith("Clipping makes no difference beyond chance for ReLU identity: 26 %")


def test_findings_admit_that_gates_lost_and_leave_the_rest_to_chance() -> None:
    lost = outcomes(g=outcome("GRU", 0.25, 0.25), t=outcome("tanh identity", 0.98, 0.98))
    assert said.gates(lost).startswith("Gates do not help here: the worse gated layer is below")
    assert "leaky ReLU identity, GRU: make no difference beyond chance" in said.cures(lost)
    open_ = outcomes(g=outcome("GRU", 0.2, 1.0), t=outcome("tanh identity", 0.5, 0.6))
    assert "cannot be told apart with these seeds" in said.gates(open_)
    hurt = outcomes(p=outcome("tanh uniform", 0.9, 0.9))
    assert "ReLU identity, leaky ReLU identity: hurt" in said.cures(hurt)
    burst = outcomes(a=outcome(said.CLIPPED, 0.9, 0.9), b=outcome(said.UNCLIPPED, 0.3, 0.3, diverged=True))
    assert said.clipping(burst) == (
        "Clipping helps for ReLU identity: 90 % (90 to 90) with it, 30 % (30 to 30) without; without it 2 of 2 "
        "trainings lost their numbers."
    )


def test_figures_show_every_layer_with_its_intervals_and_titles_from_the_numbers() -> None:
    success, before, after = said.figures(outcomes())
    assert [line["name"] for line in success["data"]] == list(VARIANTS)
    assert success["layout"]["title"]["text"] == "At 100 steps GRU is right most often, tanh uniform least"
    assert success["data"][0]["x"] == list(LENGTHS)
    assert len(success["data"][0]["error_y"]["array"]) == len(LENGTHS)
    assert before["layout"]["yaxis"]["type"] == "log"
    assert before["layout"]["title"]["text"].startswith(
        "Before training tanh uniform is the first to fall below a mill"
    )
    assert after["data"][0]["y"][1] == pytest.approx(0.5**4)
    none = {name: outcome(name, 1.0, 1.0) for name in VARIANTS}
    assert "in no layer does the gradient fall" in said.figures(none)[1]["layout"]["title"]["text"]
    styles = [(line["line"]["color"], line["line"].get("dash")) for line in success["data"]]
    assert len(set(styles)) == len(VARIANTS)


def test_table_and_json_hold_the_numbers() -> None:
    told = said.summed(outcomes())
    line: dict[str, Any] = told["variants"]["GRU"]
    assert (line["solved"], line["diverged"], line["reach_before"], line["parameters"]) == (2, 0, None, 31)
    assert line["right"][-1]["steps"] == 100
    assert line["right"][-1]["mean"] == pytest.approx(0.995)
    assert told["variants"]["tanh uniform"]["reach_after"] == 20
    row = said.table([outcomes()["GRU"]])[0]
    assert row[:5] == ["GRU", "31", "never", "never", "2/2"]
    assert len(row) == 5 + len(LENGTHS)


def test_seeds_that_lost_their_numbers_have_no_part_in_the_gradient() -> None:
    whole, lost = outcome("x", 1.0, fall=0.5).trials[0], [math.nan] * vanishing.LONGEST
    told = Outcome("x", 1, [whole, whole._replace(after=lost)])
    assert told.reach(trained=True) == 20
    assert told.carried(trained=True)[1][0] == pytest.approx(0.5)
