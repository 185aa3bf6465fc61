"""One function decides the path: each reason is told by `which`, and a forced path that cannot serve is an error."""

import functools
import os
import re
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from seqloom import kernels
from seqloom.cells import CellParameters, lstm_step, simple_rnn_step
from seqloom.errors import ConfigError, ShapeError
from seqloom.kernels.recurrence import name_of
from seqloom.nn import GRU, LSTM, Bidirectional, SimpleRNN, Stack
from seqloom.shapes import LSTMState, Tokens
from tests.kernels.cases import LENGTHS, build, inputs, needs_core, of_each_kind


@needs_core
@of_each_kind
def test_the_core_takes_every_plain_cell(kind: str) -> None:
    layer = build(kind)
    name, reason = kernels.which(layer, inputs())
    assert name == "fused_cpu"
    assert reason == f"{type(layer).__name__}, torch.float32 on cpu: the compiled core has this cell"


@needs_core
@pytest.mark.parametrize(
    ("layer", "dtype", "reason"),
    [
        (LSTM(5, 3, layer_norm=True), torch.float32, "layer norm is only in the cell's own equations"),
        (GRU(5, 3).double(), torch.float64, "the compiled core computes in torch.float32, not torch.float64"),
        (GRU(5, 3).bfloat16(), torch.bfloat16, "the compiled core computes in torch.float32, not torch.bfloat16"),
    ],
    ids=["norm", "float64", "bfloat16"],
)
def test_what_the_core_cannot_do_is_told_and_refused_where_forced(
    layer, dtype: torch.dtype, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.zeros(2, 4, 5, dtype=dtype)
    path = kernels.which(layer, x)
    assert path == ("reference", f"{type(layer).__name__}, {dtype} on cpu: {reason}")
    layer(x)
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")
    message = (
        f'SEQLOOM_KERNELS is "fused_cpu", which cannot do this: {reason}. Unset it to let seqloom choose, or set it '
        "to reference."
    )
    for ask in (layer, functools.partial(kernels.which, layer)):
        with pytest.raises(ConfigError, match=re.escape(message)):
            ask(x)


def test_a_gpu_path_asked_for_on_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "gpu")
    with pytest.raises(ConfigError, match=r'SEQLOOM_KERNELS is "gpu", which cannot do this: x is on cpu'):
        LSTM(5, 3)(inputs())


@pytest.mark.parametrize(("asked", "shown"), [("cuda", "cuda"), (os.fsdecode(b"gpu\xff"), r"gpu\udcff")])
def test_a_path_that_does_not_exist_is_an_error_in_words(
    asked: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", asked)
    message = f'SEQLOOM_KERNELS is "{shown}". Allowed: reference, fused_cpu, gpu, or leave it unset.'
    with pytest.raises(ConfigError, match=re.escape(message)):
        LSTM(5, 3)(inputs())


def test_without_the_core_the_reference_serves_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.dispatch, "NO_CORE", "no core here")
    layer = build("lstm")
    assert kernels.which(layer, inputs()) == ("reference", "LSTM, torch.float32 on cpu: no core here")
    outputs, _ = layer(inputs(), LENGTHS)
    outputs.sum().backward()
    monkeypatch.setenv("SEQLOOM_KERNELS", "fused_cpu")
    with pytest.raises(ConfigError, match="which cannot do this: no core here"):
        layer(inputs())


def test_an_installation_without_the_core_computes() -> None:
    script = (
        "import sys; sys.modules['seqloom._core'] = None\n"
        "import torch; from seqloom import kernels; from seqloom.nn import LSTM, Bidirectional\n"
        "layer, x = Bidirectional(LSTM(3, 4)), torch.randn(2, 5, 3)\n"
        "layer(x, [5, 2])[0].sum().backward(); print(kernels.which(layer, x))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "name='reference'" in done.stdout
    assert "seqloom was installed without its compiled core" in done.stdout


@needs_core
def test_layers_of_layers_tell_each_path_once() -> None:
    stack = Stack([Bidirectional(LSTM(5, 3)), GRU(6, 4, layer_norm=True), GRU(4, 4)])
    assert kernels.which(stack, inputs()) == (
        "fused_cpu + reference",
        "LSTM, torch.float32 on cpu: the compiled core has this cell; "
        "GRU, torch.float32 on cpu: layer norm is only in the cell's own equations",
    )
    with pytest.raises(ConfigError, match="which: Linear holds no recurrent layer. Give a layer of seqloom.nn."):
        kernels.which(torch.nn.Linear(5, 3), inputs())


def test_asking_draws_no_random_number() -> None:
    layer = LSTM(5, 3, initial_state="random", recurrent_dropout=0.5)
    x = inputs()
    before = torch.get_rng_state()
    kernels.which(layer, x)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_cell_is_known_by_its_step_and_its_activation() -> None:
    assert name_of(lstm_step) == "lstm"
    assert name_of(simple_rnn_step) == "simple_rnn_tanh"
    assert name_of(functools.partial(simple_rnn_step, activation=torch.relu)) == "simple_rnn_relu"
    assert name_of(functools.partial(simple_rnn_step, activation=functional.gelu)) is None
    assert name_of(functools.partial(lstm_step, s=1)) is None
    assert name_of(lambda p, drive, s: lstm_step(p, 2 * drive, s)) is None


@needs_core
@pytest.mark.parametrize("wrong", ["weight_input", "weight_hidden", "bias", "first", "mask"])
def test_sizes_that_disagree_never_reach_the_core(wrong: str) -> None:
    layer, x = build("lstm"), inputs()
    p, state = layer.parameters_of_cell(batch=len(LENGTHS)), layer.first(batch=len(LENGTHS))
    short = {
        "weight_input": p._replace(weight_input=p.weight_input[:-1]),
        "weight_hidden": p._replace(weight_hidden=p.weight_hidden[:-1]),
        "bias": p._replace(bias=p.bias[:-1]),
        "mask": p._replace(hidden_mask=torch.ones(len(LENGTHS) - 1, 6)),
    }
    given: CellParameters = short.get(wrong, p)
    first = LSTMState(state.hidden[:-1], state.cell[:-1]) if wrong == "first" else state
    with pytest.raises(RuntimeError, match="size|shapes"):
        kernels.run(layer.step(), given, x, torch.tensor(LENGTHS), first)


@needs_core
def test_one_row_of_a_state_or_mask_serves_all_rows_on_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = build("lstm"), inputs()
    p = layer.parameters_of_cell(batch=1)._replace(hidden_mask=torch.tensor([0.0, 2, 2, 0, 2, 0]))
    state = LSTMState(torch.randn(1, 6), torch.randn(1, 6))
    found = []
    for path in ("fused_cpu", "reference"):
        monkeypatch.setenv("SEQLOOM_KERNELS", path)
        found.append(kernels.run(layer.step(), p, x, torch.tensor(LENGTHS), state)[0])
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


@needs_core
def test_tensors_of_a_class_of_their_own_take_the_reference() -> None:
    class Named(torch.Tensor):
        pass

    x = inputs().as_subclass(Named)
    assert kernels.which(SimpleRNN(5, 3), x).reason.endswith("the compiled core reads plain tensors, not a Named")
    SimpleRNN(5, 3)(x)


@needs_core
def test_zeros_that_have_no_memory_are_read_as_zeros() -> None:
    layer, x = build("lstm"), torch._efficientzerotensor(2, 3, 5)
    outputs, _ = layer(x)
    torch.testing.assert_close(outputs, layer(torch.zeros(2, 3, 5))[0])
    none = torch._efficientzerotensor(2, dtype=torch.int64)
    assert not layer(torch.randn(2, 3, 5), none)[0].any()
    outputs, _ = layer(torch.zeros(2, 3, 5))
    (nothing,) = torch.autograd.grad(outputs, layer.weight_hidden, torch._efficientzerotensor(outputs.shape))
    assert not nothing.any()


@needs_core
def test_what_torch_func_left_behind_is_read() -> None:
    layer, x, left = build("lstm"), inputs(), []
    vectors, ids = torch.randn(6, 5, requires_grad=True), torch.arange(6).reshape(2, 3)

    def keep(*parts: torch.Tensor) -> torch.Tensor:
        left.extend(parts)
        return parts[0].sum()

    torch.func.grad(keep)(x, ids)
    found = torch.autograd.grad(layer(left[0])[0].sin().sum(), layer.weight_hidden)[0]
    torch.testing.assert_close(found, torch.autograd.grad(layer(x)[0].sin().sum(), layer.weight_hidden)[0])
    path = kernels.choose(layer.step(), layer.parameters_of_cell(batch=0), left[0], layer.start(batch=0))
    assert path.name == "reference" and path.reason.endswith("those of this tensor are in none of its own")
    with torch.no_grad():
        torch.testing.assert_close(layer(left[0])[0], layer(x)[0])
    for reader in (layer, Bidirectional(layer)):
        found = torch.autograd.grad(reader(Tokens(left[1], vectors))[0].sin().sum(), vectors)[0]
        torch.testing.assert_close(found, torch.autograd.grad(reader(Tokens(ids, vectors))[0].sin().sum(), vectors)[0])


def test_which_refuses_what_is_no_tensor_and_no_layer() -> None:
    with pytest.raises(ShapeError, match="which: x is a list, but must be a tensor"):
        kernels.which(build("lstm"), [[1.0]])
    with pytest.raises(ConfigError, match="which: str holds no recurrent layer"):
        kernels.which("layer", inputs())
