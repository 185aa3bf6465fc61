"""The worked example is right: 31 parameters, numbers that are autograd's, sentences and sections that hold them."""

import math

import pytest
import torch

from seqloom.lab import notes as lab
from seqloom.lab import notes_text as said
from seqloom.lab.notes import SENTENCES, Notes, work_through


@pytest.fixture(scope="module")
def notes() -> Notes:
    return work_through(seed=0)


def test_there_are_31_parameters_and_their_arithmetic_is_shown(notes: Notes) -> None:
    assert notes.model.total == len(notes.weights.flat()) == 31
    assert "5·3 + 3·3 + 3 + (3 + 1) = 31" in said.sections(notes)[1].lines
    assert said.findings(notes)[0].endswith("have 5·3 + 3·3 + 3 + (3 + 1) = 31 parameters.")


@pytest.mark.parametrize("seed", range(3))
def test_every_number_is_autograds(seed: int) -> None:
    assert work_through(seed=seed).off < 1e-14


def test_a_wrong_number_is_noticed(notes: Notes) -> None:
    wrong = notes.gradient._replace(output_bias=notes.gradient.output_bias + 1e-3)
    off = lab.against_autograd(notes.weights, notes.forward, wrong, notes.updated)
    assert off == pytest.approx(1e-3)
    assert "DIFFERS from autograd's on the layers: by 1e-03" in said.findings(notes._replace(off=off))[-1]


def test_gradients_are_those_of_a_loop_of_torch(notes: Notes) -> None:
    """Not through the layers: the sums written out, each gradient asked of autograd."""
    w = [torch.tensor(part, dtype=torch.float64).requires_grad_() for part in notes.weights]
    for seen, back in zip(notes.forward, notes.backward, strict=True):
        states = [torch.zeros(3, dtype=torch.float64)]
        sums = []
        for word in seen.words:
            sums.append(w[0][lab.WORDS.index(word)] + states[-1] @ w[1] + w[2])
            sums[-1].retain_grad()
            states.append(torch.tanh(sums[-1]))
            states[-1].retain_grad()
        p = torch.sigmoid(states[-1] @ w[3] + w[4])
        loss = -torch.log(p if seen.target else 1 - p)
        for part in w:
            part.grad = None
        loss.backward()
        assert seen.loss == pytest.approx(float(loss.detach()))
        for found, own in zip(states[1:], back.outputs, strict=True):
            assert found.grad is not None
            assert own == pytest.approx(found.grad.tolist())
        for found, own in zip(sums, back.sums, strict=True):
            assert found.grad is not None
            assert own == pytest.approx(found.grad.tolist())
        for part, own in zip(w, back.weights, strict=True):
            assert part.grad is not None
            assert torch.allclose(part.grad, torch.tensor(own, dtype=torch.float64), atol=1e-14)


def test_the_mean_loss_falls_and_all_sentences_are_told_in_the_end(notes: Notes) -> None:
    before, after = (sum(each.loss for each in part) for part in (notes.forward, notes.after))
    assert after < before
    assert f"One update lowers the mean loss: {before / 3:.4f} before, {after / 3:.4f} after." in said.findings(notes)
    assert notes.updates
    assert [each.probability > 0.5 for each in notes.learned] == [bool(target) for _, target in SENTENCES]
    assert "does not lower" in said.findings(notes._replace(after=[f._replace(loss=9.0) for f in notes.after]))[1]
    assert (
        said.findings(notes._replace(updates=None))[2] == "After 2000 updates not all three sentences are told right."
    )


def test_the_sections_hold_the_numbers(notes: Notes) -> None:
    text = "\n".join(part.lines for part in said.sections(notes))
    for seen, back in zip(notes.forward, notes.backward, strict=True):
        assert f"L = {'-ln p' if seen.target else '-ln(1 - p)'} = {seen.loss:.4f}" in text
        for t, output in enumerate(seen.outputs[1:], start=1):
            shown = "[" + " ".join(f"{value:7.4f}" for value in output) + "]"
            assert f"= {shown}   {seen.words[t - 1]}" in text
        for t, each in enumerate(back.sums, start=1):
            assert f"d_{t} = [" + " ".join(f"{value:7.4f}" for value in each) + "]" in text
    assert "good   x = [0 0 1 0 0]" in text
    new = " ".join(f"{value:7.4f}" for value in notes.updated.input[0])
    assert f"= [{new}]" in text


def test_the_figure_shows_the_gradient_of_each_word(notes: Notes) -> None:
    lines = said.figure(notes)["data"]
    assert [line["name"] for line in lines] == [sentence for sentence, _ in SENTENCES]
    assert lines[2]["y"] == pytest.approx([math.hypot(*each) for each in notes.backward[2].outputs])
