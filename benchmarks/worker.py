"""python -m benchmarks.worker PEER: one peer in a process of its own, which answers requests line by line in JSON.

{"prepare": TASK} -> {"repeats", "fingerprint", "notes", "versions"} or {"absent": why}
{"sample": REPEATS} -> {"seconds", "waited"}
"""

import importlib
import json
import os
import sys
from importlib import metadata

from benchmarks.cases import Task
from benchmarks.timing import Absent, Work, take_sample, warm_up

# Where each peer's function stands, and the packages that it must find.
PEERS = {
    "Keras on JAX": ("benchmarks.keras_jax", "work", ("keras", "jax", "jaxlib")),
    "Keras on TensorFlow": ("benchmarks.keras_tensorflow", "work", ("keras", "tensorflow-cpu")),
    "ONNX Runtime": ("benchmarks.onnx_peer", "float32", ("onnxruntime", "onnx")),
    "ONNX Runtime int8": ("benchmarks.onnx_peer", "int8", ("onnxruntime", "onnx")),
}


def main() -> None:
    """Serve one peer until the other end closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # libraries that talk on stdout must not be taken for answers
    module, function, packages = PEERS[sys.argv[1]]
    work: Work | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            work = None
            try:
                work = getattr(importlib.import_module(module), function)(Task.read(request["prepare"]))
                answer = warm_up(work)._asdict() | {"versions": {name: metadata.version(name) for name in packages}}
            except Absent as reason:
                answer = {"absent": str(reason)}
            except Exception as error:  # noqa: BLE001 - whatever a peer cannot do is written down, and the run goes on
                answer = {"absent": f"{type(error).__name__}: {error}"[:300]}
        else:
            assert work is not None
            answer = take_sample(work, request["sample"])._asdict()
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
