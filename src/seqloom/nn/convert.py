"""Weights from torch.nn and back: the same function of the same input, in our layout.

torch.nn keeps weights as (G, I) and two biases that are only ever added; here they are (I, G) and one bias a gate. Gate
orders agree.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqloom.errors import ConfigError
from seqloom.nn.recurrent import GRU, LSTM, Activation, Recurrent, SimpleRNN
from seqloom.nn.wrappers import Bidirectional, Stack

TORCH_KINDS: dict[type[Recurrent], Callable[..., nn.RNNBase]] = {SimpleRNN: nn.RNN, LSTM: nn.LSTM, GRU: nn.GRU}


def from_torch(module: nn.RNNBase) -> Recurrent | Bidirectional | Stack:
    """A seqloom layer that computes what `module` (nn.RNN, nn.LSTM or nn.GRU) does, on (B, T, I) input.

    Several layers become a Stack, two directions a Bidirectional. Raises ConfigError for proj_size and other modules.
    """
    if not isinstance(module, nn.RNN | nn.LSTM | nn.GRU):
        raise ConfigError(f"from_torch: {type(module).__name__} given. Allowed: nn.RNN, nn.LSTM, nn.GRU.")
    if module.proj_size:
        raise ConfigError(f"from_torch: proj_size={module.proj_size} has no counterpart here. Use proj_size=0.")
    layers = [_layer_from_torch(module, number) for number in range(module.num_layers)]
    layer = layers[0] if len(layers) == 1 else Stack(layers, dropout=float(module.dropout))
    return layer.train(module.training)


def to_torch(layer: Recurrent | Bidirectional | Stack) -> nn.RNNBase:
    """A torch.nn module (batch_first) that computes what `layer` does.

    Raises ConfigError where torch.nn has no such option: layer norm, leaky ReLU, a GRU with the reset before the
    product, a learned or random first state, recurrent dropout, residual connections, unlike layers.
    """
    layers = layer.parts if isinstance(layer, Stack) else [layer]
    if isinstance(layer, Stack) and layer.residual:
        raise ConfigError("to_torch: torch.nn has no residual connections between layers.")
    pairs: list[list[Recurrent]] = [
        [part.forward_layer, part.backward_layer] if isinstance(part, Bidirectional) else [part] for part in layers
    ]
    first = pairs[0][0]
    for part in (part for pair in pairs for part in pair):
        _check_convertible(part, like=first)
    if any(len(pair) != len(pairs[0]) for pair in pairs):
        raise ConfigError("to_torch: torch.nn reads in the same directions on every layer.")
    dropout = layer.dropout.p if isinstance(layer, Stack) else 0.0
    module = _make_torch(first, num_layers=len(pairs), bidirectional=len(pairs[0]) == 2, dropout=dropout)
    with torch.no_grad():
        for number, pair in enumerate(pairs):
            for part, suffix in zip(pair, ("", "_reverse"), strict=False):
                _copy_to_torch(part, module, f"_l{number}{suffix}")
    return module.train(layer.training)


def _make_torch(like: Recurrent, *, num_layers: int, bidirectional: bool, dropout: float) -> nn.RNNBase:
    kind = TORCH_KINDS[type(like)]
    if isinstance(like, SimpleRNN):
        kind = functools.partial(nn.RNN, nonlinearity=like.activation)
    return kind(
        like.input_size,
        like.hidden_size,
        num_layers,
        bias=like.bias is not None,
        batch_first=True,
        dropout=dropout,
        bidirectional=bidirectional,
        dtype=like.weight_input.dtype,
        device=like.weight_input.device,
    )


def _check_convertible(layer: Recurrent, *, like: Recurrent) -> None:
    problems = {
        "layer_norm": layer.norm_input is not None,
        f"initial_state={layer.initial_state}": layer.initial_state != "zeros",
        "recurrent_dropout": layer.recurrent_dropout > 0,
        "activation=leaky_relu": isinstance(layer, SimpleRNN) and layer.activation == "leaky_relu",
        "reset_after=False": isinstance(layer, GRU) and not layer.reset_after,
        "layers of unlike kind, size or bias": (type(layer), layer.hidden_size, layer.bias is None)
        != (type(like), like.hidden_size, like.bias is None),
        "layers of unlike activation": isinstance(layer, SimpleRNN)
        and isinstance(like, SimpleRNN)
        and layer.activation != like.activation,
    }
    found = [name for name, present in problems.items() if present]
    if found:
        raise ConfigError(f"to_torch: torch.nn has no {', '.join(found)}.")


def _layer_from_torch(module: nn.RNNBase, number: int) -> Recurrent | Bidirectional:
    ahead = _copy_from_torch(module, f"_l{number}")
    if not module.bidirectional:
        return ahead
    both = Bidirectional(ahead)
    both.backward_layer = _copy_from_torch(module, f"_l{number}_reverse")
    return both


def _copy_from_torch(module: nn.RNNBase, suffix: str) -> Recurrent:
    """One layer and direction of `module`, weights copied."""
    weight_input: Tensor = getattr(module, f"weight_ih{suffix}")
    layer = _like(module, input_size=weight_input.shape[1])
    layer.to(device=weight_input.device, dtype=weight_input.dtype)
    with torch.no_grad():
        layer.weight_input.copy_(weight_input.T)
        layer.weight_hidden.copy_(getattr(module, f"weight_hh{suffix}").T)
        if layer.bias is not None:
            outer, inner = getattr(module, f"bias_ih{suffix}"), getattr(module, f"bias_hh{suffix}")
            layer.bias.copy_(outer + inner)
            if isinstance(layer, GRU) and layer.bias_candidate is not None:
                candidate = slice(2 * layer.hidden_size, None)
                layer.bias[candidate] = outer[candidate]
                layer.bias_candidate.copy_(inner[candidate])
    return layer


def _like(module: nn.RNNBase, *, input_size: int) -> Recurrent:
    if isinstance(module, nn.RNN):
        activation: Activation = "relu" if module.nonlinearity == "relu" else "tanh"
        return SimpleRNN(input_size, module.hidden_size, activation=activation, bias=module.bias)
    if isinstance(module, nn.LSTM):
        return LSTM(input_size, module.hidden_size, bias=module.bias)
    return GRU(input_size, module.hidden_size, bias=module.bias, reset_after=True)


def _copy_to_torch(layer: Recurrent, module: nn.RNNBase, suffix: str) -> None:
    getattr(module, f"weight_ih{suffix}").copy_(layer.weight_input.T)
    getattr(module, f"weight_hh{suffix}").copy_(layer.weight_hidden.T)
    if layer.bias is not None:
        getattr(module, f"bias_ih{suffix}").copy_(layer.bias)
        inner = getattr(module, f"bias_hh{suffix}").zero_()
        if isinstance(layer, GRU) and layer.bias_candidate is not None:
            inner[2 * layer.hidden_size :] = layer.bias_candidate
