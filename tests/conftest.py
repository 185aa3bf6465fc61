"""What holds for all tests: a property test fails for what is wrong, never for how long a busy machine took."""

import os
import sys

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; read when torch is first imported

settings.register_profile("seqloom", deadline=None, print_blob=True)
settings.load_profile("seqloom")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in each test, whichever ran before; tests without torch stay without it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(params=["reference", "fused_cpu"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs once on each path: by the cells' equations, and on the compiled core where there is one."""
    from seqloom.kernels import native  # tests without torch stay without it

    name: str = request.param
    if name == "fused_cpu" and not native.available():
        pytest.skip(native.reason())
    # Left to choose where the core is there: layer norm, which only the reference has, runs too.
    monkeypatch.setenv("SEQLOOM_KERNELS", "" if name == "fused_cpu" else name)
    return name


@pytest.fixture
def own_messages(request: pytest.FixtureRequest) -> None:
    """For tests of messages about wrong arguments: where annotations are executed, those refuse them first."""
    if "seqloom.nn" in (request.config.getoption("--jaxtyping-packages", None) or ""):
        pytest.skip("annotations are executed and refuse wrong arguments before the layer can say what is wrong")
