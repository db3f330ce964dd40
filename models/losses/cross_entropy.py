"""Full-catalogue softmax cross-entropy at the speed of its matrix products.

Loss and gradients are computed together, as many positions at a time as the
scores have room for. Nothing is done to the [positions, num_items] scores but
three matrix products, a maximum, one exponential and a sum: the softmax's
division is applied to the narrow sides of the products. Exact, not an
approximation (benchmarks/training shows the ratio to TensorFlow's own
operations).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.compute import Compute, as_rounded, current, product, rounded

# most scores held at a time: 64 MiB
MAX_SCORES = 1 << 24
# positions of a piece are a multiple of this, so that few shapes occur
_ROUND = 64


def full_softmax_cross_entropy(
    states: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    max_scores: int = MAX_SCORES,
) -> tf.Tensor:
    """Weighted sum of -log softmax(table states)[target] (section 3.3).

    Args:
        states: [positions, d] float32.
        table: [num_items, d] float32.
        targets: [positions] int, row of `table`.
        weights: [positions] float32, e.g. 1 / positions for the mean.
        max_scores: scores held at a time; a piece has at least 64 positions.

    Returns:
        Scalar float32. Gradients flow to `states` and `table`.
    """
    return _loss_with_gradient(max_scores, current())(
        states, tf.convert_to_tensor(table), targets, weights
    )


def _loss_with_gradient(
    max_scores: int, compute: Compute
) -> Callable[..., tf.Tensor]:
    @tf.custom_gradient
    def loss(
        states: tf.Tensor,
        table: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[..., tuple]]:
        value, d_states, d_table = _forward_and_backward(
            states, table, targets, weights, max_scores, compute
        )

        def gradient(upstream: tf.Tensor) -> tuple:
            return upstream * d_states, upstream * d_table, None, None

        return value, gradient

    return loss


@tf.function(reduce_retracing=True)
def _forward_and_backward(
    states: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    max_scores: int,
    compute: Compute,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Loss, its gradient by states and its gradient by table."""
    positions, dim = tf.shape(states)[0], states.shape[1]
    num_chunks, chunk = _pieces(
        positions, tf.shape(table)[0], max_scores, compute
    )
    piece = _compiled_piece if compute.xla else _piece
    padding = num_chunks * chunk - positions
    padded = tf.pad(states, [[0, padding], [0, 0]])
    padded_weights = tf.pad(weights, [[0, padding]])
    columns = tf.transpose(table)
    log_totals = tf.TensorArray(tf.float32, num_chunks, element_shape=[None])
    d_states = tf.TensorArray(tf.float32, num_chunks, element_shape=[None, dim])
    d_columns = tf.zeros_like(columns)
    for number in tf.range(num_chunks):
        # pieces side by side would hold their scores side by side
        tf.autograph.experimental.set_loop_options(parallel_iterations=1)
        rows = slice(number * chunk, (number + 1) * chunk)
        state = tf.ensure_shape(padded[rows], [None, dim])
        log_total, d_state, d_column = piece(
            state, padded_weights[rows], table, columns, compute
        )
        log_totals = log_totals.write(number, log_total)
        d_states = d_states.write(number, d_state)
        d_columns += d_column
    # Rounded as in the products, or the target's score would be another number
    # than the one in the sum, and a loss could be negative.
    right = as_rounded(tf.gather(table, targets), compute)
    score = as_rounded(
        tf.reduce_sum(as_rounded(states, compute) * right, axis=1), compute
    )
    log_total = log_totals.concat()[:positions]
    loss = tf.reduce_sum(weights * (log_total - score))
    weights = weights[:, tf.newaxis]
    d_table = tf.tensor_scatter_nd_sub(
        tf.transpose(d_columns),
        targets[:, tf.newaxis],
        as_rounded(states * weights, compute),
    )
    return loss, d_states.concat()[:positions] - weights * right, d_table


def _piece(
    state: tf.Tensor,
    weights: tf.Tensor,
    table: tf.Tensor,
    columns: tf.Tensor,
    compute: Compute,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Log of the softmax's sum, gradients but for the targets' part.

    Args:
        state: [n, d] positions.
        weights: [n] of them.
        table: [num_items, d], and
        columns: [d, num_items] its transpose.
        compute: how products are computed.

    Returns:
        [n], [n, d], and [d, num_items].
    """
    scores = product(state, columns, compute)
    top = tf.reduce_max(scores, axis=1, keepdims=True)
    exponentials = _shifted_exponential(scores, top)
    total = tf.reduce_sum(exponentials, axis=1, keepdims=True)
    share = weights[:, tf.newaxis] / total
    return (
        (tf.math.log(total) + top)[:, 0],
        product(exponentials, table, compute) * share,
        product(state * share, exponentials, compute, transpose_a=True),
    )


_compiled_piece = tf.function(_piece, jit_compile=True, reduce_retracing=True)


def _pieces(
    positions: tf.Tensor,
    num_items: tf.Tensor,
    max_scores: int,
    compute: Compute,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Number of pieces and positions of each, for at most `max_scores`."""
    most = tf.maximum(max_scores // num_items // _ROUND * _ROUND, _ROUND)
    num_chunks = tf.maximum((positions + most - 1) // most, 1)
    chunk = (positions + num_chunks - 1) // num_chunks
    if compute.xla:
        return num_chunks, rounded(chunk, _ROUND)
    return num_chunks, (chunk + _ROUND - 1) // _ROUND * _ROUND


@tf.function(jit_compile=True)
def _shifted_exponential(scores: tf.Tensor, top: tf.Tensor) -> tf.Tensor:
    """exp(scores - top) in one pass; TensorFlow's own takes two slow ones."""
    return tf.exp(scores - top)
