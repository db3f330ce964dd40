"""One training step on the item table, measured; for softmax_memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from models.config import ScalableCrossEntropyConfig
from models.losses.cross_entropy import full_softmax_cross_entropy
from models.losses.scalable_cross_entropy import (
    scalable_cross_entropy,
)

GIB = 2**30


def measure(
    loss: str, num_items: int, positions: int, dim: int, steps: int
) -> dict[str, float]:
    """Measures in this process, which should be fresh.

    Args:
        loss: `tensorflow`, `chunked` or `scalable`.
        num_items: rows of the table.
        positions: states, each with a target of its own.
        dim: length of a vector.
        steps: timed, after one that compiles.

    Returns:
        `seconds`, the median of a step; `peak_gib`, the largest resident
        set; `added_gib`, how much of it the steps added.
    """
    table = tf.Variable(
        tf.random.stateless_normal([num_items, dim], [0, 0], 0.0, 0.3)
    )
    targets = tf.random.stateless_uniform(
        [positions], [1, 0], 0, num_items, tf.int32
    )
    noise = tf.random.stateless_normal([positions, dim], [1, 1], 0.0, 0.5)
    # a variable that is gathered from is copied at every later read
    states = tf.gather(tf.convert_to_tensor(table), targets) + noise
    step = _compiled_step(loss, table, states)
    resident_before = _resident()
    times = []
    for number in range(1 + steps):
        started = time.perf_counter()
        step(targets, tf.constant([2, number])).numpy()
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": statistics.median(times[1:]),
        "peak_gib": peak / GIB,
        "added_gib": (peak - resident_before) / GIB,
    }


def _compiled_step(
    loss: str, table: tf.Variable, states: tf.Tensor
) -> Callable[..., tf.Tensor]:
    """(targets, seed) to the loss, after Adam's step on the table."""
    optimizer = tf.keras.optimizers.legacy.Adam(0.001)
    # its moments belong to what is there before the step
    optimizer._create_all_weights([table])
    compute = _loss_function(loss)

    @tf.function
    def step(targets: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(states)
            value = compute(states, table, targets, seed)
        d_states, d_table = tape.gradient(value, [states, table])
        optimizer.apply_gradients([(d_table, table)])
        # without a use the states' gradient would not be computed
        return value + 0.0 * tf.reduce_sum(d_states)

    return step


def _loss_function(loss: str) -> Callable[..., tf.Tensor]:
    """(states, table, targets, seed) to the mean loss."""

    def tensorflow(
        states: tf.Tensor, table: tf.Tensor, targets: tf.Tensor, _: tf.Tensor
    ) -> tf.Tensor:
        scores = tf.matmul(states, table, transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores)
        return tf.reduce_mean(losses)

    def chunked(
        states: tf.Tensor, table: tf.Tensor, targets: tf.Tensor, _: tf.Tensor
    ) -> tf.Tensor:
        positions = states.shape[0]
        weights = tf.fill([positions], 1.0 / positions)
        return full_softmax_cross_entropy(states, table, targets, weights)

    def scalable(
        states: tf.Tensor, table: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        return scalable_cross_entropy(
            states, table, targets, seed, ScalableCrossEntropyConfig()
        )

    return {
        "tensorflow": tensorflow,
        "chunked": chunked,
        "scalable": scalable,
    }[loss]


def _resident() -> int:
    """Bytes resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
