"""torch's own nn.RNN, nn.LSTM and nn.GRU on the compiled core: `accelerate(model)`, and `restore(model)` to undo it.

Only the class of such a module changes, to one whose `forward` runs our cells. Its parameters stay the same objects, so
that optimizers, state_dict, hooks and modes notice nothing.
"""

import functools
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from seqloom import kernels
from seqloom.cells import CellParameters, gru_reset_after_step, lstm_step, simple_rnn_step
from seqloom.errors import ConfigError
from seqloom.kernels.reference import Step
from seqloom.nn.recurrent import ACTIVATIONS
from seqloom.shapes import Float, Int, LSTMState, RNNState, Start, State

Model = TypeVar("Model", bound=nn.Module)
Paths = list[Tensor]  # a state as torch keeps it: hidden, for an LSTM cell too, each (layers x directions N, B, H)

FASTER_THAN_TORCH = ("fused_cpu",)  # the paths worth leaving torch's own forward for


def accelerate(model: Model) -> Model:
    """Let each nn.RNN, nn.LSTM and nn.GRU in `model`, itself included, run on the compiled core; returns `model`.

    Results are torch's to 1e-5; arguments, parameters and state_dict stay as they are. What the core does not take is
    left to torch's own forward: a dtype other than float32, a device other than the CPU, autocast, and all for which
    `kernels.which` says "reference". Left alone are modules with proj_size, quantised ones, and classes derived from
    the three, which may have a forward of their own. Raises ConfigError for what is no module.
    """
    return _change_classes(model, ACCELERATED, caller="accelerate")


def restore(model: Model) -> Model:
    """Undo `accelerate`: torch computes again, to the last bit as before. Returns `model`.

    Harmless where nothing was accelerated. Raises ConfigError for what is no module.
    """
    return _change_classes(model, {ours: theirs for theirs, ours in ACCELERATED.items()}, caller="restore")


class AcceleratedBase(nn.RNNBase):
    """What the three accelerated classes share: the arguments, results and errors of torch's, computed by our cells."""

    state_type: type[RNNState] | type[LSTMState] = RNNState

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        """Outputs and last state in the form of torch's class.

        `input` is (T, B, I), or (B, T, I) with batch_first, or (T, I), or a PackedSequence. `hx` is the first state,
        (N, B, H) or for one sequence (N, H), a pair of them for an LSTM; None means zeros.
        """
        first = None if hx is None else self._paths(hx)
        if not self._takes(input, first):
            return super().forward(input, hx)  # torch reads it, or refuses it in its own words
        if isinstance(input, PackedSequence):
            return self._read_packed(input, first)
        if input.dim() == 2:
            outputs, last = self._read(input[:, None], first and [path[:, None] for path in first])
            return outputs[:, 0], self._as_hx([path[:, 0] for path in last])
        if self.batch_first:
            outputs, last = self._read(input.transpose(0, 1), first)
            return outputs.transpose(0, 1), self._as_hx(last)
        outputs, last = self._read(input, first)
        return outputs.contiguous(), self._as_hx(last)  # as torch's are: callers take views of them

    def step(self) -> Step:
        """The cell's step that computes what torch's class does."""
        raise NotImplementedError

    def parameters_of_cell(self, *, batch: int) -> CellParameters:
        """The weights of the first layer, which `kernels.which` judges all by; they are the same for every `batch`."""
        return self._cell("_l0")

    def start(self, *, batch: int) -> Start:
        """What the first step starts from where no state is given: zeros."""
        return self.state_type

    def _cell(self, suffix: str) -> CellParameters:
        """The weights of a layer and direction as the cell takes them, by torch's suffix, such as `_l0_reverse`."""
        weight_input, weight_hidden = getattr(self, f"weight_ih{suffix}").t(), getattr(self, f"weight_hh{suffix}").t()
        if not self.bias:
            return CellParameters(weight_input, weight_hidden)
        biases = self._join_biases(getattr(self, f"bias_ih{suffix}"), getattr(self, f"bias_hh{suffix}"))
        return CellParameters(weight_input, weight_hidden, *biases)

    def _join_biases(self, outer: Tensor, inner: Tensor) -> tuple[Tensor, Tensor | None]:
        """Our one bias of torch's two, and the bias of the candidate."""
        return outer + inner, None

    def _paths(self, hx: Any) -> Paths:
        """The paths of a state that torch's class would take; whether it is one is found by `_takes`."""
        return [hx]

    def _as_hx(self, paths: Paths) -> Any:
        """The reverse of `_paths`."""
        return paths[0]

    def _states(self) -> int:
        """N: how many states there are, one for each layer and direction."""
        return self.num_layers * (2 if self.bidirectional else 1)

    def _takes(self, input: Tensor | PackedSequence, first: Paths | None) -> bool:
        """Whether the core reads this, and sooner than torch would."""
        values = input.data if isinstance(input, PackedSequence) else input
        given, weight = [values, *(first or [])], self.weight_ih_l0
        if not all(isinstance(tensor, Tensor) and tensor.dtype == weight.dtype for tensor in given):
            return False
        if not self._fits(input, first) or torch.is_autocast_enabled("cpu"):
            return False
        x = (values if values.dim() == 2 else values[0])[None]  # one row tells for all
        state: Start = self.state_type
        if first is not None:
            state = self.state_type(*(path[0].view(-1, self.hidden_size)[:1] for path in first))
        return kernels.choose(self.step(), self.parameters_of_cell(batch=1), x, state).name in FASTER_THAN_TORCH

    def _fits(self, input: Tensor | PackedSequence, first: Paths | None) -> bool:
        """Whether all sizes are right for this module, and none is 0."""
        if isinstance(input, PackedSequence):
            values, axes, batch = input.data, 2, [int(input.batch_sizes[0])]
        elif input.dim() == 2:
            values, axes, batch = input, 2, []
        else:
            values, axes, batch = input, 3, list(input.shape[:1] if self.batch_first else input.shape[1:2])
        state = [self._states(), *batch, self.hidden_size]
        return (
            values.dim() == axes
            and values.numel() > 0
            and values.shape[-1] == self.input_size
            and (first is None or [list(path.shape) for path in first] == [state] * len(self.state_type._fields))
        )

    def _read_packed(self, packed: PackedSequence, first: Paths | None) -> tuple[PackedSequence, Any]:
        """Rows keep the order of the packed data; the states are put into it, and back."""
        data, batch_sizes, order, order_back = packed
        real = torch.arange(int(batch_sizes[0]), device=batch_sizes.device) < batch_sizes[:, None]
        steps, rows = real.nonzero(as_tuple=True)
        x = data.new_empty(*real.shape, self.input_size)  # padding is never read
        x[steps, rows] = data
        outputs, last = self._read(x, first and _in_order(first, order), lengths=real.sum(0))
        read = PackedSequence(outputs[steps, rows], batch_sizes, order, order_back)
        return read, self._as_hx(_in_order(last, order_back))

    def _start(self, first: Paths | None, number: int) -> Start:
        """What a reading starts from, the readings counted as in a state."""
        return self.state_type if first is None else self.state_type(*(path[number] for path in first))

    def _read(
        self, x: Float[Tensor, "T B I"], first: Paths | None, *, lengths: Int[Tensor, " B"] | None = None
    ) -> tuple[Float[Tensor, "T B H"], Paths]:
        """Read `x` by one layer after the other, each in its directions, with dropout between them while training."""
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = dropout(x, self.dropout)
            suffixes = (f"_l{layer}", f"_l{layer}_reverse")[: 1 + self.bidirectional]
            starts = [self._start(first, len(last) + way) for way in range(len(suffixes))]
            cells, steps = list(map(self._cell, suffixes)), x.transpose(0, 1)
            if self.bidirectional:
                outputs, states = kernels.run_both([self.step()] * 2, cells, steps, lengths, starts)
                last.extend(states)
            else:
                outputs, state, _ = kernels.run(self.step(), cells[0], steps, lengths, starts[0])
                last.append(state)
            x = outputs.transpose(0, 1)
        return x, [torch.stack(paths) for paths in zip(*last, strict=True)]


class AcceleratedRNN(AcceleratedBase, nn.RNN):
    """nn.RNN on the core."""

    def step(self) -> Step:
        return functools.partial(simple_rnn_step, activation=ACTIVATIONS[self.nonlinearity])


class AcceleratedLSTM(AcceleratedBase, nn.LSTM):
    """nn.LSTM on the core."""

    state_type = LSTMState

    def step(self) -> Step:
        return lstm_step

    def _paths(self, hx: Any) -> Paths:
        return list(hx) if isinstance(hx, tuple | list) else [hx]

    def _as_hx(self, paths: Paths) -> Any:
        return tuple(paths)


class AcceleratedGRU(AcceleratedBase, nn.GRU):
    """nn.GRU on the core."""

    def step(self) -> Step:
        return gru_reset_after_step

    def _join_biases(self, outer: Tensor, inner: Tensor) -> tuple[Tensor, Tensor | None]:
        """Only the two gates' biases are added: the candidate's second one stands inside the reset."""
        gates = 2 * self.hidden_size
        return torch.cat([outer[:gates] + inner[:gates], outer[gates:]]), inner[gates:]


ACCELERATED: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: AcceleratedRNN,
    nn.LSTM: AcceleratedLSTM,
    nn.GRU: AcceleratedGRU,
}


def _change_classes(model: Model, classes: dict[type[nn.Module], type[nn.Module]], *, caller: str) -> Model:
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{caller}: model is a {type(model).__name__}, but must be a torch module (nn.Module).")
    for module in model.modules():
        # Not isinstance: a derived class may have a forward of its own.
        if type(module) in classes and not module.proj_size:
            module.__class__ = classes[type(module)]
    return model


def _in_order(paths: Paths, order: Tensor | None) -> Paths:
    """The paths of a state with their rows in `order`; None leaves them as they are."""
    return paths if order is None else [path.index_select(1, order) for path in paths]
