"""A unit over a corpus: counted by hand from the traces."""

import pytest
import torch

import seqloom
from seqloom.bundle import Bundle
from seqloom.errors import ConfigError, DataError
from seqloom.lens import nearest_states, unit_search
from seqloom.models import ManyToOne
from seqloom.shapes import Batch
from tests.trained import small_models

TEXTS = ["the film was good", "", "the plot was not good", "bad film"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    loaded = seqloom.load(small_models(tmp_path_factory.getbasetemp()).classifier).bundle
    assert isinstance(loaded, Bundle)
    return loaded


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_drivers_and_moments_are_those_of_the_traces(bundle: Bundle, direction: str) -> None:
    found = unit_search(bundle, TEXTS, unit=2, direction=direction, count=50)
    assert isinstance(bundle.model, ManyToOne)
    [layer] = bundle.model.recurrent.parts
    moved: dict[str, list[float]] = {}
    tops = []
    for text in filter(None, TEXTS):
        words = text.split()
        ids = torch.tensor([bundle.vocabulary.encode(words)])
        batch = Batch(ids, torch.tensor([len(words)]))
        trace = getattr(layer.trace(bundle.model.embed(batch), batch.lengths), direction)
        unit = trace.hidden[0, :, 2].tolist()
        tops.append(max(unit))
        for at, word in enumerate(words):
            before = at + 1 if direction == "backward" else at - 1
            moved.setdefault(word, []).append(unit[at] - (unit[before] if 0 <= before < len(words) else 0.0))
    means = {word: sum(values) / len(values) for word, values in moved.items() if len(values) > 1}
    assert {each.token: each.moved for each in found.up + found.down} == pytest.approx(means)
    assert [each.moved for each in found.up] == sorted((mean for mean in means.values() if mean > 0), reverse=True)
    assert [moment.value for moment in found.highest] == pytest.approx(sorted(tops, reverse=True))
    assert all(f"[{TEXTS_READ[m.text].split()[m.place]}]" in m.around for m in found.highest + found.lowest)
    assert found.half_life is not None and found.half_life > 0


TEXTS_READ = [text for text in TEXTS if text]


def test_the_nearest_state_is_its_own(bundle: Bundle) -> None:
    found = nearest_states(bundle, "the plot was not good", TEXTS, count=2)
    assert (found[0].text, found[0].number) == (TEXTS[2], 2)
    assert 1 + 1e-9 >= found[0].likeness == pytest.approx(1) and found[0].likeness > found[1].likeness


def test_mistakes_are_told(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="unit is 4, but this layer has the units 0 to 3."):
        unit_search(bundle, TEXTS, unit=4)
    with pytest.raises(ConfigError, match="there is no layer 2 forward. This model has: 1 forward, 1 backward."):
        unit_search(bundle, TEXTS, unit=0, layer=2)
    with pytest.raises(DataError, match="there is no text that can be read."):
        unit_search(bundle, [""], unit=0)
