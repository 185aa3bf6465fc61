"""Wrong and odd calls of what touches the compiled core, each drawn by its number: right arguments, some changed."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from seqloom import kernels
from seqloom.kernels import native
from seqloom.nn import GRU, LSTM, Bidirectional, Linear, SimpleRNN, Stack, accelerate
from seqloom.shapes import LSTMState, RNNState, Tokens
from tests.contract.layers import random_state

Change = Callable[[Tensor, random.Random], Any]


@dataclass
class Call:
    """One call to be made; `tame` while its numbers are finite and its answer no matter of chance or precision."""

    target: Callable[..., Any]
    arguments: list[Any]
    tame: bool = True
    go_back: bool = False
    context: str = ""


# What may be done to a tensor


def _sub_tensor(x: Tensor, _: random.Random) -> Tensor:
    class Named(Tensor):
        pass

    return x.detach().as_subclass(Named)


def _with(value: float) -> Change:
    def change(x: Tensor, choice: random.Random) -> Tensor:
        x = x.clone()
        if x.numel():
            x.view(-1)[choice.randrange(x.numel())] = value
        return x

    return change


def _read_only(x: Tensor, _: random.Random) -> Tensor:
    array = x.detach().numpy().copy()
    array.setflags(write=False)
    return torch.from_numpy(array)


def _negated(x: Tensor, _: random.Random) -> Tensor:
    return torch.complex(x.detach(), -x.detach()).conj().imag  # a view whose sign is a flag


def _padded(x: Tensor, _: random.Random) -> Tensor:
    return torch.cat([x, torch.full_like(x, torch.nan)], dim=-1)[..., : x.shape[-1]]


def _overlapping(x: Tensor, _: random.Random) -> Tensor:
    return x.detach().reshape(-1).repeat(2)[: sum(x.shape)].as_strided(x.shape, [1] * x.dim()) if x.numel() else x


def _inference(x: Tensor, _: random.Random) -> Tensor:
    with torch.inference_mode():
        return x.detach().clone()


# The same numbers, in another form: an answer must be that to the plain form.
FORMS: list[Change] = [
    lambda x, _: x.transpose(0, -2).contiguous().transpose(0, -2),
    lambda x, _: torch.stack([x, -x], dim=-1)[..., 0],
    lambda x, _: x[:1].expand(x.shape) if len(x) else x,
    lambda x, _: x[..., :1].expand(x.shape),
    lambda x, _: x.flip(0)[torch.arange(len(x) - 1, -1, -1)],
    lambda x, _: x.detach().clone().requires_grad_(),
    lambda x, _: x.requires_grad_() * 1 if not x.requires_grad else x,
    lambda x, _: nn.Parameter(x.detach()),
    lambda x, _: torch.as_tensor(np.ascontiguousarray(x.detach().numpy()[::-1])),
    lambda x, _: x.detach().numpy()[::-1],  # a negative step, which torch refuses
    lambda x, _: x.detach().double().float(),
    _sub_tensor, _read_only, _negated, _padded, _overlapping, _inference,
]  # fmt: skip

# Other sizes, dtypes, devices, layouts and kinds of thing.
WRONG: list[Change] = [
    lambda x, _: x[0] if len(x) else x,
    lambda x, _: x[None],
    lambda x, _: x.flatten(),
    lambda x, _: x[..., :-1],
    lambda x, _: torch.cat([x, x], dim=-1),
    lambda x, _: torch.cat([x, x], dim=0),
    lambda x, _: x[:0],
    lambda x, _: x[:, :0],
    lambda x, _: x[..., :0],
    lambda x, _: x[:0, :0],
    lambda x, _: torch.tensor(1.0),
    lambda x, _: x.detach()[:1, :1].expand(2**25, *[2**25] * (x.dim() > 2), x.shape[-1]) if x.numel() else x,
    lambda x, _: x.detach()[:1, :1].expand(2**45, *x.shape[1:]) if x.numel() else x,
    lambda x, _: x.to("meta"),
    lambda x, _: x.detach().to_sparse(),
    lambda x, _: x.detach().to_mkldnn() if x.numel() else x,  # torch itself ends the process at an empty one
    lambda x, _: torch.nested.nested_tensor(list(x.detach())),
    lambda x, _: torch.quantize_per_tensor(x.detach(), 0.1, 0, torch.qint8),
    lambda x, _: x.detach().numpy(),
    lambda x, _: x.tolist(),
    lambda x, _: list(x),
    lambda *_: None,
    lambda *_: "the film was good",
    lambda *_: 7,
    lambda *_: object(),
    *((lambda x, _, dtype=dtype: x.detach().to(dtype)) for dtype in (
        torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.int32, torch.uint8,
        torch.bool, torch.float8_e5m2,
    )),
]  # fmt: skip

ODD = [0, -1, 1.5, True, None, "3", 2**62, float("nan"), torch.tensor(3), [3], 3]  # sizes
WILD: list[Change] = [_with(value) for value in (float("nan"), float("inf"), -float("inf"), 1e38, -3e38, 1e-42)]


def _lengths(batch: int, time: int, choice: random.Random) -> Any:
    """Lengths right or wrong."""
    right = [choice.randint(0, time) for _ in range(batch)]
    tensor = torch.tensor(right, dtype=torch.int64)
    forms = [
        None, right, tuple(right), tensor, tensor.int(), tensor.to(torch.uint8), np.array(right), tensor.numpy()[::-1],
        torch.stack([tensor, -tensor], dim=1)[:, 0], tensor.new_tensor(time).expand(batch), range(batch),
    ]  # fmt: skip
    wrong = [
        [*right, 1], right[:-1], [right], [[], [1]], "all", 3, {"a": 1}, {1, 2}, object(), iter(right),
        *([each] * batch for each in (-1, time + 1, 2**31, 2**62, 2**70, -(2**63), 0.5, None, True, "1", torch.nan)),
        *(tensor.to(dtype) for dtype in (torch.float32, torch.float16, torch.complex64, torch.bool, torch.uint64)),
        tensor.double() + 0.5, tensor[None], tensor[:, None], torch.tensor(2), tensor - 9, tensor + 9,
        tensor.to("meta"), tensor.to_sparse(), tensor.to(torch.int16) * 300, torch.full((batch,), 2**62),
        torch.full((1,), time).expand(2**40), torch.empty(0), np.array(["a"] * batch),
    ]  # fmt: skip
    return choice.choice(forms if choice.random() < 0.5 else wrong)


def _state(state: Any, choice: random.Random) -> Any:
    """A state that was right, with one path changed or of another kind."""
    if not isinstance(state, RNNState | LSTMState):
        return choice.choice([None, (), (state, state), [state], "state", RNNState(torch.zeros(2, 3)), type(state)])
    path = state.hidden
    others = [
        None, tuple(state), list(state), path, RNNState(path), LSTMState(path, path), dict(state._asdict()), "state", 0,
        RNNState(None), LSTMState(path, None), RNNState("h"), RNNState(3.0), (path, path, path), RNNState,
        path.tolist(),
    ]  # fmt: skip
    if choice.random() < 0.3:
        return choice.choice(others)
    name = choice.choice(state._fields)
    return state._replace(**{name: choice.choice(FORMS + WRONG)(getattr(state, name), choice)})


# Drawing a call


def draw(number: int) -> Call:
    """The call of this number, always the same."""
    torch.manual_seed(number)
    choice = random.Random(number)
    make = choice.choice([_of_a_layer] * 7 + [_of_an_accelerated] * 3 + [_of_tokens, _of_a_stream] * 2 + OTHERS)
    call: Call = make(choice)
    call.context = choice.choice([""] * 8 + ["no_grad", "inference_mode", "autocast", "threads"])
    call.tame &= call.context != "autocast"
    return call


def _random_layer(choice: random.Random) -> nn.Module:
    size, hidden = choice.choice([1, 2, 5]), choice.choice([1, 3, 4, 17])
    options = {"bias": choice.random() < 0.7, "initial_state": choice.choice(["zeros", "zeros", "learned"])}
    kinds: list[Callable[..., Any]] = [SimpleRNN, LSTM, GRU, lambda *a, **o: GRU(*a, reset_after=True, **o)]
    first = choice.choice(kinds)(size, hidden, **options)
    return choice.choice([first, first, first, first, Bidirectional(first), Stack([first, LSTM(hidden, 3)])])


def _x(size: int, choice: random.Random) -> Tensor:
    return torch.randn(choice.choice([0, 1, 2, 3, 5]), choice.choice([0, 1, 2, 6]), size)


def _changed(x: Any, call: Call, choice: random.Random) -> Any:
    """`x` in another form, wrong, or with a wild number in it."""
    kind = choice.random()
    if kind < 0.5:
        return choice.choice(FORMS)(x, choice)
    if kind < 0.8:
        return choice.choice(WRONG)(x, choice)
    call.tame = False
    return choice.choice(WILD)(x, choice)


def _of_a_layer(choice: random.Random) -> Call:
    layer: Any = _random_layer(choice)
    x = _x(layer.input_size, choice)
    state = choice.choice([None, random_state(layer, len(x))])
    call = Call(choice.choice([layer, layer, layer.trace]), [x, None, state], go_back=choice.random() < 0.4)
    if choice.random() < 0.8:
        call.arguments[0] = _changed(x, call, choice)
    if choice.random() < 0.5:
        call.arguments[1] = _lengths(*x.shape[:2], choice)
    if choice.random() < 0.3:
        call.arguments[2] = _state(state, choice)
    if choice.random() < 0.15:
        _change_a_weight(layer, call, choice)
    return call


def _change_a_weight(layer: nn.Module, call: Call, choice: random.Random) -> None:
    if choice.random() < 0.3:
        to = choice.choice([torch.float64, torch.bfloat16, "meta"])
        layer.to(to)
        call.tame &= to != "meta"  # as below
        return
    name, weight = choice.choice(list(layer.named_parameters()))
    owner = layer.get_submodule(name.rpartition(".")[0])
    new = choice.choice([*FORMS[:5], *WRONG[:11], *WRONG[13:16]])(weight.detach(), choice)
    if isinstance(owner, nn.ParameterList) or not isinstance(new, Tensor):
        return
    with contextlib.suppress(TypeError, RuntimeError):  # torch allows no such parameter
        setattr(owner, name.rpartition(".")[2], nn.Parameter(new, requires_grad=choice.random() < 0.5))
    call.tame &= not new.is_meta  # torch's own product with a matrix that has no numbers is whatever lay in memory


def _of_an_accelerated(choice: random.Random) -> Call:
    make = choice.choice([nn.RNN, nn.LSTM, nn.GRU])
    size, hidden, both = choice.choice([1, 2, 5]), choice.choice([1, 3, 17]), choice.random() < 0.4
    layers, first = choice.choice([1, 2]), choice.random() < 0.5
    module = accelerate(make(size, hidden, num_layers=layers, bidirectional=both, batch_first=first))
    x = torch.randn(choice.choice([1, 2, 4]), choice.choice([1, 2, 6]), size)
    batch = len(x) if first else x.shape[1]
    paths = [torch.randn(layers * (1 + both), batch, hidden) for _ in range(1 + (make is nn.LSTM))]
    state: Any = choice.choice([None, tuple(paths) if make is nn.LSTM else paths[0]])
    call = Call(module, [x, state], go_back=choice.random() < 0.4)
    if choice.random() < 0.8:
        call.arguments[0] = _changed(x, call, choice)
    elif choice.random() < 0.5:
        rows = x if first else x.transpose(0, 1)
        lengths = [choice.randint(1, rows.shape[1]) for _ in rows]
        call.arguments[0] = pack_padded_sequence(rows, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    if choice.random() < 0.3:
        changed = choice.choice(FORMS + WRONG)(paths[0], choice)
        call.arguments[1] = choice.choice([changed, (changed,), (changed, paths[-1]), (*paths, changed)])
    return call


def _of_linear(choice: random.Random) -> Call:
    layer = Linear(choice.choice([1, 5]), choice.choice([1, 3, 40]), bias=choice.random() < 0.7)
    x = _x(layer.in_features, choice)
    call = Call(layer, [], go_back=choice.random() < 0.4)
    call.arguments.append(_changed(x, call, choice))
    if choice.random() < 0.15:
        _change_a_weight(layer, call, choice)
    return call


def _of_a_function(choice: random.Random) -> Call:
    call = Call(choice.choice([native.sigmoid, native.tanh]), [], tame=False)
    call.arguments.append(_changed(_x(3, choice), call, choice))
    call.tame = False
    return call


def _of_which(choice: random.Random) -> Call:
    layer = choice.choice([_random_layer(choice), nn.Linear(2, 2), "layer", None])
    call = Call(kernels.which, [layer], tame=False)
    call.arguments.append(_changed(_x(2, choice), call, choice))
    call.tame = False
    return call


def _made(choice: random.Random) -> Call:
    make = choice.choice([SimpleRNN, LSTM, GRU, Bidirectional, Stack, Linear, accelerate])
    arguments = [choice.choice(ODD) for _ in range(2)][: 1 if make in (Bidirectional, Stack, accelerate) else 2]
    return Call(make, arguments, tame=False)


def _of_tokens(choice: random.Random) -> Call:
    layer: Any = _random_layer(choice)
    x = _x(layer.input_size, choice)
    ids, vectors = torch.randint(0, 4, x.shape[:2]), torch.randn(4, layer.input_size)
    call = Call(layer, [], go_back=choice.random() < 0.4)
    if choice.random() < 0.5:
        vectors = _changed(vectors, call, choice)
    else:
        ids = choice.choice([*FORMS, *WRONG, *(lambda x, _, by=by: x + by for by in (-1, 1, 2**33, -(2**62)))])(
            ids, choice
        )
    call.arguments += [Tokens(ids, vectors), _lengths(*x.shape[:2], choice) if choice.random() < 0.5 else None]
    return call


def _of_a_stream(choice: random.Random) -> Call:
    layer: Any = _random_layer(choice)
    batch = choice.choice([1, 1, 3])

    def read(x: Any, state: Any, rows: Any, weights: Any) -> list[Any]:
        stream = layer.stream(rows, weights=weights)
        first = stream.step(x)
        if state is not None:
            stream.state = state
        return [first, stream.step(x), stream.state]

    state = random_state(layer, batch)
    call = Call(
        read, [torch.randn(batch, layer.input_size), state, batch, choice.choice(["float32", "float32", "int8"])]
    )
    which = choice.randrange(3)
    if which == 0:
        call.arguments[0] = _changed(call.arguments[0], call, choice)
    elif which == 1:
        call.arguments[1] = _state(state, choice)
    elif choice.random() < 0.5:
        call.arguments[2] = choice.choice(ODD)
    else:
        call.arguments[3] = choice.choice(["int4", None, 8, "", object()])
    call.tame &= call.arguments[3] == "float32"
    return call


OTHERS = [_of_linear, _of_a_function, _of_which, _made]
