"""The battery runs once on each path: by the cells' equations in float64, and on the compiled core in float32."""

from collections.abc import Iterator

import pytest
import torch

from tests.contract.layers import TOLERANCE


@pytest.fixture
def path(either_path: str) -> Iterator[str]:
    """The path that layers take in this test, whose numbers are of the path's dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if either_path == "fused_cpu" else torch.float64)
    assert torch.get_default_dtype() in TOLERANCE
    yield either_path
    torch.set_default_dtype(before)
