"""How numbers were read: shares add up to the float64 difference, states are the cell's own, what cannot count is 0."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqloom.api import Model
from seqloom.bundle import NumbersBundle
from seqloom.config import Config, DataSettings, load_config
from seqloom.data.numbers import Channel, NumbersLayout, NumbersReader
from seqloom.data.targets import Targets
from seqloom.errors import ConfigError, DataError
from seqloom.lens import NumbersReading
from seqloom.lens.figures_numbers import COLUMNS, run_names, runs_of, shares_map, strongest_variables
from seqloom.lens.memory import averaged, read_through
from seqloom.lens.numbers_findings import findings_of_numbers
from seqloom.lens.page import page
from seqloom.lens.show_numbers import whole_numbers
from seqloom.models import Dense, ManyToOne
from seqloom.models.build import build_for_numbers
from seqloom.models.many_to_one import framed
from seqloom.nn import Recurrent
from seqloom.shapes import Batch
from tests.lens.test_reading import stepped

TWO = Targets("binary", ("no", "yes"))
THREE = Targets("multiclass", ("a", "b", "c"))
SEVERAL = Targets("multilabel", ("a", "b", "c"))
NUMBER = Targets("squared", (), mean=5.0, scale=2.0)
CHANNELS = (Channel("x", 1.0, 2.0), Channel("y", -3.0, 0.5), Channel("z", 100.0, 10.0))


def untrained(
    targets: Targets = THREE, *, gaps: bool = False, frames: int = 1, kind: Any = "long", most: int | None = None,
    **settings: Any,
) -> Model:  # fmt: skip
    """A model of numbers with random weights that are all different."""
    torch.manual_seed(3)
    names = tuple(channel.name for channel in CHANNELS)
    layout = NumbersLayout(kind, names, "series" if kind == "long" else None)
    reader = NumbersReader(layout, CHANNELS, gaps, frames)
    named = {f"model.{name}": value for name, value in {"hidden_size": 5, **settings}.items()}
    task = "regress" if targets.problem == "squared" else "classify"
    config = Config(task=task, model=load_config(None, [], named=named).model, data=DataSettings(max_length=most))
    network = build_for_numbers(config, reader=reader, targets=targets).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    return Model(NumbersBundle(config, ", ".join(names), "label", reader, targets, 0, {}, network, {}))


def bundle_of(model: Model) -> NumbersBundle:
    assert isinstance(model.bundle, NumbersBundle)
    return model.bundle


def network_of(model: Model) -> Any:
    return model.bundle.model


def sample(steps: int, *, missing: bool = False) -> Any:
    """Numbers as they are measured, two of them missing where asked."""
    values = np.random.default_rng(steps).normal(size=(steps, 3)) * [2, 0.5, 10] + [1, -3, 100]
    if missing:
        values[min(1, steps - 1), 0] = values[-1, 1] = np.nan
    return values


def look(model: Model, given: Any, **words: Any) -> NumbersReading:
    seen = model.look(given, **words)
    assert isinstance(seen, NumbersReading)
    return seen


def explained(model: Model, steps: Tensor, chosen: int) -> Tensor:
    """The value that is explained of encoded steps (B, T, I), in float64: log odds, or the number in its unit."""
    network = network_of(model)
    wide = build_for_numbers(model.bundle.config, reader=bundle_of(model).reader, targets=bundle_of(model).targets)
    wide.load_state_dict(network.state_dict())
    wide.double().eval()
    logits: Tensor = wide(Batch(steps, torch.full((len(steps),), steps.shape[1])))
    problem = network.problem
    if problem == "squared":
        return logits[:, 0] * NUMBER.scale + NUMBER.mean
    if problem == "binary":
        return logits[:, 0] * (1 if chosen else -1)
    if problem == "multilabel":
        return logits[:, chosen]
    chances = logits.softmax(dim=1)[:, chosen]
    return (chances / (1 - chances)).log()


def encoded(model: Model, values: Any) -> tuple[Tensor, Tensor]:
    """What the model reads of `values` and of the mean, by hand: (T, I) each."""
    there = ~np.isnan(values)
    means, scales = [np.array([getattr(each, name) for each in CHANNELS]) for name in ("mean", "scale")]
    steps, nothing = np.where(there, (values - means) / scales, 0), np.zeros(values.shape)
    if bundle_of(model).reader.gaps:
        steps = np.concatenate([steps, there], axis=1)
        nothing = np.concatenate([nothing, np.ones(values.shape)], axis=1)
    return torch.from_numpy(steps).double(), torch.from_numpy(nothing).double()


# Shares


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (THREE, {"cell": "lstm", "pooling": "max"}),
        (TWO, {"cell": "gru", "pooling": "attention", "gaps": True}),
        (SEVERAL, {"cell": "simple_rnn", "pooling": "last", "bidirectional": False, "frames": 3}),
        (NUMBER, {"cell": "gru", "pooling": "mean", "frames": 2, "gaps": True, "num_layers": 2}),
        (THREE, {"kind": "rows", "num_layers": 2}),
        (NUMBER, {"kind": "rows", "gaps": True}),
    ],
)
def test_shares_add_up_to_the_difference_and_are_the_integral(targets: Targets, words: dict[str, Any]) -> None:
    model = untrained(targets, **words)
    dense = words.get("kind") == "rows"
    values = sample(1 if dense else 7, missing=words.get("gaps", False))
    saliency = look(model, values, points=400).saliency
    chosen = targets.labels.index(str(saliency.about)) if targets.labels else 0
    steps, nothing = encoded(model, values)
    end, start = explained(model, torch.stack([steps, nothing]), chosen).tolist()
    assert (saliency.value, saliency.baseline) == pytest.approx((end, start), abs=2e-5)
    whole = math.fsum(share for step in saliency.shares for share in step)
    assert abs(whole - (end - start)) <= 0.01 * abs(end - start)
    assert whole + saliency.gap == pytest.approx(saliency.value - saliency.baseline, abs=1e-9)
    assert saliency.by_step == pytest.approx([sum(step) for step in saliency.shares])
    assert saliency.by_variable == pytest.approx(np.sum(saliency.shares, axis=0).tolist())
    exact = integral(model, steps, nothing, chosen)
    np.testing.assert_allclose(saliency.shares, exact, atol=0.05 * float(np.abs(exact).max()))


def integral(model: Model, steps: Tensor, nothing: Tensor, chosen: int) -> Any:
    """The same by 1,500 points of equal distance, in float64; a mark counts for its variable."""
    at = (torch.arange(1500, dtype=torch.float64) + 0.5) / 1500
    read = (nothing + at[:, None, None] * (steps - nothing)).requires_grad_()
    [gradient] = torch.autograd.grad(explained(model, read, chosen).mean(), [read])
    found = (gradient.sum(dim=0) * (steps - nothing)).numpy()
    return sum(found[:, start : start + 3] for start in range(0, found.shape[1], 3))


def test_a_variable_that_the_model_cannot_see_adds_nothing() -> None:
    for words in ({"frames": 2, "gaps": True}, {"kind": "rows"}):
        model = untrained(**words)
        size, network = bundle_of(model).reader.input_size, network_of(model)
        with torch.no_grad():
            if isinstance(network, Dense):
                network.layers[0].weight[:, 1] = 0
            else:
                for layer in network.modules():
                    if isinstance(layer, Recurrent):
                        layer.weight_input.view(-1, size, layer.weight_input.shape[1])[:, 1::3] = 0
        seen = look(model, sample(1 if "kind" in words else 6, missing="gaps" in words))
        assert [step[1] for step in seen.saliency.shares] == [0] * len(seen.values)
        assert seen.saliency.by_variable[1] == seen.saliency.occluded_variables[1] == 0
        assert seen.saliency.by_variable[0] and seen.saliency.occluded_variables[2]


def test_the_mean_adds_nothing_and_a_missing_number_what_its_mark_says() -> None:
    values = sample(5)
    values[2] = [channel.mean for channel in CHANNELS]
    gone = values.copy()
    gone[2] = np.nan
    for gaps in (False, True):
        model = untrained(gaps=gaps)
        assert look(model, values).saliency.shares[2] == [0, 0, 0]
        assert any(look(model, gone).saliency.shares[2]) == gaps


def test_what_counts_is_checked_by_putting_the_mean_there() -> None:
    model, values = untrained(gaps=True, frames=2), sample(5, missing=True)
    saliency = look(model, values).saliency
    chosen = THREE.labels.index(str(saliency.about))
    steps, nothing = encoded(model, values)
    column, row = steps.clone(), steps.clone()
    column[:, [1, 4]], row[3] = nothing[:, [1, 4]], nothing[3]
    whole, *without = explained(model, torch.stack([steps, column, row]), chosen).tolist()
    assert saliency.occluded_variables[1] == pytest.approx(whole - without[0], abs=2e-5)
    assert saliency.occluded_steps[3] == pytest.approx(whole - without[1], abs=2e-5)


# The way to the answer


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_traces_are_the_gates_and_states_of_the_cell_itself(cell: str) -> None:
    model, values = untrained(cell=cell, frames=2), sample(5)
    network = network_of(model)
    steps, _ = encoded(model, values)
    frames = torch.cat([steps, torch.zeros(1, 3)]).reshape(1, 3, 6).float()
    layers = look(model, values).layers
    both = network.recurrent.parts[0]
    for view, layer in zip(layers, (both.forward_layer, both.backward_layer), strict=True):
        expected = stepped(cell, layer, frames, backward=view.direction == "backward")
        for name, gate in view.gates.items():
            assert gate == pytest.approx(expected[name][0].mean(dim=1).tolist(), abs=1e-5)
        for place, unit in enumerate(view.units):
            assert view.values["hidden"][place] == pytest.approx(expected["hidden"][0, :, unit].tolist(), abs=1e-5)
    batch = framed(Batch(steps[None].float(), torch.tensor([5])), 2)
    assert torch.equal(read_through(network.recurrent, *batch)[1], network.recurrent(*batch)[0])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("pooling", "frames"), [("max", 1), ("mean", 3), ("attention", 2), ("last", 1)])
def test_each_beginning_is_answered_as_a_series_of_its_own(bidirectional: bool, pooling: str, frames: int) -> None:
    model, values = untrained(bidirectional=bidirectional, pooling=pooling, frames=frames), sample(7)
    arrivals = look(model, values).arrivals
    assert arrivals is not None and arrivals.anew == bidirectional
    assert arrivals.steps == [*range(frames, 7, frames), 7]
    for step, value in zip(arrivals.steps, arrivals.values, strict=True):
        [answer] = model.predict([values[:step]])
        assert [round(chance, 6) for chance in value] == list(answer["probabilities"].values())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_later_step_moves_no_earlier_arrival(bidirectional: bool) -> None:
    model, values = untrained(TWO, bidirectional=bidirectional, pooling="mean"), sample(8)
    other = values.copy()
    other[5] += [2, -1, 10]
    first, second = (look(model, each).arrivals for each in (values, other))
    assert first is not None and second is not None
    assert first.values[:5] == second.values[:5]
    assert all(one != two for one, two in zip(first.values[5:], second.values[5:], strict=True))


@pytest.mark.parametrize("targets", [TWO, THREE, SEVERAL, NUMBER])
def test_looking_changes_no_bit_and_says_what_predict_says(targets: Targets) -> None:
    for words, values in (({}, sample(6)), ({"kind": "rows"}, sample(1)[0])):
        model = untrained(targets, **words)
        before = model.predict([values])
        weights = {name: tensor.clone() for name, tensor in network_of(model).state_dict().items()}
        seen = look(model, values)
        assert [seen.answer] == before == model.predict([values])
        assert all(torch.equal(tensor, weights[name]) for name, tensor in network_of(model).state_dict().items())
        parameters = list(network_of(model).parameters())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in parameters)
        assert (seen.arrivals is None, seen.layers == []) == ("kind" in words, "kind" in words)


def test_work_is_bounded_and_what_is_not_read_is_said() -> None:
    model = untrained(NUMBER, most=900)
    seen = look(model, sample(1000))
    assert seen.arrivals is not None
    assert (len(seen.values), seen.cut, len(seen.arrivals.steps), seen.arrivals.steps[-1]) == (900, 100, 6, 900)
    assert seen.saliency.points <= 5 and len(seen.saliency.occluded_steps) == 2
    assert seen.arrivals.values[-1][0] == pytest.approx(seen.answer["prediction"])
    assert seen.findings[-1] == "The last 100 steps were not read: it reads 900 at most."
    shown = page(title="", parts=whole_numbers(seen))
    assert f"in runs of {900 // COLUMNS} steps" in shown and len(shown) < 2_000_000


# What is chosen, and what is refused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[1, 2]], "the shape is (1, 2), but must be (time, 3)"),
        ([1, 2, 3], "the shape is (3,), but must be (time, 3)"),
        ([[[1, 2, 3]]], "the shape is (1, 1, 3), but must be (time, 3)"),
        ([], "the shape is (0,), but must be (time, 3)"),
        ([[1, 2, 3], [1, 2]], "not an array of numbers"),
        ([[1, 2, "x"]], "not an array of numbers"),
        ([[None, None, None]], "no value"),
        ([[1, 2, math.inf]], "a value is infinite, or too large to compute with"),
        (None, "the shape is (), but must be (time, 3)"),
        ("no.csv", "there is no file no.csv"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(given: Any, said: str) -> None:
    with pytest.raises(DataError) as refused:
        untrained().look(given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_sample_of_a_file_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    data = tmp_path / "s.csv"
    data.write_text("series,x,y,z\na,1,2,3\na,2,2,3\nbb,1,2,-3\nbb,x,2,3\nbb,4,5,6\nc,,,\n")
    model = untrained()
    answers = {answer["input"]: answer for answer in model.predict_file(data)}
    for words, name in (({}, "a"), ({"series": "bb"}, "bb"), ({"row": 2}, "bb"), ({"row": 1}, "a")):
        seen = look(model, data, **words)
        assert seen.answer == answers[name]
        assert seen.title == f"series {name} ({'ab'.index(name[0]) + 1} of 4): {len(name) + 1} steps of 3 variables"
    assert look(model, str(data), series="bb").values == [[1, 2, -3], [None, None, None], [4, 5, 6]]
    for refused, said in (
        ({"series": "d"}, 'there is no series "d" in s.csv'),
        ({"series": "c"}, "s.csv, line 7: series c: no value"),
        ({"row": 3}, 's.csv, line 5: x: "x" is not a finite number'),
        ({"row": 4}, "s.csv, line 7: series c: no value"),
        ({"row": 5}, "row is 5, but must lie in 1..4"),
        ({"row": -1}, "row is -1, but must lie in 1..4"),
    ):
        with pytest.raises(DataError, match=said):
            model.look(data, **refused)
    with pytest.raises(ConfigError, match="series and row both say which sample to show"):
        model.look(data, series="a", row=1)
    for words in ({"series": "a"}, {"row": 1}):
        with pytest.raises(ConfigError, match="only a file of numbers"):
            model.look(sample(3), **words)


# What is shown


def test_findings_follow_the_numbers() -> None:
    seen = look(untrained(TWO, bidirectional=False), sample(6, missing=True))
    saliency = seen.saliency._replace(
        about="yes", shares=[[0, 0, 0], [2, 0, 0], [1, -2, 0], [0, 0, 0], [0, 0.5, 0], [0, 0, 0]],
        by_step=[0, 2, -1, 0, 0.5, 0], by_variable=[3, -1.5, 0], value=2.0, baseline=0.0, gap=0.5,
        occluded_variables={0: 1.0, 1: 0.5, 2: 0.0}, occluded_steps={1: 0.25, 2: -0.5},
    )  # fmt: skip
    assert seen.arrivals is not None
    arrivals = seen.arrivals._replace(steps=[1, 3, 6], values=[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    said = findings_of_numbers(seen._replace(saliency=saliency, arrivals=arrivals, cut=4), marked=False)
    assert said[:7] == [
        'What speaks most for "yes": "x" (+3.00); against "yes": "y" (-1.50).',
        'What speaks most for "yes": step 2 (+2.00), step 5 (+0.50); against "yes": step 3 (-1.00).',
        "Half of all shares, for and against, lies in 1 of 6 steps: 3.",
        'It became "yes" between the steps 3 and 6, and stayed so; before, it was "no".',
        'Left out one by one, 1 of 2 variables move the answer the way their shares say; most of all "x", by +1.00.',
        "Left out one by one, 2 of 2 steps move the answer the way their shares say; most of all step 3, by -0.50.",
        "The shares leave out 0.50 of a difference of 2.00: the answer tips over between two of the "
        f"{saliency.points} points. More points find where.",
    ]
    assert said[-2:] == [
        "2 of 18 numbers missing, each read as the mean, as if it were there: training had none missing.",
        "The last 4 steps were not read: it reads 6 at most.",
    ]


def test_runs_have_one_length_and_end_with_frames() -> None:
    assert runs_of(7, most=16) == [(step, step + 1) for step in range(7)]
    assert runs_of(100, most=16, frames=6)[:2] == [(0, 12), (12, 24)]
    assert run_names(runs_of(29, most=10)) == [*(f"{start}-{start + 2}" for start in range(1, 28, 3)), "28-29"]
    for steps, most, frames in ((1, 1, 9), (50, 7, 1), (50, 7, 4), (64, 16, 2)):
        runs = runs_of(steps, most=most, frames=frames)
        assert len(runs) <= most and (runs[0][0], runs[-1][1]) == (0, steps)
        assert all(start % frames == 0 for start, _ in runs)
        assert [start for start, _ in runs[1:]] == [end for _, end in runs[:-1]]


def test_a_long_reading_is_shown_as_means_and_sums() -> None:
    seen = look(untrained(), sample(COLUMNS * 2))
    layer = averaged(seen.layers[0], [(0, 2), (2, 5)])
    gate = seen.layers[0].gates["forget"]
    assert layer.gates["forget"] == pytest.approx([sum(gate[:2]) / 2, sum(gate[2:5]) / 3], abs=1e-5)
    assert len(layer.values["hidden"][0]) == 2
    [cells] = shares_map(seen)["data"]
    shares = seen.saliency.shares
    assert cells["z"][2][4] == pytest.approx(shares[8][2] + shares[9][2])
    assert np.sum(cells["z"]) == pytest.approx(np.sum(shares))


def test_the_variables_that_count_are_shown_whatever_their_sign() -> None:
    seen = look(untrained(), sample(2))
    saliency = seen.saliency._replace(shares=[[5, 1, 2], [-5, 1, 2]], by_variable=[0, 2, 4])
    seen = seen._replace(saliency=saliency)
    assert strongest_variables(seen, most=2) == [2, 0]
    assert strongest_variables(seen, most=3) == [2, 1, 0]


def test_names_with_markup_stay_texts_and_json_is_plain() -> None:
    evil = "<script>alert(1)</script>"
    for words, values in (({}, sample(4, missing=True)), ({"kind": "rows"}, sample(1)[0])):
        seen = look(untrained(**words), values)
        named = seen._replace(
            labels=["<b>a</b>", "b", "c"],
            answer={**seen.answer, "input": evil},
            variables=[channel._replace(name=evil) for channel in CHANNELS],
        )
        named = named._replace(findings=findings_of_numbers(named, marked=True))
        for shown in (page(title=evil, parts=whole_numbers(named)), named._repr_html_()):
            assert "<script" not in shown and "<b>a" not in shown and "&lt;script" in shown
        found = json.loads(json.dumps(seen.to_dict(), allow_nan=False))
        assert set(found) == {
            "kind", "place", "of", "variables", "values", "labels", "input", "prediction", "probabilities",
            "saliency", "arrivals", "layers", "frames", "findings", "cut",
        }  # fmt: skip
        assert found["variables"][1] == {"name": "y", "mean": -3.0, "scale": 0.5}
        assert [len(step) for step in found["saliency"]["shares"]] == [3] * len(seen.values)


def test_both_kinds_of_model_are_looked_at() -> None:
    assert isinstance(network_of(untrained()), ManyToOne)
    assert isinstance(network_of(untrained(kind="rows")), Dense)
