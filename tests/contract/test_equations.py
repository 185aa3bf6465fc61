"""Every layer equals the equations of the papers: outputs, final states, and every state and gate on the way."""

import pytest
import torch
from torch import Tensor

from seqloom.shapes import BidirectionalTrace, Trace
from tests.contract.expected import expected
from tests.contract.layers import ALL, INPUT, Case, Layer, build, close, paths, random_state, singles

pytestmark = pytest.mark.usefixtures("path")
LENGTHS = [5, 0, 2, 3]
TIME = 5


def traces(trace: Trace | BidirectionalTrace | tuple[Trace | BidirectionalTrace, ...]) -> list[Trace]:
    if isinstance(trace, Trace):
        return [trace]
    return [one for part in trace for one in traces(part)]


def default_state(layer: Layer) -> list[list[float]]:
    """The first state of a row where none is given: zeros, or what was learned."""
    first = []
    for single in singles(layer):
        learned = [path.tolist() for path in single.first_state]
        first += learned or [[0.0] * single.hidden_size for _ in single.state_type._fields]
    return first


@pytest.mark.parametrize("given", [False, True], ids=["own_first_state", "given_first_state"])
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_outputs_states_and_gates_are_those_of_the_papers(case: Case, given: bool) -> None:
    layer = build(case)
    x = torch.randn(len(LENGTHS), TIME, INPUT)
    state = random_state(layer, len(LENGTHS)) if given else None
    outputs, final = layer(x, LENGTHS, state)
    traced = traces(layer.trace(x, LENGTHS, state))
    for row, length in enumerate(LENGTHS):
        first = default_state(layer) if state is None else [path[row].tolist() for path in paths(state)]
        reading = expected(layer, x[row, :length], first)
        assert_row(outputs[row], reading.outputs)
        for path, values in zip(paths(final), reading.final, strict=True):
            torch.testing.assert_close(path[row].tolist(), values, **close())
        for trace, steps in zip(traced, reading.steps, strict=True):
            assert_row(trace.hidden[row], [state["hidden"] for state, _ in steps])
            if trace.cell is not None:
                assert_row(trace.cell[row], [state["cell"] for state, _ in steps])
            for name, gate in trace.gates.items():
                assert_row(gate[row], [gates[name] for _, gates in steps])


def assert_row(given: Tensor, steps: list[list[float]]) -> None:
    """The real steps are `steps`, and padding is zero."""
    wanted = torch.zeros_like(given)
    if steps:
        wanted[: len(steps)] = torch.tensor(steps, dtype=given.dtype)
    torch.testing.assert_close(given, wanted, **close())


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_trace_names_the_paths_and_gates_that_its_cell_has(case: Case) -> None:
    layer = build(case)
    for time in (2, 0):
        for single, trace in zip(singles(layer), traces(layer.trace(torch.zeros(1, time, INPUT))), strict=True):
            assert tuple(trace.gates) == single.gates
            assert (trace.cell is not None) == ("cell" in single.state_type._fields)
