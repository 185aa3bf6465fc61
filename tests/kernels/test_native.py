"""The compiled gate functions against double precision, at every level of the instruction set that runs here."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from seqloom.errors import ConfigError, ShapeError
from seqloom.kernels import native

needs_core = pytest.mark.skipif(not native.available(), reason=native.reason())

NAMES = ("sigmoid", "tanh")
LEVELS = ("plain", "avx2", "avx512", "neon")
PROMISED_ULPS = {"sigmoid": 3.0, "tanh": 5.0}

Floats = NDArray[np.float32]


def every_exponent() -> Floats:
    """Both signs of all exponents, denormals and infinities included, with sampled mantissas: in rising order."""
    mantissas = np.unique(np.r_[0, 1, 2**23 - 1, np.random.default_rng(0).integers(0, 2**23, 125)]).astype(np.uint32)
    bits = (np.arange(255, dtype=np.uint32)[:, None] << 23) | mantissas
    positive = np.append(bits.ravel().view(np.float32), np.float32(np.inf))
    return np.concatenate([-positive[::-1], positive])


def true_values(name: str, x: Floats) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    z = np.exp(-np.abs(wide))
    truth: NDArray[np.float64] = np.tanh(wide) if name == "tanh" else np.where(wide < 0, z, 1) / (1 + z)
    return truth


def ulps(got: Floats, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from the truth in units of the last place of the float nearest to it."""
    return np.abs(got - truth) / np.spacing(np.abs(truth).astype(np.float32)).astype(np.float64)


def at_level(level: str, name: str, x: Floats, folder: Path) -> Floats:
    """The function as a fresh process computes it that is pinned to one level; skips where the level does not run."""
    core = pytest.importorskip("seqloom._core")
    if level not in core.isas():
        pytest.skip(f"this processor does not run {level}")
    np.save(folder / "x.npy", x)
    script = (
        "import sys, numpy as np; from seqloom import _core; x = np.load('x.npy'); y = np.empty_like(x);"
        "getattr(_core, sys.argv[1])(x, y); np.save('y.npy', y); print(_core.isa())"
    )
    environment = os.environ | {"SEQLOOM_ISA": level}
    done = subprocess.run(
        [sys.executable, "-c", script, name], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == level
    y: Floats = np.load(folder / "y.npy")
    return y


def same_bits(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


@needs_core
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_error_stays_within_the_promise_over_every_exponent(name: str, level: str, tmp_path: Path) -> None:
    x = every_exponent()
    y = at_level(level, name, x, tmp_path)
    error = ulps(y, true_values(name, x))
    assert error.max() <= PROMISED_ULPS[name], f"{error.max():.2f} ulp at {x[error.argmax()]!r}"


@needs_core
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_values_stay_in_range_and_reach_their_limits_without_a_step_back(name: str, level: str, tmp_path: Path) -> None:
    lowest = -1.0 if name == "tanh" else 0.0
    near_limits = np.concatenate([np.linspace(-110, -4, 40_000), np.linspace(4, 30, 40_000)])
    x = np.sort(np.concatenate([every_exponent(), near_limits.astype(np.float32)]))
    y = at_level(level, name, x, tmp_path)
    assert y.min() == lowest
    assert y.max() == 1.0
    outside_the_bend = np.diff(y)[(np.abs(x) >= 4)[1:] & (np.abs(x) >= 4)[:-1]]
    assert (outside_the_bend >= 0).all()


@needs_core
def test_vector_levels_agree_to_the_bit(tmp_path: Path) -> None:
    for name in NAMES:
        x = every_exponent()
        assert same_bits(at_level("avx2", name, x, tmp_path), at_level("avx512", name, x, tmp_path))


@needs_core
def test_tanh_is_odd_to_the_bit() -> None:
    x = every_exponent()
    assert same_bits(native.tanh(-x), -native.tanh(x))


@needs_core
@pytest.mark.parametrize("name", NAMES)
def test_nan_goes_through_and_stays_in_its_lane(name: str) -> None:
    x = np.linspace(-9, 9, 37, dtype=np.float32)
    clean = getattr(native, name)(x)
    for lane in range(x.size):
        spoilt = x.copy()
        spoilt[lane] = np.nan
        y = getattr(native, name)(spoilt)
        assert np.isnan(y[lane])
        assert same_bits(np.delete(y, lane), np.delete(clean, lane))


@needs_core
@pytest.mark.parametrize("name", NAMES)
@given(
    x=arrays.arrays(np.float32, st.integers(0, 70), elements=st.floats(width=32, allow_nan=False)),
    part=st.slices(70),
)
def test_an_element_does_not_depend_on_position_length_or_stride(name: str, x: Floats, part: slice) -> None:
    function = getattr(native, name)
    assert same_bits(function(x[part]), function(x)[part])


@needs_core
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 0, 4), (4, 3, 7)])
def test_arrays_and_tensors_of_any_shape_give_the_same_bits(name: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(scale=4, size=shape).astype(np.float32)
    function = getattr(native, name)
    expected = np.array([function(np.array([v]))[0] for v in x.ravel()], dtype=np.float32).reshape(shape)
    assert same_bits(function(x), expected)
    assert same_bits(function(torch.from_numpy(x)).numpy(), expected)
    assert same_bits(function(x.T), np.ascontiguousarray(expected.T).reshape(shape[::-1]))


@needs_core
def test_the_input_is_left_as_it_was() -> None:
    x = np.linspace(-3, 3, 11, dtype=np.float32)
    x.setflags(write=False)
    assert not np.shares_memory(native.sigmoid(x), x)


@needs_core
@pytest.mark.parametrize("x", [np.ones(3), torch.ones(3, dtype=torch.bfloat16), np.ones(3, dtype=">f4")])
def test_another_dtype_is_refused(x: object) -> None:
    with pytest.raises(ShapeError, match=r"native\.tanh: x is .*, but must be float32\. Convert x to float32 first\."):
        native.tanh(x)  # type: ignore[type-var]


@needs_core
def test_a_gradient_is_refused_rather_than_lost() -> None:
    with pytest.raises(
        ShapeError, match=r"x requires a gradient, but must be .* without gradient\. Use x\.sigmoid\(\)"
    ):
        native.sigmoid(torch.ones(2, requires_grad=True))


@needs_core
def test_a_tensor_elsewhere_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"x is torch\.strided on meta, but must be a dense CPU tensor"):
        native.sigmoid(torch.ones(2, device="meta"))


@needs_core
@pytest.mark.parametrize(("asked", "shown"), [("sse9", "sse9"), (os.fsdecode(b"sse\xff"), "sse?")])
def test_an_unknown_instruction_set_names_those_that_run(asked: str, shown: str) -> None:
    script = "from seqloom.kernels import native; native.isa()"
    environment = os.environ | {"SEQLOOM_ISA": asked}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith(
        f'{ConfigError.__module__}.ConfigError: SEQLOOM_ISA is "{shown}", but this machine runs: plain'
    )


@pytest.fixture
def no_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "seqloom._core", None)
    native._find.cache_clear()
    yield
    native._find.cache_clear()


@pytest.mark.usefixtures("no_core")
def test_without_the_core_the_reason_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not native.available()
    assert native.reason().endswith("no C++ compiler is found. Install one (such as g++), then reinstall seqloom.")
    with pytest.raises(native.NativeCoreError, match="installed without its compiled core"):
        native.sigmoid(np.ones(2, dtype=np.float32))


@pytest.mark.usefixtures("no_core")
def test_without_the_core_a_compiler_found_since_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "g++"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"a C++ compiler is found now ({compiler})" in native.reason()


@needs_core
def test_a_torch_that_hands_out_no_functions_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        native_core.know_torch(type("Other", (), {"__dlpack_c_exchange_api__": other}), torch.nn.Parameter)

    native_core, make = native.core(), ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    later = (ctypes.c_uint64 * 8)(2)  # version 2.0, and no older one
    for name in (b"another", b"dlpack_exchange_api"):
        other = make(ctypes.addressof(later), name, None)
        with pytest.raises(ValueError, match=r"functions of DLPack 1|incorrect name"):
            refuse()
    monkeypatch.setattr(native.importlib, "import_module", lambda name: SimpleNamespace(know_torch=refuse))
    found, why = native._find.__wrapped__()
    assert found is None and "cannot look at tensors of torch" in why and "hands out no functions" in why
