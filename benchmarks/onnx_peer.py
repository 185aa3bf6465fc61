"""ONNX Runtime: a graph of one recurrent node, inference only. Runs in the peers' own Python."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.cases import Array, Numbers, Task, fingerprint, numbers
from benchmarks.timing import Absent, Work

OPERATORS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
ORDERS = {"SimpleRNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}  # of torch's gates, as the operator wants them


def float32(task: Task) -> Work:
    """The node in float32."""
    return _work(task, _graph(task).SerializeToString())


def int8(task: Task) -> Work:
    """The node with weights and products of 8 bits, quantised as it runs."""
    if task.cell != "LSTM":
        raise Absent("ONNX Runtime has no 8-bit operator for this cell")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        onnx.save(_graph(task), source)
        quantize_dynamic(source, target, op_types_to_quantize=["LSTM"], weight_type=QuantType.QInt8)
        return _work(task, target.read_bytes())


def _work(task: Task, graph: bytes) -> Work:
    if task.mode == "train":
        raise Absent("ONNX Runtime infers only")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    given = numbers(task)
    x = np.ascontiguousarray(given.x.transpose(1, 0, 2))
    if task.case.kind == "step":
        return Work(_step(task, session, x), lambda y: fingerprint(task, _batch_first(y)))
    feeds = {"x": x}
    if task.case.kind == "reviews":
        feeds["lengths"] = given.lengths.astype(np.int32)
    return Work(lambda: session.run(["y"], feeds)[0], lambda y: fingerprint(task, _batch_first(y)))


def _step(task: Task, session: onnxruntime.InferenceSession, x: Array) -> Callable[[], Array]:
    """A step from bound memory, without copies: the state goes to and fro between two places."""
    case, names = task.case, _states(task)

    def empty(*shape: int) -> onnxruntime.OrtValue:
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype=np.float32))

    y, value = empty(1, 1, case.batch, case.hidden), onnxruntime.OrtValue.ortvalue_from_numpy(x)
    places = [[empty(1, case.batch, case.hidden) for _ in names] for _ in range(2)]
    bindings = []
    for before, after in (places, reversed(places)):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", value)
        binding.bind_ortvalue_output("y", y)
        for name, read, written in zip(names, before, after, strict=True):
            binding.bind_ortvalue_input(f"first_{name}", read)
            binding.bind_ortvalue_output(f"last_{name}", written)
        bindings.append(binding)

    def run() -> Array:
        session.run_with_iobinding(bindings[0])
        bindings.reverse()
        return y.numpy()  # type: ignore[no-any-return]

    return run


def _batch_first(y: Array) -> Array:
    """(B, T, directions·H) from the operator's (T, directions, B, H)."""
    time, directions, batch, hidden = y.shape
    return y.transpose(2, 0, 1, 3).reshape(batch, time, directions * hidden)


def _states(task: Task) -> Sequence[str]:
    return ("h", "c") if task.cell == "LSTM" else ("h",)


def _graph(task: Task) -> onnx.ModelProto:
    case, given = task.case, numbers(task)
    states, stepped = _states(task), case.kind == "step"
    attributes = {"hidden_size": case.hidden, "direction": "bidirectional" if case.directions == 2 else "forward"}
    if task.cell == "GRU":
        attributes["linear_before_reset"] = 1  # the reset after the product, as torch has it
    node = helper.make_node(
        OPERATORS[task.cell],
        ["x", "w", "r", "b", "lengths" if case.kind == "reviews" else "", *(f"first_{n}" for n in states if stepped)],
        ["y", *(f"last_{name}" for name in states if stepped)],
        **attributes,
    )
    state = [case.directions, case.batch, case.hidden]
    inputs = [_tensor("x", [case.time, case.batch, case.input])]
    if case.kind == "reviews":
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [case.batch]))
    outputs = [_tensor("y", [case.time, *state])]
    if stepped:
        inputs += [_tensor(f"first_{name}", state) for name in states]
        outputs += [_tensor(f"last_{name}", state) for name in states]
    graph = helper.make_graph([node], "layer", inputs, outputs, initializer=_weights(task, given))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _tensor(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _weights(task: Task, given: Numbers) -> list[onnx.TensorProto]:
    def ordered(values: Array) -> Array:
        gates = np.split(values, len(ORDERS[task.cell]))
        return np.concatenate([gates[number] for number in ORDERS[task.cell]])

    stacked = {
        "w": np.stack([ordered(d.weight_input) for d in given.directions]),
        "r": np.stack([ordered(d.weight_hidden) for d in given.directions]),
        "b": np.stack([np.concatenate([ordered(d.bias_input), ordered(d.bias_hidden)]) for d in given.directions]),
    }
    return [numpy_helper.from_array(values, name) for name, values in stacked.items()]
