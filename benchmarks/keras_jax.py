"""Keras on JAX, compiled by XLA. Runs in the peers' own Python."""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import Task, fingerprint, numbers
from benchmarks.keras_peer import first_state, make_layer, mask_of, show
from benchmarks.timing import Work


def work(task: Task) -> Work:
    """The layer as a compiled function of its weights and input."""
    layer, given, mask = make_layer(task), numbers(task), mask_of(task)
    weights = [variable.value for variable in layer.trainable_variables]
    kept = [variable.value for variable in layer.non_trainable_variables]
    x, dy = jnp.asarray(given.x), jnp.asarray(given.dy)

    def forward(weights: Any, x: Any, *state: Any) -> Any:
        options = {"initial_state": list(state)} if state else {"mask": mask}
        returned, _ = layer.stateless_call(weights, kept, x, **options)
        return returned

    if task.case.kind == "step":
        return _step(task, jax.jit(forward), weights, x)
    if task.mode == "infer":
        infer = jax.jit(forward)
        return Work(lambda: infer(weights, x).block_until_ready(), lambda y: fingerprint(task, y))
    gradients = jax.jit(lambda weights, x, dy: jax.vjp(forward, weights, x)[1](dy))
    return Work(lambda: jax.block_until_ready(gradients(weights, x, dy)), lambda found: show(task, found[1], found[0]))


def _step(task: Task, forward: Any, weights: Any, x: Any) -> Work:
    state = [jnp.asarray(path) for path in first_state(task)]

    def run() -> Any:
        nonlocal state
        y, *state = forward(weights, x, *state)
        return y.block_until_ready()

    return Work(run, lambda y: fingerprint(task, y))
