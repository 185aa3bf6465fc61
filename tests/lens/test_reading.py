"""How a text was read: gates are the cell's own, shares add up, beginnings are read as `predict` reads them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import seqloom
from seqloom.bundle import Bundle
from seqloom.cells import gru_step, lstm_step, simple_rnn_step
from seqloom.config import load_config
from seqloom.data.targets import Targets
from seqloom.inference import logits_of
from seqloom.lens import Reading, read
from seqloom.lens.memory import LONGEST, half_lives, layer_view, read_through
from seqloom.lens.page import page
from seqloom.lens.reading_findings import findings_of
from seqloom.lens.saliency import integrated_gradients, score
from seqloom.lens.show import whole_reading
from seqloom.models import ManyToOne
from seqloom.nn import Recurrent
from seqloom.shapes import Batch, Trace
from tests.trained import Trained, small_models

TWO = Targets("binary", ("no", "yes"))
THREE = Targets("multiclass", ("a", "b", "c"))
SEVERAL = Targets("multilabel", ("a", "b", "c"))
NUMBER = Targets("squared", (), mean=5.0, scale=2.0)
CELLS = ("simple_rnn", "lstm", "gru")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> Bundle:
    loaded = seqloom.load(trained.classifier).bundle
    assert isinstance(loaded, Bundle)
    return loaded


def untrained(targets: Targets = TWO, **settings: Any) -> ManyToOne:
    """A small model with random weights that are all different."""
    named = {f"model.{name}": value for name, value in {"hidden_size": 5, "embedding_size": 4, **settings}.items()}
    config = load_config(None, [], named=named).model
    model = ManyToOne(config, vocabulary_size=12, outputs=len(targets.labels), problem=targets.problem).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("embedding"):
                parameter.copy_(torch.randn_like(parameter))
    return model


def traced(model: ManyToOne, ids: list[int]) -> Any:
    batch = Batch(torch.tensor([ids]), torch.tensor([len(ids)]))
    return read_through(model.recurrent, model.embed(batch), batch.lengths)


# Memory


@pytest.mark.parametrize("cell", CELLS)
def test_traces_are_the_gates_and_states_of_the_cell_itself(cell: str) -> None:
    model = untrained(cell=cell, num_layers=2, residual=True)
    ids = [3, 4, 3, 7, 9]
    readers, outputs = traced(model, ids)
    assert [(reader.number, reader.direction) for reader in readers] == [
        (1, "forward"), (1, "backward"), (2, "forward"), (2, "backward"),
    ]  # fmt: skip
    x = model.embedding(torch.tensor([ids]))
    below: Tensor | None = None
    for number, part in enumerate(model.recurrent.parts):
        both = []
        for reader in readers[2 * number : 2 * number + 2]:
            layer = part.forward_layer if reader.direction == "forward" else part.backward_layer  # type: ignore[union-attr]
            expected = stepped(cell, layer, x, backward=reader.direction == "backward")
            torch.testing.assert_close(reader.trace.hidden, expected["hidden"], atol=2e-6, rtol=0)
            for name, gate in reader.trace.gates.items():
                torch.testing.assert_close(gate, expected[name], atol=2e-6, rtol=0)
            both.append(reader.trace.hidden)
        x = torch.cat(both, dim=-1)
        x = below = x if below is None else x + below
    torch.testing.assert_close(outputs, x)
    assert torch.equal(outputs, model.recurrent(model.embed(batch_of(ids)), torch.tensor([5]))[0])


def batch_of(ids: list[int]) -> Batch:
    return Batch(torch.tensor([ids]), torch.tensor([len(ids)]))


def stepped(cell: str, layer: Recurrent, x: Tensor, *, backward: bool) -> dict[str, Tensor]:
    """Every state and gate, by the equation of the cell, one step at a time."""
    steps: dict[str, Any] = {"simple_rnn": simple_rnn_step, "lstm": lstm_step, "gru": gru_step}
    state, p = layer.first(batch=1), layer.parameters_of_cell(batch=1)
    found: list[dict[str, Tensor]] = []
    for at in reversed(range(x.shape[1])) if backward else range(x.shape[1]):
        state, gates = steps[cell](p, x[:, at] @ layer.weight_input + layer.bias, state)
        found.append({"hidden": state.hidden, **(gates._asdict() if gates else {})})
    found = found[::-1] if backward else found
    return {name: torch.stack([step[name] for step in found], dim=1) for name in found[0]}


def test_a_view_has_the_means_of_all_units_and_the_values_of_those_that_move_most() -> None:
    [ahead, back], _ = traced(untrained(cell="lstm"), [3, 4, 5])
    for reader in (ahead, back):
        view = layer_view(reader, units=2)
        hidden = reader.trace.hidden[0]
        first = torch.zeros(1, 5)
        moves = hidden.diff(dim=0, prepend=first) if reader is ahead else -hidden.diff(dim=0, append=first)
        assert view.moved == pytest.approx(moves.square().mean(dim=1).sqrt().tolist(), abs=1e-5)
        assert view.units == sorted(moves.square().sum(dim=0).argsort(descending=True)[:2].tolist())
        assert view.gates["forget"] == pytest.approx(reader.trace.gates["forget"][0].mean(dim=1).tolist(), abs=1e-5)
        assert list(view.values) == ["hidden", "cell", "input", "forget", "candidate", "output"]
        assert view.values["cell"][1] == pytest.approx(reader.trace.cell[0, :, view.units[1]].tolist(), abs=1e-5)
    assert (ahead.direction, layer_view(back).name) == ("forward", "layer 1, backward")


def test_half_of_a_memory_is_gone_after_its_half_life() -> None:
    gate = torch.tensor([[[0.5, 0.25, 1.0], [0.5, 1.0, 1.0]]])
    lives = half_lives([Trace(gate, None, {"forget": gate, "input": gate})])
    assert lives == pytest.approx([1.0, 1.0, LONGEST])
    assert half_lives([Trace(gate, None, {"update": gate[:, :1]})]) == pytest.approx([1.0, 0.5, LONGEST])
    assert half_lives([Trace(gate, None, {"reset": gate})]) == []


# Shares


@pytest.mark.parametrize(("cell", "pooling"), [("lstm", "max"), ("gru", "attention"), ("simple_rnn", "last")])
def test_shares_add_up_and_are_the_integral_of_the_gradient(cell: str, pooling: str) -> None:
    model, ids = untrained(THREE, cell=cell, pooling=pooling), [3, 1, 4, 5, 3]
    found = integrated_gradients(model, THREE, ids, chosen=2, points=200)
    ends = score(THREE, logits_of(model, [ids, [0] * 5]), 2)
    difference = (ends[0] - ends[1]).item()
    assert found.baseline == pytest.approx(ends[1].item(), abs=1e-6)
    assert abs(found.shares.sum().item() - difference) <= 0.01 * abs(difference)
    exact = integral(model, ids, chosen=2)
    torch.testing.assert_close(found.shares, exact, atol=0.02 * float(exact.abs().max()), rtol=0)


def integral(model: ManyToOne, ids: list[int], *, chosen: int) -> Tensor:
    """The same by 1,500 points of equal distance, in float64."""
    wide = untrained(THREE, cell=model_cell(model), pooling=model.pooling)
    wide.load_state_dict(model.state_dict())
    wide.double()
    vectors = wide.embedding(torch.tensor(ids)).detach()
    at = (torch.arange(1500, dtype=torch.float64) + 0.5) / 1500
    read = (at[:, None, None] * vectors).requires_grad_()
    lengths = torch.full((1500,), len(ids))
    logits = wide.conclude(wide.recurrent(read, lengths)[0], lengths)
    chances = logits.softmax(dim=1)[:, chosen]
    [gradient] = torch.autograd.grad((chances / (1 - chances)).log().mean(), [read])
    return (gradient.sum(dim=0) * vectors).sum(dim=1)


def model_cell(model: ManyToOne) -> str:
    first = next(layer for layer in model.recurrent.modules() if isinstance(layer, Recurrent))
    return {"SimpleRNN": "simple_rnn", "LSTM": "lstm", "GRU": "gru"}[type(first).__name__]


def test_what_is_explained_are_log_odds_or_the_number_in_its_unit() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    chances = logits.softmax(dim=1)[0]
    assert score(THREE, logits, 1).item() == pytest.approx(float((chances[1] / (1 - chances[1])).log()), abs=1e-5)
    assert score(TWO, logits[:, :1], 0).item() == -1 == -score(TWO, logits[:, :1], 1).item()
    assert score(SEVERAL, logits, 2).item() == 0.5
    assert score(NUMBER, logits[:, :1], 0).item() == 7


def test_values_that_are_no_numbers_end_the_search_for_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqloom.lens.saliency.score", lambda *args: score(*args) * math.nan)
    assert integrated_gradients(untrained(), TWO, [3, 4], chosen=1, points=64).points == 3


def test_points_are_spent_where_the_answer_tips_over() -> None:
    model, ids = untrained(cell="lstm"), [3, 4, 5]
    with torch.no_grad():
        for parameter in model.recurrent.parameters():
            parameter.mul_(6)  # a memory that tips over within a small part of the way
    ends = score(TWO, logits_of(model, [ids, [0] * 3]), 1)
    difference = abs(float(ends[0] - ends[1]))
    left = [
        abs(float(integrated_gradients(model, TWO, ids, chosen=1, points=n).shares.sum() - ends[0] + ends[1]))
        for n in (3, 256)
    ]
    assert left[0] > 0.05 * difference > 5 * left[1]


# A reading


def test_looking_changes_no_bit_and_says_what_predict_says(trained: Trained) -> None:
    for folder in (trained.classifier, trained.regressor, trained.multilabel):
        model = seqloom.load(folder)
        text = "the film was not good at all"
        before = model.predict(text)
        weights = {name: tensor.clone() for name, tensor in model.bundle.model.state_dict().items()}
        seen = model.look(text)
        assert isinstance(seen, Reading)
        assert [seen.answer] == before == model.predict(text)
        assert all(torch.equal(tensor, weights[name]) for name, tensor in model.bundle.model.state_dict().items())
        parameters = list(model.bundle.model.parameters())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in parameters)


@pytest.mark.parametrize(
    ("bidirectional", "pooling"),
    [(False, "max"), (False, "last"), (False, "mean"), (False, "attention"), (True, "max")],
)
def test_each_beginning_is_answered_as_a_text_of_its_own(bundle: Bundle, bidirectional: bool, pooling: str) -> None:
    model = untrained(bidirectional=bidirectional, pooling=pooling)
    model.embedding = bundle.model.embedding  # type: ignore[union-attr]
    seen = read(bundle._replace(model=model), "the film was not good , no")
    assert seen.arrivals.steps == list(range(1, len(seen.tokens) + 1))
    assert seen.arrivals.anew == bidirectional
    ids = bundle.vocabulary.encode([token.text for token in seen.tokens])
    for step, value in zip(seen.arrivals.steps, seen.arrivals.values, strict=True):
        assert value == model.probabilities(logits_of(model, [ids[:step]]))[0].tolist()


def test_long_texts_cost_no_more_than_is_allowed_and_the_end_is_always_there(bundle: Bundle) -> None:
    seen = read(bundle, "the film was good and " * 100)
    steps = seen.arrivals.steps
    assert (len(steps), steps[-1]) == (6, 500)
    assert seen.saliency.points <= 7 and len(seen.saliency.occluded) == 2
    assert seen.arrivals.values[-1] == pytest.approx(list(seen.answer["probabilities"].values()), abs=1e-6)


def test_what_a_token_alone_adds_is_checked_by_leaving_it_out(bundle: Bundle) -> None:
    seen = read(bundle, "the film was good")
    model, targets = bundle.model, bundle.targets
    assert isinstance(model, ManyToOne) and isinstance(targets, Targets)
    ids = bundle.vocabulary.encode([token.text for token in seen.tokens])
    chosen = targets.labels.index(str(seen.saliency.about))
    whole, without = score(targets, logits_of(model, [ids, [*ids[:2], 0, ids[3]]]), chosen).tolist()
    assert seen.saliency.about == seen.answer["prediction"]
    assert seen.saliency.value == whole
    assert seen.saliency.occluded[2] == pytest.approx(whole - without, abs=1e-6)
    saliency = seen.saliency
    assert math.fsum(saliency.shares) + saliency.gap == pytest.approx(saliency.value - saliency.baseline)


def test_tokens_keep_their_place_and_what_was_not_read_is_said(bundle: Bundle) -> None:
    config = bundle.config.model_copy(update={"data": bundle.config.data.model_copy(update={"max_length": 3})})
    seen = read(bundle._replace(config=config), "  The zyzzyva was bad, bad")
    assert [(seen.text[token.start : token.end], token.known) for token in seen.tokens] == [
        ("The", True), ("zyzzyva", False), ("was", True),
    ]  # fmt: skip
    assert seen.cut == 3
    assert '<span class="faint" title="not read"> bad, bad</span>' in seen._repr_html_()
    assert '1 of 3 tokens are unknown to it: "zyzzyva".' in seen.findings
    assert "The last 3 tokens were not read: it reads 3 at most." in seen.findings


def test_findings_follow_the_numbers(bundle: Bundle) -> None:
    seen = read(bundle, "the film was good")
    saliency = seen.saliency._replace(
        about="yes", shares=[2.0, -1.0, 0.0, 0.5], value=2.0, baseline=0.0, gap=0.5, occluded={0: 1.0, 1: 0.5}
    )
    arrivals = seen.arrivals._replace(steps=[1, 2, 4], values=[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    from_numbers = seen._replace(saliency=saliency, arrivals=arrivals, labels=["no", "yes"])
    said = findings_of(from_numbers)
    assert said[:4] == [
        'What speaks most for "yes": "the" (+2.00), "good" (+0.50); against "yes": "film" (-1.00).',
        'It became "yes" between the tokens 2 and 4, and stayed so; before, it was "no".',
        'Left out one by one, 1 of 2 tokens move the answer the way their shares say; most of all "the", by +1.00.',
        "The shares leave out 0.50 of a difference of 2.00: the answer tips over between two of the "
        f"{saliency.points} points. More points find where.",
    ]


# What is shown


def test_a_text_with_markup_stays_a_text_everywhere(trained: Trained, tmp_path: Path) -> None:
    evil = 'good <script>alert("1")</script> & <img src=x onerror=alert(2)> film'
    seen = seqloom.load(trained.classifier).look(evil)
    assert isinstance(seen, Reading)
    named = seen._replace(labels=["<b>no</b>", "<i>yes</i>"])
    for shown in (page(title=evil, parts=whole_reading(named)), seen._repr_html_()):
        assert not any(tag in shown for tag in ("<script", "<img", "<b>", "<i>", "onerror=alert(2)>"))
        assert "&lt;" in shown
    assert "default-src 'none'" in page(title="", parts=whole_reading(seen))


def test_every_look_shows_itself_in_a_notebook_without_a_script(trained: Trained) -> None:
    for folder in (trained.classifier, trained.regressor, trained.multilabel, trained.translator):
        seen = seqloom.load(folder).look("the film was good")
        shown = seen._repr_html_()
        assert shown.startswith('<div class="seqloom">') and "<script" not in shown
        assert "film" in shown and len(shown) < 60_000


def test_reading_as_json_is_plain(trained: Trained) -> None:
    seen = seqloom.load(trained.regressor).look("the film was good")
    found = seen.to_dict()
    assert set(found) == {
        "input", "prediction", "tokens", "labels", "saliency", "arrivals", "layers", "findings", "cut",
    }  # fmt: skip
    assert found["tokens"][0] == {"text": "the", "start": 0, "end": 3, "known": True}
    assert found["saliency"]["about"] is None
