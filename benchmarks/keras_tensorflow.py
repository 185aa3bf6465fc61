"""Keras on TensorFlow, compiled by XLA, which is what Keras does by default. Runs in the peers' own Python."""

from typing import Any

import tensorflow as tf

from benchmarks.cases import Task, fingerprint, numbers
from benchmarks.keras_peer import first_state, make_layer, mask_of, show
from benchmarks.timing import Work


def work(task: Task) -> Work:
    """The layer as a compiled function of its input."""
    if tf.config.threading.get_intra_op_parallelism_threads() != task.threads:
        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    layer, given, mask = make_layer(task), numbers(task), mask_of(task)
    x, dy = tf.constant(given.x), tf.constant(given.dy)
    if task.case.kind == "step":
        return _step(task, layer, x)
    if task.mode == "infer":
        infer = tf.function(lambda x: layer(x, mask=mask), jit_compile=True)
        return Work(lambda: infer(x), lambda y: fingerprint(task, y))

    @tf.function(jit_compile=True)
    def gradients(x: Any, dy: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask)
        return tape.gradient(y, [x, *layer.trainable_variables], output_gradients=dy)

    def run() -> Any:
        return [tf.convert_to_tensor(found) for found in gradients(x, dy)]

    return Work(run, lambda found: show(task, found[0], found[1:]))


def _step(task: Task, layer: Any, x: Any) -> Work:
    state = [tf.constant(path) for path in first_state(task)]
    forward = tf.function(lambda x, *state: layer(x, initial_state=list(state)), jit_compile=True)

    def run() -> Any:
        nonlocal state
        y, *state = forward(x, *state)
        return y

    return Work(run, lambda y: fingerprint(task, y))
