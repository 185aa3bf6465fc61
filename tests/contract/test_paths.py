"""Which path a layer takes is told, can be forced, and is never guessed."""

import re

import pytest
import torch

from seqloom import kernels
from seqloom.errors import ConfigError
from seqloom.kernels import native
from seqloom.nn import LSTM
from tests.contract.layers import INPUT, SINGLE, Case, build


def test_the_forced_path_is_taken_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    path = kernels.which(LSTM(3, 4), torch.zeros(1, 2, 3))
    assert path == ("reference", "LSTM, torch.float32 on cpu: SEQLOOM_KERNELS asks for it")


def test_a_path_that_does_not_exist_is_an_error_wherever_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "fastest")
    layer, x = LSTM(3, 4), torch.zeros(1, 2, 3)
    for ask in (layer, layer.trace, lambda x: kernels.which(layer, x)):
        with pytest.raises(ConfigError, match=re.escape('SEQLOOM_KERNELS is "fastest". Allowed: ')):
            ask(x)


@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.name)
def test_the_battery_ran_on_the_compiled_core_but_for_layer_norm(case: Case) -> None:
    path = kernels.which(build(case, torch.float32), torch.zeros(2, 5, INPUT))
    assert path.name == ("reference" if "-norm" in case.name else "fused_cpu")
