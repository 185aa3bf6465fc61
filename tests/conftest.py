"""What holds for all tests: a property test fails for what is wrong, never for how long a busy machine took."""

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; read when torch is first imported

settings.register_profile("seqloom", deadline=None, print_blob=True)
settings.load_profile("seqloom")


def pytest_collection() -> None:
    """Ten thousand tests are about to be made, and stay: nothing is to be looked for among them meanwhile."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor later on: going through all of them again and again took 20 of 450 s."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in each test, whichever ran before; tests without torch stay without it."""
    if torch := sys.modules.get("torch"):
        # torch.manual_seed writes down the whole stack for each kind of device that was never used: 3 ms a test.
        torch.default_generator.manual_seed(0)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(0)


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Kills of a process lose nothing that was written; what power loss needs is shown by the order of the calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


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
