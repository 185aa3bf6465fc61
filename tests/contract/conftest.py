"""The battery runs once on each path: by the cells' equations in float64, and on the compiled core in float32."""

from collections.abc import Iterator

import pytest
import torch

from seqloom.kernels import native
from tests.contract.layers import TOLERANCE


@pytest.fixture(params=["reference", "fused_cpu"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The path that layers take in this test, whose numbers are of the path's dtype."""
    name: str = request.param
    if name == "fused_cpu" and not native.available():
        pytest.skip(native.reason())
    # Left to choose where the core is there: layer norm, which only the reference has, runs in float32 as well.
    monkeypatch.setenv("SEQLOOM_KERNELS", "" if name == "fused_cpu" else name)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if name == "fused_cpu" else torch.float64)
    assert torch.get_default_dtype() in TOLERANCE
    yield name
    torch.set_default_dtype(before)
