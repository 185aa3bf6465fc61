"""An accelerated torch module is the same module: every form of input, every option, every gradient, and the way back.

The `reference` path is compared in float64, where only a wrong formula differs; the compiled core in float32.
"""

import copy
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import seqloom
from seqloom import kernels
from seqloom.errors import ConfigError
from seqloom.kernels import native
from seqloom.nn import accelerate, restore

INPUT, HIDDEN, TIME = 3, 4, 5
KINDS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn_tanh": nn.RNN,
    "rnn_relu": functools.partial(nn.RNN, nonlinearity="relu"),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}
FORMS = ("time_first", "batch_first", "one_sequence", "packed_sorted", "packed_unsorted")
LENGTHS = {"packed_sorted": [5, 4, 4, 1], "packed_unsorted": [2, 5, 1, 4]}

needs_core = pytest.mark.skipif(not native.available(), reason=native.reason() or "the core is there")
of_each_kind = pytest.mark.parametrize("kind", KINDS)
of_each_form = pytest.mark.parametrize("form", FORMS)


class Path(NamedTuple):
    """A path on which our cells are made to run, how often they did, and how exact they are."""

    runs: list[str]
    dtype: torch.dtype
    tolerance: float


@pytest.fixture(params=["reference", "fused_cpu"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our cells run on this path, and `runs` tells that they did: torch against torch would prove nothing."""
    if request.param == "fused_cpu" and not native.available():
        pytest.skip(native.reason())
    monkeypatch.setenv("SEQLOOM_KERNELS", request.param)
    module = importlib.import_module("seqloom.nn.accelerate")  # by attribute this is the function
    monkeypatch.setattr(module, "FASTER_THAN_TORCH", (request.param,))
    runs = count_runs(monkeypatch)
    return Path(runs, torch.float64, 1e-10) if request.param == "reference" else Path(runs, torch.float32, 1e-5)


def count_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    runs: list[str] = []
    run, run_both = kernels.run, kernels.run_both

    def counted(step: Any, *arguments: Any, **options: Any) -> Any:
        runs.append("reverse" if options.get("reverse") else "forward")
        return run(step, *arguments, **options)

    def counted_both(steps: Any, *arguments: Any) -> Any:
        runs.extend(["forward", "reverse"])
        return run_both(steps, *arguments)

    monkeypatch.setattr(kernels, "run", counted)
    monkeypatch.setattr(kernels, "run_both", counted_both)
    return runs


def pair(module: nn.Module) -> tuple[Any, Any]:
    """Torch's module with all weights different and none small, and an accelerated copy."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.6)
    return module, accelerate(copy.deepcopy(module))


def data_of(form: str, dtype: torch.dtype) -> Any:
    x = torch.randn(4, TIME, INPUT, dtype=dtype)
    if form == "one_sequence":
        return x[0]
    if form.startswith("packed"):
        return pack_padded_sequence(x, LENGTHS[form], batch_first=True, enforce_sorted=form == "packed_sorted")
    return x if form == "batch_first" else x.transpose(0, 1).contiguous()


def first_state(module: nn.RNNBase, form: str, dtype: torch.dtype) -> Any:
    states = module.num_layers * (2 if module.bidirectional else 1)
    shape = (states, HIDDEN) if form == "one_sequence" else (states, 4, HIDDEN)
    hidden, cell = torch.randn(2, *shape, dtype=dtype).unbind()
    return (hidden, cell) if isinstance(module, nn.LSTM) else hidden


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of inputs or results, without the order of packed rows."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    else:
        for part in value:
            yield from tensors(part)


def read(module: nn.Module, *arguments: Any) -> tuple[Any, list[Tensor]]:
    """Results, and the gradients of a random sum of them: of every argument and weight."""
    arguments = copy.deepcopy(arguments)
    leaves = [leaf.requires_grad_() for leaf in tensors(arguments)]
    results = module(*arguments)
    torch.manual_seed(5)
    loss = sum((torch.randn(result.shape, dtype=result.dtype) * result).sum() for result in tensors(results))
    return results, list(torch.autograd.grad(loss, [*leaves, *module.parameters()]))


def assert_same(ours: Any, theirs: Any, *, tolerance: float = 0.0) -> None:
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


# The same function


@of_each_kind
@of_each_form
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "hx"])
def test_results_and_gradients_are_torchs(
    kind: str, form: str, num_layers: int, bidirectional: bool, bias: bool, given: bool, path: Path
) -> None:
    module = KINDS[kind](
        INPUT, HIDDEN, num_layers, bias=bias, bidirectional=bidirectional, batch_first=form == "batch_first"
    )
    theirs, ours = pair(module.to(path.dtype))
    arguments = [data_of(form, path.dtype)] + [first_state(module, form, path.dtype)] * given
    (our_results, our_gradients), (their_results, their_gradients) = read(ours, *arguments), read(theirs, *arguments)
    assert path.runs == ["forward", "reverse"][: 1 + bidirectional] * num_layers
    assert_same(our_results, their_results, tolerance=path.tolerance)
    assert_same(our_gradients, their_gradients, tolerance=path.tolerance)


@of_each_kind
def test_one_sequence_is_time_first_whatever_batch_first_says(kind: str, path: Path) -> None:
    theirs, ours = pair(KINDS[kind](INPUT, HIDDEN, batch_first=True, dtype=path.dtype))
    x = data_of("one_sequence", path.dtype)
    assert_same(ours(x), theirs(x), tolerance=path.tolerance)
    assert path.runs


def test_the_first_state_of_an_lstm_may_come_as_a_list(path: Path) -> None:
    theirs, ours = pair(nn.LSTM(INPUT, HIDDEN, dtype=path.dtype))
    x, hx = data_of("time_first", path.dtype), list(first_state(theirs, "time_first", path.dtype))
    assert_same(ours(x, hx), theirs(x, hx), tolerance=path.tolerance)
    assert path.runs


@of_each_kind
def test_packed_outputs_keep_their_order_and_unpack(kind: str, path: Path) -> None:
    theirs, ours = pair(KINDS[kind](INPUT, HIDDEN, dtype=path.dtype))
    packed = data_of("packed_unsorted", path.dtype)
    outputs, expected = ours(packed)[0], theirs(packed)[0]
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        assert_same(getattr(outputs, name), getattr(expected, name))
    assert_same(pad_packed_sequence(outputs), pad_packed_sequence(expected), tolerance=path.tolerance)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_outputs_with_time_first_can_be_viewed_as_torchs_can(bidirectional: bool, path: Path) -> None:
    _, ours = pair(nn.GRU(INPUT, HIDDEN, bidirectional=bidirectional, dtype=path.dtype))
    outputs, state = ours(data_of("time_first", path.dtype))
    assert outputs.view(TIME * 4, -1).shape[0] == TIME * 4
    assert state.is_contiguous()


def test_transposed_inputs_and_states_are_read_as_they_are(path: Path) -> None:
    theirs, ours = pair(nn.GRU(INPUT, HIDDEN, 2, dtype=path.dtype))
    x = data_of("batch_first", path.dtype).transpose(0, 1)
    hx = torch.randn(2, HIDDEN, 4, dtype=path.dtype).transpose(1, 2)
    assert not x.is_contiguous() and not hx.is_contiguous()
    assert_same(ours(x, hx), theirs(x, hx), tolerance=path.tolerance)
    assert path.runs


@needs_core
@pytest.mark.parametrize("form", ["packed_sorted", "packed_unsorted"])
def test_a_packed_row_is_the_row_alone_to_the_bit(form: str) -> None:
    """What torch does not promise: which rows share a batch changes nothing."""
    _, ours = pair(nn.LSTM(INPUT, HIDDEN, 2, bidirectional=True))
    packed = data_of(form, torch.float32)
    outputs, _ = pad_packed_sequence(ours(packed)[0], batch_first=True)
    rows, lengths = pad_packed_sequence(packed, batch_first=True)
    for row, together, length in zip(rows, outputs, lengths, strict=True):
        assert_same(ours(row[:length])[0], together[:length])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_answer_is_the_same(mode: Callable[[], Any], path: Path) -> None:
    _, ours = pair(nn.LSTM(INPUT, HIDDEN, 2, bidirectional=True, dtype=path.dtype))
    x = data_of("packed_unsorted", path.dtype)
    with mode():
        quiet = ours(x)
    assert not any(tensor.requires_grad for tensor in tensors(quiet))
    assert_same(list(tensors(quiet)), list(tensors(ours(x))))


# Dropout


def test_dropout_of_everything_is_torchs(path: Path) -> None:
    theirs, ours = pair(nn.LSTM(INPUT, HIDDEN, 2, dropout=1.0, dtype=path.dtype))
    x = data_of("time_first", path.dtype)
    assert_same(ours(x), theirs(x), tolerance=path.tolerance)


@pytest.mark.parametrize("form", ["time_first", "packed_sorted"])
def test_dropout_falls_between_layers_on_each_number_alone_while_training(form: str, path: Path) -> None:
    """The second layer is made to show what it is given."""
    share = 0.3
    module = nn.RNN(INPUT, HIDDEN, 2, nonlinearity="relu", dropout=share, bias=False, dtype=path.dtype)
    with torch.no_grad():
        module.weight_ih_l0.fill_(0.1)
        module.weight_ih_l1.copy_(torch.eye(HIDDEN))
        module.weight_hh_l1.zero_()
    x: Any = torch.ones(50, 40, INPUT, dtype=path.dtype)
    if form == "packed_sorted":
        x = pack_padded_sequence(x, [50] * 20 + [30] * 20)
    accelerate(module)
    whole = next(tensors(module.eval()(x)[0]))
    assert whole.gt(0).all()
    kept = next(tensors(module.train()(x)[0])) / whole
    assert not path.runs.count("reverse") and len(path.runs) == 4
    dropped = kept.eq(0)
    assert_same(kept[~dropped], torch.full_like(kept[~dropped], 1 / (1 - share)), tolerance=1e-5)
    assert abs(dropped.double().mean().item() - share) < 0.03
    assert dropped.any(dim=-1).ne(dropped.all(dim=-1)).any()  # not whole steps
    assert dropped.any(dim=0).ne(dropped.all(dim=0)).any()  # not the same ones at each step


def test_without_training_nothing_is_dropped(path: Path) -> None:
    theirs, ours = pair(nn.GRU(INPUT, HIDDEN, 3, dropout=0.5, dtype=path.dtype).eval())
    x = data_of("time_first", path.dtype)
    assert_same(ours(x), theirs(x), tolerance=path.tolerance)


# The same module


class Tagger(nn.Module):
    """Recurrent modules at several depths, one of them in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.ModuleDict({"both": nn.LSTM(INPUT, HIDDEN, bidirectional=True)})
        self.shared = nn.GRU(2 * HIDDEN, 2 * HIDDEN)
        self.again = self.shared
        self.head = nn.Sequential(nn.Linear(2 * HIDDEN, 2), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.reader["both"](x)[0]
        answer: Tensor = self.head(self.again(self.shared(x)[0])[0])
        return answer


def test_parameters_stay_the_same_objects_by_the_same_names() -> None:
    model = Tagger()
    before = dict(model.named_parameters())
    names = list(model.state_dict())
    assert accelerate(model) is model
    assert list(model.state_dict()) == names
    assert all(now is kept for now, kept in zip(model.parameters(), before.values(), strict=True))
    assert list(dict(model.named_parameters())) == list(before)


def test_modules_are_found_at_every_depth_and_shared_ones_once(path: Path) -> None:
    theirs, ours = pair(Tagger().to(path.dtype))
    assert ours.shared is ours.again
    x = data_of("time_first", path.dtype)
    assert_same(ours(x), theirs(x), tolerance=path.tolerance)
    assert path.runs == ["forward", "reverse", "forward", "forward"]


def test_training_goes_the_same_way(path: Path) -> None:
    theirs, ours = pair(Tagger().to(path.dtype))
    x = data_of("time_first", path.dtype)
    for model in (theirs, ours):
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(3):
            optimiser.zero_grad()
            model(x).square().sum().backward()
            optimiser.step()
    assert_same(list(ours.parameters()), list(theirs.parameters()), tolerance=max(path.tolerance, 1e-5))


def test_an_optimiser_made_before_goes_on(path: Path) -> None:
    model = nn.LSTM(INPUT, HIDDEN, dtype=path.dtype)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    before = copy.deepcopy(model.state_dict())
    accelerate(model)(data_of("time_first", path.dtype))[0].sum().backward()
    optimiser.step()
    assert all(not torch.equal(now, before[name]) for name, now in model.state_dict().items())


def test_weights_travel_both_ways_by_state_dict(path: Path) -> None:
    theirs, ours = pair(nn.GRU(INPUT, HIDDEN, 2, dtype=path.dtype))
    x = data_of("time_first", path.dtype)
    other = accelerate(nn.GRU(INPUT, HIDDEN, 2, dtype=path.dtype))
    other.load_state_dict(theirs.state_dict())
    back = nn.GRU(INPUT, HIDDEN, 2, dtype=path.dtype)
    back.load_state_dict(ours.state_dict())
    assert_same(other(x), ours(x))
    assert_same(back(x), theirs(x))


def test_a_copy_is_accelerated_and_shares_nothing(path: Path) -> None:
    _, ours = pair(nn.LSTM(INPUT, HIDDEN, dtype=path.dtype))
    x = data_of("time_first", path.dtype)
    before = ours(x)
    twin = copy.deepcopy(ours)
    assert_same(twin(x), before)
    assert len(path.runs) == 2
    with torch.no_grad():
        twin.weight_hh_l0.add_(1)
    assert_same(ours(x), before)
    assert not torch.equal(twin(x)[0], before[0])


@of_each_kind
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
def test_a_weight_changed_in_place_counts_at_the_next_call(kind: str, name: str, path: Path) -> None:
    """Without gradients too, where weights may be kept ready from one call to the next."""
    theirs, ours = pair(KINDS[kind](INPUT, HIDDEN, dtype=path.dtype))
    x = data_of("time_first", path.dtype)
    with torch.no_grad():
        for _ in range(3):
            for module in (theirs, ours):
                getattr(module, name).mul_(0.5)
            assert_same(ours(x), theirs(x), tolerance=path.tolerance)


def test_other_weights_can_be_called_with(path: Path) -> None:
    theirs, ours = pair(nn.GRU(INPUT, HIDDEN, dtype=path.dtype))
    x = data_of("time_first", path.dtype)
    doubled = {name: 2 * weight for name, weight in ours.named_parameters()}
    called = [torch.func.functional_call(module, doubled, (x,)) for module in (ours, theirs)]
    assert_same(called[0], called[1], tolerance=path.tolerance)
    assert path.runs


def test_hooks_fire_and_hx_goes_by_name(path: Path) -> None:
    _, ours = pair(nn.GRU(INPUT, HIDDEN, dtype=path.dtype))
    seen = []
    ours.register_forward_pre_hook(lambda *_: seen.append("before"))
    ours.register_forward_hook(lambda *_: seen.append("after"))
    ours(input=data_of("time_first", path.dtype), hx=None)
    assert seen == ["before", "after"]


def test_its_name_tells_that_it_is_accelerated() -> None:
    model = accelerate(nn.Sequential(nn.LSTM(3, 4, 2, bidirectional=True)))
    assert "AcceleratedLSTM(3, 4, num_layers=2, bidirectional=True)" in repr(model)
    assert isinstance(model[0], nn.LSTM)


# The way back


@of_each_kind
def test_restored_modules_are_torchs_to_the_bit(kind: str) -> None:
    theirs, ours = pair(nn.ModuleList([KINDS[kind](INPUT, HIDDEN, 2, bidirectional=True)]))
    assert restore(ours) is ours
    assert type(ours[0]) is type(theirs[0])
    x = data_of("time_first", torch.float32)
    assert_same(read(ours[0], x), read(theirs[0], x))


def test_twice_is_once_and_nothing_restored_is_nothing_done() -> None:
    model = Tagger()
    assert restore(model) is model
    assert type(model.shared) is nn.GRU
    accelerate(accelerate(model))
    assert type(restore(model).shared) is nn.GRU


@pytest.mark.parametrize("change", [accelerate, restore])
def test_what_is_no_module_is_refused(change: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigError, match="model is a list, but must be a torch module"):
        change([nn.LSTM(3, 4)])


# What is left to torch


class OwnForward(nn.LSTM):
    """A user's class: what its forward does is not for us to replace."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(2 * input, hx)


def test_derived_classes_and_projections_are_left_alone() -> None:
    model = nn.Sequential(OwnForward(3, 4), nn.LSTM(3, 4, proj_size=2), nn.GRUCell(3, 4), nn.Linear(3, 4))
    kinds = [type(module) for module in model]
    assert [type(module) for module in accelerate(model)] == kinds


LEFT: dict[str, tuple[nn.RNNBase, Tensor]] = {
    "float64": (nn.LSTM(3, 4, dtype=torch.float64), torch.ones(5, 2, 3, dtype=torch.float64)),
    "bfloat16": (nn.GRU(3, 4, dtype=torch.bfloat16), torch.ones(5, 2, 3, dtype=torch.bfloat16)),
    "meta": (nn.RNN(3, 4, device="meta"), torch.ones(5, 2, 3, device="meta")),
    "proj_size": (nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True), torch.ones(5, 2, 3)),
    "no_row": (nn.GRU(3, 4), torch.ones(5, 0, 3)),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", LEFT)
def test_what_the_core_does_not_take_torch_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = count_runs(monkeypatch)
    module, x = LEFT[name]
    theirs, ours = pair(module)
    if name == "meta":
        assert ours(x)[0].shape == theirs(x)[0].shape
    else:
        assert_same(ours(x), theirs(x))
    assert runs == []


def test_under_autocast_torch_reads(path: Path) -> None:
    theirs, ours = pair(nn.GRU(INPUT, HIDDEN))  # torch's LSTM has no bfloat16 on processors that have none
    x = data_of("time_first", torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(ours(x), theirs(x))
    assert path.runs == []


def test_where_only_the_loop_is_left_torch_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_KERNELS", "reference")
    runs = count_runs(monkeypatch)
    theirs, ours = pair(nn.GRU(INPUT, HIDDEN))
    x = data_of("time_first", torch.float32)
    assert_same(ours(x), theirs(x))
    assert runs == []


def _state(*sizes: int) -> Tensor:
    return torch.zeros(sizes)


X = torch.zeros(5, 2, 3)
WRONG: dict[str, tuple[str, tuple[Any, ...]]] = {
    "no tensor": ("lstm", (None,)),
    "four axes": ("lstm", (X[None],)),
    "one axis": ("gru", (X[0, 0],)),
    "other input size": ("rnn_tanh", (X[..., :2],)),
    "other dtype": ("lstm", (X.double(),)),
    "whole numbers": ("gru", (X.long(),)),
    "no step": ("gru", (X[:0],)),
    "state of other batch": ("gru", (X, _state(1, 3, 4))),
    "state of other size": ("rnn_relu", (X, _state(1, 2, 3))),
    "state of other depth": ("lstm", (X, (_state(2, 2, 4), _state(2, 2, 4)))),
    "cell of other size": ("lstm", (X, (_state(1, 2, 4), _state(1, 2, 3)))),
    "state without batch": ("gru", (X, _state(1, 4))),
    "pair without batch": ("lstm", (X, (_state(1, 4), _state(1, 4)))),
    "state with batch for one sequence": ("gru", (X[:, 0], _state(1, 1, 4))),
    "state of other dtype": ("gru", (X, _state(1, 2, 4).double())),
    "pair for one path": ("gru", (X, (_state(1, 2, 4),))),
    "one path for a pair": ("lstm", (X, _state(2, 1, 2, 4))),
    "empty pair": ("lstm", (X, ())),
    "three paths": ("lstm", (X, (_state(1, 2, 4),) * 3)),
    "packed with three axes": ("gru", (PackedSequence(X, torch.tensor([3, 2])),)),
    "packed with other state": ("gru", (pack_padded_sequence(X, [5, 3]), _state(1, 3, 4))),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_raise_what_torch_raises(wrong: str, path: Path) -> None:
    kind, arguments = WRONG[wrong]
    theirs, ours = pair(KINDS[kind](INPUT, HIDDEN))
    with pytest.raises(Exception) as expected:  # whatever it is
        theirs(*arguments)
    with pytest.raises(expected.type) as raised:
        ours(*arguments)
    assert str(raised.value) == str(expected.value)
    assert path.runs == []


# What torch makes of a model


@needs_core
def test_exported_it_holds_for_other_sizes() -> None:
    _, ours = pair(nn.LSTM(INPUT, HIDDEN, bidirectional=True))
    any_size = torch.export.Dim.DYNAMIC
    exported = torch.export.export(
        ours.eval(), (data_of("time_first", torch.float32),), dynamic_shapes=({0: any_size, 1: any_size},)
    )
    x = torch.randn(7, 2, INPUT)
    assert_same(exported.module()(x), ours(x))
    assert "seqloom.recurrent" in str(exported.graph)


@needs_core
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler's own look
@pytest.mark.parametrize("whole", [False, True], ids=["around_it", "through_it"])
def test_compiled_it_gives_the_same_bits(whole: bool) -> None:
    """Compilers step around torch's recurrent modules, and so around these, unless they are allowed to look inside."""
    _, ours = pair(nn.Sequential(nn.GRU(INPUT, HIDDEN, 2)))
    with torch._dynamo.config.patch(allow_rnn=whole):
        compiled = torch.compile(ours, backend="aot_eager", fullgraph=whole)
        for time, batch in ((5, 4), (6, 3)):
            x = torch.randn(time, batch, INPUT)
            assert_same(read(compiled, x), read(ours, x))


@needs_core
def test_which_says_that_the_core_reads_it() -> None:
    model = accelerate(Tagger())
    path = kernels.which(model.shared, torch.zeros(4, TIME, 2 * HIDDEN))
    assert path.name == "fused_cpu"
    assert "AcceleratedGRU" in path.reason


# Public names


def test_both_are_found_at_the_top() -> None:
    assert seqloom.accelerate is accelerate
    assert seqloom.restore is restore
