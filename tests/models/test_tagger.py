"""The proof of the tagger: the equations in plain numpy, blind to padding and neighbours, losses by the book."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from seqloom.config import ModelSettings
from seqloom.data import pad
from seqloom.models import LossOptions, Tagger
from seqloom.shapes import Words
from seqloom.text import UNKNOWN

VOCABULARY, CHARACTERS, TAGS = 9, 8, 4
PLAIN: dict[str, Any] = {
    "embedding_size": 5,
    "hidden_size": 4,
    "character_size": 3,
    "dropout": 0.0,
    "word_dropout": 0.0,
}
SPELLINGS = {2: [2, 3], 3: [4], 4: [5, 6, 2], 5: [3, 3, 3, 4], 6: [1], 7: [2, 6], 8: [6]}
SENTENCES = [[2, 3, 4, 5, 2], [7], [8, 3, 6], [3, 3]]

of_each_output = pytest.mark.parametrize("output", ["softmax", "crf"])


def words_of(sentences: list[list[int]], spellings: dict[int, list[int]] = SPELLINGS) -> Words:
    """Sentences of word ids, each word spelled as `spellings` has it."""
    different = list(dict.fromkeys(word for sentence in sentences for word in sentence))
    values, lengths = pad(sentences)
    places = pad([[different.index(word) for word in sentence] for sentence in sentences]).values
    return Words(values, lengths, places, pad([spellings[word] for word in different]))


def model_of(**settings: Any) -> Tagger:
    """A model whose weights, biases included, are all distinct."""
    torch.manual_seed(1)
    chosen = ModelSettings(**{**PLAIN, **settings})
    model = Tagger(chosen, vocabulary_size=VOCABULARY, characters=CHARACTERS, tags=TAGS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
        for table in model.tables:
            if isinstance(table, torch.nn.Embedding):
                table.weight[0] = 0
    return model.eval()


def numpy_scores(model: Tagger, ids: list[int], *, layers: int) -> np.ndarray:
    """The scores of one sentence by the equations, for simple_rnn, in float64."""
    weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    steps = [weights["embedding.weight"][word] for word in ids]
    if model.characters is not None:
        steps = [
            np.concatenate([vector, numpy_spelling(weights, SPELLINGS[word])])
            for vector, word in zip(steps, ids, strict=True)
        ]
    for layer in range(layers):
        ahead = numpy_rnn(steps, weights, f"recurrent.layers.{layer}.forward_layer.")
        back = numpy_rnn(steps[::-1], weights, f"recurrent.layers.{layer}.backward_layer.")
        steps = [np.concatenate(pair) for pair in zip(ahead, back[::-1], strict=True)]
    return np.stack(steps) @ weights["head.weight"].T + weights["head.bias"]


def numpy_spelling(weights: dict[str, np.ndarray], characters: list[int]) -> np.ndarray:
    vectors = [weights["characters.embedding.weight"][character] for character in characters]
    ahead = numpy_rnn(vectors, weights, "characters.recurrent.forward_layer.")
    back = numpy_rnn(vectors[::-1], weights, "characters.recurrent.backward_layer.")
    return np.concatenate([ahead[-1], back[-1]])


def numpy_rnn(steps: list[np.ndarray], weights: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    weight_input, weight_hidden, bias = (weights[prefix + part] for part in ("weight_input", "weight_hidden", "bias"))
    hidden, outputs = np.zeros(len(weight_hidden)), []
    for x in steps:
        hidden = np.tanh(x @ weight_input + hidden @ weight_hidden + bias)
        outputs.append(hidden)
    return outputs


@pytest.mark.parametrize("characters", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_scores_are_those_of_the_equations(characters: bool, layers: int) -> None:
    settings = {} if characters else {"characters": False, "character_size": 64}
    model = model_of(cell="simple_rnn", num_layers=layers, **settings)
    scores = model(words_of(SENTENCES)).detach()
    for row, ids in enumerate(SENTENCES):
        np.testing.assert_allclose(scores[row, : len(ids)], numpy_scores(model, ids, layers=layers), atol=1e-5)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_sentence_alone_is_scored_as_in_a_batch(cell: str) -> None:
    model = model_of(cell=cell, num_layers=2)
    together = model(words_of(SENTENCES))
    for row, ids in enumerate(SENTENCES):
        torch.testing.assert_close(model(words_of([ids]))[0], together[row, : len(ids)], atol=1e-6, rtol=0)


@of_each_output
def test_padding_is_never_read(output: str) -> None:
    """NaN as the vector of a word and of a character that stand only in padding: nothing may know."""
    model, clean = model_of(output=output), words_of([[2, 3, 4, 5], [6, 7]])
    targets = torch.tensor([[0, 1, 2, 3], [3, 2, 0, 0]])
    expected = model.batch_loss(clean, targets)
    with torch.no_grad():
        model.embedding.weight[8] = torch.nan
        model.characters.embedding.weight[7] = torch.nan
    real = torch.arange(4) < clean.lengths[:, None]
    dirty = clean._replace(
        values=torch.where(real, clean.values, 8),
        places=torch.where(real, clean.places, 5),
        spelled=clean.spelled._replace(values=torch.where(clean.spelled.values == 0, 7, clean.spelled.values)),
    )
    loss = model.batch_loss(dirty, torch.where(real, targets, 3))
    assert torch.equal(loss, expected)
    assert torch.equal(model.decide(model(dirty), clean.lengths)[real], model.decide(model(clean), clean.lengths)[real])
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_characters_are_read_where_the_word_is_not_known() -> None:
    model = model_of()
    spellings = SPELLINGS | {1: [5, 5]}
    one, other = (model(words_of([[2, 1, 3]], spellings | {1: each})) for each in ([5, 5], [5, 6]))
    assert not torch.equal(one, other)
    blind = model_of(characters=False, character_size=64)
    one, other = (blind(words_of([[2, 1, 3]], spellings | {1: each})) for each in ([5, 5], [5, 6]))
    assert torch.equal(one, other)


def test_a_dropped_word_keeps_its_characters() -> None:
    model = model_of(word_dropout=0.999999).train()
    dropped = model(words_of([[2, 3, 4]]))
    unknown = words_of([[2, 3, 4]])
    model.eval()
    torch.testing.assert_close(dropped, model(unknown._replace(values=torch.full_like(unknown.values, UNKNOWN))))


def test_the_same_word_dropped_and_kept_has_two_vectors() -> None:
    model = model_of(word_dropout=0.5).train()
    torch.manual_seed(0)
    tokens = model.embed(words_of([[2] * 40]))
    assert sorted(set(tokens.ids.flatten().tolist())) == [0, 1]
    assert len(tokens.vectors) == 2


def test_each_different_word_is_read_once() -> None:
    model = model_of()
    tokens = model.embed(words_of([[2, 3, 2, 2], [3, 2]]))
    assert len(tokens.vectors) <= 3  # and one that padding stands for


@of_each_output
def test_losses_are_the_log_probabilities_of_the_tags(output: str) -> None:
    model, batch = model_of(output=output), words_of(SENTENCES)
    targets = pad([[3, 1, 2, 0, 1], [2], [0, 0, 3], [1, 2]]).values
    scores = model(batch)
    losses = model.losses(scores, batch.lengths, targets)
    words = int(batch.lengths.sum())
    assert model.batch_loss(batch, targets).item() == pytest.approx(losses.sum().item() / words, abs=1e-6)
    if output == "softmax":
        for row, ids in enumerate(SENTENCES):
            expected = functional.cross_entropy(scores[row, : len(ids)], targets[row, : len(ids)], reduction="sum")
            assert losses[row].item() == pytest.approx(expected.item(), abs=1e-5)
    else:
        assert torch.equal(losses, -model.crf.log_likelihood(scores, batch.lengths, targets))


def test_label_smoothing_gives_a_share_to_all_tags() -> None:
    model, batch = model_of(), words_of([[2, 3]])
    targets = torch.tensor([[1, 2]])
    logs = model(batch)[0].log_softmax(dim=-1)
    expected = -(0.8 * (logs[0, 1] + logs[1, 2]) + 0.2 * logs.mean(dim=-1).sum()) / 2
    found = model.batch_loss(batch, targets, LossOptions(label_smoothing=0.2))
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


@of_each_output
def test_probabilities_add_up_to_one(output: str) -> None:
    model, batch = model_of(output=output), words_of(SENTENCES)
    shares = model.probabilities(model(batch), batch.lengths).sum(dim=-1)
    real = torch.arange(shares.shape[1]) < batch.lengths[:, None]
    assert torch.allclose(shares[real], torch.ones(int(batch.lengths.sum())), atol=1e-5)


def test_a_crf_decides_a_sentence_as_a_whole() -> None:
    """A tag that may not follow another is not taken, though each word alone would have it."""
    model, batch = model_of(output="crf"), words_of([[2, 3, 4, 5]])
    scores = torch.zeros(1, 4, TAGS)
    scores[0, :, 1] = 1.0
    with torch.no_grad():
        model.crf.change[1, 1] = -100.0
    tags = model.decide(scores, batch.lengths)[0].tolist()
    assert all((one, other) != (1, 1) for one, other in itertools.pairwise(tags))
    assert math.isfinite(model.losses(scores, batch.lengths, torch.tensor([tags])).item())
