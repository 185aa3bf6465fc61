"""Packed weights are kept while they hold, never longer: a layer always computes with the weights it has."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seqloom.kernels import native, packing
from seqloom.kernels.linear import linear
from seqloom.nn import LSTM, Recurrent
from tests.kernels.cases import LENGTHS, assert_same_bits, build, inputs, needs_core

pytestmark = needs_core


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells whose weights were packed, one for each time."""
    packing._kept.clear()
    made: list[str] = []
    pack = packing._pack
    monkeypatch.setattr(packing, "_pack", lambda cell, o: [pack(cell, o), made.append(cell)][0])
    return made


def answer(layer: Recurrent, x: Tensor) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = layer(x, LENGTHS)[0]
    return outputs


def test_weights_are_packed_once_while_they_stay(packed: list[str]) -> None:
    layer = build("lstm")
    for _ in range(3):
        answer(layer, inputs())
    layer(inputs(), LENGTHS)[0].sum().backward()
    with torch.inference_mode():
        layer(inputs(), LENGTHS)
    assert packed == ["lstm"]


def _step(layer: Recurrent) -> None:
    layer(inputs(), LENGTHS)[0].sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()


def _in_inference_mode(layer: Recurrent) -> None:
    with torch.inference_mode():
        layer.weight_input.mul_(2)


def _set(layer: Recurrent) -> None:
    layer.weight_hidden.data = layer.weight_hidden.data * 2


def _bias(layer: Recurrent) -> None:
    layer.bias.data.mul_(2)


def _data(layer: Recurrent) -> None:
    layer.weight_hidden.data[-1, -1] += 1  # which torch does not count as a change


def _view(layer: Recurrent) -> None:
    layer.weight_input.detach().numpy()[0, 0] += 1  # nor this


def _signs(layer: Recurrent) -> None:
    layer.weight_hidden.data.neg_()  # every word changes in its highest bit alone


def _two_signs(layer: Recurrent) -> None:
    layer.weight_hidden.data.view(-1)[[0, 128]] *= -1  # read by the same chain of the hash


def _load(layer: Recurrent) -> None:
    layer.load_state_dict({name: value * 2 for name, value in layer.state_dict().items()})


@pytest.mark.parametrize("change", [_step, _in_inference_mode, _set, _data, _view, _bias, _signs, _two_signs, _load])
def test_changed_weights_are_seen(change: Callable[[Recurrent], None], monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = build("lstm"), inputs()
    before = answer(layer, x)
    change(layer)
    after = answer(layer, x)
    assert not torch.equal(after, before)
    packing._kept.clear()
    assert_same_bits(after, answer(layer, x))


def test_any_changed_bit_changes_the_hash_whatever_the_size() -> None:
    for count in (1, 15, 63, 64, 65, 200):
        numbers = torch.randn(count)
        words = numbers.view(torch.int32)

        def stamp(numbers: Tensor = numbers) -> bytes:
            return native.core().stamp((numbers,), ())[1]

        seen = {stamp()}
        for place in range(0, count, max(1, count // 20)):
            for bit in (0, 13, 30):
                words[place] ^= 1 << bit
                seen.add(stamp())
                words[place] ^= 1 << bit
        assert len(seen) == 1 + 3 * len(range(0, count, max(1, count // 20)))


def test_a_layer_in_the_place_of_another_has_its_own_weights() -> None:
    x, addresses = inputs(), set()
    for number in range(50):
        torch.manual_seed(number)
        layer = LSTM(5, 64)
        addresses.add(layer.weight_hidden.data_ptr())
        ours = answer(layer, x)
        packing._kept.clear() if number % 2 else None
        fresh = [packing._kept.clear(), answer(layer, x)][1]
        assert_same_bits(ours, fresh)
        del layer
    assert len(addresses) < 50


def test_views_made_anew_find_the_same_packed_weights(packed: list[str]) -> None:
    theirs = torch.nn.LSTM(5, 6)
    for _ in range(3):
        layer = build("lstm")
        del layer.weight_input, layer.weight_hidden
        layer.weight_input, layer.weight_hidden = theirs.weight_ih_l0.t(), theirs.weight_hh_l0.t()
        layer.bias = torch.nn.Parameter((theirs.bias_ih_l0 + theirs.bias_hh_l0).detach())
        answer(layer, inputs())
    assert packed == ["lstm"]


def test_weights_that_are_promised_to_stay_are_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = build("lstm"), inputs()
    before, promised = answer(layer, x), packing.Unchanging(layer.parameters())
    with promised.promise():
        assert_same_bits(answer(layer, x), before)
    with torch.no_grad():
        layer.weight_hidden.mul_(2)
    with promised.promise():
        assert_same_bits(answer(layer, x), before)
    assert not torch.equal(answer(layer, x), before)  # the promise is over
    monkeypatch.setattr(packing, "_looked_at", lambda *_: pytest.fail("looked at"))
    with promised.promise():
        answer(layer, x)


def test_what_is_no_parameter_is_looked_at_whatever_was_promised() -> None:
    x, weight = torch.randn(2, 5), torch.randn(5, 7)
    with packing.Unchanging(build("lstm").parameters()).promise(), torch.no_grad():
        before = linear(x, weight)
        weight.mul_(2)
        assert_same_bits(linear(x, weight), 2 * before)


def test_no_more_numbers_are_kept_than_the_limit_but_always_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    packing._kept.clear()
    monkeypatch.setattr(packing, "KEPT_NUMBERS", 3 * (5 + 6) * 24)
    layers = [LSTM(5, 6) for _ in range(5)]
    for layer in layers:
        answer(layer, inputs())
    assert len(packing._kept) == 3
    answer(LSTM(5, 60), inputs())
    assert len(packing._kept) == 1


def test_no_more_than_a_few_are_kept_and_no_parameter_is_kept_alive() -> None:
    packing._kept.clear()
    layers = [LSTM(5, 6) for _ in range(packing.KEPT + 5)]
    for layer in layers:
        answer(layer, inputs())
    assert len(packing._kept) == packing.KEPT
    last = weakref.ref(layers[-1].weight_hidden)
    del layer, layers
    gc.collect()
    assert last() is None
